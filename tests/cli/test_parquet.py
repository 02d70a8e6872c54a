"""Parquet files in place of JSON Lines, at both ends of a command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_adaptive import WORDS, written
from tests.conftest import Result, at, check_item, datapoint, read_jsonl, write_jsonl
from tests.support.fault_server import FaultServer

pytest.importorskip("pyarrow")
Cli = Callable[..., Result]


def test_parquet_in_and_out_gives_the_rows_of_json_lines(cli: Cli, tmp_path: Path) -> None:
    rows = [
        datapoint(
            id=f"row {n}",
            convo=[{"role": "user", "content": f"Say something about {n}."}],
            rubric_items=[check_item(word) for word in WORDS],
            mine={"deep": [n]},
        )
        for n in range(20)
    ]
    write_jsonl(tmp_path / "in.jsonl", rows)
    run = ["--seed", "3", "--set", "refine.learn=false", "--max-iterations", "2"]
    with FaultServer(written) as server:
        result = cli("refine", "in.jsonl", "-o", "out.jsonl", *run, *at(server))
        assert result.returncode == 0, result.stderr
    made = cli("grade", "out.jsonl", "-o", "graded.parquet")
    assert made.returncode == 0, made.stderr
    back = cli("grade", "graded.parquet", "-o", "back.jsonl", "--threshold", "0.5")
    assert back.returncode == 0, back.stderr
    first, last = read_jsonl(tmp_path / "out.jsonl"), read_jsonl(tmp_path / "back.jsonl")
    for row in last:
        row.pop("grading")
    for row in first:
        row.pop("grading", None)
    assert [row["refinement"] for row in last] == [row["refinement"] for row in first]
    assert [row["mine"] for row in last] == [row["mine"] for row in rows]
    shown = cli("report", "graded.parquet")
    assert shown.returncode == 0, shown.stderr


def test_a_killed_run_leaves_lines_and_bad_rows_are_named(cli: Cli, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"prompt": ["a", None], "response": ["x", "y"]})
    pq.write_table(table, tmp_path / "in.parquet")
    (tmp_path / "r.toml").write_text('[[rubric_items]]\ncheck = { kind = "words", max = 3 }\n')
    bad = cli("grade", "in.parquet", "--rubric", "r.toml", "-o", "out.parquet")
    assert bad.returncode == 2
    assert "in.parquet:2: convo: field required" in bad.stderr
    kept = cli("grade", "in.parquet", "--rubric", "r.toml", "-o", "out.parquet", "--keep-going")
    assert kept.returncode == 3
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 2
    assert {path.name for path in tmp_path.iterdir()} >= {"in.parquet", "out.parquet", "r.toml"}
