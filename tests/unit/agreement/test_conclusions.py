"""The sentences about agreement: when each is said, and in which words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refinecli.agreement.calibration import _best, _between
from refinecli.agreement.conclusions import (
    _chance,
    _corrected,
    _coverage,
    _length,
    _majority,
    _raters,
    chance,
    conclusions,
    shown,
)
from refinecli.stats.resampling import SAME


def figure(value: float | None, low: float | None = None, high: float | None = None) -> Any:
    return {"value": value, "low": low, "high": high}


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (figure(None), None),
        (figure(0.5), "at chance"),
        (figure(0.5 + 1e-10), "at chance"),
        (figure(0.5 + 1e-8), None),  # too few to say
        (figure(0.6, 0.51, 0.7), "better than chance"),
        (figure(0.6, 0.5, 0.7), "at chance"),
        (figure(0.4, 0.3, 0.5), "at chance"),
        (figure(0.4, 0.3, 0.49), "worse than chance"),
        (figure(1.0) | {"reason": SAME}, "better than chance"),
        (figure(0.0) | {"reason": SAME}, "worse than chance"),
        (figure(1.0) | {"reason": "too few"}, None),
    ],
)
def test_a_figure_is_held_against_what_guessing_gives(found: Any, words: str | None) -> None:
    assert chance(found, 0.5) == words


def test_a_figure_is_shown_with_its_interval_if_it_has_one() -> None:
    assert shown(figure(0.8125, 0.76, 0.858)) == "0.812 (95%: 0.760 to 0.858)"
    assert shown(figure(0.5)) == "0.500"


@pytest.mark.parametrize(
    ("labelled", "words"), [(0, "Nothing that was graded has a label"), (3, "Nothing that has a")]
)
def test_without_both_there_is_nothing_to_compare(labelled: int, words: str) -> None:
    (said,) = conclusions({"n": 0, "labelled": labelled})
    assert said.startswith(words)


@pytest.mark.parametrize(
    ("gain", "than"),
    [
        (figure(0.1, 0.01, 0.2), "more than"),
        (figure(0.1, 0.0, 0.2), "not shown to be more than"),
        (figure(0.1), "not shown to be more than"),
        (figure(0.0), "not shown to be more than"),
        (figure(-0.1, -0.2, -0.01), "less than"),
    ],
)
def test_accuracy_is_held_against_always_giving_the_commoner_verdict(gain: Any, than: str) -> None:
    majority = {"accuracy": figure(0.6), "gain_over_it": gain}
    found = {"accuracy": figure(0.7), "baselines": {"majority": majority}}
    (said,) = _majority(found)
    rest = "the 0.600 of always giving the commoner verdict."
    assert said == f"Accuracy 0.700: {than} {rest}"
    assert list(_majority(found | {"accuracy": figure(None)})) == []


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        (figure(0.2, 0.1, 0.3), True),
        (figure(0.199, 0.1, 0.3), False),
        (figure(-0.2, -0.3, -0.1), True),
        (figure(0.3, -0.01, 0.6), False),
        (figure(0.3, 0.0, 0.6), True),
        (figure(0.3), False),
        (figure(None), False),
    ],
)
def test_a_correlation_with_length_is_said_from_a_fifth_on(scores: Any, said: bool) -> None:
    found = {"length_correlation": scores, "length_correlation_gold": figure(None)}
    assert bool(list(_length(found))) is said
    if said:
        labels = found | {"length_correlation_gold": figure(0.1)}
        assert next(iter(_length(labels))).endswith("; for the labels it is 0.100.")


def level(votes: float, coverage: float, accuracy: float) -> dict[str, Any]:
    return {"votes": votes, "coverage": coverage, "accuracy": figure(accuracy)}


def test_accuracy_is_said_where_all_agree_and_everywhere() -> None:
    levels = [level(1.0, 0.6, 0.9), level(2 / 3, 1.0, 0.8)]
    (said,) = _coverage({"coverage": levels, "jurors": {}})
    assert said == ("Where all repeats agree (60% of them), accuracy is 0.900; everywhere 0.800.")
    (said,) = _coverage({"coverage": levels, "jurors": {"a": {}}})
    assert said.startswith("Where all votes agree")
    split = [level(0.75, 0.5, 0.9), level(0.5, 1.0, 0.8)]
    (said,) = _coverage({"coverage": split, "jurors": {}})
    assert said == "There is nothing that all repeats agree on."
    assert list(_coverage({"coverage": levels[:1], "jurors": {}})) == []


@pytest.mark.parametrize(("graded", "value", "said"), [(11, 0.4, 1), (10, 0.4, 0), (11, None, 0)])
def test_a_corrected_rate_is_said_where_more_is_graded_than_labelled(
    graded: int, value: float | None, said: int
) -> None:
    found = {"corrected_pass_rate": figure(value), "graded": graded, "n": 10}
    sentences = list(_corrected(found))
    assert (
        sentences == ["Corrected for the grader's errors, 0.400 of all 11 grades are met."] * said
    )


def test_raters_are_compared_on_what_both_figures_have() -> None:
    grader = {"kappa": figure(0.5), "quadratic_kappa": figure(0.6)}
    raters = {"kappa": figure(0.7), "quadratic_kappa": figure(None)}
    (said,) = _raters({"baselines": {"grader_and_rater": grader, "raters": raters}})
    assert said == (
        "Kappa of the grader with a single rater: 0.500; of two raters with each other: 0.700."
    )


@pytest.mark.parametrize(
    ("verdicts", "scores", "count"),
    [
        ("at chance", "better than chance", 3),
        ("better than chance", "better than chance", 2),
        ("at chance", "at chance", 2),
    ],
)
def test_another_pass_score_is_advised_where_only_the_scores_are_good(
    verdicts: str, scores: str, count: int
) -> None:
    found = {
        "chance": {"verdicts": verdicts, "scores": scores, "ranks": None},
        "n": 1,
        "balanced_accuracy": figure(0.5),
        "auc": figure(0.9),
        "spearman": figure(0.3),
    }
    said = list(_chance(found))
    assert len(said) == count
    assert said[0].startswith(f"Verdicts: {verdicts}: balanced accuracy 0.500 over 1 labelled")
    assert "too few to say whether that is better than chance" in said[-1]


# ------------------------------------------------------------------ thresholds


@pytest.mark.parametrize(
    ("likely", "gold", "threshold"),
    [
        ([0.1, 0.2, 0.6, 0.7], [0, 0, 1, 1], 0.4),
        ([0.1, 0.2, 0.6, 0.7], [0, 1, 0, 1], 0.65),  # as good as 0.15, and nearer to a half
        ([0.3, 0.3], [1, 0], 0.0),
        ([0.9, 0.1], [0, 1], 0.0),  # the wrong way round: everything passes
    ],
)
def test_the_best_threshold_is_that_of_youdens_index(
    likely: list[float], gold: list[float], threshold: float
) -> None:
    found = _best(np.asarray(likely), np.asarray(gold, dtype=float))
    assert found == pytest.approx(threshold)


@pytest.mark.parametrize(
    ("low", "high", "middle"),
    [(0.1, 0.2, 0.15), (0.123_41, 0.123_43, 0.123_42), (1e-6, 2e-6, 1.5e-6), (0.3, 0.3, 0.3)],
)
def test_a_threshold_has_few_digits_but_tells_its_neighbours_apart(
    low: float, high: float, middle: float
) -> None:
    assert _between(low, high) == middle
