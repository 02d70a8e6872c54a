"""`--shard I/N` and `merge`: the parts of a file, put together, are the file of one run over it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_adaptive import WORDS, written
from tests.conftest import CLEAN, Result, Start, at, check_item, datapoint, write_jsonl
from tests.support.fault_server import FaultServer
from tests.support.guide_pages import GUIDE, blocks

Cli = Callable[..., Result]
REFINE = ["refine", "in.jsonl", "--seed", "3", "--max-iterations", "3"]
REFINE += ["--set", "refine.learn=false"]


def rows(count: int) -> list[dict[str, Any]]:
    """Rows of which some share an id, and some a conversation."""
    return [
        datapoint(
            id=f"row {n % 7}" if n % 3 == 0 else f"own {n}",
            convo=[{"role": "user", "content": f"Say something about {n % 5}."}],
            rubric_items=[check_item(word) for word in WORDS],
        )
        for n in range(count)
    ]


def graded_rows(count: int) -> list[dict[str, Any]]:
    return [{**row, "response": f"red {n}"} for n, row in enumerate(rows(count))]


def run_parts(cli: Cli, run: list[str], count: int, *more: str) -> list[str]:
    names = [f"part{n}.jsonl" for n in range(1, count + 1)]
    for n, name in enumerate(names, start=1):
        result = cli(*run, "--shard", f"{n}/{count}", "-o", name, *more)
        assert result.returncode == 0, result.stderr
    return names


def test_the_parts_of_a_refined_file_are_byte_for_byte_the_whole_run(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(31))
    with FaultServer(written) as server:
        assert cli(*REFINE, "-o", "whole.jsonl", *at(server)).returncode == 0
        requests = len(server.seen)
        server.forget()
        names = run_parts(cli, REFINE, 4, *at(server))
        assert len(server.seen) == requests
    merged = cli("merge", *reversed(names), "-o", "merged.jsonl")
    assert merged.returncode == 0, merged.stderr
    assert merged.stderr == "merge: 31 lines of 4 parts in merged.jsonl\n"
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_bad_lines_limits_compression_and_empty_parts_make_no_difference(
    cli: Cli, tmp_path: Path
) -> None:
    lines = [json.dumps(row) for row in graded_rows(9)]
    # A row with an id that comes again cannot be used, and so does not count as the first of them.
    lines[1:1] = ["not JSON", "", '{"id": "own 1", "convo": "x", "rubric_items": []}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    run = ["grade", "in.jsonl", "--keep-going", "--max-errors", "2", "--limit", "8"]
    assert cli(*run, "-o", "whole.jsonl.gz").returncode == 0
    names = run_parts(cli, run, 11)
    merged = cli("merge", *names, "-o", "merged.jsonl.gz", "-q")
    assert (merged.returncode, merged.stderr) == (0, "")
    assert (tmp_path / "merged.jsonl.gz").read_bytes() == (tmp_path / "whole.jsonl.gz").read_bytes()
    assert cli("merge", *names).stdout.count("\n") == 8


def test_bad_lines_are_looked_for_in_the_part_alone(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", graded_rows(4))
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write("not JSON\n")
    assert cli("grade", "in.jsonl", "--shard", "1/2", "-o", "part1.jsonl").returncode == 0
    refused = cli("grade", "in.jsonl", "--shard", "2/2", "-o", "part2.jsonl")
    assert refused.returncode == 2
    assert "in.jsonl:5: not JSON" in refused.stderr


def test_a_killed_part_continues_and_then_belongs_to_the_whole(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    with FaultServer(written, latency=0.01) as server:
        assert cli(*REFINE, "-o", "whole.jsonl", *at(server)).returncode == 0
        requests = len(server.seen)
        server.forget()
        second = [*REFINE, "--shard", "2/2", "-o", "part2.jsonl", "--concurrency", "4"]
        process = start(*second, *at(server), stdin=subprocess.DEVNULL)
        server.wait_for_requests(20)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
        missing = cli("merge", "part2.jsonl", "-o", "merged.jsonl")
        assert missing.returncode == 2
        assert "part2.jsonl is not a finished part" in missing.stderr
        names = run_parts(cli, REFINE, 2, "--concurrency", "4", *at(server))
        assert len(server.seen) == requests
    assert cli("merge", *names, "-o", "merged.jsonl").returncode == 0
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    left = {path.name for path in tmp_path.iterdir()}
    parts = {name + more for name in names for more in ("", ".part.json")}
    assert left == {"in.jsonl", "whole.jsonl", "merged.jsonl", *parts}


@pytest.fixture
def three_parts(cli: Cli, tmp_path: Path) -> list[str]:
    write_jsonl(tmp_path / "in.jsonl", graded_rows(9))
    return run_parts(cli, ["grade", "in.jsonl"], 3)


def test_merge_names_missing_double_and_changed_parts(
    cli: Cli, tmp_path: Path, three_parts: list[str]
) -> None:
    one, two, three = three_parts
    for name in ("", ".part.json"):
        shutil.copy(tmp_path / f"{two}{name}", tmp_path / f"copy.jsonl{name}")
    with (tmp_path / three).open("a") as file:
        file.write("{}\n")
    (tmp_path / "bare.jsonl").write_text("{}\n")
    (tmp_path / "odd.jsonl").write_text("{}\n")
    (tmp_path / "odd.jsonl.part.json").write_text('{"shard": "7/3"}')
    for parts, said in (
        ([one], "not all parts are there: 2/3, 3/3 missing"),
        ([one, two, "copy.jsonl", three], "are both part 2/3"),
        ([one, two, three], f"{three}: has changed since it was written"),
        ([one, "bare.jsonl"], "bare.jsonl is not a finished part"),
        (["odd.jsonl"], "odd.jsonl.part.json: is not the record of a part"),
    ):
        refused = cli("merge", *parts, "-o", "merged.jsonl")
        assert refused.returncode == 2
        assert said in refused.stderr
        assert not (tmp_path / "merged.jsonl").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--threshold", "0.5"], "it was made with other settings"),
        (["--limit", "8"], "it was made with another --limit"),
        (["--shard", "2/4"], "it is of another division"),
        ([], "its input is another file or has changed"),
    ],
)
def test_merge_refuses_parts_of_other_inputs_and_settings(
    cli: Cli, tmp_path: Path, three_parts: list[str], change: list[str], said: str
) -> None:
    if not change:
        write_jsonl(tmp_path / "in.jsonl", graded_rows(10))
    other = cli("grade", "in.jsonl", "--shard", "2/3", "-o", "other.jsonl", *change)
    assert other.returncode == 0, other.stderr
    one, _, three = three_parts
    refused = cli("merge", one, "other.jsonl", three)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert "other.jsonl (2/" in refused.stderr


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["in.jsonl", "--shard", "0/3", "-o", "o.jsonl"], "--shard 0/3: is not a part of a whole"),
        (["in.jsonl", "--shard", "4/3", "-o", "o.jsonl"], "--shard 4/3: is not a part of a whole"),
        (["in.jsonl", "--shard", "half", "-o", "o.jsonl"], "is not a part of a whole"),
        (["in.jsonl", "--shard", "1/3"], "--shard 1/3 needs a file for its part"),
        (["in.jsonl", "--shard", "1/3", "-o", "/dev/null"], "needs a file for its part"),
        (["-", "--shard", "1/3", "-o", "o.jsonl"], "--shard 1/3 needs one regular file"),
        (["in.jsonl", "b.jsonl", "--shard", "1/3", "-o", "o.jsonl"], "needs one regular file"),
    ],
)
def test_a_part_needs_a_file_to_divide_and_a_file_to_fill(
    cli: Cli, tmp_path: Path, args: list[str], said: str
) -> None:
    for name in ("in.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, graded_rows(2))
    refused = cli("grade", *args)
    assert refused.returncode == 2
    assert said in refused.stderr


def test_another_part_does_not_take_the_place_of_a_finished_one(
    cli: Cli, tmp_path: Path, three_parts: list[str]
) -> None:
    refused = cli("grade", "in.jsonl", "--shard", "2/3", "-o", three_parts[0])
    assert refused.returncode == 2
    assert f"{three_parts[0]}: exists already" in refused.stderr


# ------------------------------------------------------------------ arrays, as the guide has them


def array_script(kind: str) -> str:
    page = GUIDE / "scale.md"
    if kind == "slurm":
        return next(block.text for block in blocks(page) if block.mark == "array")
    job = next(block.text for block in blocks(page) if block.language == "yaml")
    lines = job.partition(">-\n")[2].partition("volumeMounts")[0].splitlines()[:-1]
    return " ".join(line.strip() for line in lines)  # as YAML folds them


@pytest.mark.parametrize(
    ("kind", "variable", "first"),
    [("slurm", "SLURM_ARRAY_TASK_ID", 1), ("kubernetes", "JOB_COMPLETION_INDEX", 0)],
)
def test_the_guides_arrays_give_the_whole_file(
    cli: Cli, tmp_path: Path, kind: str, variable: str, first: int
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(9))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with FaultServer(written) as server:
        model = {"REFINECLI_POLICY__BASE_URL": server.url, "REFINECLI_POLICY__MODEL": "scripted"}
        settings = {**model, "REFINECLI_REFINE__LEARN": "false"}
        whole = cli("refine", "in.jsonl", "-o", "whole.jsonl", env=settings)
        assert whole.returncode == 0, whole.stderr
        for task in range(first, first + 4):
            environment = {**CLEAN, **settings, "PATH": path, variable: str(task)}
            script = ["bash", "-euc", array_script(kind)]
            subprocess.run(script, cwd=tmp_path, env=environment, check=True, timeout=60)
    parts = sorted(tmp_path.glob("part-?.jsonl"))
    assert cli("merge", *parts, "-o", "merged.jsonl").returncode == 0
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
