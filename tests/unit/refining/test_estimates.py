"""What is expected of a draft or a rewrite: from nothing, from earlier rows, from a row's own."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.refining.estimates import (
    Lesson,
    Lessons,
    Tally,
    Tried,
    closings,
    gain_of_draft,
    gain_of_rewrite,
    lesson_of,
)

_SCORES = st.floats(-0.5, 1.0)


def test_a_lesson_has_drafts_and_how_much_of_the_way_each_rewrite_went() -> None:
    steps = [
        Tried("policy", None, 0.5),
        Tried("reviser", 0, 0.75),
        Tried("reviser", 1, 0.25),
        Tried("policy", None, None),
        Tried("policy", None, 1.0),
    ]
    assert lesson_of(steps) == Lesson((0.5, 1.0), (0.5, 0.0))
    assert closings(steps) == [(0, 0.5), (1, 0.0)]


def test_a_response_that_a_file_brought_is_not_a_draft() -> None:
    assert lesson_of([Tried("input", None, 0.5), Tried("reviser", 0, 1.0)]) == Lesson((), (1.0,))


def test_many_rows_outweigh_the_prior() -> None:
    rng = random.Random(1)
    seen = Lessons()
    for _ in range(2000):
        mean = rng.gauss(0.3, 0.1)
        seen.add(Lesson(tuple(rng.gauss(mean, 0.2) for _ in range(3))))
    known = seen.estimates.drafts
    assert known.mean == pytest.approx(0.3, abs=0.02)
    assert known.doubt == pytest.approx(0.1**2, abs=0.004)
    assert known.scatter == pytest.approx(0.2**2, abs=0.004)


def test_a_rows_own_tries_count_more_where_rows_differ_more_than_tries_do() -> None:
    def believed(between: float, within: float) -> float:
        rng = random.Random(2)
        tally = Tally()
        for _ in range(500):
            mean = rng.gauss(0.5, between)
            tally.add([rng.gauss(mean, within) for _ in range(4)])
        from refinecli.refining.estimates import DRAFTS

        return tally.belief(DRAFTS).after([0.9]).mean

    assert believed(0.3, 0.05) > 0.85
    assert believed(0.03, 0.3) < 0.6


def test_the_gain_of_a_draft_is_that_of_simulated_drafts() -> None:
    rng = random.Random(3)
    full, mean, spread, best = 0.2, 0.5, 0.2, 0.6
    gains = []
    for _ in range(40_000):
        score = 1.0 if rng.random() < full else min(1.0, rng.gauss(mean, spread))
        gains.append(max(0.0, score - best))
    assert gain_of_draft(full, mean, spread, best) == pytest.approx(
        sum(gains) / len(gains), abs=0.003
    )


@given(_SCORES, _SCORES, st.floats(0, 1), st.floats(0, 2), st.floats(0, 1))
def test_gains_are_within_what_is_left_to_gain(
    best: float, mean: float, full: float, spread: float, closing: float
) -> None:
    left = 1 - best
    assert 0 <= gain_of_draft(full, mean, spread, best) <= left + 1e-9
    assert 0 <= gain_of_rewrite(closing, best, best) <= left + 1e-9
    assert gain_of_rewrite(closing, best, best) == pytest.approx(closing * left, abs=1e-9)


def test_a_rewrite_of_a_poorer_response_has_further_to_go() -> None:
    assert gain_of_rewrite(0.4, 0.3, 0.6) < gain_of_rewrite(0.4, 0.6, 0.6)
    assert gain_of_rewrite(0.0, 0.6, 0.6) == 0


@given(st.lists(st.lists(st.floats(0, 1), max_size=5), max_size=20))
def test_whatever_was_seen_beliefs_are_finite_and_not_certain(rows: list[list[float]]) -> None:
    seen = Lessons()
    for row in rows:
        seen.add(Lesson(tuple(row), tuple(row)))
    for known in seen.estimates:
        assert math.isfinite(known.mean)
        assert known.doubt > 0
        assert known.scatter > 0


def test_rows_that_end_with_their_first_full_marks_do_not_pass_for_better_ones() -> None:
    """Of rows of 1 to 8 tries the mean share of hits is twice the share among all drafts."""
    rng = random.Random(4)
    ended, whole = Lessons(), Lessons()
    shares = []
    for _ in range(1000):
        odds = rng.betavariate(0.5, 4)
        tries = [float(rng.random() < odds) for _ in range(8)]
        upto = tries.index(1.0) + 1 if 1.0 in tries else 8
        shares.append(sum(tries[:upto]) / upto)
        ended.add(Lesson(tuple(tries[:upto])))
        whole.add(Lesson(tuple(tries)))
    assert sum(shares) / len(shares) > 0.2
    for seen in (ended, whole):
        known = seen.estimates.full_marks
        assert known.mean == pytest.approx(0.5 / 4.5, abs=0.015)
        assert known.scatter / known.doubt == pytest.approx(4.5, rel=0.3)


def test_a_few_rows_move_the_belief_in_full_marks_and_do_not_settle_it() -> None:
    seen = Lessons()
    before = seen.estimates.full_marks.mean
    for _ in range(4):
        seen.add(Lesson((1.0,)))
    assert before + 0.05 < seen.estimates.full_marks.mean < 0.5
    assert seen.estimates.full_marks.after([0.0] * 3).mean < seen.estimates.full_marks.mean
