"""Run one datapoint through the loop that its options name."""

from __future__ import annotations

from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import STRATEGIES, RefineOptions, Rollout
from refinecli.types import Datapoint, Observer, Refinement, Roles

_AS_USUAL = GradeOptions()


async def refine(
    datapoint: Datapoint,
    roles: Roles,
    options: RefineOptions,
    prompts: Prompts,
    observe: Observer | None = None,
    *,
    grading: GradeOptions = _AS_USUAL,
    seed: int | None = None,
) -> Refinement:
    """Refine one datapoint's response, passing each iteration to `observe` as soon as it is done.

    Raise CompletionError where not even a first response could be had.
    """
    show = observe or (lambda datapoint, iteration: None)
    rollout = Rollout(datapoint, roles, options, prompts, show, grading, seed)
    return await STRATEGIES[options.strategy](rollout)
