"""The public face next to the command: one cache for both, and an import that costs nothing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import refinecli as rc
from tests.conftest import CLEAN, Result, at, datapoint, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, by_role

Cli = Callable[..., Result]
ITEMS = [{"rubric_str": "Is the answer 4?"}, {"rubric_str": "Is it polite?", "weight": 0.5}]


def graded(url: str, path: Path, cache: Path, **options: int) -> list[rc.Grading]:
    async def main() -> list[rc.Grading]:
        connection = rc.connect("scripted", base_url=url, cache=cache, **options)
        async with connection as models:
            return [one async for one in rc.grade_all(rc.read_datapoints(path), models)]

    return asyncio.run(main())


def inputs(folder: Path) -> Path:
    rows = [datapoint(response=f"It is {n}.", rubric_items=ITEMS) for n in range(6)]
    return write_jsonl(folder / "in.jsonl", rows)


def test_what_the_command_graded_is_replayed_in_python_without_a_request(
    cli: Cli, tmp_path: Path
) -> None:
    path, cache = inputs(tmp_path), tmp_path / "replies.db"
    with ChatServer(by_role("")) as server:
        result = cli("grade", path, "-o", "out.jsonl", "--cache", cache, "--seed", "7", *at(server))
        assert result.returncode == 0, result.stderr
        sent = len(server.requests)
        assert sent == 12  # a seed makes each row's request its own
        gradings = graded(server.url, path, cache, seed=7)
        assert len(server.requests) == sent
    scores = [row["score"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert [one.score for one in gradings] == scores == [1.0] * 6


def test_what_python_graded_is_replayed_by_the_command_without_a_request(
    cli: Cli, tmp_path: Path
) -> None:
    path, cache = inputs(tmp_path), tmp_path / "replies.db"
    with ChatServer(by_role("")) as server:
        assert all(one.passed for one in graded(server.url, path, cache, seed=7))
        sent = len(server.requests)
        assert sent == 12
        result = cli("grade", path, "-o", "out.jsonl", "--cache", cache, "--seed", "7", *at(server))
        assert result.returncode == 0, result.stderr
        assert len(server.requests) == sent
    assert "0 calls, 12 replayed" in result.stderr
    assert cache.exists()


def test_a_datapoint_in_code_is_the_row_of_a_file_to_the_cache(cli: Cli, tmp_path: Path) -> None:
    path, cache = inputs(tmp_path), tmp_path / "replies.db"
    items = ["Is the answer 4?", rc.RubricItem("Is it polite?", weight=0.5)]
    point = rc.Datapoint("What is 2 + 2?", items)

    async def main(url: str) -> rc.Refinement:
        async with rc.connect("scripted", base_url=url, cache=cache, seed=7) as models:
            return await rc.refine(point, models)

    write_jsonl(path, [datapoint(rubric_items=ITEMS)])
    with ChatServer(by_role("It is 4.")) as server:
        ask = ("refine", path, "-o", "out.jsonl", "--cache", cache, "--seed", "7")
        result = cli(*ask, *at(server))
        assert result.returncode == 0, result.stderr
        sent = len(server.requests)
        refinement = asyncio.run(main(server.url))
        assert len(server.requests) == sent
    (row,) = read_jsonl(tmp_path / "out.jsonl")
    assert (row["id"], row["response"]) == (point.id, refinement.best.response)


@pytest.mark.parametrize("name", rc.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(rc, name).__name__ == name
    assert name in dir(rc)


def test_to_import_the_package_loads_no_other_module_and_says_nothing() -> None:
    code = (
        "import sys; before = set(sys.modules); import refinecli as rc\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=CLEAN, check=True
    )
    assert (result.stdout.split(), result.stderr) == (["refinecli"], "")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'gradeall'"):
        _ = rc.gradeall  # type: ignore[attr-defined]
