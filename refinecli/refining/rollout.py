"""Run one datapoint through the loop that its options name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import (
    STRATEGIES,
    WRITERS,
    Prices,
    RefineOptions,
    Rollout,
    prior,
)
from refinecli.types import Datapoint, Refinement, Roles

if TYPE_CHECKING:
    from refinecli.refining.estimates import Estimates

_AS_USUAL = GradeOptions()
_NO_PRICES = Prices()


async def refine(
    datapoint: Datapoint,
    roles: Roles,
    options: RefineOptions,
    prompts: Prompts,
    *,
    grading: GradeOptions = _AS_USUAL,
    seed: int | None = None,
    redraws: frozenset[str] = WRITERS,
    prices: Prices = _NO_PRICES,
    estimates: Callable[[], Awaitable[Estimates]] | None = None,
) -> Refinement:
    """Refine one datapoint's response in the loop that `options` name.

    `redraws`, `prices` and `estimates` are what an adaptive loop goes by: the writers whose second
    reply to a request can differ from the first, the cost of tokens, and what earlier rows showed.

    Raise CompletionError where not even a first response could be had.
    """
    rollout = Rollout(
        datapoint,
        roles,
        options,
        prompts,
        grading,
        seed,
        redraws,
        prices,
        estimates or prior,
    )
    return await STRATEGIES[options.strategy](rollout)
