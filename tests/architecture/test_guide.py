"""The README and the guide: what their blocks hold, their links, their size."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.rows import read_row
from refinecli.prompts import Prompts
from refinecli.settings.load import load
from tests.architecture.test_voice import RULES, Text
from tests.conftest import read_jsonl
from tests.support.guide_pages import (
    DOCUMENTS,
    MARKS,
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    links,
)

ALL = [block for page in DOCUMENTS for block in blocks(page)]
SHELL = [block for block in ALL if block.language == "sh"]
TOPICS = tuple(page.stem for page in PAGES)
LINKING = [
    *DOCUMENTS,
    ROOT / "refinecli" / "README.md",
    *sorted((ROOT / ".github").glob("*.md")),
]


def place(block: Block) -> str:
    return block.place


def by_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def test_every_command_is_in_a_block_that_is_run_or_says_why_not() -> None:
    assert len(SHELL) > 25
    for block in ALL:
        assert block.language in ("sh", "json", "toml", "text", "python", "yaml"), block.place
        assert block.mark in ("", *MARKS), block.place
        if block.place.startswith(TOPICS):
            assert all(len(line) <= 79 for line in block.text.splitlines()), block.place
        if block.language in ("json", "toml", "text"):
            assert not re.search(r"^refinecli ", block.text, re.MULTILINE), block.place


@pytest.mark.parametrize("block", [b for b in ALL if b.language == "toml"], ids=place)
def test_toml_is_a_rubric_or_settings(tmp_path: Path, block: Block) -> None:
    found = tomllib.loads(block.text)
    if "rubric_items" in found:
        row = {"convo": "Hi!", **found}
        assert read_row(json.dumps(row).encode(), 1, "row").datapoint
        return
    for name, file in found.get("prompts", {}).items():
        (tmp_path / file).write_text(getattr(Prompts(), name), "utf-8")
    config = tmp_path / "config.toml"
    config.write_text(block.text, "utf-8")
    assert load({}, environ={}, paths=[config])


@pytest.mark.parametrize("block", [b for b in ALL if b.language == "json"], ids=place)
def test_json_is_rows_or_an_item(block: Block) -> None:
    try:
        rows: list[Any] = [json.loads(block.text)]
    except ValueError:
        rows = read_jsonl(block.text)
    for row in rows:
        if "check" in row:
            row = {"convo": "Hi!", "rubric_items": [row]}
        elif "rubric_items" not in row:
            row = {**row, "rubric_items": [{"rubric_str": "Is it polite?"}]}
        if "convo" in row or "prompt" in row:
            assert read_row(json.dumps(row).encode(), 1, "row").datapoint


@pytest.mark.parametrize("page", LINKING, ids=by_name)
def test_every_link_resolves(page: Path) -> None:
    for file, where in links(page):
        assert file.exists(), f"{page.name}: {file}"
        assert not where or where in anchors(file), f"{page.name}: {file.name}#{where}"


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {file for file, _ in links(ROOT / "README.md")}
    assert set(PAGES) <= linked


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


def test_the_picture_is_small() -> None:
    assert (ROOT / ".github" / "report.png").stat().st_size <= 150_000


def test_the_test_command_is_the_line_that_ci_runs() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    (line,) = [line for line in lines if "/bin/pytest" in line]
    assert line.startswith("python3 -m venv .venv && ")
    assert line.endswith(" .venv/bin/pytest -n 2")


def test_no_example_names_a_model_that_will_be_gone() -> None:
    for path in [*DOCUMENTS, *(ROOT / "refinecli" / "cli").glob("*.py")]:
        assert not re.search(r"\b(?:gpt|claude|gemini|o[1-9])-\d", path.read_text("utf-8")), path


def test_every_page_begins_with_its_title_and_what_it_is_about() -> None:
    for page in PAGES:
        title, blank, summary, *_ = page.read_text("utf-8").split("\n")
        assert title.startswith("# "), page
        assert not blank, page
        assert summary.endswith("."), page
        assert len(summary) <= 63, f"{page}: `refinecli help` lists it in one line"


@pytest.mark.parametrize("page", [*DOCUMENTS, ROOT / "refinecli" / "README.md"], ids=by_name)
def test_the_pages_keep_to_the_voice(page: Path) -> None:
    # Without code, and without tables: what stands in a cell is a list, not a sentence.
    code = r"^```[\s\S]*?^```$"
    text = re.sub(rf"{code}|^\|.*$", "", page.read_text("utf-8"), flags=re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", text):
        words = " ".join(paragraph.split())
        broken = [name for name, rule in RULES.items() if rule(Text("message", page.name, words))]
        assert not broken, words
