"""Run one datapoint through the loop that its options name."""

from __future__ import annotations

from refinecli.prompts import Prompts
from refinecli.refining.strategies import STRATEGIES, RefineOptions, Rollout
from refinecli.types import Datapoint, Observer, Refinement, Roles


async def refine(
    datapoint: Datapoint,
    roles: Roles,
    options: RefineOptions,
    prompts: Prompts,
    observe: Observer | None = None,
) -> Refinement:
    """Refine one datapoint's response, passing each iteration to `observe` as soon as it is done.

    Raise CompletionError where not even a first response could be had.
    """
    show = observe or (lambda datapoint, iteration: None)
    return await STRATEGIES[options.strategy](Rollout(datapoint, roles, options, prompts, show))
