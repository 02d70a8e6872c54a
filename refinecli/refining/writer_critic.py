"""`writer-critic`: a writer answers, a critic improves it, a third model picks the better."""

from __future__ import annotations

import re
from dataclasses import replace

from refinecli import prompts as p
from refinecli.completers import ask_readable, draw_of
from refinecli.errors import CompletionError
from refinecli.refining.selecting import compare
from refinecli.refining.steps import finished, first_draft, graded_ends, same_before, seen
from refinecli.refining.strategies import Rollout
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completion, Failure, Iteration, Refinement, StopReason

_OPEN = re.compile(r"<improved>", re.IGNORECASE)
_CLOSE = re.compile(r"</improved>", re.IGNORECASE)


async def writer_critic(rollout: Rollout) -> Refinement:
    """Write an answer, have a critic improve it and a selector pick the better: the self-moderated
    email assistant's trio.

    The selector is asked in both orders without seeing who wrote what; where it contradicts itself,
    the older response stays. The winner is in each iteration's `selection`. With several rounds the
    critic continues from the winner. The first response and the winner are graded at the end.
    """
    iterations = [await first_draft(rollout)]
    best, rounds = iterations[0], 0
    stop: StopReason = "max_iterations"
    failure, stage = None, "critic"
    try:
        while rounds < rollout.options.max_iterations:
            rounds, stage = rounds + 1, "critic"
            new, criticism = await _improved(rollout, best, len(iterations))
            iterations[-1] = replace(iterations[-1], feedback=criticism or None)
            repeated = same_before(new.response, iterations)
            iterations.append(new)
            if repeated:  # the best itself, or one that has lost already
                stop = "repeated"
                break
            stage = "selector"
            iterations[-1] = await _chosen(rollout, new, best)
            best = iterations[-1] if iterations[-1].accepted else best
    except CompletionError as error:
        stop, failure = "failed", Failure(error.type, error.message, stage)
    iterations = await graded_ends(rollout, iterations, best.iteration)
    return finished(rollout, iterations, iterations[best.iteration], stop, failure)


async def _improved(rollout: Rollout, best: Iteration, number: int) -> tuple[Iteration, str]:
    """Return the critic's version of the best response, and what it found wrong with it."""
    messages = p.improve_messages(rollout.prompts, rollout.datapoint, seen(best))
    draw = draw_of(rollout.datapoint, "critic", number)
    (criticism, response, reasoning), usage = await ask_readable(
        rollout.roles.critic, messages, draw, _read, rollout.prompts.improve_retry
    )
    iteration = Iteration(
        iteration=number,
        parent=best.iteration,
        role="critic",
        response=response,
        score=None,
        accepted=False,
        finish_reason="stop",
        grades=(),
        feedback=None,
        usage=usage,
        reasoning=reasoning,
    )
    return iteration, criticism


def _read(completion: Completion) -> tuple[str, str, str]:
    """Read the critique, the last response between the tags, and the thoughts before; a reply that
    ended by itself may lack the closing tag."""
    thought, answer = split_reasoning(completion.text)
    opened = list(_OPEN.finditer(answer))
    if not opened:
        raise ValueError("there is no <improved> in it")
    response = _CLOSE.split(answer[opened[-1].end() :])[0].strip()
    if not response:
        raise ValueError("there is nothing between <improved> and </improved>")
    reasoning = "\n".join(filter(None, (completion.reasoning, thought)))
    return answer[: opened[0].start()].strip(), response, reasoning


async def _chosen(rollout: Rollout, new: Iteration, best: Iteration) -> Iteration:
    selection, usage = await compare(
        rollout.datapoint,
        seen(best),
        seen(new),
        rollout.roles.selector,
        rollout.prompts,
        new.iteration,
    )
    accepted = selection.winner == "new"
    return replace(new, accepted=accepted, selection=selection, usage=new.usage + usage)
