"""First and final responses graded again: what is made of the repeats."""

from __future__ import annotations

import pytest

from refinecli.report.fresh_grades import regrade_of
from tests.support.fakes import rubric_item


def test_an_item_is_compared_over_the_repeats_that_graded_both() -> None:
    """A wording that is stricter than others must not count against one response alone."""
    one = regrade_of([rubric_item()], [[0.0], [1.0], [0.5]], [[None], [1.0], [0.5]])
    assert (one.first, one.final) == (0.75, 0.75)
    apart = regrade_of([rubric_item()], [[0.0], [None]], [[None], [1.0]])
    assert (apart.first, apart.final) == (0.0, 1.0)
    missing = regrade_of([rubric_item(), rubric_item(1)], [[0.0, None]], [[1.0, 1.0]])
    assert (missing.first, missing.final) == (None, 1.0)
    assert missing.items == ((0.0, 1.0), (None, 1.0))


def test_the_spread_is_how_far_the_repeats_of_one_text_lie_apart() -> None:
    calm = regrade_of([rubric_item()], [[0.5], [0.5]], [[1.0], [1.0]])
    noisy = regrade_of([rubric_item()], [[0.0], [1.0]], [[1.0], [0.0]])
    once = regrade_of([rubric_item()], [[0.0]], [[1.0]])
    assert calm.spread == 0
    assert noisy.spread == pytest.approx(0.5**0.5)
    assert once.spread is None


def test_weights_and_penalties_count_as_in_the_loop() -> None:
    items = [rubric_item(weight=3.0), rubric_item(1, weight=-1.0)]
    one = regrade_of(items, [[1.0, 0.0]], [[1.0, 1.0]])
    assert (one.first, one.final) == (1.0, pytest.approx(2 / 3))
