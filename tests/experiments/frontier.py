"""What the adaptive loop keeps for its tokens at several values of `min_gain`: recorded drafts.

    python -m tests.experiments keywords     # its best-of-n arm records eight drafts a row
    python -m tests.experiments.frontier build/experiments/keywords/best-of-n.jsonl

The loop is the real one, also the order in which rows learn. Rows and the drafts of each row are
shuffled many times, so that what is compared is settings and not luck; rewrites are taken to be
useless, and to cost what they cost here on average. Prints a Markdown table: the mean score and the
share of the tokens of all drafts, for best-of-n that stops at a draft that passes and for the loop.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    options = parser.parse_args()
    mixed = list(shuffled(recorded(options.drafts), options.times))
    most = len(mixed[0][0].drafts)
    whole = sum(draft.tokens for row in mixed[0] for draft in row.drafts)
    best = sum(max(draft.score for draft in row.drafts) for row in mixed[0]) / len(mixed[0])
    print("| | score | tokens |")
    print("|---|---|---|")
    print(f"| best-of-n, {most} | {best:.3f} | 100% |")
    for drafts in range(most, most // 2, -1):
        line(f"best-of-n, {drafts}, stops", [stopping(rows, drafts) for rows in mixed], whole)
    for gain in options.min_gain:
        loop = RefineOptions("adaptive", max_iterations=most - 1, min_gain=gain)
        line(
            f"adaptive, min_gain {gain:g}",
            [asyncio.run(adaptive(rows, loop)) for rows in mixed],
            whole,
        )


def line(name: str, found: Sequence[tuple[float, int]], whole: int) -> None:
    score = sum(one for one, _ in found) / len(found)
    share = sum(tokens for _, tokens in found) / len(found) / whole
    print(f"| {name} | {score:.3f} | {share:.0%} |", flush=True)


if __name__ == "__main__":
    main()
