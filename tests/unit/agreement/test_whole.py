"""All figures of one mixed set of grades, and what is said of them."""

from __future__ import annotations

import random

import pytest

from refinecli.agreement.calibration import calibrate
from refinecli.agreement.figures import agreement
from refinecli.agreement.judged import Judged, Label, Vote
from refinecli.agreement.table import lines
from refinecli.types import JSONObject
from tests.support.approved import approve, approve_json

RNG_SEED = 11


def mixed() -> list[Judged]:
    """Sixty datapoints of two items each: repeats and two jurors, two raters, some ungraded."""
    rng = random.Random(RNG_SEED)
    found = []
    for number in range(120):
        true = rng.randint(1, 5)
        cast = [min(5, max(1, true + rng.choice((-1, 0, 0, 0, 1)))) for _ in range(4)]
        votes = tuple(
            Vote(one >= 4, float(one), juror)
            for one, juror in zip(cast, ("a", "a", "b", "b"), strict=True)
        )
        score = sum(cast) / 4
        raters = [min(5, max(1, true + rng.choice((-1, 0, 0, 1)))) for _ in range(number % 3)]
        graded = number % 10 != 9
        found.append(
            Judged(
                number // 2,
                score >= 3.5 if graded else None,
                score if graded else None,
                tuple(Label(one >= 4, float(one)) for one in raters),
                (1.0, 5.0),
                length=100 * cast[0] + rng.randint(0, 300),
                tags=("long", "short")[number % 2 :],
                votes=votes,
                likely=rng.random() * (0.9 if true >= 4 else 0.6),
                penalty=number % 7 == 0,
                file=f"{number % 2}.jsonl",
            )
        )
    return found


@pytest.fixture(scope="module")
def figures() -> JSONObject:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refinecli.stats.resampling.RESAMPLES", 1_000)
        patch.setattr("refinecli.stats.resampling._RANK_RESAMPLES", 200)
        return agreement(mixed())


def test_all_figures_of_a_mixed_set_are_the_approved_ones(figures: JSONObject) -> None:
    approve_json("agreement/approved/figures.json", figures)


def test_the_table_of_a_mixed_set_is_the_approved_one(figures: JSONObject) -> None:
    approve("agreement/approved/table.txt", "\n".join(lines(figures)))


def test_the_calibration_of_a_mixed_set_is_the_approved_one() -> None:
    found = calibrate(mixed(), 0.5)
    assert found is not None
    approve_json(
        "agreement/approved/calibration.json",
        {
            "threshold": found.threshold,
            "n": found.n,
            "clusters": found.clusters,
            "chance": found.chance,
            "auc": found.auc.record(),
            "before": found.before.record(),
            "fitted": found.fitted.record(),
            "held_out": found.held_out.record(),
        },
    )
