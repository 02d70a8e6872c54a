"""The rate that an endpoint allows, learned from what it refuses; pure: it is handed the time.

A refusal (429, 503, 529) is either noise, which slowing down does not help, or a limit, which it
does. All is judged by samples of requests in the order they were sent, so that it does not matter
how long each reply takes:

- **A wall:** eight requests in a row were refused. That is not noise. The rate becomes that of the
  successes in the last second or two, or half of what it was where that is what met the wall. If
  nothing has succeeded for a second, or the provider says that it will take longer, all stops:
  *probing*, one request now and then until one succeeds.
- **A watch** begins with any other refusal: if too many of the next twenty requests are refused,
  the rate becomes 0.9 of what got through (or of the last rate that nothing refused, if that is
  more), and that is a *trial*. If plainly fewer are refused now, it was a limit. If not, even at a
  second, slower trial, it is noise: the old rate comes back, and that share of refusals is expected
  from then on; it fades, so that it is tested again.
- **Rounds** of a second without too many refusals raise the rate by 5%, 10%, 20%, 20%, ...; where
  it is only rough, after a wall or after noise, each sample doubles it.

Replies to requests sent before a cut say nothing about the rate after it. Time or the next reply
leads out of every state.
"""

from __future__ import annotations

import random
from math import inf
from typing import NamedTuple

_WALL = 8  # in a row: one in four refused at random does that once in 65,000
_SAMPLE = 20  # requests to judge by
_NEARLY = 0.9  # of them have replies: those that take long were let in
_FEW = 2  # refusals in a sample that are not worth a cut
_PLAIN = 5  # refusals that need not wait for the whole sample
_ROUND = 1.0  # seconds: what providers count by, if not minutes
_BELOW = 0.9  # of what got through: an emptied bucket recovers
_LESS = 3  # times less refused is plainly less, three times more plainly more
_MOST_NOISE = 0.6  # of requests refused: more than that is not noise
_FADE = 0.97  # of the noise is left after a sample
_STEP, _MOST_STEP = 0.05, 0.2  # the first and the largest rise: a strict limit refuses half above
_BLINK = 1e-3  # seconds: requests sent at once are not an infinite rate
_LATE = 0.05  # seconds that a late timer may make up for in one burst
_PROBE = 1.0  # seconds between probes
_LONGEST_STOP = 60.0  # seconds: the longest window that is worth waiting for with everything
_KEPT = 16_384  # requests whose ends are kept, at a byte each: more than are ever in flight

_PENDING, _GOOD, _REFUSED, _FAILED = range(4)


class Spacing:
    """Evenly spaced starts, `rate` a second; those missed in the last `slack` seconds are made
    up."""

    __slots__ = ("free_at", "rate", "slack")

    def __init__(self, rate: float = inf, slack: float = 0.0) -> None:
        self.rate = rate
        self.slack = slack
        self.free_at = -inf

    def take(self, now: float, amount: float = 1.0) -> None:
        self.free_at = max(self.free_at, now - self.slack) + amount / self.rate


class _Trial(NamedTuple):
    """A slower rate on trial: the share refused and the rate before, and whether it is the
    second."""

    share: float
    rate: float
    second: bool = False


