"""`refinecli debug-rollout`: which row, what is shown and in which order; looks are in
test_render.py."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import (
    QUESTION,
    Result,
    at,
    datapoint,
    item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Request, by_role, error

Cli = Callable[..., Result]


def drafts_then_right(request: Request) -> str:
    return "WRONG answer" if request.last == QUESTION else "RIGHT answer"


def judge(request: Request) -> str:
    right = "RIGHT" in request.last
    return f"REASON {'good' if right else 'bad'}\n<score>{int(right)}</score>"


def in_order(text: str, *parts: str) -> None:
    at = 0
    for part in parts:
        found = text.find(part, at)
        assert found >= 0, f"{part!r} does not come after the others in:\n{text}"
        at = found + len(part)


def test_without_input_it_rolls_out_a_built_in_sum(cli: Cli) -> None:
    with ChatServer(by_role("It is 134, as 122 and 12 make 134.", "Yes.\n<score>1</score>")) as s:
        result = cli("debug-rollout", *at(s))
        assert len(s.requests) == 3  # one rollout: an answer, and two items
    assert result.returncode == 0, result.stderr
    assert "What is 122 + 12?" in result.stdout
    assert "\x1b" not in result.stdout


def test_everything_is_shown_in_the_order_in_which_it_happened(cli: Cli) -> None:
    row = datapoint(id="x", rubric_items=[item("FIRST item"), item("SECOND item")])
    with ChatServer(by_role(drafts_then_right, judge)) as server:
        args = ["--strategy", "refine", "--max-iterations", "2", "--full", "-"]
        result = cli("debug-rollout", *at(server), *args, stdin=jsonl([row]))
    assert result.returncode == 0, result.stderr
    in_order(
        result.stdout,
        "What is 2 + 2?",  # the prefix the policy sees
        "WRONG answer",  # its response
        "FIRST item",  # a grader's input,
        "REASON bad",  # its output
        "SECOND item",
        "REASON bad",
        "rewrite",  # the request for it
        "RIGHT",
        "REASON good",
        "passed",  # why it stopped
    )


@pytest.mark.parametrize(
    ("args", "roles"),
    [
        (["--strategy", "best-of-n"], ["policy"] * 4),
        (["--strategy", "writer-critic"], ["policy", "critic"]),
        (["--strategy", "self-refine", "--max-iterations", "1"], ["policy", "reviser"]),
        (["--strategy", "self-refine", "--max-iterations", "0"], ["policy"]),
        (["--set", "refine.strategy=self-refine"], ["policy"]),
        (["--strategy", "refine", "--set", "refine.max_iterations=1"], ["policy", "reviser"]),
        (["--set", "refine.max_iterations=1", "--max-iterations", "0"], ["policy"]),
        ([], ["policy"]),
    ],
    ids=str,
)
def test_a_loop_that_is_asked_for_is_shown_with_its_own_rounds(
    cli: Cli, args: list[str], roles: list[str]
) -> None:
    def anyone(request: Request) -> str:
        return f"Better: <improved>text {request.number}</improved> <best>1</best>"

    with ChatServer(by_role(anyone, "<score>1</score>")) as server:
        result = cli("debug-rollout", *at(server), "--json", "-", *args)
    assert result.returncode == 0, result.stderr
    (record,) = read_jsonl(result.stdout)
    assert [it["role"] for it in record["refinement"]["iterations"]] == roles


def test_a_loop_that_there_is_not_is_told_with_those_that_there_are(cli: Cli) -> None:
    result = cli("debug-rollout", "--strategy", "self-refin", "--model", "m")
    assert result.returncode == 2
    assert "did you mean self-refine?" in result.stderr


def test_json_is_the_record_that_refine_writes(cli: Cli) -> None:
    row = datapoint(id="x", note=1)
    with ChatServer(by_role(drafts_then_right, judge)) as server:
        flags = [*at(server), "--max-iterations", "3"]
        shown = cli("debug-rollout", *flags, "--json", "-", "-", stdin=jsonl([row]))
        refined = cli("refine", *flags, stdin=jsonl([row]))
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout == refined.stdout


def test_the_rewrites_that_a_config_file_allows_are_shown(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[refine]\nmax_iterations = 1\n")
    with ChatServer(by_role(drafts_then_right, judge)) as server:
        result = cli("debug-rollout", *at(server), "--config", "c.toml", "--json", "-")
    assert len(read_jsonl(result.stdout)[0]["refinement"]["iterations"]) == 2, result.stderr


def test_json_names_a_file_that_the_record_goes_to_next_to_the_transcript(
    cli: Cli, tmp_path: Path
) -> None:
    with ChatServer(by_role("134", "<score>1</score>")) as server:
        args = ["debug-rollout", *at(server), "--json", "record.json"]
        result = cli(*args)
        assert result.returncode == 0, result.stderr
        assert "What is 122 + 12?" in result.stdout
        assert read_jsonl(tmp_path / "record.json")[0]["id"] == "built-in"
        refused = cli(*args)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "use --force to replace it" in refused.stderr
        both = cli("debug-rollout", *at(server), "--json", "-", "-o", "t.txt")
    assert read_jsonl(both.stdout)[0]["id"] == "built-in"
    assert "What is 122 + 12?" in (tmp_path / "t.txt").read_text()


def test_index_and_id_choose_a_row(cli: Cli, tmp_path: Path) -> None:
    rows = [datapoint(id=n) for n in ("zero", 7, "two")]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(by_role("4")) as server:
        for flags, found in [
            ([], "zero"),
            (["--index", "2"], "two"),
            (["--id", "7"], 7),
        ]:
            result = cli("debug-rollout", "in.jsonl", *at(server), "--json", "-", *flags)
            assert result.returncode == 0, result.stderr
            assert json.loads(result.stdout)["id"] == found


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--index", "3"], "no row 3"),
        (["--id", "nobody"], "nobody"),
        (["--index", "1"], "in.jsonl:2: convo"),
        (["--index", "0", "--id", "zero"], "--index and --id"),
    ],
)
def test_a_row_that_cannot_be_had_is_exit_2(
    cli: Cli, tmp_path: Path, flags: list[str], words: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id="zero"), {"id": "bad"}, datapoint()])
    with ChatServer(by_role("4")) as server:
        result = cli("debug-rollout", "in.jsonl", *at(server), *flags)
        assert server.requests == []
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_bad_row_elsewhere_does_not_matter(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [{"id": "bad"}, datapoint(id="good")])
    with ChatServer(by_role("4")) as server:
        result = cli("debug-rollout", "in.jsonl", *at(server), "--index", "1", "--json", "-")
    assert read_jsonl(result.stdout)[0]["id"] == "good", result.stderr


def test_an_ungraded_rollout_is_shown_with_the_reason_and_exits_3(cli: Cli) -> None:
    with ChatServer(by_role("4", "no verdict from me")) as server:
        result = cli("debug-rollout", *at(server))
    assert result.returncode == 3
    assert "no verdict from me" in result.stdout
    assert "ungraded" in result.stdout


@pytest.mark.parametrize("flags", [[], ["--json", "-"]])
def test_a_policy_that_fails_ends_it_with_3_and_the_reason(cli: Cli, flags: list[str]) -> None:
    with ChatServer(lambda r: error(400, "cannot do that")) as server:
        result = cli("debug-rollout", *at(server), *flags)
    assert result.returncode == 3
    assert "cannot do that" in result.stderr + result.stdout
    assert "Traceback" not in result.stderr


def test_a_model_cannot_inject_into_the_display(cli: Cli) -> None:
    nasty = "[red]x[/red] [/b] \x1b]0;title\x07\x1b[2J\u202eabc"
    with ChatServer(by_role(nasty, f"{nasty}\n<score>1</score>")) as server:
        result = cli("debug-rollout", *at(server), "--full")
    assert result.returncode == 0, result.stderr
    assert "[red]x[/red]" in result.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)


def test_the_transcript_goes_into_a_file_that_appears_whole(cli: Cli, tmp_path: Path) -> None:
    with ChatServer(by_role("134", "<score>1</score>")) as server:
        result = cli("debug-rollout", *at(server), "-o", "out.txt", "--summary", "s.json")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    assert "What is 122 + 12?" in (tmp_path / "out.txt").read_text()
    assert json.loads((tmp_path / "s.json").read_text())["calls"] == 3
