"""The benchmarks: each gives figures, of the command as a user starts it, from launch to exit.

`ideal` is what the server's latency alone takes: calls × latency ÷ requests in flight.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.benchmarks.measure import Figure, NotMeasuredError, Run, Server, cores, run

Command = Sequence[str | Path]
REFINECLI = (sys.executable, "-m", "refinecli")
CALLS = 2  # a datapoint: one answer, one grade


@dataclass
class Lab:
    """A folder to work in; `runs`, if given, replaces each benchmark's own number of runs."""

    folder: Path
    runs: int | None = None
    _folders: Iterator[int] = field(default_factory=count)

    def additions(self, datapoints: int) -> Path:
        """A file of addition problems, no two alike, with one item for a grader each."""
        path = self.folder / f"additions-{datapoints}.jsonl"
        if not path.exists():
            with path.open("w") as file:
                file.writelines(json.dumps(_addition(n)) + "\n" for n in range(datapoints))
        return path

    def empty_folder(self) -> Path:
        folder = self.folder / f"run-{next(self._folders)}"
        folder.mkdir()
        return folder

    def interleaved(
        self, times: int, commands: Mapping[str, Callable[[], Run]]
    ) -> dict[str, list[Run]]:
        """Measure A B C A B C …, so that what else the machine does meets all of them alike."""
        results: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(self.runs or times):
            for name, measured in commands.items():
                results[name].append(measured())
        return results


def _addition(n: int) -> dict[str, object]:
    criterion = f"Does the chatbot correctly get the answer {1000 + 2 * n}?"
    return {
        "id": f"addition-{n}",
        "convo": [
            {"role": "user", "content": "What is 4 + 5?"},
            {"role": "assistant", "content": "9"},
            {"role": "user", "content": f"What is {1000 + n} + {n}?"},
        ],
        "rubric_items": [{"rubric_str": criterion, "reveal": "verdict"}],
    }


def refine(data: Path, url: str, *options: str | Path) -> Command:
    """One answer and one grade for each datapoint."""
    wanted = ("refine", data, "--max-iterations", "0", "--base-url", url, "--model", "mock")
    return (*REFINECLI, *wanted, *options)


def served(
    lab: Lab, server: Server, command: Command, calls: int, cpu: int | None = None
) -> tuple[Run, float]:
    """Run a command that must make so many calls; also the seconds from launch to its first."""
    server.reset()
    result = run(command, lab.empty_folder(), cpu)
    stats = server.stats()
    if stats["answered"] != calls:
        raise NotMeasuredError(f"{stats['answered']} calls were answered, not {calls}")
    return result, stats["first_request_at"] - result.started_at


# ------------------------------------------------------------------ against latency


def job(lab: Lab, datapoints: int = 500, latency_ms: float = 50) -> Iterator[Figure]:
    """A short job, 64 in flight: start-up is a good part of it."""
    with Server(latency_ms=latency_ms) as server:
        command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
        calls = CALLS * datapoints
        measured = {"refinecli": lambda: served(lab, server, command, calls)[0]}
        runs = lab.interleaved(5, measured)["refinecli"]
    yield from job_figures("refinecli", runs, calls, latency_ms, most=(1.4, 0.6))


def job_figures(
    name: str,
    runs: Sequence[Run],
    calls: int,
    latency_ms: float,
    most: tuple[float | None, float | None] = (None, None),
) -> Iterator[Figure]:
    ideal = calls * latency_ms / 1000 / 64
    what = f"{name}, {calls} calls of {latency_ms:g} ms"
    yield Figure(f"{what}: wall ÷ ideal", [r.wall / ideal for r in runs], "×", at_most=most[0])
    each = [r.cpu / calls * 1000 for r in runs]
    yield Figure(f"{what}: CPU a call", each, "ms", at_most=most[1])


