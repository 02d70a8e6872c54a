"""When the next request to one endpoint, model and key may go: learned from what it refuses.

Nothing refused, nothing limited: in flight from 32 to `most` within a few round trips. A refusal
(429, 503, 529) is either noise, which slowing down does not help, or a limit, which it does:

- **A wall:** eight requests in a row refused, in the order they were sent. That is no noise. The
  rate becomes that of the successes in the last second or two. If not even that helps, nothing is
  let through at all: *probe*, one request now and then, until one succeeds.
- **A watch:** anything less. Count the next replies; if too many are refused, set the rate to 0.9
  of the successes a second, and make a *trial*: are fewer refused now? Then it was a limit. If not
  it is noise: the old rate comes back, and that share of refusals is expected from then on.
- **Clean rounds** raise the rate: doubled after a wall, whose rate is a rough one; else by 5%,
  10%, 20%, ... until the next refusals.

Replies to requests sent before a cut do not count against the rate after it. No state needs a
timer to get out of: one is set only while somebody waits for his turn.

    turn = await pacer.admit()
    ... one HTTP attempt ...
    turn.succeeded() or turn.refused(after) or turn.failed()
    await asyncio.sleep(backoff(tries, after)), and admit(again=True), where it was refused
"""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from dataclasses import dataclass
from math import inf

from refinecli.hints import NO_HINTS, Hints

_START = 32  # in flight: half of the usual 64; a burst of 20 then costs 12 refusals, not 44
_GROWTH = 4  # in flight, once as many as fit have succeeded: 1,024 after three round trips
_WALL = 8  # in a row: one in four refused at random does that once in 65,000
_SAMPLE = 20  # requests to judge by
_NEARLY = 0.9  # of them have replies: those that take long were let in
_ROUND = 1.0  # seconds: what providers count by, if not minutes
_BELOW = 0.9  # of the success rate: room for an emptied bucket to recover
_LESS = 3  # times less refused is plainly less, three times more plainly more
_FADE = 0.97  # a round: what was taken for noise is tested again now and then
_STEP, _MOST_STEP = 0.05, 0.2  # the first and the largest rise in rate
_KEPT = 16_384  # ends of requests, at a byte each: more than are ever in flight
_PENDING, _GOOD, _BAD, _UNKNOWN = range(4)
_BLINK = 1e-3  # seconds: replies that come at once are no infinite rate
_LATE = 0.05  # seconds that a late timer may make up for in one burst
_PROBE = 1.0  # seconds between probes
_LONGEST_STOP = 60.0  # seconds that all wait: the longest window that providers count in
_FIRST_WAIT, _LONGEST_WAIT = 0.01, 4.0  # seconds; short, since the pacer makes them wait too


def backoff(tries: int, after: float | None = None) -> float:
    """Seconds that a request itself waits after its refusal number `tries`, counted from 0."""
    # Jitter is no sample: it must differ from process to process, or they return all at once.
    spread = random.random()
    if after is not None:
        return after * (1 + spread / 4)
    return min(_FIRST_WAIT * 2.0 ** min(tries, 30), _LONGEST_WAIT) * (0.5 + spread)


@dataclass(frozen=True, slots=True)
class _Trial:
    """A slower rate being tried: the share refused and the rate before it, and if once failed."""

    share: float
    rate: float
    again: bool = False


class _Spacing:
    """Starts at `rate` a second, evenly; what was missed in the last `slack` seconds is made up."""

    __slots__ = ("free_at", "rate", "slack")

    def __init__(self, rate: float = inf, slack: float = 0.0) -> None:
        self.rate = rate
        self.slack = slack
        self.free_at = -inf

    def take(self, now: float, amount: float = 1.0) -> None:
        self.free_at = max(self.free_at, now - self.slack) + amount / self.rate


class Turn:
    """One request that may be sent now; one call of succeeded, refused or failed ends it."""

    __slots__ = ("_pacer", "number", "sent_at", "tokens")

    def __init__(self, pacer: Pacer, number: int, tokens: int, sent_at: float) -> None:
        self._pacer = pacer
        self.sent_at = sent_at
        self.number = number
        self.tokens = tokens

    def succeeded(self, hints: Hints = NO_HINTS, tokens: int | None = None) -> None:
        """It was answered; `tokens` is what it really took."""
        self._pacer._ended(self, _GOOD, tokens)
        self._pacer._succeeded(self, hints)
        self._pacer._judge()
        self._pacer._pump()

    def refused(self, after: float | None = None, hints: Hints = NO_HINTS) -> None:
        """429, 503 or 529; `after` in seconds, if the provider gave it."""
        self._pacer._ended(self, _BAD, 0)
        self._pacer._refused(self, hints.after if after is None else after)
        self._pacer._judge()
        self._pacer._pump()

    def failed(self) -> None:
        """Anything else, also that it was never sent: it says nothing of the rate."""
        self._pacer._ended(self, _UNKNOWN, None)
        self._pacer._judge()
        self._pacer._pump()


