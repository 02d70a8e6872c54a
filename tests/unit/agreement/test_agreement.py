"""Agreement with labels: the values are the textbook's, the intervals honest, the words plain."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np
import pytest

from refinecli.agreement import measures
from refinecli.agreement.figures import agreement
from refinecli.agreement.judged import Judged, Label, Vote
from refinecli.agreement.table import lines

GOLD = "5335142121342451521243242125542211222233"
SCORE = "4345133121142341321241253115542311223113"


def verdicts(pairs: Sequence[tuple[bool | None, bool | None]]) -> list[Judged]:
    """Rows of (grader, label), each a datapoint of its own."""
    return [
        Judged(
            n,
            met,
            None if met is None else float(met),
            () if gold is None else (Label(met=gold),),
        )
        for n, (met, gold) in enumerate(pairs)
    ]


def scores(given: Sequence[int], *raters: Sequence[int]) -> list[Judged]:
    """Rows on a scale of 1 to 5, met from 4 on."""
    return [
        Judged(n, score >= 4, float(score), tuple(Label(g >= 4, float(g)) for g in gold), (1, 5))
        for n, (score, *gold) in enumerate(zip(given, *raters, strict=True))
    ]


def digits(text: str) -> list[int]:
    return [int(digit) for digit in text]


def value(figures: dict[str, Any], name: str) -> float | None:
    found: float | None = figures[name]["value"]
    return found


@pytest.fixture(autouse=True, scope="module")
def _fewer_resamples() -> Iterator[None]:
    """Draw a tenth of the resamples or fewer: the answers are right with these too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refinecli.stats.resampling.RESAMPLES", 1_000)
        patch.setattr("refinecli.stats.resampling._RANK_RESAMPLES", 60)
        yield


# ------------------------------------------------------------------ values

# As scikit-learn 1.9 and scipy have them for these forty.
REFERENCE = {
    "accuracy": 0.9,
    "balanced_accuracy": 0.8571428571428572,
    "kappa": 0.75,
    "precision": 0.9,
    "recall": 0.75,
    "f1": 0.8181818181818182,
    "precision_unmet": 0.9,
    "recall_unmet": 0.9642857142857143,
    "f1_unmet": 0.9310344827586207,
    "f1_macro": 0.8746081504702194,
    "base_rate": 0.3,
    "auc": 0.9568452380952381,
    "quadratic_kappa": 0.8082191780821917,
    "mae": 0.5,
    "bias": -0.2,
    "exact": 0.6,
    "within_one": 0.9,
    "pearson": 0.8171776504907811,
    "spearman": 0.7958938873208842,
    "kendall": 0.7104625207650116,
}


@pytest.fixture(scope="module")
def forty() -> dict[str, Any]:
    return agreement(scores(digits(SCORE), digits(GOLD)))


@pytest.mark.parametrize("name", REFERENCE)
def test_values_are_those_of_the_reference(name: str, forty: dict[str, Any]) -> None:
    assert value(forty, name) == pytest.approx(REFERENCE[name], abs=1e-9)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_value_lies_within_its_interval(name: str, forty: dict[str, Any]) -> None:
    figure = forty[name]
    assert figure.keys() == {"value", "low", "high"}
    assert figure["low"] < figure["value"] < figure["high"]


def test_kappa_is_that_of_cohens_own_kind_of_example() -> None:
    cells = [(True, True)] * 20 + [(True, False)] * 5 + [(False, True)] * 10 + [(False, False)] * 15
    found = agreement(verdicts(cells))
    # 35 of 50 agree; by chance 25/50·30/50 + 25/50·20/50 = 0.5: (0.7 − 0.5) / 0.5.
    assert value(found, "kappa") == pytest.approx(0.4)
    assert value(found, "balanced_accuracy") == pytest.approx((20 / 30 + 15 / 20) / 2)


