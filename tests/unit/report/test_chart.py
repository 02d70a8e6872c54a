"""The frame of a chart: its ends and steps are round numbers around the scores."""

from __future__ import annotations

import pytest

from refinecli.report.html.chart import _frame


@pytest.mark.parametrize(
    ("scores", "bottom", "top", "step"),
    [
        ([0.0, 1.0], 0.0, 1.0, 0.25),
        ([0.31, 0.69], 0.3, 0.7, 0.1),
        ([0.42, 0.57], 0.4, 0.6, 0.05),
        ([-1.0, 3.0], -1.0, 3.0, 1.0),
    ],
)
def test_a_frame_holds_all_scores_in_about_four_round_steps(
    scores: list[float], bottom: float, top: float, step: float
) -> None:
    frame, found = _frame(3, scores)
    assert found == pytest.approx(step)
    assert (frame.bottom, frame.top) == (pytest.approx(bottom), pytest.approx(top))


def test_equal_scores_lie_in_the_middle_of_a_frame() -> None:
    frame, _ = _frame(3, [0.5, 0.5])
    assert frame.bottom < 0.5 < frame.top
