"""Measure how fast a run is and how long it will take, by the work that models really did."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from refinecli.models.traffic import Traffic

# The window slides: long enough to be calm, short enough to follow a provider that slows down.
_WINDOW = 30.0  # seconds
# It is longer where little finishes: over fewer datapoints a rate is mostly chance. Datapoints that
# start together finish together, so it covers a few such generations.
_LEAST, _GENERATIONS = 10, 2
# Points are this far apart; before the first, nothing is known.
_STEP = 1.0


class _Point(NamedTuple):
    time: float
    finished: int
    answered: int
    replayed: int


class Pace:
    """Datapoints a second over a sliding window, without those that a cache answered.

    A resumed run replays thousands of datapoints in its first seconds, which says nothing about
    those to come. While calls are only replayed, the window starts again; where replayed and new
    calls mix, finished datapoints count by the share of calls that models answered.
    """

    def __init__(self, traffic: Traffic, clock: Callable[[], float]) -> None:
        self._traffic = traffic
        self._clock = clock
        self._points = deque([_Point(clock(), 0, 0, 0)])
        self._last = self._points[0]
        self.rate: float | None = None
        self.replaying = False

    def update(self, finished: int) -> None:
        """Look at the clock and the counters; some times a second."""
        traffic = self._traffic
        now = _Point(self._clock(), finished, traffic.answered, traffic.replayed)
        idle = not traffic.in_flight and now.answered == self._last.answered
        if idle and now.replayed > self._last.replayed:
            self.replaying = True
            self.rate = None
            self._points.clear()
            self._points.append(now)
        elif now.time - self._points[-1].time >= _STEP:
            self._step(now)
        self._last = now

    def _step(self, now: _Point) -> None:
        points = self._points
        least = max(_LEAST, _GENERATIONS * self._traffic.in_flight)
        while (
            len(points) > 1
            and now.time - points[1].time >= _WINDOW
            and _worked(points[1], now) >= least
        ):
            points.popleft()
        worked = _worked(points[0], now)
        self.rate = worked / (now.time - points[0].time) if worked else None
        self.replaying = self.replaying and self.rate is None
        # Where nothing finishes there is nothing to keep, so a long wait costs no memory.
        if now.finished > points[-1].finished:
            points.append(now)


def _worked(start: _Point, end: _Point) -> float:
    finished = end.finished - start.finished
    replayed = end.replayed - start.replayed
    if not replayed:
        return finished
    answered = max(0, end.answered - start.answered)  # it falls where many are sent again
    return finished * answered / (answered + replayed)


def rate_words(rate: float) -> str:
    """Write a rate such as 1,204/s, 12.3/s, 5.0/min or 2.0/h."""
    number, unit = rate, "s"
    if number < 1:
        number, unit = rate * 60, "min"
    if number < 1:
        number, unit = rate * 3600, "h"
    return f"{number:,.0f}/{unit}" if number >= 99.95 else f"{number:.1f}/{unit}"


def duration_words(seconds: float) -> str:
    """Write a duration such as 0:07, 12:34, 5:06:07 or 3d 4h."""
    whole = int(seconds)
    minutes, hours, days = whole // 60 % 60, whole // 3600 % 24, whole // 86400
    if days:
        return f"{days:,}d {hours}h"
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{whole % 60:02}"