def test_a_shift_of_one_costs_exactness_and_not_order() -> None:
    found = agreement(scores([2, 3, 4, 5] * 10, [1, 2, 3, 4] * 10))
    for name, expected in {
        "exact": 0.0,
        "within_one": 1.0,
        "spearman": 1.0,
        "kendall": 1.0,
        "pearson": 1.0,
        "mae": 1.0,
        "bias": 1.0,
        "quadratic_kappa": 1 - 1 / (1.25 + 1.25 + 1),
    }.items():
        assert value(found, name) == pytest.approx(expected), name


def test_scores_on_several_scales_are_compared_as_shares() -> None:
    rows = scores([2, 3, 4, 5] * 5, [1, 2, 3, 4] * 5)
    tens = [
        replace(one, score=(one.score or 0) * 10, scale=(0, 50), cluster=("x", one.cluster))
        for one in rows
    ]
    tens = [replace(one, labels=(Label(score=one.score),)) for one in tens]
    found = agreement([*rows, *tens])
    assert found["scale"] == [0.0, 1.0]
    assert value(found, "mae") == pytest.approx(0.125)
    assert value(found, "within_one") is None
    assert "no wider than one" in found["within_one"]["reason"]


# ------------------------------------------------------------------ intervals


def test_a_plain_proportion_has_wilsons_interval() -> None:
    found = agreement(verdicts([(True, True)] * 30 + [(True, False)] * 10))["accuracy"]
    n, p, z = 40, 0.75, 1.959963985
    middle, width = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert found["low"] == pytest.approx((middle - width) / (1 + z * z / n))
    assert found["high"] == pytest.approx((middle + width) / (1 + z * z / n))


def test_ten_items_of_one_datapoint_are_one_datapoint() -> None:
    rng = random.Random(3)
    rows = verdicts([(rng.random() < 0.7, rng.random() < 0.7) for _ in range(60)])
    copied = agreement([row for row in rows for _ in range(10)])
    once = agreement(rows)
    for name in ("accuracy", "balanced_accuracy", "kappa", "auc", "base_rate"):
        assert value(copied, name) == pytest.approx(value(once, name))
        for end in ("low", "high"):
            assert copied[name][end] == pytest.approx(once[name][end], abs=0.03), name


def test_the_bootstrap_of_balanced_accuracy_has_the_width_theory_gives() -> None:
    cells = [(True, True)] * 70 + [(False, True)] * 30 + [(False, False)] * 60
    cells += [(True, False)] * 40
    figure = agreement(verdicts(cells))["balanced_accuracy"]
    error = sqrt(0.7 * 0.3 / 100 + 0.6 * 0.4 / 100) / 2
    assert figure["high"] - figure["low"] == pytest.approx(2 * 1.96 * error, rel=0.08)


def test_equal_data_give_equal_figures() -> None:
    rows = scores(digits(SCORE), digits(GOLD))
    assert agreement(rows) == agreement(rows)


def test_too_few_have_values_and_no_bootstrap() -> None:
    found = agreement(verdicts([(True, True), (False, True), (False, False)] * 4))
    assert value(found, "kappa") == pytest.approx(0.4)
    assert found["kappa"]["low"] is None
    assert found["kappa"]["reason"] == "too few for an interval: 12, and it takes 20"
    assert found["accuracy"]["low"] is not None  # Wilson's holds for any number
    assert found["chance"]["verdicts"] is None
    assert "too few to say" in found["conclusions"][0]


def test_full_agreement_is_not_taken_for_certainty() -> None:
    found = agreement(verdicts([(True, True), (False, False)] * 15))
    assert value(found, "kappa") == 1.0
    assert found["kappa"]["low"] is None
    assert "same in every resample" in found["kappa"]["reason"]
    assert found["accuracy"]["low"] == pytest.approx(0.8865, abs=1e-3)
    in_clusters = agreement([row for row in verdicts([(True, True)] * 30) for _ in range(5)])
    assert in_clusters["accuracy"] == found["accuracy"]


