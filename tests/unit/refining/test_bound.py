"""The experiment that bounds what a rule for drafting could save."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest

from refinecli.types import Completion, Usage
from tests.experiments.bound import Inferring, World, knowing_rows, levels_of, played, told
from tests.experiments.frontier import Draft, Recorded
from tests.support import fakes

LEVELS = np.array([0.0, 0.4, 0.8, 1.0])
ALIKE = World(LEVELS, np.array([[0.2, 0.4, 0.3, 0.1]]), np.array([100.0]))
UNLIKE = World(
    LEVELS,
    np.array([[0.9, 0.1, 0.0, 0.0], [0.3, 0.4, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]),
    np.array([150.0, 100.0, 80.0]),
)


def net(point: tuple[float, float], price: float) -> float:
    score, tokens = point
    return score - price * tokens


@pytest.mark.parametrize("price", [0, 0.0002, 0.001, 0.01])
def test_where_rows_are_alike_there_is_nothing_to_infer(price: float) -> None:
    assert Inferring(ALIKE, 5).plan(price).point == pytest.approx(knowing_rows(ALIKE, 5, price))


@pytest.mark.parametrize("price", [0.0002, 0.0005, 0.001])
def test_to_know_the_row_is_worth_more_than_to_infer_it_and_that_more_than_any_fixed_number(
    price: float,
) -> None:
    knowing = net(knowing_rows(UNLIKE, 5, price), price)
    inferring = net(Inferring(UNLIKE, 5).plan(price).point, price)
    assert knowing > inferring > max(net(UNLIKE.best_of(n), price) for n in range(1, 6))


def test_no_plan_of_three_drafts_is_better_than_the_one_that_is_found() -> None:
    price, rule = 0.001, Inferring(UNLIKE, 3)
    found = rule.plan(price)
    sizes = [len(at.best) for at in rule.states]
    best = -np.inf
    for goes in itertools.product([False, True], repeat=sum(sizes[1:])):
        plan = [(True,), goes[: sizes[1]], goes[sizes[1] :]]
        best = max(best, net(_by_hand(plan, rule), price))
    assert net(found.point, price) == pytest.approx(best)


def _by_hand(plan: Sequence[Sequence[bool]], rule: Inferring) -> tuple[float, float]:
    """Return what a plan comes to over all that three drafts can be."""
    score = tokens = 0.0
    for odds, each in zip(UNLIKE.odds, UNLIKE.tokens, strict=True):
        for drafts in itertools.product(range(4), repeat=3):
            likely = np.prod(odds[list(drafts)]) / len(UNLIKE.odds)
            state, taken = 0, []
            for number, level in enumerate(drafts):
                if not plan[number][state]:
                    break
                taken.append(level)
                if level == 3:
                    break
                state = rule.states[number].after[state, level]
            score += likely * LEVELS[max(taken)]
            tokens += likely * each * len(taken)
    return score, tokens


def test_recorded_drafts_are_played_until_full_marks_or_until_the_plan_stops() -> None:
    rows = [row(0.4, 1.0, 0.4), row(0.0, 0.0, 0.8)]
    rule = Inferring(UNLIKE, 3)
    between = np.array([0.2, 0.6, 0.9])
    free, dear = rule.plan(0), rule.plan(1)
    assert list(played(rule, free, rows, between)) == [(1.0, 20), (0.8, 30)]
    assert list(played(rule, dear, rows, between)) == [(0.4, 10), (0.0, 10)]


def row(*scores: float) -> Recorded:
    reply = Completion("A draft", "stop", usage=Usage(1, 4, 6))
    return Recorded(fakes.datapoint(), [Draft(reply, score) for score in scores])


def test_close_scores_are_one_level_and_full_marks_their_own() -> None:
    levels, between = levels_of([row(0.1, 0.12, 0.8, 1.0)], 3)
    assert levels == pytest.approx([0.11, 0.8, 1.0])
    assert between == pytest.approx([0.46, 0.9])


def test_a_score_that_no_price_buys_is_said_to_be_out_of_reach() -> None:
    points = [(0.5, 100.0), (0.7, 300.0)]
    assert told(points, (0.6, 400.0), 0.25) == "50% | -0.100"
    assert told(points, (0.8, 400.0), 0.25) == "never | -0.300"
