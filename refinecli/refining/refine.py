"""`refine`: draft, grade, rewrite the best from what failed, keep what is better."""

from __future__ import annotations

from dataclasses import replace

from refinecli import prompts as p
from refinecli.errors import CompletionError
from refinecli.refining.selecting import compare
from refinecli.refining.steps import (
    best_of,
    better,
    finished,
    graded,
    graded_before,
    graded_drafts,
    rewritten,
    seen,
)
from refinecli.refining.strategies import Rollout
from refinecli.types import Failure, Iteration, Refinement, StopReason


async def refine(rollout: Rollout) -> Refinement:
    """Answer, get feedback and answer again, as in Self-Refine (Madaan et al. 2023,
    arxiv.org/abs/2303.17651) and RM-Gallery's LLMRefinement, with item-by-item feedback from a
    grader.

    The best response is what gets rewritten and kept, beginning with the best of several drafts. A
    failure after the first response keeps the best so far and makes the refinement's status
    `failed`.
    """
    iterations, failure = await graded_drafts(rollout)
    best = best_of(iterations)

    first_round = len(iterations)
    stop: StopReason | None = "failed" if failure else None
    while stop is None:
        stop = _reason_to_stop(rollout, best, iterations[first_round:])
        if stop:
            break
        cut_off = best.finish_reason == "length"
        tried = [it for it in iterations if it.parent == best.iteration]
        request = p.rewrite_request(
            rollout.prompts,
            rollout.datapoint,
            best.grades,
            cut_off=cut_off,
            tried=tried if rollout.options.memory else (),
        )
        stage = "reviser"
        try:
            new = await _round(rollout, iterations, best, request)
            repeated = graded_before(new.response, iterations)
            iterations[-1] = replace(iterations[-1], feedback=request)
            iterations.append(new)
            stage = "selector"
            new = iterations[-1] = await _accepted(rollout, new, best)
        except CompletionError as error:
            stop, failure = "failed", Failure(error.type, error.message, stage)
            break
        if repeated and rollout.options.stop_on_repeat:
            stop = "repeated"
        best = new if new.accepted else best
    return finished(rollout, iterations, best, stop, failure)


def _reason_to_stop(
    rollout: Rollout, best: Iteration, rewrites: list[Iteration]
) -> StopReason | None:
    options = rollout.options
    if best.score is None:
        return "ungraded"
    if best.passed:
        return "passed"
    if len(rewrites) >= options.max_iterations:
        return "max_iterations"
    if options.patience and len(rewrites) >= options.patience:
        lately = rewrites[-options.patience :]
        return None if any(it.accepted for it in lately) else "plateau"
    return None


async def _round(
    rollout: Rollout, iterations: list[Iteration], best: Iteration, request: str
) -> Iteration:
    """Rewrite the best response and grade the result, not accepted yet; equal texts are graded
    once."""
    messages = p.rewrite_messages(rollout.datapoint, best.response, request)
    new = await rewritten(rollout, best, len(iterations), messages)
    new = replace(new, accepted=False)
    if same := graded_before(new.response, iterations):
        return replace(new, grades=same.grades, score=same.score, passed=same.passed)
    return await graded(rollout, new)


async def _accepted(rollout: Rollout, new: Iteration, best: Iteration) -> Iteration:
    """Decide whether the rewrite is accepted. With `pairwise` a selector has to prefer, in both
    orders, what the grader found no worse: its word alone cannot lower the score."""
    accept = rollout.options.accept
    no_worse = new.score is not None and (best.score is None or new.score >= best.score)
    if accept == "better":
        return replace(new, accepted=better(new, best))
    if accept == "not-worse" or not no_worse or new.response == best.response:
        return replace(new, accepted=no_worse)
    selection, usage = await compare(
        rollout.datapoint,
        seen(best),
        seen(new),
        rollout.roles.selector,
        rollout.prompts,
        new.iteration,
    )
    return replace(
        new,
        accepted=selection.winner == "new",
        selection=selection,
        usage=new.usage + usage,
    )
