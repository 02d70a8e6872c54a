"""The end of a run: what came of it, where it is, and the next command, unless `-q` is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import QUESTION, Result, at, datapoint, item, jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request, by_role

Cli = Callable[..., Result]


def model(request: Request) -> str | Reply:
    """A model whose second answer is right; it answers nothing about B, and stays wrong on C."""
    said = request.text
    if request.is_grading:
        return f"Because.\n<score>{int('RIGHT' in said)}</score>"
    if "B?" in said:
        return Reply(status=400, raw=b"{}")
    return "RIGHT\nanswer" if "C?" not in said and request.last != QUESTION else "WRONG answer"


def rows() -> list[dict[str, object]]:
    items = [item("Is it 4?", name="sum")]
    asked = {"a": QUESTION, "b": "B?", "c": "C?"}
    return [datapoint(id=id, prompt=text, rubric_items=items) for id, text in asked.items()]


def refined(cli: Cli, *flags: str, first: int = 3) -> list[str]:
    with ChatServer(model) as server:
        args = ["--strategy", "refine", "--max-iterations", "1", "-o", "out.jsonl", *flags]
        made = [{k: v for k, v in row.items() if k != "convo"} for row in rows()[:first]]
        result = cli("refine", *args, *at(server), stdin=jsonl(made))
    return result.stderr.splitlines()


def test_a_refined_file_ends_with_gains_place_and_the_next_commands(cli: Cli) -> None:
    lines = refined(cli, first=1)
    start = lines.index("answers: 1 better than at first, 0 equal, 0 worse")
    assert lines[start + 1 : start + 4] == [
        "  a  0 → 1 · mended: sum",
        "  - WRONG answer",
        "  + RIGHT answer",
    ]
    assert "output: out.jsonl" in lines[start + 4 :]
    assert lines[-2:] == [
        "next: refinecli report out.jsonl --html report.html",
        "      refinecli show out.jsonl --id a",
    ]


def test_failures_that_are_allowed_are_said_with_the_command_that_shows_them(cli: Cli) -> None:
    lines = refined(cli, "--max-errors", "1")
    assert "failed most, of 2 rows: sum 1" in lines
    (failed,) = [line for line in lines if "failed or stayed ungraded" in line]
    assert failed.startswith("1 failed or stayed ungraded: bad_request 1; the first: b: ")
    assert "next: refinecli show out.jsonl --failed" in lines


def test_failures_that_are_not_allowed_end_with_the_same_command(cli: Cli) -> None:
    lines = refined(cli)
    assert not [line for line in lines if line.startswith("next:")]
    assert "hint: run the same command to ask again for what failed" in lines[-1]


def test_quiet_runs_end_in_silence(cli: Cli) -> None:
    assert refined(cli, "-q", first=1) == []


def test_what_goes_down_a_pipe_has_no_place_and_no_next_command(cli: Cli) -> None:
    with ChatServer(by_role("4", "<score>1</score>")) as server:
        lines = cli("refine", *at(server), stdin=jsonl(rows()[:1])).stderr
    assert "score: 1.000 at first" in lines
    assert not [words for words in ("output:", "next:", "answers:") if words in lines]


@pytest.mark.parametrize(
    ("response", "item_line", "following"),
    [
        ("WRONG", "failed most, of 1 row: sum 1", "show g.jsonl --failed --item sum"),
        ("RIGHT", "", "show g.jsonl"),
    ],
)
def test_a_graded_file_ends_with_what_failed_most_and_the_next_command(
    cli: Cli, tmp_path: Path, response: str, item_line: str, following: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [rows()[0] | {"response": response}])
    with ChatServer(model) as server:
        lines = cli("grade", "in.jsonl", "-o", "g.jsonl", *at(server)).stderr.splitlines()
    assert not item_line or item_line in lines
    assert ("failed most" in " ".join(lines)) == bool(item_line)
    assert "output: g.jsonl" in lines
    assert lines[-1] == f"next: refinecli {following}"


def test_generated_data_says_where_it_is_and_what_to_do_with_it(cli: Cli) -> None:
    args = ["generate-data", "addition", "-n", "3", "-o", "my data.jsonl"]
    made = cli(*args)
    assert made.stderr.splitlines() == [
        "3 datapoints in my data.jsonl",
        "next: refinecli refine 'my data.jsonl' -o out.jsonl",
    ]
    assert cli(*args, "--force", "-q").stderr == ""
    assert cli("generate-data", "addition", "-n", "1").stderr == ""
