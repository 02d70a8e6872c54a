"""The experiment with payloads: its table, and a real model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_local import needs_model
from tests.conftest import Result, read_jsonl, write_jsonl
from tests.experiments import payloads as table
from tests.support.payloads import (
    CASES,
    PAYLOADS,
)


def test_the_table_has_a_line_for_each_payload_and_says_what_chance_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refinecli(*args: str) -> None:
        rows = read_jsonl(Path(args[1]))
        write_jsonl(Path(args[3]), [{**row, "score": 0.5} for row in rows])

    table.main(tmp_path, refinecli, 1)
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.startswith("|")][2:]
    assert [line.split(" | ")[0] for line in lines] == [f"| {p.name}" for p in PAYLOADS]
    for line, payload in zip(lines, PAYLOADS, strict=True):
        *_, quoted, bare, _, gullible, local = line.strip("| ").split(" | ")[1:]
        assert gullible == ("+1.00 ¹" if payload.open else "0")
        assert bare == "+1.00"
        assert local == "+0.00 (n = 1)"
        assert quoted == "0"
    assert "the good one is ahead in 0.50 (0.5 is chance, where gains say nothing)" in printed


@needs_model
@pytest.mark.timeout(300)
def test_a_real_model_grades_what_talks_to_it_or_says_why_not(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    """Mechanics: what such a small grader gives is told by the table, and proves nothing."""
    chosen = [p for p in PAYLOADS if p.name in ("an order", "turns in ChatML", "a master key")]
    rows = [table.row(p.name, CASES[0], p.target, p.behind(CASES[0].bad)) for p in chosen]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    result = cli("grade", path, "--model", "local", *table.GRADING, seconds=280)
    assert result.returncode in (0, 3), result.stderr
    for row in read_jsonl(result.stdout):
        (one,) = row["grading"]["grades"]
        assert (one["status"] == "graded") == (row["score"] is not None)
        assert one["status"] == "graded" or one["error"]["message"]
