"""`rm-gallery`: each round judges all responses so far, and the reason is the feedback."""

from __future__ import annotations

from dataclasses import replace

from refinecli import prompts as p
from refinecli.errors import CompletionError
from refinecli.refining.selecting import pick
from refinecli.refining.steps import finished, first_draft, graded_ends, rewritten, seen
from refinecli.refining.strategies import Rollout
from refinecli.types import Failure, Refinement, StopReason


async def rm_gallery(rollout: Rollout) -> Refinement:
    """Run RM-Gallery's LLMRefinement (github.com/modelscope/RM-Gallery) as published.

    In each of exactly K rounds one listwise judgement over all responses so far says which is best
    and why; its reason is the feedback, and the writer is shown all responses with it. The last
    response is kept; it and the first are graded at the end.

    These defects are not reproduced: tags around a response that do not match
    (`<response_0>…</response_1>`), feedback that stays that of the first judgement in every round,
    a judge's failure taken as feedback, scores discarded unseen.
    """
    iterations = [await first_draft(rollout)]
    failure, stage = None, "selector"
    try:
        while len(iterations) <= rollout.options.max_iterations:
            stage, number = "selector", len(iterations)
            responses = [seen(iteration) for iteration in iterations]
            _, reason, usage = await pick(
                rollout.datapoint, responses, rollout.roles.selector, rollout.prompts, number
            )
            iterations[-1] = replace(iterations[-1], usage=iterations[-1].usage + usage)
            stage = "reviser"
            request = p.rewrite_from_all_request(rollout.prompts, responses, reason)
            messages = p.rewrite_messages(rollout.datapoint, iterations[-1].response, request)
            new = await rewritten(rollout, iterations[-1], number, messages)
            iterations[-1] = replace(iterations[-1], feedback=request)
            iterations.append(new)
    except CompletionError as error:
        failure = Failure(error.type, error.message, stage)
    last = len(iterations) - 1
    iterations = await graded_ends(rollout, iterations, last)
    stop: StopReason = "failed" if failure else "max_iterations"
    return finished(rollout, iterations, iterations[last], stop, failure)
