"""The README and the guide: their commands run, and `refinecli help` shows the pages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result
from tests.support.chat_server import ChatServer
from tests.support.guide_pages import (
    DOCUMENTS,
    GUIDE,
    PAGES,
    Block,
    blocks,
    model,
    run,
)

Cli = Callable[..., Result]
SHELL = [block for page in DOCUMENTS for block in blocks(page) if block.language == "sh"]
TOPICS = sorted(page.stem for page in PAGES)


def place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", [b for b in SHELL if not b.mark], ids=place)
def test_commands_run_as_they_stand(tmp_path: Path, block: Block) -> None:
    with ChatServer(model()) as server:
        result = run(block, tmp_path, server.url)
    assert result.returncode == 0, f"{block.text}\n{result.stderr}\n{result.stdout[-2000:]}"


def test_the_page_on_editing_rubrics_shows_what_its_commands_print(tmp_path: Path) -> None:
    page = GUIDE / "editing-rubrics.md"
    commands, shown = list(blocks(page))[:2]
    with ChatServer(model()) as server:
        result = run(commands, tmp_path, server.url)
        assert len(server.requests) == 8 + 4
    assert result.returncode == 0, result.stderr
    for part in shown.text.split("\n\n"):
        assert part.strip("\n") in result.stdout
    assert (tmp_path / "comment.md").read_text("utf-8").count("- `return-too-late` fails now") == 1


# ------------------------------------------------------------------ refinecli help


def test_help_lists_the_topics_in_lines_that_fit(cli: Cli) -> None:
    result = cli("help")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines] == TOPICS
    assert any(line.startswith("training-data  ") for line in lines)
    assert max(map(len, lines)) <= 80


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
