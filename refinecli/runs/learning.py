"""Let rows learn from earlier rows, so that results depend on the input and the replies alone.

A row may use what the rows before a fixed place have shown, whatever else has finished: a row at
place i (from 0) the rows before the largest power of two that is at most i / 2. So it uses at least
a quarter of the rows before it, and waits only for rows that began long ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from refinecli.refining.estimates import Estimates, Lesson, Lessons

Rest = Callable[[], AbstractAsyncContextManager[None]]


def rows_used(place: int) -> int:
    """Return how many rows, from the first, a row at this place learns from."""
    return 1 << (place.bit_length() - 2) if place >= 2 else 0


class Learner:
    """What the rows of one run have shown, handed to later rows as the rule above allows.

    Lessons may come in any order, one for each place, and are added in order: sums of floats depend
    on it. Memory: the lessons ahead of an unfinished row, and an estimate for each power of two.
    `rest` is entered while a row waits, to give up its place to another.
    """

    def __init__(self, rest: Rest = nullcontext) -> None:
        self._rest = rest
        self._lessons = Lessons()
        self._added = 0
        self._ahead: dict[int, Lesson] = {}
        self._after: dict[int, asyncio.Future[Estimates]] = {}

    async def before(self, place: int) -> Estimates:
        """Return the estimates for a row at this place, as soon as the rows that they rest on are
        finished. Raises what ended the run, if one of those could not finish."""
        known = self._estimates(rows_used(place))
        if known.done():
            return known.result()
        async with self._rest():
            return await asyncio.shield(known)  # others wait for it too

    def teach(self, place: int, lesson: Lesson) -> None:
        """Take a finished row's lesson; that of a row that failed or stayed ungraded is empty."""
        self._ahead[place] = lesson
        while (in_turn := self._ahead.pop(self._added, None)) is not None:
            self._lessons.add(in_turn)
            self._added += 1
            if self._added & (self._added - 1) == 0:
                known = self._estimates(self._added)
                if not known.done():
                    known.set_result(self._lessons.estimates)

    def stop(self, error: BaseException) -> None:
        """Raise the error in every row that waits."""
        for known in self._after.values():
            if not known.done():
                known.set_exception(error)
                known.exception()  # retrieved: there may be nobody who waits

    def _estimates(self, rows: int) -> asyncio.Future[Estimates]:
        if rows not in self._after:
            self._after[rows] = asyncio.get_running_loop().create_future()
            if rows == 0:
                self._after[rows].set_result(Lessons().estimates)
        return self._after[rows]
