"""Measure how far a grader's scores of one response differ, for the margin that pairs need."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import variance

from refinecli.export.offers import result_of
from refinecli.report.cases import grader_of, models_of
from refinecli.stats.wording import number
from refinecli.types import Datapoint, JSONObject

# Two grades of one response differ by more than this many of their standard deviations in one
# case of twenty: 1.96 times the root of 2, the repeatability coefficient of Bland and Altman.
_REPEATABILITY = 1.96 * sqrt(2)


@dataclass(slots=True)
class Noise:
    """The variance of a grader's scores of one and the same response, pooled over responses.

    It comes from repeats, and from a later `grade` of the response that the loop returned. That
    one was kept for its score, which is then too high on average: the noise comes out too large
    rather than too small.
    """

    total: float = 0.0
    count: int = 0
    by_model: bool = False
    by_classifier: bool = False

    def add(self, raw: JSONObject, datapoint: Datapoint) -> None:
        """Take in what a row says about it."""
        result = result_of(raw)
        if result is None:
            return
        refined, grading = "iterations" in result, raw.get("grading")
        graded = list(result["iterations"]) if refined else [result]
        if refined and isinstance(grading, dict):
            graded.append(grading)
        by = {grade.get("grader") for one in graded for grade in one["grades"]}
        self.by_classifier |= "classifier" in by
        if "llm" not in by:
            return
        self.by_model = True
        for one in graded:
            scores = list(_repeats(one["grades"], datapoint))
            if len(scores) > 1:  # the record's score is the median of them all
                self._take(variance(scores) / len(scores))
        if refined and grading and grader_of(models_of(result)) == grader_of(models_of(grading)):
            self._later(raw, result)

    def _later(self, raw: JSONObject, result: JSONObject) -> None:
        before = result["iterations"][result["best_iteration"]].get("score")
        after = raw.get("score")
        if isinstance(before, int | float) and isinstance(after, int | float):
            self._take((after - before) ** 2 / 2)

    def _take(self, one: float) -> None:
        self.total += one
        self.count += 1

    @property
    def deviation(self) -> float | None:
        """The standard deviation of a response's score; 0 where code grades, None if unknown."""
        if not self.by_model:
            return 0.0
        return sqrt(self.total / self.count) if self.count else None

    @property
    def margin(self) -> float:
        """The least difference that is hardly noise; 0 where nothing is known."""
        return _REPEATABILITY * (self.deviation or 0.0)

    def in_words(self) -> str:
        """Say where the default margin comes from."""
        if not self.by_model:
            return (
                f"{'a classifier' if self.by_classifier else 'code'} graded, which repeats itself"
            )
        if self.deviation is None:
            return (
                "the grader's noise is not known: there are no repeats and no later grade, so "
                "some pairs are luck"
            )
        return (
            f"2.77 times the grader's noise, whose standard deviation over {self.count:,} "
            f"{'response' if self.count == 1 else 'responses'} is {number(self.deviation)}"
        )


def _repeats(grades: Sequence[JSONObject], datapoint: Datapoint) -> Iterator[float]:
    """Yield a response's score by each repeat in which every item was graded. Jurors are several
    graders, whose differences are not noise."""
    by_repeat: dict[int, dict[int, float]] = defaultdict(dict)
    fixed: dict[int, float] = {}
    for grade in grades:
        votes = [vote for vote in grade.get("votes") or () if "juror" not in vote]
        if not votes and isinstance(grade.get("score"), int | float):
            fixed[grade["item"]] = grade["score"]
        for repeat, vote in enumerate(votes):
            if isinstance(vote.get("score"), int | float):
                by_repeat[repeat][grade["item"]] = vote["score"]
    items = datapoint.rubric_items
    positive = sum(item.weight for item in items if item.weight > 0)
    for scores in by_repeat.values():
        every = fixed | scores
        if len(every) == len(items):
            yield sum(items[at].weight * score for at, score in every.items()) / positive
