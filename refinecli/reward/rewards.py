"""Turn the grades of a response into rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from refinecli.errors import RefineError
from refinecli.grading.scoring import total_score
from refinecli.types import Grade, RubricItem


class NotGradedError(RefineError):
    """A response has no reward, where the trainer has no other word for that."""


def reward_of(items: Sequence[RubricItem], grades: Sequence[Grade]) -> float | None:
    """Return the score of a response; None where any item is ungraded.

    An item that a gate left out counts at its worst, since a response that fails early must not
    earn more, or be left out of its group, because the rest was not asked.
    """
    return total_score(items, _whole(items, grades))


def shares_of(items: Sequence[RubricItem], grades: Sequence[Grade]) -> dict[str, float] | None:
    """Return what each item adds to the score, by its name; None where any item is ungraded: the
    sum of the others would be a score with a 0 for it."""
    positive = sum(item.weight for item in items if item.weight > 0)
    shares: dict[str, float] = {}
    for item, grade in zip(items, _whole(items, grades), strict=True):
        if grade.score is None:
            return None
        shares[item.name] = shares.get(item.name, 0.0) + item.weight * grade.score / positive
    return shares


def _whole(items: Sequence[RubricItem], grades: Sequence[Grade]) -> list[Grade]:
    return [
        replace(grade, score=float(item.penalty)) if grade.skipped else grade
        for item, grade in zip(items, grades, strict=True)
    ]
