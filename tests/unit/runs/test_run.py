"""A whole input through one piece of work: what is counted, and what is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refinecli.cli.bad_lines import check_lines
from refinecli.cli.program import build
from refinecli.data.output_lines import Outcome, Provenance
from refinecli.data.rows import Row
from refinecli.data.sources import Source
from refinecli.errors import UsageError
from refinecli.models.budget import Limits
from refinecli.models.engine import Engine
from refinecli.runs.lifecycle import Started
from refinecli.runs.run import Input, Work, WorkOnRows
from refinecli.runs.summary import Summary
from refinecli.types import Datapoint
from tests.conftest import datapoint, write_jsonl
from tests.support.fakes import nobody, roles

ENGINE = Engine(
    roles(nobody(), nobody(), nobody()),
    Limits(4),
    Provenance({}, "digest"),
    {},
    lambda point: False,
)


def body(path: Path, work: Work, on_outcome: Callable[[Outcome], None]) -> WorkOnRows:
    return WorkOnRows(
        rows=Input(Source(str(path))),
        total=None,
        work=lambda engine: work,
        sink=None,
        on_outcome=on_outcome,
        on_note=lambda note: None,
    )


def test_what_is_finished_behind_a_slow_datapoint_is_counted_and_not_written(
    tmp_path: Path,
) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n) for n in range(4)])
    summary, written = Summary(), list[int]()
    first_written, last_finished = asyncio.Event(), asyncio.Event()

    async def work(row: Row) -> Outcome:
        if row.line == 2:
            await asyncio.Event().wait()
        if row.line == 4:
            await first_written.wait()
            last_finished.set()  # before anyone wakes up, it is counted
        return Outcome(row.raw, "done")

    def on_outcome(outcome: Outcome) -> None:
        written.append(outcome.line)
        first_written.set()

    async def interrupted() -> None:
        started = Started(ENGINE, summary, lambda point: None)
        run = asyncio.ensure_future(body(path, work, on_outcome)(started))
        await last_finished.wait()
        run.cancel()
        await asyncio.wait([run])

    asyncio.run(interrupted())
    assert (summary.finished, summary.datapoints, written) == (3, 1, [1])


def test_only_what_failed_or_stayed_ungraded_is_unsettled(tmp_path: Path) -> None:
    rows = [datapoint(id="a"), datapoint(id="b"), {"id": "unreadable"}, datapoint(id="c")]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    statuses = {"a": "done", "b": "ungraded", "c": "failed"}
    found: list[Datapoint] = []

    async def work(row: Row) -> Outcome:
        return Outcome(row.raw, statuses[row.raw["id"]])  # type: ignore[arg-type]

    summary = Summary()
    asyncio.run(body(path, work, lambda outcome: None)(Started(ENGINE, summary, found.append)))
    assert [point.id for point in found] == ["b", "c"]
    assert summary.errors == {"input": 1}


@pytest.mark.parametrize(("bad", "more"), [(20, ""), (23, "error: and 3 more lines\n")])
def test_of_many_bad_lines_twenty_are_listed_and_the_rest_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: int, more: str
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("no JSON\n" * bad)
    rows = Input(Source(str(path)))
    with pytest.raises(UsageError, match=f"{bad} of {bad} lines cannot be used"):
        check_lines(rows, keep_going=False)
    said = capsys.readouterr().err
    assert said.count("error: " + str(path)) == 20
    assert said.endswith("JSON object\n" + more)
    assert check_lines(rows, keep_going=True).bad == bad
    assert capsys.readouterr().err == ""


def test_a_dry_run_reads_its_input_once_and_checks_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(datapoint()) + "\n" + json.dumps(datapoint(respons="x")) + "\n")
    reads: list[str] = []
    read = Source.read

    def counted(source: Source) -> Iterator[tuple[int, bytes]]:
        reads.append(source.name)
        return read(source)

    monkeypatch.setattr(Source, "read", counted)
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    command = [
        "refine",
        str(path),
        "--model",
        "m",
        "--base-url",
        "http://127.0.0.1:9/v1",
        "--dry-run",
    ]

    def dry_run() -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            build(["refine"])(command)
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    code, said = dry_run()
    assert (code, len(reads)) == (0, 1), said
    assert said.startswith(f"{path}:2: ")  # the note comes first
    assert "dry run: 2 datapoints" in said
    path.write_text(path.read_text() + "no JSON\n")
    code, said = dry_run()
    assert (code, len(reads)) == (2, 2)
    assert said.startswith(f"error: {path}:3: ")
    assert "dry run" not in said
