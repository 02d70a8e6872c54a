"""Simulated servers with limits, and jobs paced against them: the event loop's clock jumps to the
next timer."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pytest

from refinecli.models.pacing.pacer import Pacer
from refinecli.models.retries import backoff
from tests.support.thoroughness import THOROUGH

T = TypeVar("T")
SEEDS = range(5 if THOROUGH else 2)


# ------------------------------------------------------------------ virtual time


class _Jump(selectors.SelectSelector):
    """Instead of waiting, it is later; waiting for nothing at all would last for ever."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "frozen: nothing is ready and no timer is set"
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run(main: Coroutine[Any, Any, T]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def clock() -> float:
    return asyncio.get_running_loop().time()


# ------------------------------------------------------------------ servers


class Server(Protocol):
    """Takes a request or refuses it; told when the reply has gone out."""

    after: float | None

    def takes(self, now: float) -> bool: ...

    def replied(self) -> None: ...


@dataclass
class Free:
    after: float | None = None

    def takes(self, now: float) -> bool:
        return True

    def replied(self) -> None:
        pass


@dataclass
class Bucket(Free):
    """`rates` are (from when on, requests a second); a second's worth of them is the burst."""

    rates: tuple[tuple[float, float], ...] = ((0, 20),)
    burst: float | None = None
    level: float = field(default=1e9, init=False)
    at: float = field(default=0.0, init=False)

    def takes(self, now: float) -> bool:
        rate = [rate for since, rate in self.rates if now >= since][-1]
        level = self.level + (now - self.at) * rate
        self.level, self.at = min(self.burst or rate, level), now
        if self.level < 1 - 1e-9:
            return False
        self.level -= 1
        return True


@dataclass
class Window(Free):
    """So many in each `seconds`; says how many of these are left."""

    most: int = 100
    seconds: float = 60.0
    started: float = field(default=-1e9, init=False)
    taken: int = field(default=0, init=False)

    def takes(self, now: float) -> bool:
        if now - self.started >= self.seconds:
            self.started, self.taken = now - now % self.seconds, 0
        self.after = self.started + self.seconds - now
        self.taken += 1
        return self.taken <= self.most


@dataclass
class InFlight(Free):
    most: int = 16
    taken: int = field(default=0, init=False)

    def takes(self, now: float) -> bool:
        if self.taken == self.most:
            return False
        self.taken += 1
        return True

    def replied(self) -> None:
        self.taken -= 1


@dataclass
class Noise(Free):
    share: float = 0.25
    rng: random.Random = field(default_factory=random.Random)

    def takes(self, now: float) -> bool:
        return self.rng.random() >= self.share


@dataclass
class Outage(Free):
    start: float = 0.0
    end: float = 30.0

    def takes(self, now: float) -> bool:
        return not self.start <= now < self.end


@dataclass
class FirstRefused(Free):
    count: int = 100

    def takes(self, now: float) -> bool:
        self.count -= 1
        return self.count < 0


# ------------------------------------------------------------------ a job


@dataclass
class Job:
    """Datapoints of dependent calls, all tried until they succeed."""

    server: Server
    most: int = 64
    latency: float = 0.05
    spread: float = 0.0  # of the latency, to both sides
    at_once: bool = False  # refusals come back without delay
    seed: int = 0
    rpm: float | None = None
    sent: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    refused: int = 0
    seconds: float = 0.0
    peak: int = 0

    def run(self, datapoints: int, calls: int = 1) -> Job:
        random.seed(self.seed)
        self._rng = random.Random(self.seed)
        self._pacer = Pacer(self.most, rpm=self.rpm)
        run(self._all(datapoints, calls))
        assert len(self.done) == datapoints * calls
        assert self._pacer.in_flight == 0
        assert self.peak <= self.most
        return self

    async def _all(self, datapoints: int, calls: int) -> None:
        async def datapoint() -> None:
            for _ in range(calls):
                await self._call()

        await asyncio.gather(*(datapoint() for _ in range(datapoints)))
        self.seconds = clock()

    async def _call(self) -> None:
        tries = 0
        while not await self._attempt(tries):
            tries += 1

    async def _attempt(self, tries: int) -> bool:
        turn = await self._pacer.admit(again=tries > 0)
        self.peak = max(self.peak, self._pacer.in_flight)
        self.sent.append(clock())
        took, after = self.server.takes(clock()), self.server.after
        quick = self.at_once and not took
        scale = 1 + self.spread * (2 * self._rng.random() - 1)
        await asyncio.sleep(0.001 if quick else self.latency * scale)
        if took:
            self.server.replied()
            turn.succeeded()
            self.done.append(clock())
            return True
        self.refused += 1
        turn.refused(after)
        await asyncio.sleep(backoff(tries, after))
        return False

    def steady_rate(self) -> float:
        """Successes a second in the second half, without the end."""
        start, end = 0.5 * self.seconds, 0.9 * self.seconds
        return sum(start <= at < end for at in self.done) / (end - start)


def unpaced(noise: float, seed: int, datapoints: int, calls: int, *, at_once: bool) -> float:
    """The time with retries, but nothing learned from refusals."""
    job = Job(Noise(None, noise, random.Random(seed)), at_once=at_once, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refinecli.models.pacing.learned_rate.LearnedRate.refused", lambda *_: None)
        return job.run(datapoints, calls).seconds


def slowdowns(noise: float, datapoints: int, calls: int, *, at_once: bool) -> list[float]:
    """How many times as long as without a rate learned a job takes that random refusals disturb."""
    found = []
    for seed in range(15):
        job = Job(Noise(None, noise, random.Random(seed)), at_once=at_once, seed=seed)
        seconds = job.run(datapoints, calls).seconds
        found.append(seconds / unpaced(noise, seed, datapoints, calls, at_once=at_once))
    return found
