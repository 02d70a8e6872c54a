"""`self-refine`: answer, get feedback in the critic's own words, rewrite with the history."""

from __future__ import annotations

from dataclasses import replace

from refinecli import prompts as p
from refinecli.completers import draw_of, wire_seed
from refinecli.errors import CompletionError
from refinecli.refining.steps import (
    finished,
    first_draft,
    graded_ends,
    rewritten,
    same_before,
    seen,
)
from refinecli.refining.strategies import Rollout
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completion, Failure, Iteration, Refinement, StopReason, Usage

_SATISFIED = "nothing to change"


async def self_refine(rollout: Rollout) -> Refinement:
    """Answer, get feedback, rewrite with the history of (response, feedback): Self-Refine's three
    steps (Madaan et al. 2023, arxiv.org/abs/2303.17651).

    No grader is in the loop, so the last response is kept; it and the first are graded at the end.

    The loop stops where the critic finds nothing to change (`plateau`). With `principles`, the
    critic judges each round by one of them, sampled, which makes it the critique and revision of
    Constitutional AI (Bai et al. 2022, arxiv.org/abs/2212.08073); where that one finds nothing to
    change, the next round continues with another.
    """
    iterations = [await first_draft(rollout)]
    history: list[tuple[str, str]] = []
    stop: StopReason = "max_iterations"
    failure, stage = None, "critic"
    try:
        for number in range(1, rollout.options.max_iterations + 1):
            stage, principle = "critic", _principle(rollout, number)
            sample = number - len(iterations)  # the number of rounds that changed nothing
            feedback, usage = await _feedback(rollout, iterations[-1], principle, sample)
            iterations[-1] = replace(iterations[-1], usage=iterations[-1].usage + usage)
            if feedback.lower().strip(" .!*\"'") == _SATISFIED:
                if principle:
                    continue
                stop = "plateau"
                break
            request = p.fill(rollout.prompts.self_rewrite, feedback=feedback, principle=principle)
            history.append((iterations[-1].response, request))
            stage, messages = "reviser", p.self_rewrite_messages(rollout.datapoint, history)
            new = await rewritten(rollout, iterations[-1], len(iterations), messages)
            iterations[-1] = replace(iterations[-1], feedback=request)
            repeated = same_before(new.response, iterations)
            iterations.append(new)
            if repeated and rollout.options.stop_on_repeat:
                stop = "repeated"
                break
    except CompletionError as error:
        stop, failure = "failed", Failure(error.type, error.message, stage)
    last = len(iterations) - 1
    iterations = await graded_ends(rollout, iterations, last)
    return finished(rollout, iterations, iterations[last], stop, failure)


async def _feedback(
    rollout: Rollout, iteration: Iteration, principle: str, sample: int
) -> tuple[str, Usage]:
    messages = p.feedback_messages(rollout.prompts, rollout.datapoint, seen(iteration), principle)
    draw = draw_of(rollout.datapoint, "critic", iteration.iteration + 1, sample)
    completion = await rollout.roles.critic(messages, draw, lambda reply: bool(_said(reply)))
    if not _said(completion):
        raise CompletionError("unreadable", "the critic's reply holds no feedback")
    return _said(completion), completion.usage


def _said(completion: Completion) -> str:
    return split_reasoning(completion.text)[1].strip()


def _principle(rollout: Rollout, number: int) -> str:
    principles = rollout.options.principles
    if not principles:
        return ""
    draw = draw_of(rollout.datapoint, "principle", number)
    return principles[wire_seed(rollout.seed or 0, draw) % len(principles)]
