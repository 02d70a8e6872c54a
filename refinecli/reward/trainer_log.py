"""Report gradings to a trainer's log: figures of the batch, and columns of its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from refinecli.reward.samples import Sample
from refinecli.text.words import count_words
from refinecli.types import Grading

LogMetric: TypeAlias = Callable[[str, float], None]
LogExtra: TypeAlias = Callable[[str, list[object]], None]

# Rows may each have items of their own, and a log with thousands of figures is of no use.
_MOST_NAMES = 50


class TrainerLog:
    """The figures of one reward function; the first items have one each, by name."""

    def __init__(self) -> None:
        self._names: set[str] = set()

    def figures(
        self, samples: Sequence[Sample], gradings: Sequence[Grading], log: LogMetric
    ) -> None:
        """Report pass rates by item, the share of ungraded responses, and their mean length."""
        passed: dict[str, list[bool]] = {}
        for grading in gradings:
            for grade in grading.grades:
                if grade.passed is not None and self._is_named(grade.name):
                    passed.setdefault(grade.name, []).append(grade.passed)
        for name, of in passed.items():
            log(f"rubric/pass_rate/{name}", sum(of) / len(of))
        if samples:
            ungraded = sum(is_ungraded(grading) for grading in gradings)
            log("rubric/ungraded", ungraded / len(samples))
            words = [count_words(sample.response) for sample in samples]
            log("rubric/mean_words", sum(words) / len(words))

    def _is_named(self, name: str) -> bool:
        if len(self._names) < _MOST_NAMES:
            self._names.add(name)
        return name in self._names


def is_ungraded(grading: Grading) -> bool:
    """Return True where an item has no verdict."""
    return any(grade.error for grade in grading.grades)


def columns(gradings: Sequence[Grading], log: LogExtra) -> None:
    """Report, for each completion, the items that it failed, and why it is ungraded if it is."""
    log("rubric_failed", [_failed(grading) for grading in gradings])
    log("rubric_ungraded", [_why(grading) for grading in gradings])


def _failed(grading: Grading) -> str:
    return ", ".join(grade.name for grade in grading.grades if grade.passed is False)


def _why(grading: Grading) -> str:
    return next((f"{one.name}: {one.error.message}" for one in grading.grades if one.error), "")
