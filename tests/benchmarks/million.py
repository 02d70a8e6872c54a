"""Measure files of many rows: speed, and memory, which must not grow with the file.

    python -m tests.benchmarks.million                         # 50,000 rows and 1,000,000; an hour
    python -m tests.benchmarks.million --rows 2000 --rows 20000 --folder build

Each step is a command as a user starts it. Grading is by code alone; refining asks `server.py` on
loopback for a draft and a grade of each row, is killed halfway and run again. A line of the table
appears as soon as it is measured. Where other work shares the machine, rows a CPU second are what
holds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.jobs import CALLS, REFINECLI, Command, Lab, refine, to_first_request
from tests.benchmarks.measure import ENVIRONMENT, NotMeasuredError, Run, Server, run

NOBODY = "http://127.0.0.1:9/v1"  # nothing is sent there
PARTS = 4
HEAD = "| step | rows | rows a second | rows a CPU second | peak, MB | |\n|---|---|---|---|---|---|"


@dataclass(frozen=True)
class Step:
    """A line of the table."""

    name: str
    rows: int
    run: Run
    note: str = ""

    def __str__(self) -> str:
        rates = f"{self.rows / self.run.wall:,.0f} | {self.rows / self.run.cpu:,.0f}"
        return f"| {self.name} | {self.rows:,} | {rates} | {self.run.peak_mb:,.0f} | {self.note} |"


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks.million")
    parser.add_argument("--rows", type=int, action="append", metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the files go for a while")
    parser.add_argument("--only", action="append", choices=[*STEPS])
    options = parser.parse_args()
    print(HEAD)
    for rows in options.rows or (50_000, 1_000_000):
        with tempfile.TemporaryDirectory(prefix="refinecli-million-", dir=options.folder) as folder:
            for name in options.only or STEPS:
                for step in STEPS[name](Lab(Path(folder)), rows):
                    print(step, flush=True)


def graded(lab: Lab, rows: int) -> Iterator[Step]:
    """Grade by code."""
    data = _answered(lab, rows)
    size = f"{data.stat().st_size / rows:,.0f} bytes a row"
    yield Step("grade --dry-run", rows, run(_grade(data, "--dry-run"), lab.folder), size)
    whole = lab.folder / f"graded-{rows}.jsonl"
    yield Step("grade, three checks", rows, run(_grade(data, "-o", whole), lab.folder))


def merged(lab: Lab, rows: int) -> Iterator[Step]:
    """Grade in parts, and put them together."""
    data, whole = _answered(lab, rows), lab.folder / f"graded-{rows}.jsonl"
    parts = [lab.folder / f"part-{part}.jsonl" for part in range(1, PARTS + 1)]
    for number, part in enumerate(parts, start=1):
        done = run(_grade(data, "--shard", f"{number}/{PARTS}", "-o", part), lab.folder)
        if number in (1, PARTS):
            yield Step(f"grade --shard {number}/{PARTS}", rows // PARTS, done)
    out = lab.folder / "merged.jsonl"
    done = run((*REFINECLI, "merge", *parts, "-o", out), lab.folder)
    note = f"{out.stat().st_size / done.wall / 1e6:,.0f} MB a second"
    if whole.exists():
        same = subprocess.run(["cmp", "-s", whole, out], check=False).returncode == 0
        note += "; the bytes of the whole" if same else "; OTHER BYTES than the whole"
    yield Step(f"merge of {PARTS}", rows, done, note)


def refined(lab: Lab, rows: int) -> Iterator[Step]:
    """Refine with one draft and one grade a row, kill it halfway, run it again; export the rest."""
    data, out, cache = lab.additions(rows), lab.folder / "refined.jsonl", lab.folder / "calls.cache"
    with Server() as server:
        command = refine(data, server.url, "-o", out, "--cache", cache)
        yield Step("refine --dry-run", rows, run((*command, "--dry-run"), lab.folder))
        server.reset()
        began = time.monotonic()
        _kill_at(command, lab, server, rows * CALLS // 2)
        half, before = time.monotonic() - began, int(server.stats()["answered"])
        server.reset()
        done = run(command, lab.folder)
        after = int(server.stats()["answered"])
        again = before + after - rows * CALLS
        resumed = to_first_request(server, done)
        note = f"{half:,.0f} s, then kill -9; first request {resumed:,.1f} s after the next launch"
        calls = f"{again} calls twice; rest at {after / (done.wall - resumed):,.0f} calls a second"
        size = f"cache {_size(cache) / rows / CALLS:,.0f} bytes a call"
        yield Step("refine, second half", rows, done, f"{note}; {calls}; {size}")
    yield from _exported(lab, out, rows)
    done = run((*command, "--force"), lab.folder)
    speed = f"{rows * CALLS / done.wall:,.0f} calls a second"
    yield Step("refine, all from the cache", rows, done, speed)


def _exported(lab: Lab, out: Path, rows: int) -> Iterator[Step]:
    to = lab.folder / "sft"
    done = run((*REFINECLI, "export", out, "--to", "sft", "-o", to), lab.folder)
    with (to / "train.jsonl").open("rb") as file:
        lines = sum(1 for _ in file)
    size = f"{out.stat().st_size / rows:,.0f} bytes a row read"
    yield Step("export --to sft", rows, done, f"{lines:,} lines; {size}")


STEPS = {"grade": graded, "merge": merged, "refine": refined}


def _grade(data: Path, *options: str | Path) -> Command:
    return (*REFINECLI, "grade", data, "--base-url", NOBODY, "--model", "none", *options)


def _answered(lab: Lab, rows: int) -> Path:
    """A file of answers that code grades, about as long as those of a chat."""
    path = lab.folder / f"answered-{rows}.jsonl"
    words = " ".join(f"word{n}" for n in range(60))
    with path.open("w") as file:
        for n in range(rows):
            row = {
                "id": f"sum-{n}",
                "convo": [{"role": "user", "content": f"What is {1000 + n} + {n}?"}],
                "response": f"{words}. The sum is {1000 + 2 * n}.",
                "rubric_items": [
                    {"rubric_str": "Right?", "check": {"kind": "number", "value": 1000 + 2 * n}},
                    {"rubric_str": "Short?", "check": {"kind": "words", "max": 60 + n % 20}},
                    {"rubric_str": "Sum?", "check": {"kind": "regex", "pattern": "sum is [0-9]+"}},
                ],
            }
            file.write(json.dumps(row) + "\n")
    return path


def _kill_at(command: Command, lab: Lab, server: Server, calls: int) -> None:
    """Run a command until so many calls were answered, and kill it."""
    with subprocess.Popen(
        [*command, "-q"], stdin=subprocess.DEVNULL, cwd=lab.folder, env=ENVIRONMENT
    ) as process:
        while server.stats()["answered"] < calls:
            if process.poll() is not None:
                raise NotMeasuredError(f"it ended with {process.returncode} before it was killed")
            time.sleep(0.05)
        process.kill()


def _size(cache: Path) -> int:
    """The bytes of a cache, its journal included."""
    return sum(path.stat().st_size for path in cache.parent.glob(f"{cache.name}*"))


if __name__ == "__main__":
    sys.exit(main())
