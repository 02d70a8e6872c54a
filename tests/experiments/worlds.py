"""Is the adaptive loop ever much worse than the better pure loop? Four simulated worlds.

    python -m tests.experiments.worlds              # some minutes; prints a Markdown table

In each world a draft meets every criterion with a probability of its row; a rewrite repairs what
its parent fails and breaks what it meets, each with a probability of the world: useless, strong, in
between, or useless in half of the rows and strong in the others. The loops are the real ones, also
the order in which rows learn; only the models are made up. A pure loop stops at a response that
passes too, and is compared at the tokens that the adaptive loop took, between its whole steps by
interpolation.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from refinecli.prompts import Prompts
from refinecli.refining.estimates import lesson_of
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.runs.learning import Learner
from refinecli.types import Completion, Datapoint, Refinement, Usage
from tests.support import fakes

ITEMS = 5
LONGEST = 26  # responses of a pure loop, enough for the tokens of any adaptive one
# Tokens of a prompt and a reply: a rewrite is shown the answer and what is wrong with it.
DRAFT, REWRITE = Usage(1, 100, 100), Usage(1, 280, 100)


@dataclass(frozen=True)
class World:
    """The probabilities that a rewrite repairs a failed criterion and breaks a met one, in each of
    the kinds of rows."""

    name: str
    rewrites: Sequence[tuple[float, float]]


USELESS, STRONG = (0.03, 0.1), (0.6, 0.03)
WORLDS = (
    World("useless", [USELESS]),
    World("strong", [STRONG]),
    World("in between", [(0.25, 0.08)]),
    World("half and half", [USELESS, STRONG]),
)


@dataclass(frozen=True)
class Row:
    """A datapoint, how well the writer does on it, and what rewrites do to it."""

    point: Datapoint
    skill: float
    repairs: float
    breaks: float


def rows_of(world: World, n: int) -> list[Row]:
    rng = random.Random(f"rows {world.name}")
    items = [{"rubric_str": f"Has w{k}", "check": check(k)} for k in range(ITEMS)]
    return [
        Row(fakes.datapoint(*items, id=number), rng.betavariate(3, 3), *rng.choice(world.rewrites))
        for number in range(n)
    ]


def check(item: int) -> dict[str, Any]:
    return {"kind": "contains_all", "words": [f"w{item}"]}


async def run(row: Row, options: RefineOptions, **more: Any) -> Refinement:
    """Refine a row; what models say depends on the row and on which call it is, not on the loop."""

    def said(call: fakes.Call, met: Sequence[float], usage: Usage) -> Completion:
        draw = call.draw
        rng = random.Random(f"{draw.datapoint_id} {draw.role} {draw.iteration} {draw.sample}")
        words = [f"w{k}" for k in range(ITEMS) if rng.random() < met[k]]
        return Completion(" ".join([*words, str(rng.random())]), "stop", usage=usage)

    def draft(call: fakes.Call) -> Completion:
        return said(call, [row.skill] * ITEMS, DRAFT)

    def rewrite(call: fakes.Call) -> Completion:
        parent = str(call.messages[-2]["content"]).split()
        odds = [1 - row.breaks if f"w{k}" in parent else row.repairs for k in range(ITEMS)]
        return said(call, odds, REWRITE)

    models = fakes.roles(draft, rewrite, fakes.nobody())
    return await refine(row.point, models, options, Prompts(), **more)


# ------------------------------------------------------------------ curves


def tokens(made: Refinement, responses: int) -> int:
    used = [it.usage for it in made.iterations[:responses]]
    return sum(usage.prompt_tokens + usage.completion_tokens for usage in used)


def at(made: Refinement, responses: int) -> tuple[float, int]:
    """Return the best score and the tokens after so many responses, fewer where one passed."""
    stop = next((k for k, it in enumerate(made.iterations, 1) if it.passed), LONGEST)
    count = min(responses, stop)
    return max(it.score or 0.0 for it in made.iterations[:count]), tokens(made, count)


def curve(made: Sequence[Refinement]) -> list[tuple[float, float]]:
    """Return tokens a row and score for 1, 2, … responses."""
    points = []
    for responses in range(1, LONGEST + 1):
        each = [at(one, responses) for one in made]
        points.append((sum(t for _, t in each) / len(each), sum(s for s, _ in each) / len(each)))
    return points


def score_at(points: Sequence[tuple[float, float]], spent: float) -> float:
    """Return a pure loop's score at this many tokens a row, by interpolation."""
    if spent <= points[0][0]:
        return points[0][1]
    for (t0, s0), (t1, s1) in pairwise(points):
        if spent <= t1:
            return s0 + (s1 - s0) * (spent - t0) / max(t1 - t0, 1e-9)
    return points[-1][1]


async def adaptive(rows: Sequence[Row], responses: int, seed: int) -> tuple[float, float, float]:
    """Return the score, the tokens a row and the share of rewrites."""
    learner = Learner()
    options = RefineOptions("adaptive", max_iterations=responses - 1)
    score, spent, steps, rewrites = 0.0, 0, 0, 0
    for row in rows:
        with learner.row() as learning:
            made = await run(row, options, seed=seed, estimates=learning.estimates)
            learning.lesson = lesson_of(made.iterations)
        score += made.best.score or 0.0
        spent += tokens(made, responses)
        steps += len(made.iterations) - 1
        rewrites += sum(it.role == "reviser" for it in made.iterations)
    return score / len(rows), spent / len(rows), rewrites / max(steps, 1)


async def main_async(n: int, seed: int) -> None:
    print("| world | at most | adaptive | tokens | rewrites | drafting | rewriting | ahead |")
    print("|---|---|---|---|---|---|---|---|")
    for world in WORLDS:
        rows = rows_of(world, n)
        drafting = RefineOptions("best-of-n", drafts=LONGEST, max_iterations=0)
        rewriting = RefineOptions("refine", max_iterations=LONGEST - 1, stop_on_repeat=False)
        drafts = curve([await run(row, drafting) for row in rows])
        rewrites = curve([await run(row, rewriting) for row in rows])
        for responses in (4, 8, 16):
            score, spent, share = await adaptive(rows, responses, seed)
            pure = score_at(drafts, spent), score_at(rewrites, spent)
            print(
                f"| {world.name} | {responses} | {score:.3f} | {spent:.0f} | {share:.0%} "
                f"| {pure[0]:.3f} | {pure[1]:.3f} | {score - max(pure):+.3f} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.worlds")
    parser.add_argument("-n", type=int, default=1000, help="rows of a world")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    asyncio.run(main_async(options.n, options.seed))


if __name__ == "__main__":
    main()
