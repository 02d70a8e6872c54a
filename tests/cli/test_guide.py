"""The README and the guide: their commands run, their links resolve, and `refinecli help` shows
them."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.rows import read_row
from refinecli.prompts import Prompts
from refinecli.settings.load import load
from tests.conftest import Result, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer
from tests.support.guide_pages import (
    DOCUMENTS,
    GUIDE,
    MARKS,
    PAGES,
    ROOT,
    Block,
    anchors,
    blocks,
    links,
    model,
    run,
)
from tests.support.report_files import row as refined_row

Cli = Callable[..., Result]
ALL = [block for page in DOCUMENTS for block in blocks(page)]
SHELL = [block for block in ALL if block.language == "sh"]
TOPICS = [page.stem for page in PAGES]
LINKING = [
    *DOCUMENTS,
    ROOT / "refinecli" / "README.md",
    *sorted((ROOT / ".github").glob("*.md")),
]


def place(block: Block) -> str:
    return block.place


# ------------------------------------------------------------------ what the pages say is so


def test_every_command_is_in_a_block_that_is_run_or_says_why_not() -> None:
    assert len(SHELL) > 25
    for block in ALL:
        assert block.language in ("sh", "json", "toml", "text", "python"), block.place
        assert block.mark in ("", *MARKS), block.place
        if block.place.startswith(tuple(TOPICS)):
            assert all(len(line) <= 79 for line in block.text.splitlines()), block.place
        if block.language in ("json", "toml", "text"):
            assert not re.search(r"^refinecli ", block.text, re.MULTILINE), block.place


@pytest.mark.parametrize("block", [b for b in SHELL if not b.mark], ids=place)
def test_commands_run_as_they_stand(tmp_path: Path, block: Block) -> None:
    with ChatServer(model()) as server:
        result = run(block, tmp_path, server.url)
    assert result.returncode == 0, f"{block.text}\n{result.stderr}\n{result.stdout[-2000:]}"


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


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(ROOT).as_posix())
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


# ------------------------------------------------------------------ training data


def test_the_recipes_for_training_data_take_the_rows_own_conversation(tmp_path: Path) -> None:
    rows = [
        refined_row(1, [0.0, 0.5, 0.8], texts=("bad", "better", "good")),
        refined_row(2, [0.7], texts=("fine",)) | {"convo": None, "prompt": "Say fine."},
        refined_row(3, [None], texts=("unknown",)),
        {"id": "failed", "prompt": "Hi?", "error": {"type": "timeout", "message": "no answer"}},
    ]
    for row in rows[:2]:  # what the item's pass_score makes of a score below 1
        grades = row["refinement"]["iterations"][-1]["grades"]
        row["refinement"]["iterations"][-1]["grades"] = [g | {"passed": True} for g in grades]
    write_jsonl(tmp_path / "out.jsonl", rows)
    write_jsonl(tmp_path / "resampled.jsonl", rows)
    recipes = [b for b in SHELL if b.place.startswith("training-data")]
    commands = "".join(block.text for block in recipes)
    for name in ("out.jsonl", "resampled.jsonl"):  # these are ours, not the guide's
        commands = commands.replace(f" {name} ", f" {tmp_path / name} ")
    folder = tmp_path / "there"
    folder.mkdir()
    result = run(Block("", "sh", "", commands), folder, "")
    assert result.returncode == 0, result.stderr
    question = [{"role": "user", "content": "Question 1?"}]
    said = {text: [{"role": "assistant", "content": text}] for text in ("bad", "good", "fine")}
    assert read_jsonl(folder / "sft.jsonl") == [
        {"messages": question + said["good"]},
        {"messages": [{"role": "user", "content": "Say fine."}, *said["fine"]]},
    ]
    pair = {"prompt": question, "chosen": said["good"], "rejected": said["bad"]}
    assert read_jsonl(folder / "pairs.jsonl") == [pair]
    assert read_jsonl(folder / "drafts.jsonl") == [pair]


# ------------------------------------------------------------------ refinecli help


def test_help_lists_the_topics_in_lines_that_fit(cli: Cli) -> None:
    result = cli("help")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == TOPICS
    assert any(line.startswith("training-data  ") for line in lines)
    assert max(map(len, lines)) <= 80


def test_every_page_begins_with_its_title_and_what_it_is_about() -> None:
    for page in PAGES:
        title, blank, summary, *_ = page.read_text("utf-8").split("\n")
        assert title.startswith("# "), page
        assert not blank, page
        assert summary.endswith("."), page


def test_help_writes_the_page_as_it_is_into_a_pipe(cli: Cli) -> None:
    assert cli("help", "juries").stdout == (GUIDE / "juries.md").read_text("utf-8")


def test_help_of_a_name_that_is_a_command_and_a_page_shows_both(cli: Cli) -> None:
    shown = cli("help", "report").stdout
    assert shown.startswith(cli("report", "--help").stdout)
    assert shown.endswith((GUIDE / "report.md").read_text("utf-8"))


@pytest.mark.parametrize("command", ["refine", "help"])
def test_help_of_a_command_is_that_commands_help(cli: Cli, command: str) -> None:
    assert cli("help", command).stdout == cli(command, "--help").stdout


def test_an_unknown_topic_is_a_usage_error_that_names_the_nearest(cli: Cli) -> None:
    result = cli("help", "jurys")
    assert (result.returncode, result.stdout) == (2, "")
    assert "there is no topic jurys" in result.stderr
    assert "did you mean juries?" in result.stderr
