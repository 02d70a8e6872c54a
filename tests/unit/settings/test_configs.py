"""The example configurations as files: named, commented, without keys."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from refinecli.data.rows import read_row
from refinecli.data.rubric_file import read_rubric
from refinecli.refining.strategies import STRATEGIES
from refinecli.settings.load import load
from tests.support.config_files import (
    CONFIGS,
    FILES,
    HELPFULNESS,
    KEY,
    MINIMAL_EDITS,
    SENDS,
    every_file,
    every_variant,
    helpfulness_items,
    options,
    sections,
    switched_on,
    written,
)


def test_every_provider_and_every_loop_has_a_file_and_no_other_file_is_untested() -> None:
    loops = {tomllib.loads(p.read_text("utf-8")).get("refine", {}).get("strategy") for p in FILES}
    assert loops - {None} == set(STRATEGIES) - {"refine", "adaptive"}
    assert {path.stem for path in FILES} == set(SENDS)
    assert {path.name for path in (CONFIGS / "rubrics").iterdir()} == {HELPFULNESS.name}
    assert {path.name for path in (CONFIGS / "prompts").iterdir()} == {MINIMAL_EDITS.name}


def test_switching_an_option_on_replaces_the_value_it_is_an_alternative_to() -> None:
    lines = ["[a]", "k = 1", "#k = 2", "#k = 3", "[b]", "k = 4"]
    assert list(options(lines)) == [(2, 3), (3, 4)]
    assert tomllib.loads(switched_on(lines, 3, 4)) == {"a": {"k": 3}, "b": {"k": 4}}


@every_variant
def test_it_sends_a_key_only_where_the_file_says_so(text: str, path: Path, tmp_path: Path) -> None:
    """OPENAI_API_KEY lies in most people's environment: it must not go to anybody else."""
    tables = sections(text)
    settings = load({}, environ={"OPENAI_API_KEY": KEY}, paths=[written(text, tmp_path)])
    policy = tables["policy"].get("api_key_env")
    own_url = "base_url" in tables.get("grader", {})
    grader = tables["grader"].get("api_key_env") if own_url else policy
    assert settings.policy.api_key_env == settings.roles["reviser"].api_key_env == policy
    assert settings.grader.api_key_env == grader
    for juror in settings.jury:
        own = tables[juror.name]
        assert juror.api_key_env == own.get("api_key_env", None if "base_url" in own else grader)


@every_variant
def test_it_holds_no_key_and_says_in_its_comments_which_variables_to_set(
    text: str, path: Path
) -> None:
    assert not re.search(r"\b(?:sk-|sk_|AIza|gsk_|hf_|Bearer )", text)
    for table in sections(text).values():
        assert not {name.lower() for name in table.get("headers", {})} & {"authorization"}
        if variable := table.get("api_key_env"):
            assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", variable)
            comments = [line for line in text.splitlines() if line.startswith("# ")]
            assert any(variable in line for line in comments)


@every_file
def test_an_option_is_a_line_that_could_be_toml_and_prose_is_set_off_by_a_space(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#") and not line.startswith("# ") and line != "#":
            assert re.match(r"#(\[[\w.]+\]|\w+ = )", line), line


def test_the_rubric_has_four_to_six_items_one_required_one_penalty_and_unequal_weights() -> None:
    items = list(helpfulness_items().values())
    assert 4 <= len(items) <= 6
    assert [item["name"] for item in items if item.get("required")] == ["does-the-task"]
    assert [item["name"] for item in items if item["weight"] < 0] == ["padding"]
    assert len({item["weight"] for item in items if item["weight"] > 0}) > 1


def test_each_items_instruction_states_the_range_that_it_is_read_with() -> None:
    line = json.dumps({"convo": [{"role": "user", "content": "Hello"}]}).encode()
    row = read_row(line, 1, "in.jsonl", read_rubric(HELPFULNESS, pytest.fail))
    assert row.datapoint is not None
    for item in row.datapoint.rubric_items:
        low, high = item.score_range
        said = item.grader_output_format_instruction
        assert re.search(rf"\b{low:g} (?:and {high:g}\b|\(.*\) or {high:g} )", said)
        anchors = re.findall(r"\b([1-5]): ", item.rubric_str)
        assert anchors in ([], ["5", "4", "3", "2", "1"])
        assert bool(anchors) == (high == 5)
        assert "  " not in item.rubric_str  # lines joined by a backslash
        assert "\n" not in item.rubric_str
