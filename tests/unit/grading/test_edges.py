"""Where a score just passes, and what decides a response: the edges, to the last bit."""

from __future__ import annotations

import pytest

from refinecli.grading.by_probabilities import Reading, expected, labels_of, read
from refinecli.grading.scoring import (
    Extraction,
    explanation,
    item_passed,
    response_passed,
    total_score,
    ungraded,
)
from refinecli.types import Failure, Grade
from tests.support.fakes import datapoint, rubric_item


def grade(score: float | None, *, passed: bool = True, grader: str = "llm") -> Grade:
    if score is None:
        return ungraded(0, rubric_item(), Failure("no_score", "nothing"))
    return Grade(0, "it", score, score, passed, grader)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("weight", "score", "passed"),
    [
        (1, 0.75, True),
        (1, 0.75 - 1e-9, True),
        (1, 0.75 - 3e-9, False),
        (-1, 0.25, True),
        (-1, 0.25 + 1e-9, True),
        (-1, 0.25 + 3e-9, False),
    ],
)
def test_an_item_passes_in_spite_of_the_dust_of_floats_and_no_more(
    weight: int, score: float, passed: bool
) -> None:
    item = rubric_item(weight=1, pass_score=0.75)
    if weight < 0:
        item = datapoint({}, {"weight": -1, "pass_score": 0.75}).rubric_items[1]
    assert item_passed(item, score) is passed


def test_a_total_counts_in_units_of_the_positive_weights() -> None:
    items = datapoint({"weight": 3}, {"weight": 1}, {"weight": -2}).rubric_items
    assert total_score(items, [grade(1.0), grade(0.0), grade(0.0)]) == 0.75
    assert total_score(items, [grade(1.0), grade(1.0), grade(1.0)]) == 0.5
    assert total_score(items, [grade(0.0), grade(0.0), grade(1.0)]) == -0.5
    assert total_score(items, [grade(1.0), grade(None), grade(0.0)]) is None


@pytest.mark.parametrize(
    ("threshold", "scores", "passed"),
    [
        (0.5, (1.0, 0.0), True),
        (0.5 + 1e-9, (1.0, 0.0), True),
        (0.5 + 3e-9, (1.0, 0.0), False),
        (0.5, (0.0, None), None),  # it may still reach it
        (0.6, (0.0, None), False),
        (None, (1.0, None), None),
    ],
)
def test_a_threshold_is_reached_or_may_be(
    threshold: float | None, scores: tuple[float | None, ...], passed: bool | None
) -> None:
    point = datapoint({}, {})
    assert response_passed(point, [grade(score) for score in scores], threshold) is passed


def test_an_ungraded_penalty_may_still_cost_nothing() -> None:
    point = datapoint({}, {"weight": -1})
    assert response_passed(point, [grade(1.0), grade(None)], 1.0) is None
    assert response_passed(point, [grade(1.0), grade(None)], 1.1) is False


def test_required_items_decide_and_an_empty_response_never_passes() -> None:
    point = datapoint({"required": True}, {})
    assert response_passed(point, [grade(1.0), grade(0.0, passed=False)], None) is True
    assert response_passed(point, [grade(0.0, passed=False), grade(1.0)], None) is False
    assert response_passed(point, [grade(1.0, grader="empty"), grade(1.0)], None) is False


@pytest.mark.parametrize(
    ("reply", "reasons"),
    [
        ("Good.\nSo: <score>1</score> I say.\nReally.", "Good.\n\nReally."),
        ("It is so: <score>1</score>.", "It is so: ."),
        ("<score>1</score>\nWell done.", "Well done."),
        ("Fine.\n<score>1</score>", "Fine."),
    ],
)
def test_an_explanation_loses_the_line_of_the_verdict_or_only_the_verdict(
    reply: str, reasons: str
) -> None:
    begin = reply.index("<score>") + len("<score>")
    found = Extraction(1.0, (begin, begin + 1))
    assert explanation(reply, found, rubric_item()) == reasons
    assert explanation(reply, Extraction(), rubric_item()) == reply


# ------------------------------------------------------------------ probabilities


@pytest.mark.parametrize(("low", "high", "count"), [(2, 12, 11), (2, 13, 0), (0, 2, 3), (1, 2, 2)])
def test_a_scale_has_eleven_labels_at_most(low: int, high: int, count: int) -> None:
    assert len(labels_of(rubric_item(score_range=[low, high]))) == count


def test_probabilities_may_come_to_two_hundredths_more_than_1_by_rounding() -> None:
    item = rubric_item()
    within = read(labels_of(item), [("yes", 0.0), ("no", -3.97)])  # 1.0189
    assert within.mass == 1.0
    assert within.probabilities["yes"] == 1.0
    assert read(labels_of(item), [("yes", 0.0), ("no", -3.9)]).mass == 0.0  # 1.0202


def test_an_expected_score_stays_on_its_scale() -> None:
    item = rubric_item(score_range=[1, 3])
    assert expected(item, Reading({"1": 1.0, "2": 0.0, "3": 0.0}, 1.0)) == 1.0
    assert expected(item, Reading({"1": 0.1, "2": 0.2, "3": 0.1}, 0.4)) == pytest.approx(2.0)
    assert expected(item, Reading({"1": 0.0, "2": 0.0, "3": 0.3}, 0.3)) == 3.0