# ------------------------------------------------------------------ undefined


def test_one_class_of_labels_leaves_null_and_the_reason() -> None:
    found = agreement(verdicts([(True, True)] * 30 + [(False, True)] * 10))
    for name in ("balanced_accuracy", "auc", "recall_unmet"):
        assert value(found, name) is None
        assert found[name]["reason"]
    assert found["recall_unmet"]["reason"] == "every label is met"
    assert value(found, "kappa") == 0.0
    assert "undefined" in found["conclusions"][0]


def test_a_verdict_never_given_has_no_precision() -> None:
    found = agreement(verdicts([(False, True)] * 15 + [(False, False)] * 15))
    assert found["precision"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "the grader never finds it met",
    }
    assert value(found, "f1") == 0.0


def test_what_is_hardly_ever_defined_has_no_interval() -> None:
    found = agreement(verdicts([(True, True)] * 59 + [(True, False)]))
    assert found["balanced_accuracy"]["low"] is None
    assert "of the resamples" in found["balanced_accuracy"]["reason"]


def test_labels_that_are_verdicts_have_no_order() -> None:
    found = agreement(verdicts([(True, True), (False, False), (True, False)] * 10))
    for name in ("spearman", "kendall", "pearson", "quadratic_kappa", "mae", "exact"):
        assert value(found, name) is None
        assert "two values" in found[name]["reason"]


def test_equal_scores_have_no_correlation() -> None:
    found = agreement(scores([3] * 40, digits(GOLD)))
    for name in ("spearman", "kendall", "pearson"):
        assert value(found, name) is None
        assert "all the same" in found[name]["reason"]
    assert value(found, "quadratic_kappa") == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "was graded has a label"),
        (verdicts([(True, None)] * 5), "was graded has a label"),
        (verdicts([(None, True)] * 5), "has a label was graded"),
    ],
)
def test_without_labels_or_grades_there_is_nothing_to_compare(
    rows: list[Judged], said: str
) -> None:
    found = agreement(rows)
    assert found["n"] == 0
    assert found["conclusions"] == [f"Nothing that {said}: there is nothing to compare."]
    assert value(found, "accuracy") is None
    assert found["accuracy"]["reason"]


# ------------------------------------------------------------------ at chance


def test_a_coin_is_at_chance_in_so_many_words() -> None:
    rng = random.Random(4)
    found = agreement(verdicts([(rng.random() < 0.5, rng.random() < 0.5) for _ in range(200)]))
    assert found["chance"]["verdicts"] == "at chance"
    assert found["conclusions"][0].startswith("Verdicts: at chance: balanced accuracy 0.")


def test_always_the_same_verdict_is_at_chance_however_accurate() -> None:
    found = agreement(verdicts([(True, True)] * 90 + [(True, False)] * 10))
    assert value(found, "accuracy") == pytest.approx(0.9)
    assert found["chance"]["verdicts"] == "at chance"
    assert "not shown to be more than the 0.900" in " ".join(found["conclusions"])


def test_a_grader_that_turns_everything_round_is_worse_than_chance() -> None:
    found = agreement(verdicts([(True, False), (False, True)] * 40 + [(True, True)] * 4))
    assert found["chance"]["verdicts"] == "worse than chance"


def test_good_scores_behind_useless_verdicts_are_pointed_out() -> None:
    rows = [
        Judged(n, True, 0.6 + 0.3 * (n % 2) + 0.01 * (n % 7), (Label(met=bool(n % 2)),))
        for n in range(60)
    ]
    found = agreement(rows)
    assert found["chance"] == {
        "verdicts": "at chance",
        "scores": "better than chance",
        "ranks": None,
    }
    assert "another pass score" in found["conclusions"][1]


def test_scores_without_order_are_at_chance() -> None:
    rng = random.Random(8)
    given = [rng.randint(1, 5) for _ in range(80)]
    found = agreement(scores(given, [rng.randint(1, 5) for _ in given]))
    assert found["chance"]["ranks"] == "at chance"
    assert any("Order of the scores: at chance" in text for text in found["conclusions"])


