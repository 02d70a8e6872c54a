"""`adaptive`: after each graded response a fresh draft or a rewrite, whichever promises more."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from refinecli import prompts as p
from refinecli.completers import draw_of, wire_seed
from refinecli.errors import CompletionError
from refinecli.refining.next_step import Costs, Step, possible_steps
from refinecli.refining.steps import (
    best_of,
    better,
    finished,
    further_draft,
    graded,
    graded_before,
    graded_drafts,
    rewritten,
)
from refinecli.refining.strategies import Rollout
from refinecli.types import Failure, Iteration, Refinement, StopReason


async def adaptive(rollout: Rollout) -> Refinement:
    """Draft, grade, then choose step by step between another draft and a rewrite (Inoue et al.
    2025, arxiv.org/abs/2503.04412; Snell et al. 2024, arxiv.org/abs/2408.03314).

    The first N responses are drafts, at most `max_iterations` more follow. It stops when one
    passes, when they are used up, or when no step is expected to gain `min_gain`. What it expects
    rests on this datapoint's tries and on the estimates of its rollout. The best is returned; a
    failure after the first response keeps it and makes the refinement's status `failed`.
    """
    iterations, failure = await graded_drafts(rollout)
    for iteration in iterations:
        rollout.show(rollout.datapoint, iteration)
    most = len(iterations) + rollout.options.max_iterations
    requests: dict[int, str] = {}
    declined: Step | None = None
    stop: StopReason | None = "failed" if failure else None
    while stop is None:
        stop = _reason_to_stop(best_of(iterations), len(iterations), most)
        if stop:
            break
        steps = await _possible(rollout, iterations, requests)
        promising = [step for step in steps if step.gain >= rollout.options.min_gain]
        if not promising:
            stop, declined = "plateau", max(steps, key=lambda step: step.gain)
            break
        step = max(promising, key=lambda step: step.worth)
        try:
            new = await _take(rollout, iterations, step, requests)
        except CompletionError as error:
            role = "reviser" if step.parent else "policy"
            stop, failure = "failed", Failure(error.type, error.message, role)
            break
        new = replace(
            new, accepted=better(new, best_of(iterations)), choice=step.chosen_over(steps)
        )
        iterations.append(new)
        _note_feedback(iterations, new, requests)
        rollout.show(rollout.datapoint, new)
    made = finished(rollout, iterations, best_of(iterations), stop, failure)
    return replace(made, declined=declined.as_alternative() if declined else None)


def _reason_to_stop(best: Iteration, written: int, most: int) -> StopReason | None:
    if best.score is None:
        return "ungraded"
    if best.passed:
        return "passed"
    return "max_iterations" if written >= most else None


async def _possible(
    rollout: Rollout, iterations: list[Iteration], requests: dict[int, str]
) -> list[Step]:
    """Return the steps that could come next, as far as is known what they would bring."""
    estimates = await rollout.estimates()
    number = len(iterations)
    seed = wire_seed(rollout.seed or 0, draw_of(rollout.datapoint, "adaptive", number))
    costs = Costs(
        rollout, iterations, lambda parent: _request(rollout, iterations, parent, requests)
    )
    return possible_steps(iterations, estimates, costs, Random(seed), redraws=rollout.redraws)


def _request(
    rollout: Rollout, iterations: list[Iteration], parent: Iteration, requests: dict[int, str]
) -> str:
    """Return what a rewrite of this response is asked; `requests` keeps it until there is a new
    one to remember."""
    number = parent.iteration
    if number not in requests:
        tried = [it for it in iterations if it.parent == number]
        requests[number] = p.rewrite_request(
            rollout.prompts,
            rollout.datapoint,
            parent.grades,
            cut_off=parent.finish_reason == "length",
            tried=tried if rollout.options.memory else (),
        )
    return requests[number]


async def _take(
    rollout: Rollout, iterations: list[Iteration], step: Step, requests: dict[int, str]
) -> Iteration:
    """Write the response and grade it; a text that came before has the earlier grades."""
    number = len(iterations)
    if step.parent is None:
        drafts = sum(it.role == "policy" for it in iterations)
        given = int(rollout.datapoint.response is not None)
        return await further_draft(rollout, iterations, drafts + given)
    request = _request(rollout, iterations, step.parent, requests)
    messages = p.rewrite_messages(rollout.datapoint, step.parent.response, request)
    new = await rewritten(rollout, step.parent, number, messages)
    if same := graded_before(new.response, iterations):
        return replace(new, grades=same.grades, score=same.score, passed=same.passed)
    return await graded(rollout, new)


def _note_feedback(iterations: list[Iteration], new: Iteration, requests: dict[int, str]) -> None:
    """Keep the rewrite's request on its parent; of several rewrites, that of the best."""
    if new.parent is None:
        return
    parent = iterations[new.parent]
    siblings = [it for it in iterations[:-1] if it.parent == new.parent]
    if not siblings or better(new, best_of(siblings)):
        iterations[new.parent] = replace(parent, feedback=requests[new.parent])
    requests.pop(new.parent)