class LearnedRate:
    """The requests a second that one endpoint allows: unlimited until it refuses."""

    def __init__(self) -> None:
        self.spacing = Spacing(slack=_LATE)
        # How requests ended, in the order they were sent, from number _first on.
        self._sent = self._first = 0
        self._ends = bytearray()
        # Successes since the second that began at _second, and in the one before.
        self._second = self._second_before = 0.0
        self._count = self._count_before = 0
        self._succeeded_at = -inf
        # The sample: requests from number _from, sent from _since on, up to _to once it is whole.
        self._from = self._to = 0
        self._since = 0.0
        self._speed = inf  # at which it was sent
        self._watching = False
        self._trial: _Trial | None = None
        # What is known.
        self._noise = 0.0  # the share of refusals that slowing down does not help
        self._clean = 0.0  # the rate of the last round without refusals
        self._step = _STEP
        self._rough = False  # the rate may be far too low
        self._ceiling = 0.0  # up to this each success doubles the rate
        self._probing = False
        self._stopped_until = -inf  # as the provider asked
        self._heeded = False  # a hint, since the last refusal
        # The last cut: the number of the first request after it, and whether one succeeded since.
        self._cut_at = 0
        self._proved = True

    @property
    def unclear(self) -> bool:
        """True while something was refused at an unlimited rate and the reason is not clear yet."""
        return self._watching and self.spacing.rate == inf and not self._noise

    # ------------------------------------------------------------------ what happens

    def sent(self, now: float) -> int:
        """Count one more request, and return its number."""
        number = self._sent
        if not number:
            self._second = self._second_before = now
        self._sent += 1
        self._ends.append(_PENDING)
        if len(self._ends) > 2 * _KEPT:
            del self._ends[:_KEPT]
            self._first += _KEPT
        self.spacing.take(now)
        return number

    def idled(self, seconds: float) -> None:
        """Leave out a time in which there was nothing to send."""
        self._since += seconds
        self._second += seconds
        self._second_before += seconds

    def succeeded(self, number: int, now: float) -> None:
        self._end(number, _GOOD)
        self._succeeded_at = now
        if now - self._second >= _ROUND:
            self._second_before, self._count_before = self._second, self._count
            self._second, self._count = now, 0
        self._count += 1
        if number >= self._cut_at:
            self._proved, self._probing = True, False
            if self.spacing.rate < self._ceiling:
                self._set(min(self.spacing.rate * 2, self._ceiling), now)
            self._judge(now)
        elif self._rough and not self._proved and now >= self._stopped_until:
            # Sent before the wall: as good a measure of the rate as what came back before it.
            self._probing, self._ceiling = False, 0.0
            self._set(max(self.spacing.rate, self._recent(now)), now)

    def refused(self, number: int, sent_at: float, now: float, after: float | None) -> None:
        self._end(number, _REFUSED)
        if number < max(self._cut_at, self._first):
            return
        self._heeded = False
        if not self._watching and self._trial is None:
            self._sample_from(number, sent_at)
            self._watching = True
        if self._probing or self._run(number) >= _WALL / (1 - self._noise):
            self._hit_wall(now, after)
        else:
            self._judge(now)

    def failed(self, number: int, now: float) -> None:
        """Note an end that says nothing about the rate."""
        self._end(number, _FAILED)
        self._judge(now)

    def heed(self, rate: float, now: float) -> None:
        """Take the provider's hint at its rate, which means that it is about to refuse."""
        # Once: what its refusals say is surer than what its headers say.
        if not self._heeded and rate < self.spacing.rate:
            self._trial, self._step, self._rough = None, _STEP, False
            self._cut(max(rate, 1 / _PROBE), now)
        self._heeded = True

    def _end(self, number: int, how: int) -> None:
        if number >= self._first:
            self._ends[number - self._first] = how

    # ------------------------------------------------------------------ walls

    def _run(self, number: int) -> int:
        """Count how many in a row were refused around this one, in the order of sending."""
        ends = self._ends
        first = last = number - self._first
        oldest = max(self._cut_at - self._first, 0)
        while first > oldest and ends[first - 1] == _REFUSED:
            first -= 1
        while last + 1 < len(ends) and ends[last + 1] == _REFUSED:
            last += 1
        return last - first + 1

    def _hit_wall(self, now: float, after: float | None = None) -> None:
        rate = self.spacing.rate
        long = after is not None and after > _ROUND
        self._trial, self._noise, self._step, self._rough = None, 0.0, _STEP, True
        if self._proved and (recent := self._recent(now)):
            self._cut(min(rate, recent), now)
        elif now - self._succeeded_at < _ROUND and not long:
            self._cut(max(rate / 2, 1 / _PROBE), now, self._ceiling)
        else:
            self._cut(1 / _PROBE, now, max(rate, self._ceiling))
            self._probing = True
            # Jitter is not a sample: it must differ from process to process.
            stop = now + _PROBE * (0.5 + random.random())
            if after is not None:
                stop = max(stop, now + min(after, _LONGEST_STOP) * (1 + random.random() / 8))
            self.spacing.free_at = stop
            if long:
                self._stopped_until = stop

    def _recent(self, now: float) -> float:
        """Return the successes a second, over the last second or two."""
        return (self._count + self._count_before) / max(_ROUND, now - self._second_before)

    # ------------------------------------------------------------------ samples

    def _judge(self, now: float) -> None:
        """Draw a conclusion from the sample, once it says enough."""
        if not (self._watching or self.spacing.rate < inf):
            return  # undisturbed
        first = max(0, self._from - self._first)
        end = max(first, (self._to or self._sent) - self._first)
        good, bad = self._ends.count(_GOOD, first, end), self._ends.count(_REFUSED, first, end)
        silent = self._ends.count(_PENDING, first, end)
        few = _FEW if end - first >= _SAMPLE else _FEW / 2
        most = few + 2 * self._noise * max(_SAMPLE, good + bad)
        plain = self._watching and good and bad > max(_PLAIN, most + 3) and good + bad >= silent
        if not self._to and (plain or self._whole(end - first, now)):
            self._to = self._sent
            full = 2 if self.unclear else 1  # until then the pacer halves what is in flight
            self._speed = full * (end - first) / max(now - self._since, _BLINK)
        if not self._to or (silent > (1 - _NEARLY) * (end - first) and not plain):
            return
        if good + bad == 0:
            self._sample_from(self._sent, now)
        elif not good:
            self._hit_wall(now)
        elif self._trial is not None:
            self._end_trial(self._trial, bad / (good + bad), now)
        elif bad > most:
            # The first refusal caused the sample, so it says nothing about the share.
            self._slow_down((bad - 1) / (end - first - 1), now)
        else:
            self._end_round(bad, now)

    def _whole(self, size: int, now: float) -> bool:
        """Return whether enough was sent for a sample."""
        if self._trial is not None:  # enough for one refusal in four to be missed
            return size >= min(_SAMPLE, 4 / self._trial.share)
        if self._watching or self._rough:
            return size >= _SAMPLE or (size >= _SAMPLE / 2 and now - self._since >= 2 * _ROUND)
        return size >= _SAMPLE / 4 and now - self._since >= _ROUND

    def _slow_down(self, share: float, now: float) -> None:
        """Slow down to what got through, the first time not far below what was clean so far."""
        rate = self.spacing.rate
        self._trial = _Trial(share, rate)
        self._step, self._rough = _STEP, False
        through = min(rate, self._speed) * (1 - share)
        self._cut(_BELOW * min(rate, max(through, self._clean)), now)
        self._clean = 0.0

    def _end_trial(self, trial: _Trial, share: float, now: float) -> None:
        if share < trial.share / _LESS:  # a limit
            self._trial, self._noise = None, share
            self._sample_from(self._sent, now)
        elif share < trial.share * _LESS and trial.second:  # noise
            self._trial, self._noise = None, (share + trial.share) / 2
            self._rough = True
            self._set(trial.rate * 2, now)
            self._sample_from(self._sent, now)
        else:
            same = share < trial.share * _LESS
            second = same and share <= _MOST_NOISE
            self._trial = _Trial(trial.share if same else share, trial.rate, second)
            # Few requests may all have had bad luck: not by more than what noise can be.
            self._cut(self.spacing.rate * _BELOW * (1 - min(share, _MOST_NOISE)), now)

    def _end_round(self, bad: int, now: float) -> None:
        rate = self.spacing.rate
        if not bad:
            self._clean = min(rate, self._speed)
        if self._rough and bad > 1.5 * self._noise * (self._to - self._from):
            self._rough = False
        elif self._speed > rate / 2:  # else it is not what limits us
            self._set(rate * (2 if self._rough else 1 + self._step), now)
            self._step = min(self._step * 2, _MOST_STEP)
        self._noise *= _FADE
        self._sample_from(self._sent, now)

    def _cut(self, rate: float, now: float, ceiling: float = 0.0) -> None:
        self._cut_at, self._proved, self._probing = self._sent, False, False
        self._ceiling = ceiling
        self.spacing.rate = max(rate, 1 / _LONGEST_STOP)
        self.spacing.free_at = now + 1 / self.spacing.rate  # and nothing is made up for
        self._sample_from(self._sent, now)

    def _set(self, rate: float, now: float) -> None:
        self.spacing.rate = rate
        self.spacing.free_at = min(self.spacing.free_at, now + 1 / rate)

    def _sample_from(self, number: int, when: float) -> None:
        self._from, self._to, self._since, self._watching = number, 0, when, False