# ------------------------------------------------------------------ several raters


def test_the_label_is_what_most_raters_say_and_a_split_is_none() -> None:
    rows = [
        Judged(0, True, 1.0, (Label(True), Label(True), Label(False))),
        Judged(1, True, 1.0, (Label(True), Label(False))),
    ]
    found = agreement(rows)
    assert (found["n"], found["labelled"], found["split"], found["raters"]) == (2, 2, 1, 3)
    assert value(found, "accuracy") == 1.0
    assert found["accuracy"]["low"] < 0.3  # it rests on one


def test_raters_with_each_other_have_fleiss_kappa() -> None:
    # Three raters: of 30 things 10 are met by all, 10 by one, 10 by none.
    votes = [(True,) * 3] * 10 + [(True, False, False)] * 10 + [(False,) * 3] * 10
    rows = [Judged(n, any(found), 1.0, tuple(map(Label, found))) for n, found in enumerate(votes)]
    raters = agreement(rows)["baselines"]["raters"]
    agree, met = (10 + 10 / 3 + 10) / 30, 40 / 90
    chance = met**2 + (1 - met) ** 2
    assert value(raters, "accuracy") == pytest.approx(agree)
    assert value(raters, "kappa") == pytest.approx((agree - chance) / (1 - chance))
    assert raters["n"] == 30


def test_grader_and_rater_are_compared_one_against_one() -> None:
    gold = digits(GOLD)
    rows = scores(gold, gold, [max(1, g - 1) for g in gold])
    found = agreement(rows)["baselines"]
    assert value(found["grader_and_rater"], "exact") == pytest.approx(
        (40 + gold.count(1)) / 80
    )  # with the first always, with the second where there is nothing below
    assert value(found["raters"], "exact") == pytest.approx(gold.count(1) / 40)
    told = " ".join(agreement(rows)["conclusions"])
    assert "Quadratic kappa of the grader with a single rater" in told


def test_one_rater_is_no_baseline() -> None:
    found = agreement(verdicts([(True, True), (False, False)] * 15))["baselines"]["raters"]
    assert value(found, "kappa") is None
    assert found["kappa"]["reason"]


# ------------------------------------------------------------------ reliability


def voted(votes: Sequence[tuple[bool, ...]], gold: Sequence[bool]) -> list[Judged]:
    return [
        Judged(
            n,
            sum(cast) > len(cast) / 2,
            sum(cast) / len(cast),
            (Label(met=label),),
            votes=tuple(Vote(vote, float(vote)) for vote in cast),
        )
        for n, (cast, label) in enumerate(zip(votes, gold, strict=True))
    ]


def test_repeats_are_compared_with_each_other() -> None:
    cast = [(True,) * 3] * 10 + [(True, False, False)] * 10 + [(False,) * 3] * 10
    found = agreement(voted(cast, [True] * 10 + [False] * 20))
    agree, met = (10 + 10 / 3 + 10) / 30, 40 / 90
    chance = met**2 + (1 - met) ** 2
    assert value(found, "repeat_agreement") == pytest.approx(agree)
    assert value(found, "repeat_kappa") == pytest.approx((agree - chance) / (1 - chance))
    assert value(found, "repeat_spread") == pytest.approx(sqrt(2) / 3 / 3)


def test_accuracy_is_told_against_coverage() -> None:
    sure, unsure = (True,) * 4, (True, True, True, False)
    cast = [sure] * 20 + [unsure] * 20
    found = agreement(voted(cast, [True] * 20 + [True, False] * 10))
    assert [(row["votes"], row["n"], row["coverage"]) for row in found["coverage"]] == [
        (1.0, 20, 0.5),
        (0.75, 40, 1.0),
    ]
    assert [value(row, "accuracy") for row in found["coverage"]] == [1.0, 0.75]
    assert any("Where all repeats agree (50%" in text for text in found["conclusions"])


