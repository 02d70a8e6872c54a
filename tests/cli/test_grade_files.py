"""`grade` of several files: one after the other, each line known by its own file and number."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, at, datapoint, item, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Request

Cli = Callable[..., Result]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]


def verdict(request: Request) -> str:
    return f"<score>{int('right' in request.last)}</score>"


def rows(name: str, count: int, right: int, **fields: Any) -> list[dict[str, Any]]:
    """The first so many answers are right; the labels say that every other one is."""
    return [
        datapoint(
            id=f"{name}{n}",
            response=f"{name}{n} is {'right' if n < right else 'wrong'}",
            gold=n % 2 == 0,
            **fields,
        )
        for n in range(count)
    ]


def test_lines_come_out_in_the_order_of_the_files_and_the_limit_counts_over_all(
    cli: Cli, tmp_path: Path
) -> None:
    b = write_jsonl(tmp_path / "b.jsonl", rows("b", 3, 3))
    a = write_jsonl(tmp_path / "a.jsonl", rows("a", 3, 0))
    with ChatServer(verdict) as server:
        result = cli("grade", b, a, "--limit", "5", *at(server))
        assert len(server.requests) == 5
    assert result.returncode == 0, result.stderr
    found = read_jsonl(result.stdout)
    assert [row["id"] for row in found] == ["b0", "b1", "b2", "a0", "a1"]
    assert [row["score"] for row in found] == [1.0, 1.0, 1.0, 0.0, 0.0]


def test_equal_rows_of_two_files_draw_their_own_samples(cli: Cli, tmp_path: Path) -> None:
    files = [write_jsonl(tmp_path / name, rows("x", 1, 1)) for name in ("a.jsonl", "b.jsonl")]
    with ChatServer(lambda r: f"{r.number}\n<score>1</score>") as server:
        warm = ("--set", "grader.temperature=1")
        result = cli("grade", *files, *warm, *at(server))
    replies = [row["grading"]["grades"][0]["reply"] for row in read_jsonl(result.stdout)]
    assert len(set(replies)) == 2


def test_bad_lines_are_named_by_their_own_file(cli: Cli, tmp_path: Path) -> None:
    a = write_jsonl(tmp_path / "a.jsonl", rows("a", 2, 0))
    b = write_jsonl(tmp_path / "b.jsonl", [*rows("b", 1, 1), {"convo": []}])
    result = cli("grade", "a.jsonl", "b.jsonl", *NOBODY)
    assert result.returncode == 2
    assert "error: b.jsonl:2: " in result.stderr
    assert "1 of 4 lines" in result.stderr
    with ChatServer(verdict) as server:
        kept = cli("grade", a, b, "--keep-going", "--max-errors", "1", *at(server))
    assert kept.returncode == 0, kept.stderr
    error = read_jsonl(kept.stdout)[3]["error"]
    assert (error["file"], error["line"]) == (str(b), 2)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a.jsonl", "./a.jsonl"], "error: a.jsonl: is named twice"),
        (["a.jsonl", "-"], "- is standard input, which is read alone"),
        (["a.jsonl", "none.jsonl"], "none.jsonl: No such file"),
        (["a.jsonl", "b.jsonl", "-o", "b.jsonl", "--force"], "input and output are the same file"),
        (["a.jsonl", "b.jsonl", "--summary", "b.jsonl"], "--summary b.jsonl: is the input"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    cli: Cli, tmp_path: Path, files: list[str], words: str
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, rows(name[0], 1, 1))
    result = cli("grade", *files, *NOBODY)
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.stderr


def test_a_run_over_several_files_is_continued_and_is_not_one_over_others(
    cli: Cli, tmp_path: Path
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, rows(name[0], 3, 3))
    with ChatServer(verdict) as server:
        args = (*at(server), "-o", "out.jsonl", "--concurrency", "1")
        assert cli("grade", "a.jsonl", "b.jsonl", *args, "--max-calls", "4").returncode == 4
        other = cli("grade", "b.jsonl", "a.jsonl", *args)
        assert other.returncode == 2
        assert 'input was ["a.jsonl","b.jsonl"], is ["b.jsonl","a.jsonl"]' in other.stderr
        assert cli("grade", "a.jsonl", "b.jsonl", *args).returncode == 0
        assert len(server.requests) == 6
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [
        *("a0", "a1", "a2"),
        *("b0", "b1", "b2"),
    ]


def test_the_agreement_is_told_of_all_and_of_each_file(cli: Cli, tmp_path: Path) -> None:
    """The labels have half of the answers right: the grader is right half of the time in a, where
    it finds all right, and so it is in b, where it finds none."""
    write_jsonl(tmp_path / "b.jsonl", rows("b", 20, 0))
    write_jsonl(tmp_path / "a.jsonl", rows("a", 10, 10))
    args = ("--gold-field", "gold", "--summary", "s.json")
    gates = ("--require", "files.a.jsonl.accuracy<=0.5", "--require", "files.c.jsonl.accuracy>=0")
    with ChatServer(verdict) as server:
        result = cli("grade", "b.jsonl", "a.jsonl", *args, *gates, *at(server))
        one = cli("grade", "a.jsonl", *args[:2], "--summary", "one.json", *at(server))
    assert result.returncode == 1
    assert "files.c.jsonl.accuracy>=0' is missed" in result.stderr
    assert "files.a.jsonl.accuracy<=0.5' is missed" not in result.stderr
    found = json.loads((tmp_path / "s.json").read_text())["agreement"]
    assert found["n"] == 30
    assert [(part["name"], part["n"]) for part in found["files"]] == [
        ("b.jsonl", 20),
        ("a.jsonl", 10),
    ]
    assert [part["accuracy"]["value"] for part in found["files"]] == [0.5, 0.5]
    assert {"balanced_accuracy", "kappa", "quadratic_kappa", "mae"} <= found["files"][0].keys()
    assert one.returncode == 0, one.stderr
    assert json.loads((tmp_path / "one.json").read_text())["agreement"]["files"] == []


def test_a_label_that_is_none_is_named_by_its_own_file(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", rows("a", 2, 0))
    write_jsonl(tmp_path / "b.jsonl", [datapoint(response="4", gold="perhaps")])
    result = cli("grade", "a.jsonl", "b.jsonl", "--gold-field", "gold", *NOBODY)
    assert result.returncode == 2
    assert "error: b.jsonl:1: gold: 'perhaps' is not a label" in result.stderr


def test_ci_is_pointed_at_the_line_in_its_own_file(cli: Cli, tmp_path: Path) -> None:
    items = [item(check={"kind": "contains_all", "words": ["right"]})]
    write_jsonl(tmp_path / "a.jsonl", rows("a", 1, 1, rubric_items=items))
    write_jsonl(tmp_path / "b.jsonl", rows("b", 1, 0, rubric_items=items))
    env = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")}
    result = cli("grade", "a.jsonl", "b.jsonl", "--junit", "junit.xml", env=env)
    assert result.returncode == 0, result.stderr
    assert "::warning file=b.jsonl,line=1," in result.stderr
    junit = (tmp_path / "junit.xml").read_text()
    assert 'file="a.jsonl" line="1"' in junit
    assert 'file="b.jsonl" line="1"' in junit
    assert "b\\.jsonl\\:1" in (tmp_path / "page.md").read_text()


def test_files_that_come_through_pipes_are_read_one_after_the_other(
    cli: Cli, tmp_path: Path
) -> None:
    items = [item(check={"kind": "contains_all", "words": ["right"]})]
    for name in "ab":
        write_jsonl(tmp_path / f"{name}.jsonl", rows(name, 2, 2, rubric_items=items))
    command = f"{sys.executable} -m refinecli grade <(cat a.jsonl) <(cat b.jsonl) -q"
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert [row["id"] for row in read_jsonl(result.stdout)] == ["a0", "a1", "b0", "b1"]
