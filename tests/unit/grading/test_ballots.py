"""Several grades of one response: whose they are, and as which draws they are asked for."""

from __future__ import annotations

import asyncio
from typing import Any

from refinecli.grading.verdict import GradeOptions
from refinecli.grading.votes import grade_by_votes
from refinecli.prompts import Prompts
from refinecli.types import Grade, Roles, Usage
from tests.support.fakes import Scripted, datapoint, nobody, roles, score


def voted(of: Roles, **options: Any) -> tuple[tuple[Grade, ...], Usage]:
    return asyncio.run(
        grade_by_votes(datapoint(), "A response.", of, Prompts(), GradeOptions(), **options)
    )


def draws(grader: Scripted) -> list[tuple[str, int, int]]:
    return [(call.draw.role, call.draw.iteration, call.draw.sample) for call in grader.calls]


def test_one_grader_asked_once_casts_no_votes() -> None:
    grader = Scripted([score(1)])
    [grade], usage = voted(roles(nobody(), nobody(), grader))
    assert (grade.score, grade.votes, usage) == (1.0, (), Usage(1, 100, 10))
    assert draws(grader) == [("grader", 0, 0)]


def test_repeats_are_further_samples_of_the_same_grader() -> None:
    grader = Scripted([score(0), score(1), score(1)])
    [grade], usage = voted(roles(nobody(), nobody(), grader), iteration=2, sample=1, repeats=3)
    assert (grade.score, [vote.score for vote in grade.votes]) == (1.0, [0.0, 1.0, 1.0])
    assert {(vote.juror, vote.repeat) for vote in grade.votes} == {(None, None)}
    assert usage == Usage(3, 300, 30)
    assert draws(grader) == [("grader", 2, 3), ("grader", 2, 4), ("grader", 2, 5)]


def test_each_juror_votes_under_its_own_name() -> None:
    mild, strict = Scripted([score(1)]), Scripted([score(0.5)])
    grader_alone = roles(nobody(), nobody(), nobody())
    jury = grader_alone._replace(jury={"jury.mild": mild, "jury.strict": strict})
    [grade], _ = voted(jury)
    assert grade.score == 0.75
    assert [(vote.juror, vote.score, vote.repeat) for vote in grade.votes] == [
        ("mild", 1.0, None),
        ("strict", 0.5, None),
    ]
    assert draws(mild) + draws(strict) == [("jury.mild", 0, 0), ("jury.strict", 0, 0)]
