"""Provide what the loops are made of: a draft, grades, the better of two, the final record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from refinecli import prompts as p
from refinecli.completers import draw_of, gather
from refinecli.errors import CompletionError
from refinecli.grading.scoring import response_passed, total_score
from refinecli.grading.votes import grade_by_votes
from refinecli.refining.strategies import Rollout
from refinecli.text.reasoning import split_leading_reasoning
from refinecli.types import (
    Completion,
    Failure,
    Iteration,
    Message,
    Refinement,
    StopReason,
    Usage,
)

# ------------------------------------------------------------------ one response


def written(
    number: int,
    role: Literal["input", "policy", "reviser"],
    parent: Iteration | None,
    completion: Completion,
) -> Iteration:
    """Turn a writer's reply into an iteration, not graded yet, with its thoughts set apart.

    Raises CompletionError where it has thoughts and no response: it was not the model's whole say.
    """
    reasoning, response = response_of(completion)
    if role != "input" and not answers(completion):
        ended = "was cut off inside its reasoning" if completion.cut_off else "is only reasoning"
        raise CompletionError("no_answer", f"the reply {ended}")
    return Iteration(
        iteration=number,
        parent=parent.iteration if parent else None,
        role=role,
        response=response,
        score=None,
        accepted=True,
        finish_reason=completion.finish_reason,
        grades=(),
        feedback=None,
        usage=completion.usage,
        reasoning=reasoning,
    )


def answers(completion: Completion) -> bool:
    """Return False for a reply that holds thoughts and no response."""
    reasoning, response = response_of(completion)
    return bool(response.strip()) or not reasoning


def usable(completion: Completion) -> bool:
    """Return True for a reply that anyone who asks the same may have."""
    return not completion.cut_off and answers(completion)


def response_of(completion: Completion) -> tuple[str, str]:
    """Split a reply into its reasoning, wherever it came from, and the response that others may
    see."""
    thought, response = split_leading_reasoning(completion.text)
    return "\n".join(filter(None, (completion.reasoning, thought))), response


async def graded(rollout: Rollout, iteration: Iteration, sample: int = 0) -> Iteration:
    """Add the iteration's grades and score."""
    datapoint = rollout.datapoint
    grades, usage = await grade_by_votes(
        datapoint,
        iteration.response,
        rollout.roles,
        rollout.prompts,
        rollout.grading,
        iteration=iteration.iteration,
        sample=sample,
    )
    score = total_score(datapoint.rubric_items, grades)
    passed = response_passed(datapoint, grades, rollout.options.threshold)
    return replace(
        iteration,
        grades=grades,
        score=score,
        passed=passed,
        usage=iteration.usage + usage,
        grading=usage,
    )


async def first_draft(rollout: Rollout) -> Iteration:
    """Return the response that the datapoint has, or else a draft; not graded."""
    if rollout.datapoint.response is None:
        return await _draft(rollout, 0)
    given = Completion(rollout.datapoint.response, usage=Usage())
    return replace(written(0, "input", None, given), response=given.text, reasoning="")


async def _draft(rollout: Rollout, number: int) -> Iteration:
    draw = draw_of(rollout.datapoint, "policy", 0, number)
    completion = await rollout.roles.policy(draft_messages(rollout), draw, usable)
    return written(0, "policy", None, completion)


def draft_messages(rollout: Rollout) -> Sequence[Message]:
    if rollout.options.show_rubric:
        return p.with_rubric(rollout.prompts, rollout.datapoint)
    return rollout.datapoint.convo


async def rewritten(
    rollout: Rollout, parent: Iteration, number: int, messages: list[Message]
) -> Iteration:
    """Return the reviser's response, not graded."""
    completion = await rollout.roles.reviser(
        messages, draw_of(rollout.datapoint, "reviser", number), usable
    )
    return written(number, "reviser", parent, completion)


# ------------------------------------------------------------------ several drafts


