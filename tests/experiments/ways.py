"""Run the same file in each of the ways that there are, whole and after a kill, and compare.

    python -m tests.experiments.ways                 # prints a table
    python -m tests.experiments.ways -n 400 --latency 0.1 --only plain --only ray

Latency is simulated: the server holds each reply back, and a batch is not done before its third
look. A kill is SIGKILL to every process of a way once half of the calls have come, and then the
same commands run again. Wall times include start-up, which is what Ray is measured for.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.support.batch_server import BatchServer
from tests.support.chat_server import Request

Command = Sequence[str]
PARTS = 4
LOOKS_EVERY = 1.0  # seconds, at a batch
HEAD = (
    "| way | wall, s | calls | bytes | killed halfway, then again: s | calls twice | bytes |\n"
    "|---|---|---|---|---|---|---|"
)


def script(request: Request) -> str:
    """Some answers pass at once, the others after a rewrite."""
    if request.is_grading:
        return f"<score>{int('!' in request.last or len(request.text) % 2)}</score>"
    return "Here it is!" if len(request.body["messages"]) > 1 else f"On {request.last[-4:]}"


@dataclass(frozen=True)
class Way:
    """Commands that run side by side, and one that follows; in each `OUT` is the output's name."""

    name: str
    at_once: Sequence[Command]
    then: Command | None = None


def ways(run: Command) -> Iterator[Way]:
    """Yield the ways to run a command that has no output yet."""
    yield Way("plain", [[*run, "-o", "OUT"]])
    parts = [f"OUT.{part}" for part in range(1, PARTS + 1)]
    yield Way(
        f"--shard × {PARTS}, merge",
        [[*run, "--shard", f"{n}/{PARTS}", "-o", part] for n, part in enumerate(parts, start=1)],
        ["merge", *parts, "-o", "OUT"],
    )
    if find_spec("ray"):
        here = [*run, "--engine", "ray", "--shards", str(PARTS), "-o", "OUT"]
        here += ["--set", "ray.workers=2"]
        yield Way("--engine ray, 2 workers", [here])
    batch = [*run, "-o", "OUT", "--batch", "--set", f"run.batch_seconds={LOOKS_EVERY}"]
    yield Way("--batch, in waves", [batch])


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.ways")
    parser.add_argument("-n", type=int, default=200, help="datapoints")
    parser.add_argument("--latency", type=float, default=0.05, metavar="SECONDS")
    parser.add_argument("--only", action="append", default=[], metavar="WORD", help="in its name")
    options = parser.parse_args()
    print(HEAD)
    with tempfile.TemporaryDirectory() as name, BatchServer(script, looks=3) as server:
        server.latency = options.latency
        folder = Path(name)
        (folder / "in.jsonl").write_text("".join(map(_row, range(options.n))))
        run = ["refine", "in.jsonl", "--strategy", "refine", "--max-iterations", "1", "-q"]
        run += ["--base-url", server.url, "--model", "m"]
        expected: bytes | None = None
        for number, way in enumerate(ways(run)):
            if options.only and not any(word in way.name for word in ("plain", *options.only)):
                continue
            whole, calls = _measured(way, folder, f"whole-{number}.jsonl", server)
            made = (folder / f"whole-{number}.jsonl").read_bytes()
            expected = expected or made
            out = f"killed-{number}.jsonl"
            again, sent = _measured(way, folder, out, server, kill_at=calls // 2)
            same = (folder / out).read_bytes() == expected
            line = f"{whole:.1f} | {calls} | {_equal(made == expected)} | {again:.1f}"
            print(f"| {way.name} | {line} | {sent - calls} | {_equal(same)} |", flush=True)


def _measured(
    way: Way, folder: Path, out: str, server: BatchServer, kill_at: int | None = None
) -> tuple[float, int]:
    """Run a way, after a kill if it is to be; return the seconds of the last run, and all calls."""
    server.paid.clear()
    server.live.clear()
    if kill_at is not None:
        _start(way, folder, out, lambda: len(server.live) + len(server.paid) >= kill_at)
    started = time.monotonic()
    _start(way, folder, out, lambda: False)
    if way.then:
        _wait([_popen(way.then, folder, out)])
    return time.monotonic() - started, len(server.live) + len(server.paid)


def _start(way: Way, folder: Path, out: str, is_time: Callable[[], bool]) -> None:
    """Run a way's commands until they end, or it is time to kill them. A part that was done before
    a kill stays as it is."""
    names = [command[command.index("-o") + 1].replace("OUT", out) for command in way.at_once]
    running = [
        _popen(command, folder, out)
        for command, name in zip(way.at_once, names, strict=True)
        if not (folder / name).exists()
    ]
    while any(process.poll() is None for process in running):
        if is_time():
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
            for process in running:
                process.wait()
            return
        time.sleep(0.01)
    _wait(running)


def _popen(command: Command, folder: Path, out: str) -> subprocess.Popen[bytes]:
    args = [word.replace("OUT", out) for word in command]
    env = {**os.environ, "OPENAI_API_KEY": "none"}
    return subprocess.Popen(
        [sys.executable, "-m", "refinecli", *args], cwd=folder, env=env, start_new_session=True
    )


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        if process.wait():
            sys.exit(f"{process.args}: exit {process.returncode}")


def _row(n: int) -> str:
    item = {"rubric_str": "Is it lively?"}
    row = {
        "id": f"row-{n}",
        "convo": [{"role": "user", "content": f"Write about number {n:04}"}],
        "rubric_items": [item],
    }
    return json.dumps(row) + "\n"


def _equal(same: bool) -> str:
    return "equal" if same else "OTHER"


if __name__ == "__main__":
    main()
