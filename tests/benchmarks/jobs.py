"""The benchmarks: each gives figures, of the command as a user starts it, from launch to exit.

`ideal` is what the server's latency alone takes: calls × latency ÷ requests in flight.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tests.benchmarks.measure import Figure, NotMeasuredError, Run, Server, cores, run

T = TypeVar("T")

Command = Sequence[str | Path]
REFINECLI = (sys.executable, "-m", "refinecli")
CALLS = 2  # a datapoint: one answer, one grade


@dataclass(frozen=True)
class Lab:
    """A folder to work in; `runs`, if given, replaces each benchmark's own number of runs."""

    folder: Path
    runs: int | None = None

    def additions(self, datapoints: int) -> Path:
        """A file of addition problems, no two alike, with one item for a grader each."""
        path = self.folder / f"additions-{datapoints}.jsonl"
        if not path.exists():
            with path.open("w") as file:
                file.writelines(json.dumps(_addition(n)) + "\n" for n in range(datapoints))
        return path

    def interleaved(
        self, times: int, commands: Mapping[str, Callable[[], T]]
    ) -> dict[str, list[T]]:
        """Measure A B C A B C …, so that what else the machine does meets all of them alike."""
        results: dict[str, list[T]] = {name: [] for name in commands}
        for _ in range(self.runs or times):
            for name, measured in commands.items():
                results[name].append(measured())
        return results


def _addition(n: int) -> dict[str, object]:
    """As `generate-data addition` writes them."""
    wanted = "Please output your score between 0 and 1 wrapped in <score> ... </score>"
    item = {
        "rubric_str": f"Does the chatbot correctly get the answer {1000 + 2 * n}?",
        "extraction_regex": "<score>(.*?)</score>",
        "grader_output_format_instruction": wanted,
        "reveal": "verdict",
    }
    return {
        "id": f"addition-{n}",
        "convo": [
            {"role": "user", "content": "What is 4 + 5?"},
            {"role": "assistant", "content": "9"},
            {"role": "user", "content": f"What is {1000 + n} + {n}?"},
        ],
        "rubric_items": [item],
    }


def refine(data: Path, url: str, *options: str | Path) -> Command:
    """One answer and one grade for each datapoint."""
    wanted = ("refine", data, "--max-iterations", "0", "--base-url", url, "--model", "mock")
    return (*REFINECLI, *wanted, *options)


def served(lab: Lab, server: Server, command: Command, calls: int, cpu: int | None = None) -> Run:
    """Run a command, in an empty folder, that must make so many calls."""
    server.reset()
    with tempfile.TemporaryDirectory(dir=lab.folder) as folder:
        result = run(command, Path(folder), cpu)
    answered = server.stats()["answered"]
    if answered != calls:
        raise NotMeasuredError(f"{answered} calls were answered, not {calls}")
    return result


def to_first_request(server: Server, result: Run) -> float:
    """The seconds from the launch of the last run to its first request."""
    at: float = server.stats()["first_request_at"]
    return at - result.started_at


# ------------------------------------------------------------------ against latency


