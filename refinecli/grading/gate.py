"""Ask first about what a response must pass: code checks, then `required` items, then the rest.

Where one of these is not passed, the response has failed, and the rest is not asked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from refinecli.grading.scoring import skipped
from refinecli.types import Grade, RubricItem, Usage

Graded = tuple[tuple[Grade, ...], Usage]


async def gated(
    items: Sequence[RubricItem], graded: Callable[[Sequence[int]], Awaitable[Graded]]
) -> Graded:
    """Return a grade for each item, and the usage of the calls; `graded` gives those at some
    places."""
    found: dict[int, Grade] = {}
    usage = Usage()
    for places in filter(None, stages(items)):
        grades, more = await graded(places)
        found |= {grade.item: grade for grade in grades}
        usage += more
        if any(grade.passed is False for grade in grades):
            break
    grades = tuple(found.get(place) or skipped(place, item) for place, item in enumerate(items))
    return grades, usage


def stages(items: Sequence[RubricItem]) -> tuple[list[int], ...]:
    """Return the places of the items that are graded together, in the order of asking."""
    checks = [place for place, item in enumerate(items) if item.check]
    required = [place for place, item in enumerate(items) if item.required and not item.check]
    rest = [p for p, item in enumerate(items) if not item.required and not item.check]
    return checks, required, rest


def waits(items: Sequence[RubricItem], *, gated: bool) -> int:
    """Return how many times at most the grading of a response waits for a grader's replies."""
    orders = stages(items) if gated else (range(len(items)),)
    return sum(any(items[place].asks_grader for place in places) for places in orders)
