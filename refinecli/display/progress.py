"""Put the progress of a run into words: what is done, how fast, what is in flight, what it cost."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from time import monotonic
from typing import NamedTuple

from refinecli.display.throughput import Pace, duration_words, rate_words
from refinecli.models.traffic import Traffic, compact
from refinecli.runs.summary import Summary


class Part(NamedTuple):
    """A few words of the display; where it is narrow, the highest rank is left out first."""

    text: str
    rank: int
    style: str = ""


class Progress:
    """The progress of a run in words, read from counters that others keep."""

    def __init__(
        self,
        command: str,
        total: int | None,
        summary: Summary,
        traffic: Traffic,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.command = command
        self.total = total
        self._summary = summary
        self._traffic = traffic
        self._clock = clock
        self._began = clock()
        self._pace = Pace(traffic, clock)

    @property
    def finished(self) -> int:
        """The number of finished datapoints, in any order."""
        return self._summary.finished

    def update(self) -> None:
        """Look at the counters, some times a second, before the parts are read."""
        self._pace.update(self.finished)

    def course(self) -> list[Part]:
        """Return how much is done, how fast, and how long it takes."""
        if self.total is None:
            parts = [Part(f"{self.finished:,} done", 0)]
        else:
            total = f"{self.total:,}"
            parts = [Part(f"{self.finished:>{len(total)},}/{total}", 0)]
        if self.total:
            parts.append(Part(f"{self.finished * 100 // self.total}%", 4))
        rate = self._pace.rate
        if rate is not None:
            parts.append(Part(rate_words(rate), 2))
        elif self._pace.replaying:
            parts.append(Part("replaying", 2))
        parts.append(Part(f"{duration_words(self._clock() - self._began)} so far", 3))
        if rate is not None and self.total is not None:
            left = max(0, self.total - self.finished) / rate
            parts.append(Part(f"{duration_words(ceil(left))} left", 1))
        return parts

    def state(self) -> list[Part]:
        """Return what is in flight, what went wrong, and what it took."""
        summary, traffic = self._summary, self._traffic
        parts = [Part(f"{traffic.in_flight:,} in flight", 3)]
        mean = summary.score.value
        parts += [Part(f"score {mean:.3f}", 1, "bold")] if mean is not None else []
        parts += [Part(f"{summary.failed:,} failed", 0, "red")] if summary.failed else []
        parts += [Part(f"{summary.ungraded:,} ungraded", 0, "yellow")] if summary.ungraded else []
        parts += [Part(f"{traffic.refused:,} refused", 2, "yellow")] if traffic.refused else []
        tokens = traffic.prompt_tokens, traffic.completion_tokens
        if any(tokens):
            parts.append(Part("{} tokens in, {} out".format(*map(compact, tokens)), 5))
        parts += [Part(traffic.bill, 4)] if traffic.bill else []
        parts += [Part(f"{traffic.replayed:,} replayed", 6)] if traffic.replayed else []
        return parts

    def line(self) -> str:
        """Join everything into one line."""
        parts = [part.text.strip() for part in (*self.course(), *self.state())]
        return f"{self.command}: {', '.join(parts)}"
