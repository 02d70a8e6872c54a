"""Flags, --set, the environment and files make the settings; which one wins."""

from __future__ import annotations

import re
from contextlib import nullcontext
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


@pytest.mark.parametrize(
    ("header", "secret"),
    [
        *((name, False) for name in ("X-Author", "X-Max-Tokens", "X-Tokenizer", "X-Keyboard")),
        *((name, True) for name in ("Authorization", "Proxy-Authorization", "X-Auth", "X_AUTH1")),
        *((name, True) for name in ("api-key", "x-goog-api-key", "X-ApiKey", "X-Key-Id", "X-Keys")),
        *((name, True) for name in ("X-Auth-User", "AccessToken", "Set-Cookie", "X-DB-PASSWORD")),
    ],
)
def test_a_header_whose_name_says_secret_is_refused_word_for_word(
    header: str, secret: bool
) -> None:
    with pytest.raises(UsageError, match="holds a secret") if secret else nullcontext():
        settings = load({}, [f'policy.headers={{"{header}" = "it"}}'], {})
        assert settings.policy.headers == {header: "it"}


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("[policy]\ntemprature = 1\n", "there is no setting policy.temprature", "temperature"),
        ("[polcy]\nmodel = 'm'\n", "there is no setting polcy", "policy"),
        ("[run]\nconcurency = 1\n", "there is no setting run.concurency", "concurrency"),
        ("model = 'm'\n", "model is not a section", "[model]"),
        ("[policy\n", "config.toml: ", "TOML"),
        ("[run]\nconcurrency = 0\n", "run.concurrency: ", ""),
        ("[run]\nconcurrency = 'x'\n", "run.concurrency: ", ""),
        ("[policy]\ntop_p = 2\n", "policy.top_p: ", ""),
        ("[policy]\nheaders = {Authorization = 'Bearer x'}\n", "holds a secret", "api_key_env"),
        ("[prompts]\nrewrite = 'missing.txt'\n", "prompts.rewrite: ", ""),
        ("[jury]\nmodel = 'm'\n", "jury.model is not a juror", "[jury.NAME]"),
        ("[jury.'a b']\nmodel = 'm'\n", "jury.a b is not a juror", "of letters"),
        ("[jury.a]\nmodle = 'm'\n", "there is no setting jury.a.modle", "model"),
        ("[jury.a]\ntop_p = 2\n", "config.toml: jury.a.top_p: ", ""),
        ("[jury.a]\nmodel = 'm'\n", "jury.a is a jury of one", "second [jury.NAME]"),
        ("[jury.a]\n[jury.b]\n", "jury.a and jury.b are the same model", "leave jury.b out"),
        ("[grade]\ncombine = 'mean'\n", "grade.combine: ", "'median' or 'majority'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_a_suggestion(
    tmp_path: Path, text: str, words: str, hint: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load({}, environ={}, paths=[config(tmp_path, text)])
    assert words in caught.value.message
    assert hint in f"{caught.value.message} {caught.value.hint}"


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


# ------------------------------------------------------------------ numbers that are none

NINES = "9" * 5000  # read as a number, it is infinite


@pytest.mark.parametrize(
    "setting",
    [
        *("policy.temperature=X", "policy.temperature=[X]", 'policy.temperature="X"'),
        *("policy.timeout=X", "policy.rpm=X", "refine.threshold=X", "run.max_cost=X"),
        *("run.max_line_mb=X", "grade.pass_probability=X", "policy.extra_body={a = [{b = X}]}"),
    ],
)
def test_no_number_is_infinite_wherever_it_stands(tmp_path: Path, setting: str) -> None:
    for number in ("inf", "-inf", "nan", "1e999", NINES, f"-{NINES}"):
        text = setting.replace("X", number)
        place, _, value = text.partition("=")
        section, _, key = place.partition(".")
        named = re.escape(place)
        with pytest.raises(UsageError, match=named):
            load({}, [text], {})
        with pytest.raises(UsageError, match=named):
            load({}, [], {f"REFINECLI_{section}__{key}".upper(): value})
        with pytest.raises(UsageError, match=f"{re.escape(str(tmp_path))}.*({named}|digits)"):
            load({}, [], {}, [config(tmp_path, f"[{section}]\n{key} = {value}\n")])


def test_a_line_may_not_be_allowed_more_bytes_than_any_has() -> None:
    with pytest.raises(UsageError, match=r"run\.max_line_mb"):
        load({}, ["run.max_line_mb=1e300"], {})


@pytest.mark.parametrize("setting", ["policy.rpm=1e-300", "policy.tpm=0", "policy.rpm=-1"])
def test_a_rate_at_which_no_request_would_ever_leave_is_refused_by_name(setting: str) -> None:
    with pytest.raises(UsageError, match=re.escape(setting.partition("=")[0])):
        load({}, [setting], {})
