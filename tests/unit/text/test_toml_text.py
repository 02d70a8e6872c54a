"""TOML is read, or refused with a reason; it never ends in a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.data.rubric_file import read_rubric
from refinecli.errors import RefineError, UsageError
from refinecli.settings.load import load
from refinecli.text import toml_text

HOSTILE = ["[" * 100_000, "{a=" * 5_000, "9" * 5_000, f"[{'9' * 5_000}]"]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_python_cannot_read_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested too deeply|too many digits"):
        toml_text.loads(f"value = {text}")


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("key", ["policy.extra_body", "run.seed"])
def test_hostile_settings_are_refused_wherever_they_come_from(
    key: str, text: str, tmp_path: Path
) -> None:
    section, name = key.split(".")
    file = tmp_path / "config.toml"
    file.write_text(f"[{section}]\n{name} = {text}\n")
    for sets, environ, paths in (
        ([f"{key}={text}"], {}, []),
        ([], {f"REFINECLI_{section}__{name}".upper(): text}, []),
        ([], {}, [file]),
    ):
        with pytest.raises(RefineError):
            load({}, sets, environ, paths)


def test_a_config_and_a_rubric_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    config, rubric = tmp_path / "config.toml", tmp_path / "rubric.toml"
    config.write_text("\ufeff[policy]\nmodel = 'm'\n", "utf-8")
    assert load({}, [], {}, [config]).policy.model == "m"
    rubric.write_text("\ufeff[[rubric_items]]\nrubric_str = 'Is it polite?'\n", "utf-8")
    assert read_rubric(rubric, lambda note: None) == [{"rubric_str": "Is it polite?"}]
    rubric = rubric.with_suffix(".json")
    rubric.write_text('\ufeff[{"rubric_str": "Is it polite?"}]', "utf-8")
    assert read_rubric(rubric, lambda note: None) == [{"rubric_str": "Is it polite?"}]


def test_a_hostile_rubric_file_is_refused(tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.toml"
    rubric.write_text(f"a = {HOSTILE[0]}")
    with pytest.raises(UsageError, match="nested too deeply"):
        read_rubric(rubric, lambda note: None)