def test_jurors_are_compared_with_each_other_and_each_with_itself() -> None:
    def ballots(*cast: tuple[str, bool]) -> tuple[Vote, ...]:
        return tuple(Vote(met, float(met), juror) for juror, met in cast)

    judged = [
        replace(one, votes=votes)
        for one, votes in zip(
            verdicts([(True, True), (False, True)]),
            [
                ballots(("a", True), ("a", True), ("b", True), ("b", True)),
                ballots(("a", True), ("a", False), ("b", False), ("b", False)),
            ],
            strict=True,
        )
    ]
    found = agreement(judged)
    # Each juror's two votes: alike in three of four pairs.
    assert value(found, "repeat_agreement") == pytest.approx(3 / 4)
    # A vote of one and a vote of the other: always alike on the first, half of the time then.
    assert value(found, "jury_agreement") == pytest.approx((1 + 1 / 2) / 2)
    yes = (1 + 1 / 4) / 2
    by_chance = yes**2 + (1 - yes) ** 2
    assert value(found, "jury_kappa") == pytest.approx((3 / 4 - by_chance) / (1 - by_chance))
    assert value(found, "jury_spread") == pytest.approx((0 + 1 / 4) / 2)
    assert {name: part["n"] for name, part in found["jurors"].items()} == {"a": 4, "b": 4}
    assert value(found["jurors"]["a"], "accuracy") == 3 / 4
    assert value(found["jurors"]["b"], "accuracy") == 1 / 2
    assert any("jury agreement" in line for line in lines(found))


def test_without_jurors_nothing_is_said_of_them() -> None:
    found = agreement(verdicts([(True, True), (False, False)]))
    assert (found["jurors"], found["files"]) == ({}, [])
    assert found["jury_kappa"]["reason"] == "nothing was graded by several jurors"
    assert not any("jur" in line for line in lines(found))


def test_without_repeats_there_is_nothing_to_abstain_by() -> None:
    found = agreement(verdicts([(True, True), (False, False)] * 15))
    assert found["coverage"] == []
    assert found["repeat_agreement"]["reason"] == "nothing was graded twice"


def test_the_ungraded_are_counted_and_never_wrong() -> None:
    found = agreement(verdicts([(True, True)] * 30 + [(None, True)] * 10))
    assert value(found, "ungraded_rate") == 0.25
    assert value(found, "accuracy") == 1.0
    assert (found["n"], found["graded"], found["labelled"]) == (30, 30, 40)


def test_scores_that_follow_length_are_told() -> None:
    rows = [
        replace(one, length=100 * int(one.score or 0) + n % 3)
        for n, one in enumerate(scores(digits(SCORE), digits(GOLD)))
    ]
    found = agreement(rows)
    assert (value(found, "length_correlation") or 0) > 0.95
    assert (value(found, "length_correlation_gold") or 0) < 0.85
    assert any(text.startswith("Scores correlate with length") for text in found["conclusions"])


# ------------------------------------------------------------------ corrected pass rate


def test_the_pass_rate_is_corrected_by_what_the_labels_say_of_errors() -> None:
    # Sensitivity 0.9, specificity 0.8; 40 of 80 without a label pass.
    labelled = [(True, True)] * 36 + [(False, True)] * 4 + [(True, False)] * 8
    labelled += [(False, False)] * 32
    rows = verdicts([*labelled, *[(True, None)] * 40, *[(False, None)] * 40])
    found = agreement(rows)
    observed = (44 + 40) / 160
    assert value(found, "corrected_pass_rate") == pytest.approx((observed + 0.8 - 1) / 0.7)
    assert found["corrected_pass_rate"]["low"] < found["corrected_pass_rate"]["value"]
    assert any("Corrected for the grader's errors" in text for text in found["conclusions"])