def latency(lab: Lab, trips: int = 20, latency_ms: float = 200) -> Iterator[Figure]:
    """Long enough that start-up hardly counts."""
    for in_flight, least in ((64, 0.95), (256, 0.9), (1024, 0.8)):
        calls = trips * in_flight
        ideal = trips * latency_ms / 1000
        flags = ("--concurrency", str(in_flight), "-o", "out.jsonl")
        with Server(latency_ms=latency_ms) as server:
            command = refine(lab.additions(calls // CALLS), server.url, *flags)
            runs = [served(lab, server, command, calls) for _ in range(lab.runs or 3)]
        what = f"{in_flight} in flight, {latency_ms:g} ms: ideal ÷ wall"
        yield Figure(what, [ideal / r.wall for r, _ in runs])
        net = [ideal / (r.wall - first) for r, first in runs]
        yield Figure(f"{what} from the first request on", net, at_least=least)
        yield Figure(
            f"{in_flight} in flight: CPU a call", [r.cpu / calls * 1000 for r, _ in runs], "ms"
        )


def saturated(lab: Lab, datapoints: int = 5000) -> Iterator[Figure]:
    """A server that answers at once; it has one core and the command another."""
    server_core, own_core = cores()
    with Server(cpu=server_core) as server:
        command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
        calls = CALLS * datapoints
        runs = [served(lab, server, command, calls, own_core)[0] for _ in range(lab.runs or 3)]
    yield Figure("0 ms, one core: calls a second", [calls / r.wall for r in runs], at_least=1500)
    yield Figure("0 ms, one core: CPU a call", [r.cpu / calls * 1000 for r in runs], "ms")


def limited(
    lab: Lab, datapoints: int = 150, rate: float = 20, burst: float = 20
) -> Iterator[Figure]:
    """A server that lets `rate` requests a second through, with and without Retry-After."""
    calls = CALLS * datapoints
    ideal = (calls - burst) / rate
    for retry_after, name in ((None, "no Retry-After"), (1, "Retry-After")):
        walls, refusals = [], []
        with Server(latency_ms=50, rate=rate, burst=burst, retry_after=retry_after) as server:
            command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
            for _ in range(lab.runs or 1):
                walls.append(served(lab, server, command, calls)[0].wall / ideal)
                refusals.append(server.stats()["refused"])
        what = f"{calls} calls at {rate:g}/s, {name}"
        yield Figure(f"{what}: wall ÷ ideal", walls, "×", at_most=1.15)
        yield Figure(f"{what}: refusals", refusals, at_most=40)


# ------------------------------------------------------------------ start-up, memory, data


def startup(lab: Lab) -> Iterator[Figure]:
    """`--help` beside a Typer app that does nothing, and how soon the first request leaves."""
    folder = lab.empty_folder()
    hello = Path(__file__).with_name("hello.py")
    pair = {
        "ours": lambda: run((*REFINECLI, "--help"), folder),
        "bare": lambda: run((sys.executable, hello, "--help"), folder),
    }
    runs = lab.interleaved(15, pair)
    ratios = [a.wall / b.wall for a, b in zip(runs["ours"], runs["bare"], strict=True)]
    yield Figure("--help ÷ a bare Typer app's: wall", ratios, "×", at_most=1.3)
    cpu = [a.cpu / b.cpu for a, b in zip(runs["ours"], runs["bare"], strict=True)]
    yield Figure("--help ÷ a bare Typer app's: CPU", cpu, "×")
    with Server() as server:
        command = refine(lab.additions(1), server.url, "-o", "out.jsonl")
        firsts = [served(lab, server, command, CALLS)[1] for _ in range(lab.runs or 15)]
    yield Figure("launch to first request", firsts, "s", at_most=0.25)


def memory(lab: Lab, few: int = 10_000, many: int = 100_000) -> Iterator[Figure]:
    """The peak, which must not grow with the input."""
    peaks: dict[int, list[float]] = {few: [], many: []}
    with Server() as server:
        for _ in range(lab.runs or 1):
            for datapoints in peaks:
                command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
                result, _ = served(lab, server, command, CALLS * datapoints)
                peaks[datapoints].append(result.peak_mb)
    growth = [b - a for a, b in zip(peaks[few], peaks[many], strict=True)]
    yield Figure(f"peak at {many:,} datapoints, 64 in flight", peaks[many], "MB", at_most=90)
    yield Figure(f"peak at {many:,} less that at {few:,}", growth, "MB", at_most=10)


def jsonl(lab: Lab, datapoints: int = 100_000) -> Iterator[Figure]:
    """`--dry-run`: read, validate, count; net of what a file of one line takes."""
    folder = lab.empty_folder()
    url = "http://127.0.0.1:9/v1"  # nothing is sent
    one = refine(lab.additions(1), url, "--dry-run")
    every = refine(lab.additions(datapoints), url, "--dry-run")
    each = {"one": lambda: run(one, folder), "all": lambda: run(every, folder)}
    runs = lab.interleaved(3, each)
    took = [b.cpu - a.cpu for a, b in zip(runs["one"], runs["all"], strict=True)]
    rates = [(datapoints - 1) / seconds for seconds in took]
    yield Figure("--dry-run: datapoints a CPU second", rates, at_least=150_000)


def replay(lab: Lab, few: int = 1000, many: int = 10_000) -> Iterator[Figure]:
    """The same command again over a cache that has every call; net of what one datapoint takes."""
    cache = lab.empty_folder() / "calls.cache"
    runs: dict[int, list[Run]] = {1: [], few: [], many: []}
    with Server() as server:
        command = refine(lab.additions(many), server.url, "-o", "out.jsonl", "--cache", cache)
        served(lab, server, command, CALLS * many)
        for _ in range(lab.runs or 3):
            for datapoints, measured in runs.items():
                limited_to = (*command, "--limit", str(datapoints))
                measured.append(served(lab, server, limited_to, 0)[0])
    took = [b.wall - a.wall for a, b in zip(runs[1], runs[many], strict=True)]
    rates = [CALLS * (many - 1) / seconds for seconds in took]
    yield Figure("replayed calls a second", rates, at_least=10_000)
    growth = [b.peak_mb - a.peak_mb for a, b in zip(runs[few], runs[many], strict=True)]
    yield Figure(f"replay: peak at {many:,} datapoints less that at {few:,}", growth, "MB")
