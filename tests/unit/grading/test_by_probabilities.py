"""Verdicts by probabilities: from the first token's alternatives to a score."""

from __future__ import annotations

import random
from math import exp, log
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from refinecli.grading.by_probabilities import expected, labels_of, pass_probability, read
from refinecli.types import RubricItem
from tests.support.fakes import rubric_item

FIVE: dict[str, Any] = {"score_range": [1, 5], "pass_score": 0.75}


def tokens(**probabilities: float) -> list[tuple[str, float]]:
    return [(token, log(p)) for token, p in probabilities.items()]


def texts(item: RubricItem) -> list[str]:
    return [label.text for label in labels_of(item)]


def test_each_kind_of_scale_has_its_labels() -> None:
    assert texts(rubric_item()) == ["no", "yes"]
    assert texts(rubric_item(score_range=[1, 5])) == ["1", "2", "3", "4", "5"]
    assert texts(rubric_item(score_range=[0, 10])) == [str(n) for n in range(11)]
    assert texts(rubric_item(choices=["poor", "fair", "good"])) == ["A", "B", "C"]


@pytest.mark.parametrize("ends", [[0, 100], [0, 0.5], [-1, 1], [0.5, 1.5]])
def test_a_scale_without_a_few_whole_steps_has_none(ends: list[float]) -> None:
    assert labels_of(rubric_item(score_range=ends)) == ()


def test_the_score_is_the_expectation_over_the_labels() -> None:
    item = rubric_item(**FIVE)
    reading = read(
        labels_of(item), tokens(**{"1": 0.1, "3": 0.2, "4": 0.5, "5": 0.15, "The": 0.05})
    )
    assert reading.mass == pytest.approx(0.95)
    assert expected(item, reading) == pytest.approx((0.1 + 0.6 + 2.0 + 0.75) / 0.95)


def test_spellings_of_a_label_count_together() -> None:
    found = [(" Yes", log(0.3)), ("yes", log(0.2)), ("YES.", log(0.1)), ("**no", log(0.25))]
    reading = read(labels_of(rubric_item()), found)
    assert reading.probabilities == {"no": pytest.approx(0.25), "yes": pytest.approx(0.6)}
    assert reading.mass == pytest.approx(0.85)


def test_what_only_begins_like_a_label_is_none() -> None:
    reading = read(labels_of(rubric_item()), tokens(yesterday=0.5, nobody=0.3, y=0.1))
    assert reading.mass == 0


def test_a_digit_that_may_go_on_to_a_longer_number_does_not_count() -> None:
    """Models that write digit by digit begin 10 with a 1."""
    ten = labels_of(rubric_item(score_range=[1, 10]))
    split = read(ten, tokens(**{"1": 0.9, "2": 0.1}))
    assert (split.probabilities["1"], split.mass) == (0, pytest.approx(0.1))
    whole = read(ten, tokens(**{"1": 0.6, "10": 0.3, "2": 0.1}))
    assert whole.mass == pytest.approx(1)
    assert whole.probabilities["10"] == pytest.approx(0.3)


def test_a_pass_is_as_likely_as_the_labels_that_pass() -> None:
    five = {"1": 0.1, "2": 0.1, "3": 0.2, "4": 0.2, "5": 0.2}
    assert pass_probability(rubric_item(**FIVE), five) == pytest.approx(0.5)
    answers = {"no": 0.3, "yes": 0.6}
    assert pass_probability(rubric_item(), answers) == pytest.approx(2 / 3)
    assert pass_probability(rubric_item(weight=-1), answers) == pytest.approx(1 / 3)


def test_scripted_distributions_give_the_order_that_they_were_made_with() -> None:
    """P(yes) of good and bad responses drawn from two normal distributions: the AUC of the
    expected scores is that of the draws themselves, 0.92 by their distance."""
    rng, item = random.Random(42), rubric_item()
    good = [1 / (1 + exp(-rng.gauss(-1.0, 1.0))) for _ in range(400)]
    bad = [1 / (1 + exp(-rng.gauss(-3.0, 1.0))) for _ in range(400)]

    def scored(yes: float) -> float:
        rest = 0.05
        said = tokens(**{" yes": yes * (1 - rest), "No": (1 - yes) * (1 - rest), "Well": rest})
        return expected(item, read(labels_of(item), said))

    scores = [scored(p) for p in good], [scored(p) for p in bad]
    assert scores[0] == pytest.approx(good)
    auc = stats.mannwhitneyu(*scores).statistic / 400**2
    assert auc == pytest.approx(stats.mannwhitneyu(good, bad).statistic / 400**2)
    assert auc == pytest.approx(stats.norm.cdf(2 / 2**0.5), abs=0.02)
    assert all(p < 0.5 for p in bad[:20])  # by verdicts alone nearly all are "no"


@given(
    st.lists(st.floats(0.001, 1), min_size=3, max_size=11),
    st.lists(st.tuples(st.text(max_size=4), st.floats(-50, -4)), max_size=20),
)
def test_whatever_the_alternatives_the_score_is_on_the_scale(
    weights: list[float], others: list[tuple[str, float]]
) -> None:
    item = rubric_item(score_range=[0, len(weights) - 1])
    share = [weight / sum(weights) / 2 for weight in weights]
    said = [(label.text, log(p)) for label, p in zip(labels_of(item), share, strict=True)]
    reading = read(labels_of(item), [*said, *others])
    assert 0 <= reading.mass <= 1
    assert -1e-9 <= expected(item, reading) <= len(weights) - 1 + 1e-9
    assert 0 <= pass_probability(item, reading.probabilities) <= 1 + 1e-9


@pytest.mark.parametrize("space", ["\u0120", "\u2581", "\n", "\u010a"])
def test_white_space_counts_as_such_however_a_server_spells_it(space: str) -> None:
    reading = read(labels_of(rubric_item()), tokens(**{f"{space}yes": 0.8, f"{space}No": 0.2}))
    assert reading.probabilities == {"no": pytest.approx(0.2), "yes": pytest.approx(0.8)}


def test_what_comes_to_more_than_1_is_no_verdict() -> None:
    reading = read(labels_of(rubric_item()), [("yes", 0.0), ("no", 0.0)])
    assert reading.mass == 0


def test_a_score_does_not_leave_its_scale_by_rounding() -> None:
    item = rubric_item(score_range=[0, 10])
    for step in range(1, 1000):
        reading = read(labels_of(item), [("10", log(step / 1000))])
        assert expected(item, reading) <= 10
