"""What the adaptive loop keeps for its tokens at several values of `min_gain`: recorded drafts.

    python -m tests.experiments keywords     # its best-of-n arm records eight drafts a row
    python -m tests.experiments.frontier build/experiments/keywords/best-of-n.jsonl
    python -m tests.experiments.frontier sixteen-drafts.jsonl --best-of 8 --most 8 12 16

The loop is the real one, also the order in which rows learn. Rows and the drafts of each row are
shuffled many times, so that what is compared is settings and not luck; rewrites are taken to be
useless, and to cost what they cost here on average. Prints a Markdown table: the mean score and the
share of best-of-n's tokens, for best-of-n that stops at a draft that passes and for the loop with
at most so many responses. With more drafts recorded than best-of-n takes, what the loop saves in
some rows it may spend in others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from refinecli.prompts import Prompts
from refinecli.refining.estimates import lesson_of
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.runs.learning import Learner
from refinecli.types import Completion, Datapoint, Usage
from tests.support import fakes

REWRITE = Usage(1, 330, 70)


@dataclass(frozen=True)
class Draft:
    reply: Completion
    score: float

    @property
    def tokens(self) -> int:
        return self.reply.usage.prompt_tokens + self.reply.usage.completion_tokens


@dataclass(frozen=True)
class Recorded:
    """A datapoint whose items code grades, and its drafts."""

    point: Datapoint
    drafts: Sequence[Draft]


def recorded(path: Path) -> list[Recorded]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        Recorded(
            fakes.datapoint(*row["rubric_items"], id=row["id"], convo=row["convo"]),
            [drafted(it) for it in row["refinement"]["iterations"]],
        )
        for row in rows
        if "refinement" in row
    ]


def drafted(iteration: dict[str, Any]) -> Draft:
    used = iteration["usage"]
    usage = Usage(1, used["prompt_tokens"], used["completion_tokens"])
    reply = Completion(iteration["response"], iteration["finish_reason"] or "stop", usage=usage)
    return Draft(reply, iteration["score"] or 0.0)


def shuffled(rows: Sequence[Recorded], times: int) -> Iterator[list[Recorded]]:
    for seed in range(times):
        rng = random.Random(seed)
        mixed = rng.sample(rows, len(rows))
        yield [Recorded(one.point, rng.sample(one.drafts, len(one.drafts))) for one in mixed]


def fixed(rows: Sequence[Recorded], count: int) -> tuple[float, int]:
    """Return the score and the tokens of best-of-n."""
    drafts = [row.drafts[:count] for row in rows]
    score = sum(max(draft.score for draft in some) for some in drafts) / len(rows)
    return score, sum(draft.tokens for some in drafts for draft in some)


def stopping(rows: Sequence[Recorded], most: int) -> tuple[float, int]:
    """Return the score and the tokens of best-of-n that stops at full marks."""
    score, tokens = 0.0, 0
    for row in rows:
        scores = [draft.score for draft in row.drafts[:most]]
        used = scores.index(1.0) + 1 if 1.0 in scores else len(scores)
        score += max(scores[:used])
        tokens += sum(draft.tokens for draft in row.drafts[:used])
    return score / len(rows), tokens


async def adaptive(rows: Sequence[Recorded], options: RefineOptions) -> tuple[float, int]:
    """Return the score and the tokens of the loop."""
    learner, score, tokens = Learner(), 0.0, 0
    for row in rows:
        models = fakes.roles(replayed(row.drafts), useless, fakes.nobody())
        with learner.row() as learning:
            made = await refine(
                row.point, models, options, Prompts(), seed=1, estimates=learning.estimates
            )
            learning.lesson = lesson_of(made.iterations)
        score += made.best.score or 0.0
        tokens += made.usage.prompt_tokens + made.usage.completion_tokens
    return score / len(rows), tokens


def replayed(drafts: Sequence[Draft]) -> fakes.Scripted:
    left = iter(drafts)
    return fakes.Scripted(lambda call: next(left).reply)


def useless(call: fakes.Call) -> Completion:
    """Return the response that was to be rewritten."""
    return Completion(str(call.messages[-2]["content"]), "stop", usage=REWRITE)


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.frontier")
    parser.add_argument("drafts", type=Path, help="what best-of-n wrote")
    parser.add_argument("--times", type=int, default=20, help="shuffles")
    parser.add_argument("--min-gain", type=float, nargs="*", default=[0.01, 0.015, 0.02, 0.025])
    parser.add_argument("--best-of", type=int, help="best-of-n's drafts; all that are recorded")
    parser.add_argument("--most", type=int, nargs="*", help="the loop's responses; as many")
    options = parser.parse_args()
    mixed = list(shuffled(recorded(options.drafts), options.times))
    count = options.best_of or len(mixed[0][0].drafts)
    control = [fixed(rows, count) for rows in mixed]
    print("| | score | ahead (95%) | tokens |")
    print("|---|---|---|---|")
    line(f"best-of-n, {count}", control, control)
    for drafts in range(len(mixed[0][0].drafts), count // 2, -1):
        line(f"best-of-n, {drafts}, stops", [stopping(rows, drafts) for rows in mixed], control)
    for most, gain in product(options.most or [count], options.min_gain):
        loop = RefineOptions("adaptive", max_iterations=most - 1, min_gain=gain)
        found = [asyncio.run(adaptive(rows, loop)) for rows in mixed]
        line(f"adaptive, at most {most}, min_gain {gain:g}", found, control)


def line(
    name: str, found: Sequence[tuple[float, int]], control: Sequence[tuple[float, int]]
) -> None:
    """Print a line. The ends are those of 95 in 100 shuffles, not of a mean."""
    score, share = (
        mean(one for one, _ in found),
        sum(t for _, t in found) / sum(t for _, t in control),
    )
    ahead = sorted(one - best for (one, _), (best, _) in zip(found, control, strict=True))
    low, high = (ahead[round(at * (len(ahead) - 1))] for at in (0.025, 0.975))
    print(f"| {name} | {score:.3f} | {low:+.3f} to {high:+.3f} | {share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
