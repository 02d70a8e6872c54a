"""The memory of rejected rewrites, where the same request brings the same reply: temperature 0."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from statistics import mean

import pytest

from refinecli.prompts import Prompts
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.types import Refinement
from tests.support import fakes

ROWS = 200
WORDS = ("red", "blue", "green", "gold", "grey")


def writer(keeps: float, adds: float) -> fakes.Scripted:
    """Use each word with these odds, by what was asked and by nothing else."""

    def answer(call: fakes.Call) -> str:
        rng = random.Random(sha256(json.dumps(call.messages).encode()).digest())
        before = call.messages[-2]["content"] if len(call.messages) > 1 else ""
        said = [w for w in WORDS if rng.random() < (keeps if w in str(before) else adds)]
        return " ".join([*said, str(rng.random())])

    return fakes.Scripted(answer)


def refined(strategy: str, *, memory: bool) -> list[Refinement]:
    items = [
        {"rubric_str": f"Has {w}", "check": {"kind": "contains_all", "words": [w]}} for w in WORDS
    ]
    rows = [fakes.datapoint(*items, id=n, convo=f"Write text {n}.") for n in range(ROWS)]
    options = RefineOptions(strategy, max_iterations=5, memory=memory)
    drafts, rewrites = writer(0, 0.4), writer(0.9, 0.3)
    models = fakes.roles(drafts, rewrites, fakes.nobody())

    async def each() -> list[Refinement]:
        return [await refine(row, models, options, Prompts(), redraws=frozenset()) for row in rows]

    return asyncio.run(each())


def kept(made: Sequence[Refinement]) -> float:
    return mean(one.best.score or 0.0 for one in made)


def copies(made: Sequence[Refinement]) -> int:
    texts = [[it.response for it in one.iterations] for one in made]
    return sum(len(each) - len(set(each)) for each in texts)


def passed(made: Sequence[Refinement]) -> int:
    return sum(bool(one.passed) for one in made)


def test_without_it_the_first_rewrite_that_is_rejected_is_the_last_but_a_copy() -> None:
    made = refined("refine", memory=False)
    ends = Counter(one.stop_reason for one in made)
    assert ends["repeated"] > 0.75 * ROWS
    for one in made:
        assert (one.stop_reason == "repeated") == (copies([one]) == 1)


@pytest.mark.slow
def test_with_it_no_row_ends_as_repeated_and_twice_as_many_pass() -> None:
    made, without = (refined("refine", memory=memory) for memory in (True, False))
    assert Counter(one.stop_reason for one in made)["repeated"] == copies(made) == 0
    assert passed(made) > 2 * passed(without)
    assert kept(made) > kept(without) + 0.1


@pytest.mark.slow
def test_the_adaptive_loop_pays_for_no_copy_and_goes_further_with_it() -> None:
    made, without = (refined("adaptive", memory=memory) for memory in (True, False))
    assert copies(made) == copies(without) == 0
    assert kept(made) > kept(without)
