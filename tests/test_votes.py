"""Several grades of one response: the median, and nothing made up where too few are graded."""

from __future__ import annotations

from refinecli.jsonl import dumps, read_row
from refinecli.scoring import item_passed, ungraded
from refinecli.types import Failure, Grade, RubricItem
from refinecli.votes import combine
from tests.conftest import check_item, datapoint, item


def of(**fields: object) -> RubricItem:
    row = read_row(dumps(datapoint(rubric_items=[item(**fields)])), 1, "in.jsonl")
    assert row.datapoint is not None
    return row.datapoint.rubric_items[0]


FIVE = of(score_range=[1, 5], pass_score=0.75)


def votes(one: RubricItem, *shares: float | None) -> list[Grade]:
    return [
        ungraded(0, one, Failure("no_score", "nothing"))
        if share is None
        else Grade(0, "it", share, 1 + 4 * share, item_passed(one, share), "llm", f"{share}")
        for share in shares
    ]


def test_the_median_passes_where_most_votes_do() -> None:
    found = combine(FIVE, votes(FIVE, 1.0, 0.75, 0.0))
    assert (found.score, found.raw_score, found.passed) == (0.75, 4.0, True)
    assert found.disagreement == 1 / 3
    found = combine(FIVE, votes(FIVE, 1.0, 0.25, 0.5))
    assert (found.score, found.passed, found.feedback) == (0.5, False, "0.5")


def test_an_even_number_of_votes_has_a_median_between() -> None:
    found = combine(FIVE, votes(FIVE, 0.5, 1.0))
    assert (found.score, found.raw_score, found.passed) == (0.75, 4.0, True)


def test_an_ungraded_vote_is_no_vote_and_half_of_them_are_too_many() -> None:
    found = combine(FIVE, votes(FIVE, 1.0, None, 1.0))
    assert (found.score, found.graded, found.disagreement) == (1.0, True, 0.0)
    found = combine(FIVE, votes(FIVE, 1.0, None))
    assert (found.score, found.passed) == (None, None)
    assert found.error is not None
    assert (found.error.type, found.error.message) == ("no_score", "1 of 2 repeats: nothing")
    assert len(found.votes) == 2


def test_what_code_grades_is_graded_once() -> None:
    row = read_row(dumps(datapoint(rubric_items=[check_item("4")])), 1, "in.jsonl")
    assert row.datapoint is not None
    check = Grade(0, "it", 1.0, 1.0, True, "check")
    assert combine(row.datapoint.rubric_items[0], [check, check]) is check
