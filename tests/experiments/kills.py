"""Kill a run at random moments, start it again until it ends, and compare what it wrote.

    python -m tests.experiments.kills -n 100 --seed 1

A third of the kills come at any request, a third soon after the last one, and a third as the file
appears, while the run tidies up. Prints how many runs were killed when, how many requests were paid
for twice, and what was wrong: other bytes than those of a run that nobody killed, an exit code that
is not 0, or a file that is left over.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.conftest import CLEAN, REFINECLI, at, write_jsonl
from tests.support.fault_server import FaultServer, questions

ROWS, IN_FLIGHT = 12, 4
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "1"]
RUN += ["--concurrency", str(IN_FLIGHT)]
NUMBERS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_MOST_STARTS = 3


class Moment(NamedTuple):
    """Some seconds after so many requests have come, and perhaps after the file has appeared."""

    requests: int
    seconds: float = 0.0
    with_file: bool = False

    def wait(self, server: FaultServer, process: subprocess.Popen[bytes], file: Path) -> None:
        server.wait_for_requests(self.requests)
        while self.with_file and not file.exists() and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(self.seconds)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.kills")
    parser.add_argument("-n", type=int, default=100, help="runs to kill")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    draw, counts = random.Random(options.seed), Counter[str]()
    with FaultServer(latency=0.01) as server:
        whole, requests = uninterrupted(server)
        for _ in range(options.n):
            kinds = (
                Moment(draw.randrange(requests)),
                Moment(requests, seconds=draw.uniform(0, 0.1)),
                Moment(requests, with_file=True, seconds=draw.uniform(0, 0.02)),
            )
            counts.update(one(server, whole, draw.choice(kinds), draw.choice(NUMBERS)))
    for name, count in sorted(counts.items()):
        print(f"{count:>6,}  {name}")
    sys.exit(1 if any(name.startswith("WRONG") for name in counts) else 0)


def begun(server: FaultServer, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*REFINECLI, *RUN, *at(server)],
        cwd=folder,
        env=CLEAN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def uninterrupted(server: FaultServer) -> tuple[bytes, int]:
    """Return what the run writes, and how many requests it takes."""
    with tempfile.TemporaryDirectory() as name:
        write_jsonl(Path(name) / "in.jsonl", questions(ROWS))
        assert begun(server, Path(name)).wait() == 0
        return (Path(name) / "out.jsonl").read_bytes(), len(server.arrivals)


def one(server: FaultServer, whole: bytes, moment: Moment, number: int) -> list[str]:
    """Kill one run, start it until it ends, and return what happened."""
    server.forget()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "out.jsonl"
        write_jsonl(folder / "in.jsonl", questions(ROWS))
        process = begun(server, folder)
        moment.wait(server, process, file)
        process.send_signal(number)
        _, said = process.communicate()
        there = "after" if file.exists() else "before"
        killed = process.returncode in (-number, 128 + number)
        happened = [f"killed {there} its file was there" if killed else "ended as it would have"]
        for _ in range(_MOST_STARTS):
            if process.returncode == 0:
                break
            process = begun(server, folder)
            _, said = process.communicate()
        if process.returncode:
            return [*happened, f"WRONG: exit {process.returncode}: {said.decode()[-300:]}"]
        if file.read_bytes() != whole:
            happened.append("WRONG: other bytes")
        left = {path.name for path in folder.iterdir()} - {"in.jsonl", "out.jsonl"}
        if left:
            happened.append(f"WRONG: left over: {sorted(left)}")
        if server.sent_again > IN_FLIGHT:
            happened.append(f"WRONG: {server.sent_again} requests paid for twice")
        return happened + ["requests paid for twice"] * server.sent_again


if __name__ == "__main__":
    main()
