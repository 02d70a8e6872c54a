"""A threshold on how likely a pass is: fitted, and judged on what it was not fitted to."""

from __future__ import annotations

import pytest

from refinecli.agreement.calibration import Calibration, calibrate
from refinecli.agreement.judged import Judged, Label


def judged(*pairs: tuple[float | None, bool | None], penalty: bool = False) -> list[Judged]:
    """Rows of (how likely a pass is, the label), each a datapoint of its own."""
    return [
        Judged(
            n,
            True,
            1.0,
            () if gold is None else (Label(met=gold),),
            likely=likely,
            penalty=penalty,
        )
        for n, (likely, gold) in enumerate(pairs)
    ]


def fitted(*pairs: tuple[float | None, bool | None], penalty: bool = False) -> Calibration:
    found = calibrate(judged(*pairs, penalty=penalty), 0.5)
    assert found is not None
    return found


def test_the_threshold_lies_midway_between_what_it_tells_apart() -> None:
    assert fitted((0.1, False), (0.2, False), (0.3, True), (0.9, True)).threshold == 0.25
    assert fitted((0.6, False), (0.7, True)).threshold == 0.65


def test_a_label_met_fails_a_penalty() -> None:
    found = fitted((0.2, True), (0.8, False), penalty=True)
    assert found.threshold == 0.5
    assert found.fitted.value == 1.0


def test_of_equally_good_thresholds_the_one_nearest_to_a_half_is_taken() -> None:
    # Nothing is told apart by any of them.
    assert fitted((0.4, True), (0.4, False)).threshold in (0.0, 1.0)
    pairs = [(0.1, False), (0.2, True), (0.55, False), (0.6, True)]
    assert fitted(*pairs).threshold == 0.575


@pytest.mark.parametrize("gold", [True, False])
def test_labels_of_one_kind_have_no_threshold(gold: bool) -> None:
    assert calibrate(judged((0.2, gold), (0.8, gold)), 0.5) is None


def test_what_has_no_label_or_no_probability_is_left_out() -> None:
    found = fitted((0.2, False), (0.8, True), (None, True), (0.9, None))
    assert (found.n, found.clusters) == (2, 2)


def test_a_threshold_between_millionths_still_tells_them_apart() -> None:
    found = fitted((0.000_001, False), (0.000_002, True))
    assert 0.000_001 < found.threshold <= 0.000_002
    assert found.fitted.value == 1.0


def test_accuracy_is_that_before_after_and_on_what_was_held_out() -> None:
    # All below a half: before, everything fails.
    pairs = [(0.1, False), (0.3, True)] * 10
    found = fitted(*pairs)
    assert found.before.value == 0.5
    assert found.fitted.value == 1.0
    assert found.held_out.value == 1.0
    assert found.auc.value == 1.0
    assert found.chance is None or found.chance == "better than chance"


def test_a_threshold_that_fits_by_luck_does_not_hold_out() -> None:
    pairs = [(0.1 * n, bool(n % 2)) for n in range(1, 10)]
    found = fitted(*pairs)
    assert found.held_out.value is not None
    assert found.fitted.value is not None
    assert found.held_out.value < found.fitted.value
