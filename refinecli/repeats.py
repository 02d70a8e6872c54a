"""Several grades of one response, and what they amount to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import median

from refinecli.asking import GradeOptions
from refinecli.grade import gather, grade
from refinecli.prompts import Prompts
from refinecli.scoring import item_passed
from refinecli.types import Completer, Datapoint, Failure, Grade, RubricItem, Usage


async def grade_repeatedly(
    datapoint: Datapoint,
    response: str,
    grader: Completer,
    prompts: Prompts,
    options: GradeOptions,
    repeats: int,
) -> tuple[tuple[Grade, ...], Usage]:
    """One grade for each item out of `repeats` of them, and what the calls took."""
    if repeats == 1:
        return await grade(datapoint, response, grader, prompts, options)
    found = await gather(
        grade(datapoint, response, grader, prompts, options, sample=repeat)
        for repeat in range(repeats)
    )
    by_item = zip(*(grades for grades, _ in found), strict=True)
    combined = tuple(map(combine, datapoint.rubric_items, by_item))
    return combined, sum((usage for _, usage in found), Usage())


def combine(item: RubricItem, votes: Sequence[Grade]) -> Grade:
    """The median of the votes, which passes where most of them do; the feedback is that of the vote
    nearest to it. Ungraded unless more than half of the votes are graded. What code grades is
    graded once."""
    if votes[0].grader != "llm":
        return votes[0]
    cast = [vote for vote in votes if vote.score is not None]
    if 2 * len(cast) <= len(votes):
        first = next(vote for vote in votes if vote.error)
        assert first.error is not None
        said = f"{len(votes) - len(cast)} of {len(votes)} repeats: {first.error.message}"
        return replace(first, error=Failure(first.error.type, said), votes=tuple(votes))
    score = median(vote.score for vote in cast if vote.score is not None)
    nearest = min(cast, key=lambda vote: abs((vote.score or 0.0) - score))
    low, high = item.score_range
    return replace(
        nearest,
        score=score,
        raw_score=low + score * (high - low),
        passed=item_passed(item, score),
        votes=tuple(votes),
    )
