"""Flags, --set, the environment and files make the settings; which one wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.cli.complaints import as_flags
from refinecli.errors import UsageError
from refinecli.settings.load import Settings, load

OPENAI = "https://api.openai.com/v1"
BASE = "http://somewhere.test/v1"


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


def settled(
    tmp_path: Path, *, flag: str = "", set_: str = "", env: str = "", file: str = ""
) -> tuple[str | None, str]:
    """The policy's model with these sources, and where it is said to come from."""
    settings = load(
        {"policy.model": flag or None, "policy.base_url": BASE},
        [f"policy.model={set_}"] if set_ else [],
        {"REFINECLI_POLICY__MODEL": env} if env else {},
        [config(tmp_path, f'[policy]\nmodel = "{file}"\n')] if file else [],
    )
    return settings.policy.model, as_flags(str(settings.sources.get("policy.model", "default")))


def test_a_flag_wins_over_set(tmp_path: Path) -> None:
    assert settled(tmp_path, flag="a", set_="b") == ("a", "--model")


def test_set_wins_over_the_environment(tmp_path: Path) -> None:
    assert settled(tmp_path, set_="b", env="c") == ("b", "--set policy.model")


def test_the_environment_wins_over_a_file(tmp_path: Path) -> None:
    where = "environment REFINECLI_POLICY__MODEL"
    assert settled(tmp_path, env="c", file="d") == ("c", where)


def test_a_file_wins_over_the_default(tmp_path: Path) -> None:
    assert settled(tmp_path, file="d") == ("d", str(tmp_path / "config.toml"))
    assert settled(tmp_path) == (None, "default")


def test_the_later_set_wins() -> None:
    assert load({}, ["run.seed=1", "run.seed=2"], {}).run.seed == 2


def test_a_wrong_variable_or_set_is_named() -> None:
    with pytest.raises(UsageError, match="REFINECLI_POLICY__TEMPRATURE") as caught:
        load({}, [], {"REFINECLI_POLICY__TEMPRATURE": "1"})
    assert "temperature" in caught.value.hint
    with pytest.raises(UsageError, match=r"--set grader\.tempratur"):
        load({}, ["grader.tempratur=1"], {})
    with pytest.raises(UsageError, match=r"--set grader\.temperature"):
        load({}, ["grader.temperature=-1"], {})


def test_a_variable_of_another_program_is_none_of_ours() -> None:
    load({}, [], {"REFINECLI_DEBUG": "1", "POLICY__MODEL": "x"})


def roles(*sets: str, **environ: str) -> Settings:
    return load({}, sets, environ)


def test_without_a_model_all_roles_are_local() -> None:
    assert [role.weights for role in roles().roles.values()] == ["local"] * 5


def test_a_model_without_a_url_is_at_openai_base_url_or_openai() -> None:
    assert roles("policy.model=m").policy.base_url == OPENAI
    settings = roles("policy.model=m", OPENAI_BASE_URL=BASE)
    assert settings.policy.base_url == BASE
    assert settings.grader.base_url == BASE
    assert roles("policy.model=m").grader.api_key_env == "OPENAI_API_KEY"


def test_a_gguf_file_is_served_here() -> None:
    settings = roles("policy.model=some/where.gguf", "grader.model=gpt-x")
    assert settings.policy.weights == "some/where.gguf"
    assert (settings.grader.weights, settings.grader.base_url) == (None, OPENAI)


def test_local_writes_while_another_grades_and_the_other_way_round() -> None:
    settings = roles("grader.model=g", f"grader.base_url={BASE}")
    assert (settings.policy.weights, settings.grader.weights) == ("local", None)
    settings = roles("policy.model=m", f"policy.base_url={BASE}", "grader.model=local")
    assert (settings.policy.weights, settings.grader.weights) == (None, "local")
    assert settings.grader.base_url is None


def test_reviser_speaks_like_the_policy_and_the_grader_does_not() -> None:
    settings = roles("policy.model=m", "policy.system=Be brief.", "policy.max_tokens=9")
    reviser = settings.roles["reviser"]
    assert (reviser.system, reviser.max_tokens) == ("Be brief.", 9)
    assert (settings.grader.system, settings.grader.max_tokens) == (None, None)


def test_values_in_set_are_toml_or_else_text() -> None:
    settings = roles(
        "policy.model=2024-11-20",
        "policy.system=Be = brief",
        "policy.temperature=0.5",
        "policy.extra_body.nested.deep=true",
        "policy.extra_body.other=[1, 2]",
    )
    assert settings.policy.model == "2024-11-20"
    assert settings.policy.system == "Be = brief"
    assert settings.policy.extra_body == {"nested": {"deep": True}, "other": [1, 2]}