def test_a_pass_rate_is_corrected_by_the_formula_and_kept_between_0_and_1() -> None:
    # Columns: both say met, only the grader, only the label, neither; found met, graded.
    sums = np.asarray(
        [
            [4.0, 1.0, 1.0, 4.0, 50.0, 100.0],  # (0.5 - 0.2) / (0.8 + 0.8 - 1)
            [4.0, 1.0, 1.0, 4.0, 95.0, 100.0],
            [4.0, 1.0, 1.0, 4.0, 10.0, 100.0],
            [1.0, 1.0, 1.0, 1.0, 50.0, 100.0],  # at chance
            [1.0, 4.0, 4.0, 1.0, 50.0, 100.0],  # worse
            [4.0, 0.0, 1.0, 0.0, 50.0, 100.0],  # no label is unmet
        ]
    )
    expected = [0.5, 1.0, 0.0, np.nan, np.nan, np.nan]
    assert measures.CORRECTED(sums) == pytest.approx(np.asarray(expected), nan_ok=True)


def test_nothing_is_corrected_by_a_grader_at_chance() -> None:
    rows = verdicts([(True, True), (True, False), (False, True), (False, False)] * 10)
    figure = agreement(rows)["corrected_pass_rate"]
    assert figure["value"] is None
    assert "at chance" in figure["reason"]


def test_a_corrected_pass_rate_is_a_rate() -> None:
    labelled = [(True, True)] * 38 + [(False, True)] * 2 + [(True, False)] * 10
    labelled += [(False, False)] * 30
    found = agreement(verdicts([*labelled, *[(False, None)] * 900]))
    assert value(found, "corrected_pass_rate") == 0.0


# ------------------------------------------------------------------ tags


def test_each_tag_has_its_own_figures() -> None:
    rows = verdicts([(True, True), (False, False)] * 15 + [(True, False), (False, True)] * 15)
    rows = [replace(one, tags=("all", "easy" if n < 30 else "hard")) for n, one in enumerate(rows)]
    found = {row["name"]: row for row in agreement(rows)["tags"]}
    assert {name: row["n"] for name, row in found.items()} == {"all": 60, "easy": 30, "hard": 30}
    assert [value(found[name], "accuracy") for name in ("all", "easy", "hard")] == [0.5, 1, 0]


# ------------------------------------------------------------------ on a terminal


def test_the_table_fits_a_terminal_and_says_why_a_figure_is_missing() -> None:
    rows = scores(digits(SCORE), digits(GOLD), [min(5, g + 1) for g in digits(GOLD)])
    rows = [replace(one, tags=("a rather long name of a tag, " * 3,)) for one in rows]
    printed = list(lines(agreement(rows)))
    assert all(len(line) <= 80 for line in printed)
    text = "\n".join(printed)
    assert printed[0] == "agreement over 40 labelled grades (besides: 6 with raters split evenly)"
    assert "Verdicts: better than chance" in text
    assert "kappa, two raters" in text
    assert "undefined: repeat agreement, repeat kappa, repeat spread: nothing was graded" in text


def test_the_table_without_labels_is_one_sentence() -> None:
    assert list(lines(agreement([]))) == [
        "agreement over 0 labelled grades",
        "  Nothing that was graded has a label: there is nothing to compare.",
    ]


# ------------------------------------------------------------------ the commoner verdict


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(True, True), (False, False)] * 30, "more than the 0.500"),
        ([(False, True), (True, False)] * 30, "less than the 0.500"),
        ([(True, True)] * 30 + [(True, False)] * 10, "not shown to be more than the 0.750"),
    ],
)
def test_accuracy_is_held_against_the_commoner_verdict(
    rows: list[tuple[bool | None, bool | None]], said: str
) -> None:
    sentences = agreement(verdicts(rows))["conclusions"]
    [accuracy] = [one for one in sentences if one.startswith("Accuracy ")]
    assert f": {said} of always" in accuracy
