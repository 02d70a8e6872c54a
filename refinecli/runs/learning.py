"""Let rows learn from earlier rows, so that results depend on the input and the replies alone.

A row may use what the rows before a fixed place have shown, whatever else has finished: a row at
place i (from 0) the rows before the largest power of two that is at most i / 2. So it uses at least
a quarter of the rows before it, and waits only for rows that began long ago.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from refinecli.data.sources import Source
from refinecli.errors import UsageError, option
from refinecli.refining.estimates import (
    Estimates,
    Lesson,
    Lessons,
    Tried,
    before_any_row,
    lesson_of,
)
from refinecli.text.json_text import loads
from refinecli.types import Iteration

Rest = Callable[[], AbstractAsyncContextManager[None]]


def rows_used(place: int) -> int:
    """Return how many rows, from the first, a row at this place learns from."""
    return 1 << (place.bit_length() - 2) if place >= 2 else 0


class Learner:
    """The lessons of the rows of one run, handed to later rows as the rule above allows.

    Rows come in their order, and finish in any. Lessons are added in the rows' order: sums of
    floats depend on it. Memory: the lessons ahead of an unfinished row, and an estimate for each
    power of two. `rest` is entered while a row waits, to give up its place to another. Where
    `fixed` estimates are given, every row goes by those.
    """

    def __init__(self, rest: Rest = nullcontext, fixed: Estimates | None = None) -> None:
        self._rest = rest
        self._fixed = fixed
        self._lessons = Lessons()
        self._rows = 0
        self._added = 0
        self._ahead: dict[int, Lesson] = {}
        self._after: dict[int, asyncio.Future[Estimates]] = {}
        self._ended: BaseException | None = None

    def row(self) -> LearningRow:
        """Take in the next row, for as long as its block lasts; its lesson is what was set then.
        An error that leaves the block ends the waiting of all rows, with that error."""
        row = LearningRow(self, self._rows)
        self._rows += 1
        return row

    async def before(self, place: int) -> Estimates:
        """Return the estimates for a row at this place, as soon as the rows that they rest on are
        finished. Raises what ended the run, if one of those could not finish."""
        if self._fixed:
            return self._fixed
        known = self._estimates(rows_used(place))
        if known.done():
            return known.result()
        if self._ended:
            raise self._ended
        async with self._rest():
            return await asyncio.shield(known)  # others wait for it too

    def teach(self, place: int, lesson: Lesson) -> None:
        """Take in the lesson of a row at this place, once those before it are there."""
        self._ahead[place] = lesson
        while (in_turn := self._ahead.pop(self._added, None)) is not None:
            self._lessons.add(in_turn)
            self._added += 1
            if self._added & (self._added - 1) == 0:
                known = self._estimates(self._added)
                if not known.done():
                    known.set_result(self._lessons.estimates)

    def end(self, error: BaseException) -> None:
        """End the waiting of all rows with an error."""
        self._ended = error
        for known in self._after.values():
            if not known.done():
                known.set_exception(error)
                known.exception()  # retrieved: there may be nobody who waits

    def _estimates(self, rows: int) -> asyncio.Future[Estimates]:
        if rows not in self._after:
            self._after[rows] = asyncio.get_running_loop().create_future()
            if rows == 0:
                self._after[rows].set_result(before_any_row())
        return self._after[rows]


@dataclass(slots=True)
class LearningRow:
    """A row's place among those that learn, and its lesson once it is known: nothing, from a row
    that failed or stayed ungraded."""

    learner: Learner
    place: int
    lesson: Lesson = field(default=Lesson())

    async def estimates(self) -> Estimates:
        """Return what the row may go by."""
        return await self.learner.before(self.place)

    def learn(self, iterations: Sequence[Iteration]) -> None:
        """Take what the finished row tried for its lesson."""
        self.lesson = lesson_of(iterations)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.learner.teach(self.place, self.lesson)
        else:
            self.learner.end(error)


def learned_from(path: str | Path) -> Estimates:
    """Return the estimates that another run's output gives.

    Raises UsageError where it cannot be read, or holds no refinement.
    """
    lessons, rows = Lessons(), 0
    source = Source(str(path))
    for _, line in source.read():
        try:
            made = loads(line)["refinement"]
            steps = [Tried(it["role"], it["parent"], it["score"]) for it in made["iterations"]]
            lesson = lesson_of(steps) if made["status"] == "done" else Lesson()
        except (ValueError, KeyError, TypeError, IndexError):
            continue  # a row that failed outright, or another tool's: it teaches nothing
        rows += 1
        lessons.add(lesson)
    if not rows:
        raise UsageError(
            f"{option('learned', source.name)}: there is no refinement in it",
            "name a file that `refinecli refine` wrote",
        )
    return lessons.estimates
