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
    most = len(iterations) + rollout.options.max_iterations
    requests = _Requests(rollout, iterations)
    declined: Step | None = None
    stop: StopReason | None = "failed" if failure else None
    while stop is None:
        stop = _reason_to_stop(best_of(iterations), len(iterations), most)
        if stop:
            break
        steps = await _possible(rollout, iterations, requests)
        promising = [step for step in steps if step.gain >= rollout.options.min_gain]
        if not promising:
            stop = "plateau"
            declined = max(steps, key=lambda step: step.gain, default=None)
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
    made = finished(rollout, iterations, best_of(iterations), stop, failure)
    return replace(made, declined=declined.as_alternative()) if declined else made


def _reason_to_stop(best: Iteration, written: int, most: int) -> StopReason | None:
    if best.score is None:
        return "ungraded"
    if best.passed:
        return "passed"
    return "max_iterations" if written >= most else None


async def _possible(
    rollout: Rollout, iterations: list[Iteration], requests: _Requests
) -> list[Step]:
    """Return the steps that could come next, as far as is known what they would bring."""
    estimates = await rollout.estimates()
    number = len(iterations)
    seed = wire_seed(rollout.seed or 0, draw_of(rollout.datapoint, "adaptive", number))
    costs = Costs(rollout, iterations, requests.to_rewrite)
    redraws = "policy" in rollout.redraws
    steps = possible_steps(iterations, estimates, costs, Random(seed), redraws=redraws)
    if "reviser" in rollout.redraws:
        return steps
    return [step for step in steps if not (step.parent and requests.sent(step.parent))]


class _Requests:
    """The requests for rewrites of a row's responses, each until there is more to remember."""

    def __init__(self, rollout: Rollout, iterations: list[Iteration]) -> None:
        self._rollout = rollout
        self._iterations = iterations
        self._ready: dict[int, str] = {}
        self._sent: set[tuple[int, str]] = set()

    def to_rewrite(self, parent: Iteration) -> str:
        number = parent.iteration
        if number not in self._ready:
            tried = [it for it in self._iterations if it.parent == number]
            self._ready[number] = p.rewrite_request(
                self._rollout.prompts,
                self._rollout.datapoint,
                parent.grades,
                cut_off=parent.finish_reason == "length",
                tried=tried if self._rollout.options.memory else (),
            )
        return self._ready[number]

    def sent(self, parent: Iteration) -> bool:
        """Return whether a rewrite was asked for with just this request already."""
        return (parent.iteration, self.to_rewrite(parent)) in self._sent

    def used(self, parent: int) -> str:
        """Return the request that was sent, which there is more to remember of now."""
        request = self._ready.pop(parent)
        self._sent.add((parent, request))
        return request


async def _take(
    rollout: Rollout, iterations: list[Iteration], step: Step, requests: _Requests
) -> Iteration:
    """Write the response and grade it; a text that came before has the earlier grades."""
    number = len(iterations)
    if step.parent is None:
        drafts = sum(it.role == "policy" for it in iterations)
        given = int(rollout.datapoint.response is not None)
        return await further_draft(rollout, iterations, drafts + given)
    request = requests.to_rewrite(step.parent)
    messages = p.rewrite_messages(rollout.datapoint, step.parent.response, request)
    new = await rewritten(rollout, step.parent, number, messages)
    if same := graded_before(new.response, iterations):
        return replace(new, grades=same.grades, score=same.score, passed=same.passed)
    return await graded(rollout, new)


def _note_feedback(iterations: list[Iteration], new: Iteration, requests: _Requests) -> None:
    """Keep the rewrite's request on its parent; of several rewrites, that of the best."""
    if new.parent is None:
        return
    request = requests.used(new.parent)
    parent = iterations[new.parent]
    siblings = [it for it in iterations[:-1] if it.parent == new.parent]
    if not siblings or better(new, best_of(siblings)):
        iterations[new.parent] = replace(parent, feedback=request)
