"""The one limiter of a run on a cluster: it grants budget and starts of requests in chunks, and
hears from each shard how far it is.

Pure asyncio: an actor of Ray's that lives where the driver does, or any object in a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf, isinf
from time import monotonic
from typing import NamedTuple, Protocol

from refinecli.models.budget import Amount
from refinecli.models.leases import Pace, Starts
from refinecli.models.pacing.learned_rate import Spacing
from refinecli.models.pacing.leased import LATE
from refinecli.models.traffic import Traffic

# A grant is this part of what is left, for each worker: the last grants are small, so that hardly
# anything is left with those who do not need it.
_SHARES = 4
# Seconds' worth of starts in a grant, and how far ahead they may lie: no worker waits long for the
# others, and a grant that takes a moment to arrive is still of use.
_CHUNK, _AHEAD = 0.1, 0.5


class Beat(NamedTuple):
    """A shard's word, every second: which try of it this is, where, how many rows are finished,
    its traffic, and what is worth knowing."""

    shard: int
    attempt: int
    host: str
    finished: int
    traffic: Traffic
    notices: tuple[str, ...] = ()


class State(NamedTuple):
    """All shards together. `host` names the machine of each shard."""

    finished: int
    traffic: Traffic
    notices: tuple[str, ...]
    host: dict[int, str]


@dataclass(slots=True)
class _Lane:
    """The starts of requests to one endpoint, for all who ask, one after the other."""

    requests: Spacing
    tokens: Spacing
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def grant(self, now: float, requests: int, tokens: float) -> Starts:
        """Take the next starts: those of a chunk at most."""
        each = max(1 / self.requests.rate, tokens / requests / self.tokens.rate)
        count = max(1, min(requests, int(_CHUNK / each))) if each else requests
        part = tokens * count / requests
        first = max(self.free_at, now)
        self.requests.take(now, count)
        self.tokens.take(now, part)
        return Starts(count, first - now, each, part)

    @property
    def free_at(self) -> float:
        return max(self.requests.free_at, self.tokens.free_at)


class Limiter:
    """Budget, pace and progress of all shards of one run."""

    def __init__(
        self, budget: Amount, workers: int, clock: Callable[[], float] = monotonic
    ) -> None:
        self._left = budget
        self._workers = workers
        self._clock = clock
        self._lanes: dict[Pace, _Lane] = {}
        self._beats: dict[tuple[int, int], Beat] = {}
        self._notices: dict[str, None] = {}
        self._stopped = False

    async def amount(self, wanted: Amount) -> Amount:
        """Grant what is wanted and some more, or nothing."""
        if wanted.beyond(self._left):
            return Amount()
        granted = Amount(
            _part(wanted.calls, self._left.calls, self._workers),
            _part(wanted.tokens, self._left.tokens, self._workers),
            _part(wanted.cost, self._left.cost, self._workers),
        )
        self._take(granted)
        return granted

    async def give_back(self, unused: Amount) -> None:
        """Take back what a shard was granted and has not spent; it may have spent more."""
        self._take(Amount() - unused)

    def _take(self, amount: Amount) -> None:
        left = self._left
        self._left = Amount(
            left.calls if isinf(left.calls) else left.calls - amount.calls,
            left.tokens if isinf(left.tokens) else left.tokens - amount.tokens,
            left.cost if isinf(left.cost) else left.cost - amount.cost,
        )

    async def starts(self, pace: Pace, requests: int, tokens: float, more: float) -> Starts:
        """Grant starts of requests to one endpoint, as soon as some lie near enough."""
        lane = self._lanes.get(pace)
        if lane is None:
            lane = self._lanes[pace] = _lane(pace, self._clock())
        lane.tokens.free_at += more / lane.tokens.rate
        async with lane.turn:  # first come, first served
            await asyncio.sleep(lane.free_at - _AHEAD - self._clock())
            return lane.grant(self._clock(), requests, tokens)

    async def beat(self, beat: Beat) -> bool:
        """Take in how far a shard is; return whether it is to continue: not after the end, nor
        where it has been started again elsewhere."""
        self._beats[beat.shard, beat.attempt] = beat
        self._notices.update(dict.fromkeys(beat.notices))
        latest = max(attempt for shard, attempt in self._beats if shard == beat.shard)
        return not self._stopped and beat.attempt == latest

    async def stop(self) -> None:
        """Let each shard end as soon as it beats again."""
        self._stopped = True

    async def state(self) -> State:
        """Return how far all shards are; what an attempt sent counts, also of one that died."""
        traffic = Traffic()
        latest: dict[int, Beat] = {}
        for (shard, _), beat in sorted(self._beats.items()):
            traffic.add(beat.traffic)
            traffic.refused += beat.traffic.refused
            traffic.retried += beat.traffic.retried
            latest[shard] = beat
        for beat in latest.values():
            traffic.in_flight += beat.traffic.in_flight
            traffic.replayed += beat.traffic.replayed
        return State(
            sum(beat.finished for beat in latest.values()),
            traffic,
            tuple(self._notices),
            {shard: beat.host for shard, beat in latest.items()},
        )


class RemoteLimiter(Protocol):
    """The limiter as a shard asks it, in whatever process it is."""

    async def amount(self, wanted: Amount) -> Amount: ...
    async def give_back(self, unused: Amount) -> None: ...
    async def starts(self, pace: Pace, requests: int, tokens: float, more: float) -> Starts: ...
    async def beat(self, beat: Beat) -> bool: ...


def _part(wanted: float, left: float, workers: int) -> float:
    part = left / (_SHARES * workers)
    whole = part if isinf(part) else part // 1  # calls are whole
    return min(left, max(wanted, whole))


def _lane(pace: Pace, now: float) -> _Lane:
    # A start may be used up to LATE seconds later, and still no 60 seconds see more than rpm.
    rate = max(pace.rpm - 1, pace.rpm / 2) / (60 + LATE) if pace.rpm else inf
    lane = _Lane(Spacing(rate), Spacing(pace.tpm / 60 if pace.tpm else inf))
    lane.tokens.free_at = lane.requests.free_at = now
    return lane