def job(lab: Lab, datapoints: int = 500, latency_ms: float = 50) -> Iterator[Figure]:
    """A short job, 64 in flight: start-up is a good part of it."""
    with Server(latency_ms=latency_ms) as server:
        command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
        calls = CALLS * datapoints
        runs = [served(lab, server, command, calls) for _ in range(lab.runs or 5)]
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
        runs, starts = [], []
        with Server(latency_ms=latency_ms) as server:
            command = refine(lab.additions(calls // CALLS), server.url, *flags)
            for _ in range(lab.runs or 3):
                runs.append(served(lab, server, command, calls))
                starts.append(to_first_request(server, runs[-1]))
        what = f"{in_flight} in flight, {latency_ms:g} ms: ideal ÷ wall"
        yield Figure(what, [ideal / r.wall for r in runs])
        net = [ideal / (r.wall - s) for r, s in zip(runs, starts, strict=True)]
        yield Figure(f"{what} from the first request on", net, at_least=least)
        yield Figure(
            f"{in_flight} in flight: CPU a call", [r.cpu / calls * 1000 for r in runs], "ms"
        )


def saturated(lab: Lab, datapoints: int = 5000) -> Iterator[Figure]:
    """A server that answers at once; it has one core and the command another."""
    server_core, own_core = cores()
    with Server(cpu=server_core) as server:
        command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
        calls = CALLS * datapoints
        runs = [served(lab, server, command, calls, own_core) for _ in range(lab.runs or 3)]
    yield Figure("0 ms, one core: calls a second", [calls / r.wall for r in runs], at_least=1500)
    yield Figure("0 ms, one core: CPU a call", [r.cpu / calls * 1000 for r in runs], "ms")


def limited(
    lab: Lab, datapoints: int = 150, rate: float = 20, burst: float = 20
) -> Iterator[Figure | NotMeasuredError]:
    """A server that lets `rate` requests a second through, with and without Retry-After."""
    calls = CALLS * datapoints
    ideal = (calls - burst) / rate
    for retry_after, name in ((None, "no Retry-After"), (1, "Retry-After")):
        what = f"{calls} calls at {rate:g}/s, {name}"
        walls, refusals = [], []
        try:
            with Server(latency_ms=50, rate=rate, burst=burst, retry_after=retry_after) as server:
                command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
                for _ in range(lab.runs or 1):
                    walls.append(served(lab, server, command, calls).wall / ideal)
                    refusals.append(server.stats()["refused"])
        except NotMeasuredError as reason:
            yield NotMeasuredError(f"{what}: {reason}")
            continue
        yield Figure(f"{what}: wall ÷ ideal", walls, "×", at_most=1.15)
        yield Figure(f"{what}: refusals", refusals, at_most=40)


# ------------------------------------------------------------------ start-up, memory, data


def startup(lab: Lab) -> Iterator[Figure]:
    """`--help` beside a Typer app that does nothing, and how soon the first request leaves."""
    hello = Path(__file__).with_name("hello.py")
    pair = {
        "ours": lambda: run((*REFINECLI, "--help"), lab.folder),
        "bare": lambda: run((sys.executable, hello, "--help"), lab.folder),
    }
    runs = lab.interleaved(15, pair)
    ratios = [a.wall / b.wall for a, b in zip(runs["ours"], runs["bare"], strict=True)]
    yield Figure("--help ÷ a bare Typer app's: wall", ratios, "×", at_most=1.3)
    cpu = [a.cpu / b.cpu for a, b in zip(runs["ours"], runs["bare"], strict=True)]
    yield Figure("--help ÷ a bare Typer app's: CPU", cpu, "×")
    with Server() as server:
        command = refine(lab.additions(1), server.url, "-o", "out.jsonl")
        starts, runs_of_one = [], []
        for _ in range(lab.runs or 15):
            runs_of_one.append(served(lab, server, command, CALLS))
            starts.append(to_first_request(server, runs_of_one[-1]))
    yield Figure("launch to first request", starts, "s", at_most=0.25)
    yield Figure("a job of one datapoint: CPU", [r.cpu for r in runs_of_one], "s")


def memory(lab: Lab, few: int = 10_000, many: int = 100_000) -> Iterator[Figure]:
    """The peak, which must not grow with the input."""
    peaks: dict[int, list[float]] = {few: [], many: []}
    with Server() as server:
        for _ in range(lab.runs or 1):
            for datapoints in peaks:
                command = refine(lab.additions(datapoints), server.url, "-o", "out.jsonl")
                result = served(lab, server, command, CALLS * datapoints)
                peaks[datapoints].append(result.peak_mb)
    growth = [b - a for a, b in zip(peaks[few], peaks[many], strict=True)]
    yield Figure(f"peak at {many:,} datapoints, 64 in flight", peaks[many], "MB", at_most=90)
    yield Figure(f"peak at {many:,} less that at {few:,}", growth, "MB", at_most=10)


def jsonl(lab: Lab, datapoints: int = 100_000) -> Iterator[Figure]:
    """`--dry-run`: read, validate, count; net of what a file of one line takes."""
    url = "http://127.0.0.1:9/v1"  # nothing is sent
    one = refine(lab.additions(1), url, "--dry-run")
    every = refine(lab.additions(datapoints), url, "--dry-run")
    each = {"one": lambda: run(one, lab.folder), "all": lambda: run(every, lab.folder)}
    runs = lab.interleaved(3, each)
    took = [b.cpu - a.cpu for a, b in zip(runs["one"], runs["all"], strict=True)]
    rates = [(datapoints - 1) / seconds for seconds in took]
    yield Figure("--dry-run: datapoints a CPU second", rates, at_least=150_000)


def replay(lab: Lab, few: int = 1000, many: int = 10_000) -> Iterator[Figure]:
    """The same command again over a cache that has every call; net of what one datapoint takes."""
    cache = lab.folder / "calls.cache"
    runs: dict[int, list[Run]] = {1: [], few: [], many: []}
    with Server() as server:
        command = refine(lab.additions(many), server.url, "-o", "out.jsonl", "--cache", cache)
        served(lab, server, command, CALLS * many)
        for _ in range(lab.runs or 3):
            for datapoints, measured in runs.items():
                limited_to = (*command, "--limit", str(datapoints))
                measured.append(served(lab, server, limited_to, 0))
    pairs = list(zip(runs[1], runs[many], strict=True))
    calls = CALLS * (many - 1)
    rates = [calls / (b.wall - a.wall) for a, b in pairs]
    yield Figure("replayed calls a second", rates, at_least=10_000)
    yield Figure("replayed calls a CPU second", [calls / (b.cpu - a.cpu) for a, b in pairs])
    growth = [b.peak_mb - a.peak_mb for a, b in zip(runs[few], runs[many], strict=True)]
    yield Figure(f"replay: peak at {many:,} datapoints less that at {few:,}", growth, "MB")
