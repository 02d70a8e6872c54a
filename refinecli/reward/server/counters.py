"""Count what a server does, and write it as Prometheus reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from refinecli.models.traffic import Traffic
from refinecli.types import Grade

_BUCKETS = (0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 120.0, 300.0)  # seconds
# Rows may each have items of their own, and each name is a series that Prometheus keeps.
_MOST_ITEMS = 100


@dataclass
class Counters:
    """The figures of a server so far."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)  # by path and status
    in_flight: int = 0
    held: int = 0  # responses that wait to be asked about again
    responses: Counter[str] = field(default_factory=Counter)  # by status
    rewards: int = 0
    rewards_sum: float = 0.0
    items: Counter[str] = field(default_factory=Counter)  # graded, by name
    items_passed: Counter[str] = field(default_factory=Counter)
    seconds: list[int] = field(default_factory=lambda: [0] * (len(_BUCKETS) + 1))
    seconds_sum: float = 0.0

    def add(self, status: str, reward: float | None, grades: Sequence[Grade]) -> None:
        """Count a response that has been graded, or given up."""
        self.responses[status] += 1
        if reward is not None:
            self.rewards += 1
            self.rewards_sum += reward
        for grade in grades:
            known = grade.name in self.items or len(self.items) < _MOST_ITEMS
            if grade.passed is not None and known:
                self.items[grade.name] += 1
                self.items_passed[grade.name] += grade.passed

    def took(self, path: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        self.requests[path, status] += 1
        self.seconds[bisect_left(_BUCKETS, seconds)] += 1
        self.seconds_sum += seconds


def exposition(counters: Counters, traffic: Traffic, *, shared: int, failing: bool) -> str:
    """Return all figures in Prometheus' text format."""
    lines: list[str] = []
    for name, kind, about, samples in _families(counters, traffic, shared, failing):
        lines += [f"# HELP refinecli_{name} {about}", f"# TYPE refinecli_{name} {kind}"]
        lines += [f"refinecli_{name}{labels} {value}" for labels, value in samples]
    return "\n".join([*lines, *_histogram(counters), ""])


_Family = tuple[str, str, str, Sequence[tuple[str, float]]]


def _families(
    counters: Counters, traffic: Traffic, shared: int, failing: bool
) -> Iterator[_Family]:
    def one(name: str, kind: str, about: str, value: float) -> _Family:
        return name, kind, about, [("", value)]

    by_path = [
        (_labels(path=path, status=str(status)), n)
        for (path, status), n in sorted(counters.requests.items())
    ]
    yield "requests_total", "counter", "Requests that were answered.", by_path
    yield one("requests_in_flight", "gauge", "Requests being worked on.", counters.in_flight)
    yield one("held", "gauge", "Responses that wait to be asked about again.", counters.held)
    by_status = [(_labels(status=status), n) for status, n in sorted(counters.responses.items())]
    yield "responses_total", "counter", "Responses graded, or given up ungraded.", by_status
    yield one("shared_total", "counter", "Responses equal to one that was graded.", shared)
    yield one("reward_sum", "counter", "The sum of all rewards.", counters.rewards_sum)
    yield one("reward_count", "counter", "The number of rewards.", counters.rewards)
    yield from _items(counters)
    yield one("grader_failing", "gauge", "1 while no call to the grader can succeed.", int(failing))
    yield one("calls_total", "counter", "Calls sent to graders.", traffic.sent)
    yield one("calls_in_flight", "gauge", "Calls not answered yet.", traffic.in_flight)
    yield one("calls_replayed_total", "counter", "Calls answered by the cache.", traffic.replayed)
    yield one("calls_refused_total", "counter", "Calls that a provider refused.", traffic.refused)
    yield one("calls_retried_total", "counter", "Calls that were sent again.", traffic.retried)
    yield one("prompt_tokens_total", "counter", "Tokens sent to graders.", traffic.prompt_tokens)
    yield one(
        "completion_tokens_total", "counter", "Tokens graders wrote.", traffic.completion_tokens
    )
    if traffic.cost is not None:
        yield one("cost_total", "counter", "The cost of calls with a known price.", traffic.cost)


def _items(counters: Counters) -> Iterator[_Family]:
    for name, about, of in (
        ("item_graded_total", "Verdicts on an item.", counters.items),
        ("item_passed_total", "Verdicts on an item that it passed.", counters.items_passed),
    ):
        yield name, "counter", about, [(_labels(item=item), n) for item, n in sorted(of.items())]


def _histogram(counters: Counters) -> Iterator[str]:
    name, below = "refinecli_request_seconds", 0
    yield f"# HELP {name} How long requests took."
    yield f"# TYPE {name} histogram"
    ends: Mapping[str, int] = dict(
        zip([*map(str, _BUCKETS), "+Inf"], counters.seconds, strict=True)
    )
    for end, count in ends.items():
        below += count
        yield f'{name}_bucket{{le="{end}"}} {below}'
    yield f"{name}_sum {counters.seconds_sum:.6f}"
    yield f"{name}_count {below}"


def _labels(**labels: str) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
