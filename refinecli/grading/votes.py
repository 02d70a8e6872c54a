"""Combine several grades of one response, by a jury or by one grader repeatedly."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any

from refinecli.completers import gather
from refinecli.grading.gate import Graded, gated
from refinecli.grading.grade import grade
from refinecli.grading.scoring import item_passed
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.types import Combine, Datapoint, Failure, Grade, Roles, RubricItem, Usage, juror_in


async def grade_by_votes(
    datapoint: Datapoint,
    response: str,
    roles: Roles,
    prompts: Prompts,
    options: GradeOptions,
    *,
    iteration: int = 0,
    sample: int = 0,
    repeats: int = 1,
) -> tuple[tuple[Grade, ...], Usage]:
    """Return one grade for each item, out of `repeats` by the grader or by each juror, and the
    usage of the calls. With a gate, votes are combined before it is decided what is asked next."""
    items = datapoint.rubric_items
    ballots = [(role, repeat) for role in roles.graders for repeat in range(repeats)]

    def asked(role: str, repeat: int, places: Sequence[int]) -> Coroutine[Any, Any, Graded]:
        return grade(
            datapoint,
            response,
            roles.graders[role],
            prompts,
            options,
            role=role,
            iteration=iteration,
            sample=sample * repeats + repeat,
            only=places,
        )

    async def graded(places: Sequence[int]) -> Graded:
        if len(ballots) == 1:
            return await asked(*ballots[0], places)
        found = await gather(asked(role, repeat, places) for role, repeat in ballots)
        cast = [
            [_cast(one, role, repeat if repeats > 1 else None) for one in grades]
            for (role, repeat), (grades, _) in zip(ballots, found, strict=True)
        ]
        votes = zip(places, zip(*cast, strict=True), strict=True)
        combined = tuple(combine(items[place], of, options.combine) for place, of in votes)
        return combined, sum((usage for _, usage in found), Usage())

    if options.gate and response.strip():  # an empty one needs no call
        return await gated(items, graded)
    return await graded(range(len(items)))


def _cast(one: Grade, role: str, repeat: int | None) -> Grade:
    """Mark a grade as a juror's vote; a grade by code or by a lone grader stays unmarked."""
    juror = juror_in(role)
    if one.grader != "llm" or juror is None:
        return one
    return replace(one, juror=juror, repeat=repeat)


def combine(item: RubricItem, votes: Sequence[Grade], how: Combine = "median") -> Grade:
    """Combine the votes; ungraded unless more than half of them are graded.

    By median: the middle score, which passes by the item's pass score; where verdicts are
    probabilities, which pass independently of the score, as most votes do. By majority: as most
    votes do, with the middle score of those. A tie does not pass.

    The reply and the feedback are those of the nearest vote, if possible among those with the same
    verdict. Items graded by code are graded once.
    """
    if votes[0].grader != "llm":
        return votes[0]
    cast = [vote for vote in votes if vote.score is not None]
    # A vote missing from the call cache could still be had, and might change the grade.
    offline = any(vote.error and vote.error.type == "offline" for vote in votes)
    if 2 * len(cast) <= len(votes) or offline:
        return _ungraded(votes, len(votes) - len(cast))
    passed = 2 * sum(bool(vote.passed) for vote in cast) > len(cast)
    side = [vote for vote in cast if vote.passed == passed] if how == "majority" else cast
    from statistics import median  # 10 ms to load, for those who vote

    score = median(vote.score for vote in side if vote.score is not None)
    if how == "median" and not any(vote.probabilities for vote in cast):
        passed = item_passed(item, score)
    nearest = min(cast, key=lambda vote: (vote.passed != passed, abs((vote.score or 0.0) - score)))
    low, high = item.score_range
    return replace(
        nearest,
        score=score,
        raw_score=low + score * (high - low),
        passed=passed,
        mass=None,
        probabilities=None,
        juror=None,
        repeat=None,
        votes=tuple(votes),
    )


def _ungraded(votes: Sequence[Grade], missing: int) -> Grade:
    failed = [vote for vote in votes if vote.error]
    first = next((v for v in failed if v.error and v.error.type == "offline"), failed[0])
    assert first.error is not None
    who, what = (f"{first.juror}: ", "jurors") if first.juror else ("", "repeats")
    what = "votes" if first.juror and first.repeat is not None else what
    message = f"{missing} of {len(votes)} {what}: {who}{first.error.message}"
    error = Failure(first.error.type, message)
    return replace(first, error=error, mass=None, juror=None, repeat=None, votes=tuple(votes))