async def graded_drafts(rollout: Rollout) -> tuple[list[Iteration], Failure | None]:
    """Return the drafts in order, each graded; an existing response counts as the first of them.

    Where only some of several drafts could be had, return those and the first failure; raise
    CompletionError where none could.
    """
    drafts = await _drafts(rollout)
    errors = [draft for draft in drafts if isinstance(draft, CompletionError)]
    iterations: list[Iteration] = []
    for draft in drafts:
        if isinstance(draft, Iteration):
            accepted = not iterations or better(draft, best_of(iterations))
            if (draft.iteration, draft.accepted) != (len(iterations), accepted):
                draft = replace(draft, iteration=len(iterations), accepted=accepted)
            iterations.append(draft)
    if not iterations:
        raise errors[0]
    if not errors:
        return iterations, None
    return iterations, Failure(errors[0].type, errors[0].message, "policy")


async def _drafts(rollout: Rollout) -> list[Iteration | CompletionError]:
    given = int(rollout.datapoint.response is not None)
    numbers = range(max(rollout.options.drafts, given))
    if not rollout.options.stop_when_passed:
        return await gather([_graded_draft(rollout, number) for number in numbers])
    drafts = []
    for number in numbers:
        drafts.append(await _graded_draft(rollout, number))
        if isinstance(draft := drafts[-1], Iteration) and draft.passed:
            break
    return drafts


async def further_draft(
    rollout: Rollout, iterations: Sequence[Iteration], number: int
) -> Iteration:
    """Return one more draft, the `number`th, graded; a text that came before has its grades."""
    draft = await _draft(rollout, number)
    if same := graded_before(draft.response, iterations):
        draft = replace(draft, grades=same.grades, score=same.score, passed=same.passed)
    else:  # as the same draft of `best-of-n` is graded, so that a cache answers for both
        draft = await graded(rollout, draft, sample=number)
    return replace(draft, iteration=len(iterations))


async def _graded_draft(rollout: Rollout, number: int) -> Iteration | CompletionError:
    try:
        draft = await (_draft(rollout, number) if number else first_draft(rollout))
    except CompletionError as error:
        return error
    return await graded(rollout, draft, sample=number)


# ------------------------------------------------------------------ several responses


def graded_before(response: str, iterations: Sequence[Iteration]) -> Iteration | None:
    """Return the first graded iteration with exactly this text."""
    return same_before(response, [it for it in iterations if it.score is not None])


def same_before(response: str, iterations: Sequence[Iteration]) -> Iteration | None:
    """Return the first iteration with exactly this text."""
    return next((it for it in iterations if it.response == response), None)


def seen(iteration: Iteration) -> str:
    """Return a response as critics and selectors see it."""
    return p.ended(iteration.response, iteration.finish_reason)


def better(new: Iteration, best: Iteration) -> bool:
    """Return whether the new response is strictly better; a graded one beats an ungraded one, never
    the reverse."""
    return new.score is not None and (best.score is None or new.score > best.score)


def best_of(iterations: Sequence[Iteration]) -> Iteration:
    """Return the first of the best."""
    best = iterations[0]
    for iteration in iterations[1:]:
        best = iteration if better(iteration, best) else best
    return best


# ------------------------------------------------------------------ the end


async def graded_ends(rollout: Rollout, iterations: list[Iteration], kept: int) -> list[Iteration]:
    """Grade the first response and the kept one, for loops without a grader; equal texts once."""
    first, last = iterations[0], iterations[kept]
    if kept == 0 or first.response == last.response:
        ends = [await graded(rollout, first)]
        last = replace(last, grades=ends[0].grades, score=ends[0].score, passed=ends[0].passed)
        ends.append(ends[0] if kept == 0 else last)
    else:
        ends = await gather([graded(rollout, first), graded(rollout, last)])
    result = list(iterations)
    result[0], result[kept] = ends
    return result


def finished(
    rollout: Rollout,
    iterations: Sequence[Iteration],
    kept: Iteration,
    stop: StopReason,
    failure: Failure | None,
) -> Refinement:
    """Build the record, with `kept` as its response."""
    return Refinement(
        status="failed" if failure else "ungraded" if kept.score is None else "done",
        stop_reason=stop,
        iterations=tuple(iterations),
        best_iteration=kept.iteration,
        passed=kept.passed,
        error=failure,
        usage=sum((iteration.usage for iteration in iterations), Usage()),
        strategy=rollout.options.strategy,
    )
