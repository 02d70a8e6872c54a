"""`refinecli show`: which rows, how much of them, and what it says where there are none."""

from __future__ import annotations

import gzip
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import (
    REFINECLI,
    Result,
    at,
    datapoint,
    item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, by_role
from tests.support.report_files import failed_row, graded_row, row
from tests.support.terminal import Terminal
from tests.unit.display.test_transcript import NASTY

Cli = Callable[..., Result]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.ours)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output with a row that improved, one that did not pass, one that failed, and twins."""
    rows = [
        row(0, [0.0, 1.0], items=({}, {}), texts=("FIRST", "SECOND")),
        row(1, [[0.0, 1.0]], items=({}, {"name": "tone"}), texts=("HALF",)),
        failed_row(2),
        graded_row(3, None, response="UNGRADED"),
        row(4, [1.0], texts=("ONE",)),
        row(4, [1.0], texts=("TWIN",)),
    ]
    for good in (rows[0], rows[4], rows[5]):
        good["refinement"]["passed"] = True
    return write_jsonl(tmp_path / "out.jsonl", rows)


def test_without_a_selector_it_shows_the_first_row_as_debug_rollout_does(
    cli: Cli, tmp_path: Path
) -> None:
    rows = [datapoint(id="a", rubric_items=[item("Is it 4?", name="sum")]), datapoint(id="b")]
    with ChatServer(by_role("It says 4.", "REASON of it\n<score>1</score>")) as server:
        cli("refine", *at(server), "-o", "out.jsonl", stdin=jsonl(rows))
        live = cli("debug-rollout", *at(server), "out.jsonl")
        sent = len(server.requests)
        shown = cli("show", "out.jsonl")
        assert len(server.requests) == sent
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("== a · line 1 · conversation ==\n")
    assert "== b" not in shown.stdout
    for section in ("response", "scores"):
        part = shown.stdout.split(f"== {section} (iteration 0) ==")[1].split("==")[0]
        assert part.strip()
        assert part.strip().split("\n")[0] in live.stdout
    assert "REASON of it\n" in shown.stdout
    assert "policy: m · grader: m" in shown.stdout or "policy: " in shown.stdout


@pytest.mark.parametrize(
    ("flags", "there", "absent"),
    [
        ((), ["dp-0", "SECOND"], ["dp-1"]),
        (("--index", "1"), ["dp-1", "HALF"], ["dp-0"]),
        (("--id", "dp-4"), ["ONE", "TWIN"], ["dp-0"]),
        (("--failed",), ["HALF", "timeout", "no_score"], ["dp-0", "dp-4"]),
        (("--failed", "--item", "tone"), [], ["dp-"]),
        (("--failed", "--item", "way-0"), ["HALF", "UNGRADED"], ["tone", "dp-2", "dp-0"]),
        (("--item", "tone"), ["HALF", "grade of tone"], ["way-0", "dp-0", "== scores"]),
        (("--id", "dp-1", "--failed"), ["HALF"], ["dp-2"]),
    ],
)
def test_selectors_choose_rows(
    cli: Cli, out: Path, flags: tuple[str, ...], there: list[str], absent: list[str]
) -> None:
    result = cli("show", out, *flags)
    assert result.returncode == 0, result.stderr
    assert [words for words in there if words not in result.stdout] == []
    assert [words for words in absent if words in result.stdout] == []
    assert bool(result.stderr) == (not there)
    if not there:
        assert result.stderr == f"{out}: tone in no row failed, of 6\n"


@pytest.mark.parametrize(
    ("flags", "error", "hint"),
    [
        (("--id", "dp-9"), "no row with the id dp-9 among its 6 rows", "did you mean dp-"),
        (("--index", "6"), "no row 6 among its 6 rows", "they are numbered from 0 to 5"),
        (("--item", "tonne"), "no item tonne", "did you mean tone?"),
        (("--failed", "--item", "xyz"), "no item xyz", "name one of: way-0, way-1, tone"),
        (("--id", "dp-0", "--item", "tone"), "no item tone", "name one of: way-0, way-1"),
        (("--id", "x", "--index", "1"), "--id and --index both choose a row", "give one"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is_close(
    cli: Cli, out: Path, flags: tuple[str, ...], error: str, hint: str
) -> None:
    result = cli("show", out, *flags)
    assert (result.returncode, result.stdout) == (2, "")
    assert error in result.stderr
    assert hint in result.stderr


def test_packed_files_and_standard_input_are_read_as_they_come(
    cli: Cli, out: Path, tmp_path: Path
) -> None:
    plain = cli("show", out, "--index", "4")
    (tmp_path / "out.jsonl.gz").write_bytes(gzip.compress(out.read_bytes()))
    assert cli("show", "out.jsonl.gz", "--index", "4").stdout == plain.stdout
    for name in (["-"], []):
        assert cli("show", *name, "--index", "4", stdin=out.read_text()).stdout == plain.stdout
    # A row is shown before its writer is done.
    line = out.read_bytes().splitlines(keepends=True)[0]
    with subprocess.Popen(
        [*REFINECLI, "show"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(line)
        process.stdin.flush()
        assert b"SECOND" in process.stdout.read()


def test_a_line_that_cannot_be_read_is_an_error_where_it_is_wanted(
    cli: Cli, tmp_path: Path
) -> None:
    lines = [jsonl([row(0, [1.0])]), '{"id": "cut off', "\n", jsonl([row(2, [1.0])])]
    path = tmp_path / "out.jsonl.partial"
    path.write_text("".join(lines))
    assert "dp-2" in cli("show", path, "--id", "dp-2").stdout
    for flags in (["--index", "1"], ["--failed"]):
        result = cli("show", path, *flags)
        assert result.returncode == 2
        assert f"{path}:2: not JSON" in result.stderr


def test_a_row_that_nobody_tried_is_shown_with_its_rubric(cli: Cli, tmp_path: Path) -> None:
    made = cli("generate-data", "keywords", "-n", "1")
    (datapoint,) = read_jsonl(made.stdout)
    shown = cli("show", "-", stdin=made.stdout).stdout
    assert "keywords-0 · line 1 · conversation" in shown
    assert datapoint["convo"][0]["content"] in shown
    assert "coverage · weight 3 · by code" in shown
    assert cli("show", "-", "--failed", stdin=made.stdout).stdout == ""


def test_what_an_earlier_command_could_not_read_is_shown_as_it_was(cli: Cli) -> None:
    record = {"error": {"type": "input", "line": 3, "message": "not JSON"}, "raw": "{NASTY"}
    result = cli("show", "-", "--failed", stdin=jsonl([row(0, [1.0]), record]))
    assert result.returncode == 0, result.stderr
    assert "an earlier command could not read this line" in result.stdout
    assert "{NASTY" in result.stdout


def test_stored_text_cannot_speak_to_the_terminal(cli: Cli, tmp_path: Path) -> None:
    made = row(0, [0.0], texts=(NASTY,), items=({"name": NASTY},))
    result = cli("show", "-", stdin=jsonl([made | {"id": NASTY}]))
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout


def test_a_terminal_gets_panels_in_a_pager(out: Path, terminal: Terminal) -> None:
    env = os.environ | {"TERM": "xterm-256color", "PAGER": "sed s/SECOND/PAGED/"}
    subprocess.run(
        [*REFINECLI, "show", str(out)], stdout=terminal.theirs, env=env, check=True, timeout=60
    )
    shown = terminal.read_all()
    assert "PAGED" in shown
    assert "╭" in shown


def test_debug_rollout_asks_about_one_item_alone(cli: Cli, tmp_path: Path) -> None:
    items = [item("FIRST?", name="one"), item("SECOND?", name="two", weight=-1)]
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(id="x", rubric_items=items)])
    with ChatServer(by_role("4", "<score>1</score>")) as server:
        result = cli("debug-rollout", path, "--item", "two", "--json", "r.json", *at(server))
        assert [r.is_grading for r in server.requests] == [False, True]
        assert "SECOND?" in server.requests[1].last
    assert result.returncode == 0, result.stderr
    (record,) = read_jsonl((tmp_path / "r.json").read_text())
    assert [one["name"] for one in record["rubric_items"]] == ["two"]
    assert record["score"] == -1
    close = cli("debug-rollout", path, "--item", "tow", "--model", "m")
    assert close.returncode == 2
    assert "the row x has no item tow" in close.stderr
    assert "did you mean two?" in close.stderr


def test_an_item_alone_is_answered_from_the_cache_of_a_run(cli: Cli, tmp_path: Path) -> None:
    items = [item("FIRST?", name="one"), item("SECOND?", name="two")]
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(id="x", rubric_items=items)])
    with ChatServer(by_role("4", "<score>1</score>")) as server:
        cached = ["--cache", "replies.db", *at(server)]
        cli("refine", path, "-o", "out.jsonl", "--max-iterations", "0", *cached)
        sent = len(server.requests)
        result = cli("debug-rollout", "out.jsonl", "--item", "two", *cached)
        assert len(server.requests) == sent
    assert "grade of two (1 of 1" in result.stdout