class Pacer:
    """Shared by all that send to one endpoint and model with one key, in one event loop.

    `rpm` and `tpm` are requests and tokens a minute that are never exceeded; a second's worth of
    them may go at once. A request larger than the tokens left goes, and the next ones wait for it.
    """

    def __init__(self, most: int, *, rpm: float | None = None, tpm: float | None = None) -> None:
        self.most = most
        self.in_flight = 0
        self._window = min(most, _START)
        self._grown = 0  # successes since the window grew
        self._new: OrderedDict[asyncio.Future[Turn], int] = OrderedDict()
        self._again: OrderedDict[asyncio.Future[Turn], int] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self._learned = _Spacing(slack=_LATE)
        self._tokens = _Spacing(tpm / 60, slack=_ROUND) if tpm else None
        self._spacings = [self._learned]
        if rpm:
            # A burst of b and a refill of (rpm - b + 1) a minute: no 60 seconds see more than rpm.
            burst = max(1.0, rpm / 60)
            rate = (rpm - burst + 1) / 60
            self._spacings.append(_Spacing(rate, slack=(burst - 1) / rate))
        if self._tokens:
            self._spacings.append(self._tokens)
        # How each of the last requests ended, in the order they were sent, from number _first on.
        self._sent = self._first = 0
        self._ends = bytearray()
        self._cut_at = 0  # the number of the first request sent after the last cut
        # Successes in this second and the one before, whatever they belong to.
        self._second = self._second_before = 0.0
        self._count = self._count_before = 0
        # The count of replies that is going on.
        self._from = self._to = 0
        self._speed = inf
        self._since = 0.0
        self._rough = False
        self._watch = False  # since a refusal
        self._step = _STEP
        self._noise = 0.0  # the share of refusals that slowing down does not help
        self._trial: _Trial | None = None
        self._clean = 0.0  # the rate of the last round without refusals
        self._proved = True  # a request sent since the last cut has succeeded
        self._succeeded_at = -inf
        self._probing = False
        self._ceiling = 0.0  # up to this each success doubles the rate

    # ------------------------------------------------------------------ turns

    async def admit(self, tokens: int = 0, *, again: bool = False) -> Turn:
        """Wait until one more request may be sent, first come first served; `again` goes first."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        line = self._again if again else self._new
        if (
            self.in_flight < self._room()
            and not self._again
            and (again or not self._new)
            and self._free_at() <= now
        ):
            return self._start(now, tokens)
        waiter: asyncio.Future[Turn] = loop.create_future()
        line[waiter] = tokens
        self._pump()
        try:
            return await waiter
        except asyncio.CancelledError:
            line.pop(waiter, None)
            if waiter.done() and not waiter.cancelled():
                waiter.result().failed()
            raise

    def _start(self, now: float, tokens: int) -> Turn:
        self.in_flight += 1
        number = self._sent
        self._sent += 1
        self._ends.append(_PENDING)
        if len(self._ends) > 2 * _KEPT:
            del self._ends[:_KEPT]
            self._first += _KEPT
        if not number:
            self._second = self._second_before = now
        for spacing in self._spacings:
            spacing.take(now, tokens if spacing is self._tokens else 1)
        return Turn(self, number, tokens, now)

    def _ended(self, turn: Turn, how: int, tokens: int | None) -> None:
        self.in_flight -= 1
        if turn.number >= self._first:
            self._ends[turn.number - self._first] = how
        if self._tokens is not None and tokens is not None:
            self._tokens.free_at += (tokens - turn.tokens) / self._tokens.rate

    def _free_at(self) -> float:
        return max([spacing.free_at for spacing in self._spacings])

    def _pump(self) -> None:
        """Let go whoever may go, and set the timer for who may go next."""
        if not (self._again or self._new):
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self.in_flight < self._room() and (line := self._again or self._new):
            at = self._free_at()
            if at > now:
                if self._timer is None or self._timer.when() != at:
                    if self._timer is not None:
                        self._timer.cancel()
                    self._timer = loop.call_at(at, self._wake)
                return
            waiter, tokens = line.popitem(last=False)
            if not waiter.done():  # else cancelled, and about to notice
                waiter.set_result(self._start(now, tokens))

    def _wake(self) -> None:
        self._timer = None
        self._pump()

    # ------------------------------------------------------------------ learning

    def _succeeded(self, turn: Turn, hints: Hints) -> None:
        now = self._succeeded_at = asyncio.get_running_loop().time()
        if now - self._second >= _ROUND:
            self._second_before, self._count_before = self._second, self._count
            self._second, self._count = now, 0
        self._count += 1
        if self._window < self.most:
            self._grown += 1
            if self._grown >= self._window:
                self._window, self._grown = min(self.most, self._window * _GROWTH), 0
        if turn.number < self._cut_at:
            if self._rough and not self._proved:  # as good a measure as what came before the wall
                self._probing, self._ceiling = False, 0.0
                self._set(max(self._learned.rate, self._recent(now)), now)
            return
        self._proved, self._probing = True, False
        if self._learned.rate < self._ceiling:
            self._set(min(self._learned.rate * 2, self._ceiling), now)

    def _refused(self, turn: Turn, after: float | None) -> None:
        if turn.number < self._cut_at:
            return
        now = asyncio.get_running_loop().time()
        if not self._watch and self._trial is None:
            self._count_from(turn.number, turn.sent_at)
            self._watch = True
        if self._probing or self._run(turn.number) >= _WALL / (1 - self._noise):
            self._hit_wall(now, after)

    def _run(self, number: int) -> int:
        """How many in a row were refused around this one, in the order they were sent."""
        ends = self._ends
        first = last = number - self._first
        oldest = max(self._cut_at - self._first, 0)
        while first > oldest and ends[first - 1] == _BAD:
            first -= 1
        while last + 1 < len(ends) and ends[last + 1] == _BAD:
            last += 1
        return last - first + 1

    def _hit_wall(self, now: float, after: float | None) -> None:
        rate = self._learned.rate
        self._trial, self._noise, self._step, self._rough = None, 0.0, _STEP, True
        if self._proved and (recent := self._recent(now)):
            self._cut(recent, now)
        elif now - self._succeeded_at < _ROUND and not (after and after > _ROUND):
            self._cut(max(rate / 2, 1 / _PROBE), now, self._ceiling)
        else:
            self._cut(1 / _PROBE, now, max(rate, self._ceiling))
            self._probing = True
            pause = _PROBE * (0.5 + random.random())
            if after is not None:
                pause = max(pause, min(after, _LONGEST_STOP) * (1 + random.random() / 8))
            self._learned.free_at = now + pause

    def _judge(self) -> None:
        """Draw a conclusion from the sample, once it is whole."""
        if not (self._watch or self._learned.rate < inf):
            return
        now = asyncio.get_running_loop().time()
        a = max(0, self._from - self._first)
        b = (self._to or self._sent) - self._first
        good, bad = self._ends.count(_GOOD, a, b), self._ends.count(_BAD, a, b)
        silent, replies = self._ends.count(_PENDING, a, b), good + bad
        most_noise = 2 + 2 * self._noise * _SAMPLE
        if not self._to:
            passed = max(now - self._since, _BLINK)
            if self._trial is not None:
                enough = b - a >= min(_SAMPLE, 4 / self._trial.share)
            elif self._watch and good and bad > most_noise + 3 and replies >= silent:
                enough, silent = True, 0
            elif self._watch or self._rough:
                enough = b - a >= _SAMPLE
            else:
                enough = b - a >= _SAMPLE / 4 and passed >= _ROUND
            if not enough:
                return
            self._to, self._speed = self._sent, (b - a) / passed
        if silent > (1 - _NEARLY) * (b - a):
            return
        excess = bad > most_noise * max(1, replies / _SAMPLE)
        if not replies:
            self._count_from(self._sent, now)
        elif bad == replies:
            self._hit_wall(now, None)
        elif self._trial is not None:
            self._end_trial(self._trial, bad / replies, now)
        elif excess:
            share = (bad - 1) / (b - a - 1)  # the first one is why we count
            self._trial = _Trial(share, self._learned.rate)
            self._step, self._rough = _STEP, False
            rate = _BELOW * min(self._learned.rate, self._speed) * (1 - share)
            self._cut(max(rate, _BELOW * self._clean), now)
            self._clean = 0.0
        else:
            if not bad:
                self._clean = min(self._learned.rate, self._speed)
            if self._speed > self._learned.rate / 2 and not (bad and self._rough):
                self._set(self._learned.rate * (2 if self._rough else 1 + self._step), now)
                self._step = min(self._step * 2, _MOST_STEP)
            self._rough = self._rough and not bad
            self._noise *= _FADE
            self._count_from(self._sent, now)

    def _end_trial(self, trial: _Trial, share: float, now: float) -> None:
        if share < trial.share / _LESS:  # a limit
            self._noise = share
        elif share < trial.share * _LESS and trial.again:  # noise
            self._noise = (share + trial.share) / 2
            self._rough = True
            self._set(trial.rate * 2, now)
        else:
            self._cut(_BELOW * self._learned.rate * (1 - share), now)
            again = share < trial.share * _LESS
            self._trial = _Trial(trial.share if again else share, trial.rate, again)
            return
        self._trial = None
        self._count_from(self._sent, now)

    def _cut(self, rate: float, now: float, ceiling: float = 0.0) -> None:
        self._cut_at, self._proved, self._probing = self._sent, False, False
        self._ceiling = ceiling
        self._learned.rate = rate
        self._learned.free_at = now + 1 / rate  # and nothing is made up for
        self._count_from(self._sent, now)

    def _set(self, rate: float, now: float) -> None:
        spacing = self._learned
        spacing.rate = rate
        spacing.free_at = min(spacing.free_at, now + 1 / rate)

    def _count_from(self, number: int, when: float) -> None:
        self._from, self._to, self._since, self._watch = number, 0, when, False

    def _recent(self, now: float) -> float:
        """Successes a second, over the last second or two."""
        return (self._count + self._count_before) / max(_ROUND, now - self._second_before)

    def _room(self) -> int:
        """While it is not clear yet what refusals mean, half as many are in flight."""
        if not self._watch or self._learned.rate < inf or self._noise:
            return self._window
        return max(1, self._window // 2)
