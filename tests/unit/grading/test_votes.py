"""Several grades of one response: the median, and nothing made up where too few are graded."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from refinecli.data.rows import read_row
from refinecli.errors import FailureKind
from refinecli.grading.scoring import item_passed, ungraded
from refinecli.grading.votes import combine
from refinecli.text.json_text import dumps
from refinecli.types import Combine, Failure, Grade, RubricItem
from tests.conftest import check_item, datapoint, item


def of(**fields: Any) -> RubricItem:
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


def test_a_majority_counts_verdicts_and_half_is_none() -> None:
    one = of(score_range=[1, 5], pass_score=0.5)
    found = combine(one, votes(one, 1.0, 0.5, 0.0), "majority")
    assert (found.score, found.raw_score, found.passed) == (0.75, 4.0, True)
    found = combine(one, votes(one, 1.0, 0.25, None, 0.0), "majority")
    assert (found.score, found.passed, found.disagreement) == (0.125, False, 1 / 3)
    found = combine(one, votes(one, 1.0, 0.0), "majority")
    assert (found.score, found.passed, found.disagreement) == (0.0, False, 0.5)


def test_feedback_is_of_a_vote_with_the_same_verdict() -> None:
    found = combine(FIVE, votes(FIVE, 1.0, 0.25))
    assert (found.score, found.passed, found.feedback) == (0.625, False, "0.25")


def test_where_probabilities_are_the_verdicts_most_votes_decide() -> None:
    """An expected score reaches a pass score of 1 never."""
    likely = [
        Grade(0, "it", share, share, share > 0.5, "llm", mass=1.0, probabilities={"yes": share})
        for share in (0.9, 0.8, 0.1)
    ]
    found = combine(of(), likely)
    assert (found.score, found.passed) == (0.8, True)
    assert (found.probabilities, found.mass) == (None, None)
    assert [vote.probabilities for vote in found.votes] == [one.probabilities for one in likely]


def of_any_weight(weight: float, pass_score: float) -> RubricItem:
    """A penalty item needs one beside it that is none."""
    rows = [
        item("Is it so?", score_range=[1, 5], pass_score=pass_score, weight=weight),
        item("And so?"),
    ]
    row = read_row(dumps(datapoint(rubric_items=rows)), 1, "in.jsonl")
    assert row.datapoint is not None
    return row.datapoint.rubric_items[0]


@given(
    st.lists(st.none() | st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=7),
    st.sampled_from([0.25, 0.5, 0.75, 1.0]),
    st.sampled_from([1, -1]),
    st.sampled_from(["median", "majority"]),
    st.randoms(use_true_random=False),
)
def test_votes_amount_to_the_same_in_any_order_and_to_nothing_that_nobody_said(
    shares: list[float | None], pass_score: float, weight: float, how: Combine, random: Random
) -> None:
    one = of_any_weight(weight, pass_score)
    cast = votes(one, *shares)
    found = combine(one, cast, how)
    scores = [share for share in shares if share is not None]
    assert found.graded == (2 * len(scores) > len(shares))
    assert found.votes == tuple(cast)
    shuffled = random.sample(cast, len(cast))
    again = combine(one, shuffled, how)
    assert (again.score, again.passed, again.graded) == (found.score, found.passed, found.graded)
    if found.score is None:
        assert found.passed is None
        return
    assert min(scores) <= found.score <= max(scores)
    yes = sum(item_passed(one, share) for share in scores)
    if how == "majority" or len(scores) % 2:
        assert found.passed == (2 * yes > len(scores))
    assert found.passed == item_passed(one, found.score)
    alike = [vote.feedback for vote in cast if vote.passed == found.passed]
    assert not alike or found.feedback in alike


def test_what_code_grades_is_graded_once() -> None:
    row = read_row(dumps(datapoint(rubric_items=[check_item("4")])), 1, "in.jsonl")
    assert row.datapoint is not None
    check = Grade(0, "it", 1.0, 1.0, True, "check")
    assert combine(row.datapoint.rubric_items[0], [check, check]) is check


def test_feedback_is_of_the_nearest_vote_among_those_with_the_same_verdict() -> None:
    found = combine(FIVE, votes(FIVE, 1.0, 1.0, 0.75, 0.0, 0.25))
    assert (found.score, found.passed, found.feedback) == (0.75, True, "0.75")
    failed = combine(FIVE, votes(FIVE, 1.0, 0.75, 0.75, 0.5, 0.25, 0.0))
    assert (failed.score, failed.passed, failed.feedback) == (0.625, False, "0.5")
    passed = combine(of(pass_score=0.5), votes(of(pass_score=0.5), 0.25, 1.0))
    assert (passed.score, passed.passed, passed.feedback) == (0.625, True, "1.0")


def without(one: RubricItem, *kinds: FailureKind, **marks: Any) -> list[Grade]:
    return [replace(ungraded(0, one, Failure(kind, f"{kind}!")), **marks) for kind in kinds]


def test_a_vote_missing_from_the_call_cache_leaves_the_item_ungraded_and_is_the_reason() -> None:
    cast = [*votes(FIVE, 1.0, 1.0), *without(FIVE, "timeout", "offline", "unreadable")]
    found = combine(FIVE, cast)
    assert found.error == Failure("offline", "3 of 5 repeats: offline!")
    most = combine(FIVE, [*votes(FIVE, 1.0, 1.0, 1.0), *without(FIVE, "offline")])
    assert (most.score, most.error) == (None, Failure("offline", "1 of 4 repeats: offline!"))


def test_the_first_failure_speaks_for_the_others() -> None:
    found = combine(FIVE, without(FIVE, "timeout", "no_score", "bad_reply"))
    assert found.error == Failure("timeout", "3 of 3 repeats: timeout!")


def test_an_ungraded_jury_names_the_juror_that_failed_first() -> None:
    cast = without(FIVE, "timeout", "server", juror="strict")
    found = combine(FIVE, cast)
    assert found.error == Failure("timeout", "2 of 2 jurors: strict: timeout!")
    assert (found.juror, found.repeat, found.votes) == (None, None, tuple(cast))
    several = combine(FIVE, without(FIVE, "timeout", "server", juror="strict", repeat=0))
    assert several.error == Failure("timeout", "2 of 2 votes: strict: timeout!")
