"""Decide when the next request to one endpoint, model and key may go.

Requests in flight grow from 32 to `most` within a few round trips, bit by bit until the first reply
comes; their rate is learned from what the endpoint refuses (`learned_rate.py`), within `rpm` and
`tpm`. An attempt:

    turn = await pacer.admit()
    status = ...
    turn.succeeded() or turn.refused(after) or turn.failed()

and where it was refused (`retries.backoff`):

    await asyncio.sleep(backoff(tries, after))
    turn = await pacer.admit(again=True)

Undisturbed there is no timer, no task and no lock: one is set only while somebody waits for a turn
that time alone will bring.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from itertools import chain, islice
from math import inf
from typing import TYPE_CHECKING

from refinecli.models.pacing.learned_rate import LearnedRate, Spacing
from refinecli.models.pacing.rate_headers import NO_HINTS, Hints

if TYPE_CHECKING:
    from refinecli.models.pacing.leased import Ask, LeasedStarts

_START = 32  # in flight: half of the usual 64; a burst of 20 then costs 12 refusals, not 44
# While nothing has come back for a while, which is not a refusal, more requests go bit by bit.
_SILENCE, _CREEP = 0.06, 0.002  # seconds before the first and between the others
_CREEP_SHARE = 64  # of `most` each time: all of it within 130 ms
_GROWTH = 4  # in flight, once as many as fit have succeeded: 1,024 after three round trips
_BURST = 1.0  # seconds of rpm and tpm that may go at once
_LONGEST_RESET = 120.0  # seconds: a hint at a limit by the day says nothing of the next seconds


class Turn:
    """One request that may be sent now; one call of succeeded, refused or failed ends it."""

    __slots__ = ("_pacer", "number", "sent_at", "tokens")

    def __init__(self, pacer: Pacer, number: int, sent_at: float, tokens: int) -> None:
        self._pacer = pacer
        self.number = number
        self.sent_at = sent_at
        self.tokens = tokens

    def succeeded(self, hints: Hints = NO_HINTS, tokens: int | None = None) -> None:
        """Note that it was answered; `tokens` is what it really took."""
        self._pacer._succeeded(self, hints, self.tokens if tokens is None else tokens)

    def refused(self, after: float | None = None, hints: Hints = NO_HINTS) -> None:
        """Note a 429, 503 or 529; `after`, or else the hints, say how long the provider asks to
        wait."""
        self._pacer._refused(self, hints.wait if after is None else after)

    def failed(self) -> None:
        """Note any other end, even before it was sent: it says nothing about the rate."""
        self._pacer._failed(self)


class _UntimedTurn(Turn):
    """The turn of a reply that came without a request now."""

    def __init__(self) -> None:
        pass

    def succeeded(self, hints: Hints = NO_HINTS, tokens: int | None = None) -> None:
        pass

    def refused(self, after: float | None = None, hints: Hints = NO_HINTS) -> None:
        pass

    def failed(self) -> None:
        pass


UNTIMED = _UntimedTurn()


class Pacer:
    """The pace shared by all that send to one endpoint and model with one key, in one event loop.

    No 60 seconds see more than `rpm` requests, a second's worth of which may go at once. Of `tpm`,
    tokens a minute, a second's worth may also go at once, and a request goes while any are left, so
    that large ones go at all: those after it wait for the excess. Where other processes share both,
    `lease` asks for each start instead.
    """

    def __init__(
        self,
        most: int,
        *,
        rpm: float | None = None,
        tpm: float | None = None,
        lease: Ask | None = None,
    ) -> None:
        self.most = most
        self.in_flight = 0
        self._window = min(most, _START)
        self._grown = 0  # successes since the window grew
        self._heard = False  # of any reply
        self._creep: asyncio.TimerHandle | None = None
        self._rate = LearnedRate()
        self._requests = requests_a_minute(rpm) if rpm and not lease else None
        self._tokens = Spacing(tpm / 60, slack=_BURST) if tpm and not lease else None
        self._leased = self._leasing(lease) if lease else None
        self._new: OrderedDict[asyncio.Future[Turn], int] = OrderedDict()
        self._again: OrderedDict[asyncio.Future[Turn], int] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._idle_since: float | None = None

    def _leasing(self, lease: Ask) -> LeasedStarts:
        from refinecli.models.pacing.leased import LeasedStarts  # for shards of other processes

        return LeasedStarts(lease, self._come)

    async def admit(self, tokens: int = 0, *, again: bool = False) -> Turn:
        """Wait until one more request may be sent, first come first served; `again` goes first."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        first = not self._again and (again or not self._new)
        if first and self._has_room() and self._free_at(now) <= now:
            return self._start(now, tokens)
        line = self._again if again else self._new
        waiter: asyncio.Future[Turn] = loop.create_future()
        line[waiter] = tokens
        self._pump(now)
        try:
            return await waiter
        except asyncio.CancelledError:
            line.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                waiter.result().failed()
            raise

    def _has_room(self) -> bool:
        # While the meaning of refusals is unclear, half as many: cheap if they mean nothing.
        room = max(1, self._window // 2) if self._rate.unclear else self._window
        return self.in_flight < room

    def _free_at(self, now: float) -> float:
        at = self._rate.spacing.free_at
        if self._leased is not None:
            at = max(at, self._leased.free_at(now))
        if self._requests is not None:
            at = max(at, self._requests.free_at)
        if self._tokens is not None:
            at = max(at, self._tokens.free_at)
        return at

    def _start(self, now: float, tokens: int) -> Turn:
        if self._idle_since is not None:
            self._rate.idled(now - self._idle_since)
            self._idle_since = None
        self.in_flight += 1
        if self._requests is not None:
            self._requests.take(now)
        if self._tokens is not None:
            self._tokens.take(now, tokens)
        if self._leased is not None:
            self._leased.take(tokens)
        return Turn(self, self._rate.sent(now), now, tokens)

    def _pump(self, now: float) -> None:
        """Let all go that may, and set the timer for the next."""
        while (line := self._again or self._new) and self._has_room():
            at = self._free_at(now)
            if self._leased is not None:
                self._want_starts(self._leased)
            if at > now:
                if at < inf and (self._timer is None or self._timer.when() != at):
                    self._set_timer(at)
                return
            waiter, tokens = line.popitem(last=False)
            if not waiter.done():  # else it was cancelled, and is about to notice
                waiter.set_result(self._start(now, tokens))
        if line and not self._heard and self._window < self.most and self._creep is None:
            self._creep = asyncio.get_running_loop().call_later(_SILENCE, self._open_a_bit)

    def _want_starts(self, leased: LeasedStarts) -> None:
        """Lease starts for those that wait and have room."""
        room = max(1, self._window - self.in_flight)
        waiting = list(islice(chain(self._again.values(), self._new.values()), room))
        leased.want(len(waiting), sum(waiting))

    def _open_a_bit(self) -> None:
        if self._heard or self._window >= self.most:
            return
        self._window = min(self.most, self._window + max(1, self.most // _CREEP_SHARE))
        loop = asyncio.get_running_loop()
        self._creep = loop.call_later(_CREEP, self._open_a_bit)
        self._pump(loop.time())

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at, self._wake)

    def _wake(self) -> None:
        self._timer = None
        self._pump(asyncio.get_running_loop().time())

    def _come(self) -> None:
        """Use the starts that have come; the timer stays."""
        self._pump(asyncio.get_running_loop().time())

    # ------------------------------------------------------------------ how turns end

    def _succeeded(self, turn: Turn, hints: Hints, tokens: int) -> None:
        now = self._ended(turn, tokens)
        if self._window < self.most:
            self._grown += 1
            if self._grown >= self._window:
                self._window, self._grown = min(self.most, self._window * _GROWTH), 0
        self._rate.succeeded(turn.number, now)
        if hints is not NO_HINTS:
            self._heed(hints, tokens, now)
        self._pump(now)

    def _refused(self, turn: Turn, after: float | None) -> None:
        now = self._ended(turn, 0)
        self._rate.refused(turn.number, turn.sent_at, now, after)
        self._pump(now)

    def _failed(self, turn: Turn) -> None:
        now = self._ended(turn, turn.tokens)
        self._rate.failed(turn.number, now)
        self._pump(now)

    def _ended(self, turn: Turn, tokens: int) -> float:
        now = asyncio.get_running_loop().time()
        self._heard = True
        self.in_flight -= 1
        if not self.in_flight and not self._again and not self._new:
            self._idle_since = now
        if self._tokens is not None:
            self._tokens.free_at += (tokens - turn.tokens) / self._tokens.rate
        if self._leased is not None:
            self._leased.correct(tokens - turn.tokens)
        return now

    def _heed(self, hints: Hints, tokens: int, now: float) -> None:
        """Slow down where what is in flight will take all that is left."""
        for left, cost in ((hints.requests, 1), (hints.tokens, tokens)):
            if left is None or left.limit is None or not 0 < left.reset <= _LONGEST_RESET:
                continue
            if cost and left.remaining < left.limit and left.remaining <= self.in_flight * cost:
                # A bucket refills at this rate; a window may allow less, and then refuses.
                self._rate.heed((left.limit - left.remaining) / left.reset / cost, now)


def requests_a_minute(rpm: float) -> Spacing:
    """Return the spacing of starts by which no 60 seconds see more than `rpm`."""
    # A burst of b and b - 1 fewer a minute after it: no 60 seconds see more than rpm.
    burst = max(1.0, rpm * _BURST / 60)
    rate = (rpm - burst + 1) / 60
    return Spacing(rate, slack=(burst - 1) / rate)
