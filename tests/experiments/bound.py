"""How little could any rule spend that only draws again or stops? From recorded drafts.

    python -m tests.experiments.bound sixteen-drafts.jsonl --best-of 8 --most 8 16

Three rules, each optimal for what it knows, at every price of a token:

- one that knows the distribution of each row's scores (which of two rows it has, it knows too);
- one that knows the distributions of all rows but not which of them it has, and infers that from
  the scores so far (dynamic programming over their counts);
- the same, learned from one half of the rows and played on the drafts of the other.

The first two are scored in worlds where the truth is known: a row's distribution is that of its
drafts as recorded, or drawn from those that its drafts leave possible. The former makes rows look
more different than they are, so that knowing them is worth too much: no rule does better. Scores
are grouped into levels, or there would be too many states. Prints a Markdown table: the share of
best-of-n's tokens that the rule needs for its score, and how far ahead of it the rule is for so
much of its tokens.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import lgamma
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.experiments.frontier import Recorded, fixed, recorded

Floats = NDArray[np.float64]
Point = tuple[float, float]  # score and tokens of a row, on average

# What a draft has to promise so that it is drawn, in the score for the tokens of a usual one.
GAINS = (0, 0.005, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.05, 0.07)
CONCENTRATIONS = (1, 2, 4, 6, 8, 12, 16, 24, 32, 64, 128)
DRAWN = 2  # distributions for each row
ROUNDED = 0.0005  # no difference in a score


@dataclass(frozen=True)
class World:
    """The odds of each level of score and the tokens of a draft, for each kind of row. Kinds are
    equally frequent; the highest level, full marks, is the last."""

    levels: Floats
    odds: Floats
    tokens: Floats

    def best_of(self, drafts: int) -> Point:
        below = np.cumsum(self.odds, axis=1) ** drafts
        score = float(np.mean(np.diff(below, axis=1, prepend=0) @ self.levels))
        return score, drafts * float(self.tokens.mean())


# ------------------------------------------------------------------ worlds from drafts


def levels_of(rows: Sequence[Recorded], count: int) -> tuple[Floats, Floats]:
    """Return levels and the scores between them: full marks, and neighbours joined as long as that
    loses the least (Ward's criterion). What is below 0 is one: a better draft is never far."""
    scores = [max(draft.score, 0.0) for row in rows for draft in row.drafts if draft.score < 1]
    groups = [[score] * scores.count(score) for score in sorted(set(scores))]
    while len(groups) > count - 1:
        pairs = list(pairwise(groups))
        at = min(range(len(pairs)), key=lambda k: _lost(*pairs[k]))
        groups[at : at + 2] = [groups[at] + groups[at + 1]]
    tops, bottoms = [group[-1] for group in groups], [group[0] for group in groups[1:]]
    between = [(a + b) / 2 for a, b in zip(tops, [*bottoms, 1.0], strict=True)]
    return np.array([*map(np.mean, groups), 1.0]), np.array(between)


def _lost(a: Sequence[float], b: Sequence[float]) -> float:
    apart = sum(a) / len(a) - sum(b) / len(b)
    return len(a) * len(b) / (len(a) + len(b)) * apart**2


def counted(rows: Sequence[Recorded], between: Floats) -> Floats:
    """Return how many of each row's drafts have each level."""
    found = [np.searchsorted(between, [draft.score for draft in row.drafts]) for row in rows]
    return np.array([np.bincount(one, minlength=len(between) + 1) for one in found], float)


def tokens_of(rows: Sequence[Recorded]) -> Floats:
    return np.array([np.mean([draft.tokens for draft in row.drafts]) for row in rows])


def as_recorded(levels: Floats, counts: Floats, tokens: Floats) -> World:
    return World(levels, counts / counts.sum(axis=1, keepdims=True), tokens)


def drawn(levels: Floats, counts: Floats, tokens: Floats) -> World:
    """Draw each row's odds from what its drafts leave possible: a Dirichlet distribution around
    those of all rows, as concentrated as the drafts are likeliest with."""
    usual = (counts.sum(axis=0) + 0.5) / (counts.sum() + 0.5 * len(levels))
    around = usual * max(CONCENTRATIONS, key=lambda one: _likelihood(counts, usual * one))
    rng = np.random.default_rng(0)
    odds = [rng.dirichlet(row + around) for _ in range(DRAWN) for row in counts]
    return World(levels, np.array(odds), np.tile(tokens, DRAWN))


def _likelihood(counts: Floats, around: Floats) -> float:
    usual = lgamma(around.sum()) - sum(map(lgamma, around))
    return sum(
        usual + sum(map(lgamma, row + around)) - lgamma((row + around).sum()) for row in counts
    )


# ------------------------------------------------------------------ rules


def knowing_rows(world: World, most: int, price: float) -> Point:
    """Return what the rule comes to that knows each row's odds: it draws as long as a draft gains
    more than it costs, which is optimal where earlier drafts can still be returned to."""
    levels, scores, spent = world.levels, [], []
    gains = np.maximum(levels[None, :] - levels[:, None], 0)  # of each level over each
    higher = np.maximum.outer(np.arange(len(levels)), np.arange(len(levels)))
    for odds, tokens in zip(world.odds, world.tokens, strict=True):
        promised = gains @ odds
        goes = promised > price * tokens
        goes[-1] = False
        gained, further = np.zeros(len(levels)), np.zeros(len(levels))
        for _ in range(most - 1):
            gained = np.where(goes, promised + gained[higher] @ odds, 0)
            further = np.where(goes, tokens + further[higher] @ odds, 0)
        scores.append(odds @ (levels + gained))
        spent.append(tokens + odds @ further)
    return float(np.mean(scores)), float(np.mean(spent))


@dataclass(frozen=True)
class States:
    """The states after so many drafts without full marks: their best levels, the odds of the next
    draft, its tokens, and the states it leads to."""

    best: Floats
    odds: Floats
    tokens: Floats
    after: NDArray[np.intp]


@dataclass(frozen=True)
class Plan:
    """In which states it draws again, and what that comes to."""

    goes: Sequence[NDArray[np.bool_]]
    point: Point


class Inferring:
    """The rule that does not know which row it has: its states, whatever the price."""

    def __init__(self, world: World, most: int) -> None:
        self.levels = world.levels
        counts = np.zeros((1, len(world.levels) - 1), int)
        self.states = []
        for _ in range(most):
            following, after = _following(counts)
            self.states.append(_states(world, counts, after))
            counts = following

    def plan(self, price: float) -> Plan:
        """Return the best plan at this price, from the last draft backwards."""
        last = self.states[-1].after.max() + 1
        worth, gained, further = np.zeros(last), np.zeros(last), np.zeros(last)
        plan: list[NDArray[np.bool_]] = []
        for at in reversed(self.states):
            gains = np.maximum(self.levels - at.best[:, None], 0)
            short = at.odds[:, :-1]  # of full marks: they end the row
            gain = (at.odds * gains).sum(axis=1)
            net = gain - price * at.tokens + (short * worth[at.after]).sum(axis=1)
            goes = net > 0 if at is not self.states[0] else np.array([True])
            gained = np.where(goes, gain + (short * gained[at.after]).sum(axis=1), 0)
            further = np.where(goes, at.tokens + (short * further[at.after]).sum(axis=1), 0)
            worth = np.where(goes, net, 0)
            plan.append(goes)
        lowest = float(self.states[0].best[0])
        return Plan(plan[::-1], (lowest + float(gained[0]), float(further[0])))


def _following(counts: NDArray[np.int_]) -> tuple[NDArray[np.int_], NDArray[np.intp]]:
    """Return the counts with one draft more, and which of them each level leads to."""
    more = [counts + one for one in np.eye(counts.shape[1], dtype=int)]
    found, after = np.unique(np.concatenate(more), axis=0, return_inverse=True)
    return found, after.reshape(len(more), -1).T


def _states(world: World, counts: NDArray[np.int_], after: NDArray[np.intp]) -> States:
    with np.errstate(divide="ignore"):
        logs = np.maximum(np.log(world.odds[:, :-1]), -1e6)  # impossible, but never minus infinity
    odds, tokens = np.empty((len(counts), len(world.levels))), np.empty(len(counts))
    for start in range(0, len(counts), 10_000):
        part = slice(start, start + 10_000)
        likely = counts[part] @ logs.T
        weights = np.exp(likely - likely.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        odds[part], tokens[part] = weights @ world.odds, weights @ world.tokens
    best = np.where(counts > 0, world.levels[:-1], world.levels[0]).max(axis=1)
    return States(best, odds, tokens, after)


def played(
    rule: Inferring, plan: Plan, rows: Sequence[Recorded], between: Floats
) -> Iterator[Point]:
    """Yield the score and the tokens of each row by its drafts, in their order."""
    for row in rows:
        state, best, spent = 0, 0.0, 0
        for number, draft in enumerate(row.drafts[: len(plan.goes)]):
            if not plan.goes[number][state]:
                break
            best = max(best, draft.score) if number else draft.score
            spent += draft.tokens
            if draft.score >= 1:
                break
            state = rule.states[number].after[state, np.searchsorted(between, draft.score)]
        yield best, spent


# ------------------------------------------------------------------ table


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.bound")
    parser.add_argument("drafts", type=Path, help="what best-of-n wrote")
    parser.add_argument("--best-of", type=int, default=8, help="best-of-n's drafts")
    parser.add_argument("--most", type=int, nargs="*", default=[8], help="the rules' drafts")
    parser.add_argument("--levels", type=int, default=9, help="of scores")
    parser.add_argument("--share", type=float, default=0.65, help="of best-of-n's tokens")
    parser.add_argument("--times", type=int, default=20, help="shuffles of recorded drafts")
    options = parser.parse_args()
    rows = recorded(options.drafts)
    levels, between = levels_of(rows, options.levels)
    counts, tokens = counted(rows, between), tokens_of(rows)
    print(f"| odds of a row | at most | the rule knows | for its score | at {options.share:.0%} |")
    print("|---|---|---|---|---|")
    worlds = {"as recorded": as_recorded, "drawn": drawn}
    for name, make in worlds.items():
        world = make(levels, counts, tokens)
        control = world.best_of(options.best_of)
        prices = [gain / world.tokens.mean() for gain in GAINS]
        for most in options.most:
            each = [knowing_rows(world, most, price) for price in prices]
            print(f"| {name} | {most} | the row | {told(each, control, options.share)} |")
            rule = Inferring(world, most)
            each = [rule.plan(price).point for price in prices]
            print(
                f"| {name} | {most} | all rows | {told(each, control, options.share)} |", flush=True
            )
    for most in options.most:
        print(
            f"| real drafts | {most} | other rows | {on_others(rows, most, options)} |", flush=True
        )


def on_others(rows: Sequence[Recorded], most: int, options: argparse.Namespace) -> str:
    """Return the cells of the rule that learns from one half and is played on the other."""
    mixed = list(shuffled_drafts(rows, options.times))
    points: list[list[Point]] = [[] for _ in GAINS]
    for half in (0, 1):
        learned = rows[1 - half :: 2]
        levels, between = levels_of(learned, options.levels)
        world = drawn(levels, counted(learned, between), tokens_of(learned))
        rule = Inferring(world, most)
        for gain, found in zip(GAINS, points, strict=True):
            plan = rule.plan(gain / world.tokens.mean())
            for some in mixed:
                found.extend(played(rule, plan, some[half::2], between))
    score, tokens = zip(*(fixed(some, options.best_of) for some in mixed), strict=True)
    control = float(np.mean(score)), float(np.mean(tokens)) / len(rows)
    return told([averaged(found) for found in points], control, options.share)


def shuffled_drafts(rows: Sequence[Recorded], times: int) -> Iterator[list[Recorded]]:
    for seed in range(times):
        rng = random.Random(seed)
        yield [Recorded(row.point, rng.sample(row.drafts, len(row.drafts))) for row in rows]


def averaged(points: Sequence[Point]) -> Point:
    score, tokens = np.mean(points, axis=0)
    return float(score), float(tokens)


def told(points: Sequence[Point], control: Point, share: float) -> str:
    """Return the share of tokens for the control's score, and how far ahead it is at a share; in
    between one may toss a coin."""
    score, spent = control
    scores, tokens = zip(*sorted(points, key=lambda point: point[1]), strict=True)
    reached = max(scores) > score - ROUNDED
    needed = f"{np.interp(score, scores, tokens) / spent:.0%}" if reached else "never"
    ahead = np.interp(share * spent, tokens, scores) - score
    return f"{needed} | {ahead:+.3f}"


if __name__ == "__main__":
    main()
