"""The loop for one datapoint: draft, grade, rewrite the best from what failed, keep what is better.

Respond, get feedback, respond again is RM-Gallery's LLMRefinement and Self-Refine (Madaan et al.
2023); that a judge picks and the best is kept, never merely the last, is what a writer / critic /
judge trio adds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from refinecli import prompts as p
from refinecli.errors import CompletionError
from refinecli.grade import draw_of, gather, grade
from refinecli.scoring import response_passed, split_leading_reasoning, total_score
from refinecli.types import (
    Completion,
    Datapoint,
    Failure,
    Iteration,
    Observer,
    Refinement,
    Roles,
    StopReason,
    Usage,
)


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """How far to go: rewrites at most, drafts to start from, and the score that is good enough."""

    max_iterations: int = 3
    drafts: int = 1
    threshold: float | None = None


async def refine(
    datapoint: Datapoint,
    roles: Roles,
    options: RefineOptions,
    prompts: p.Prompts,
    observe: Observer | None = None,
) -> Refinement:
    """Refine one datapoint's response; `observe` is shown each iteration as soon as it is graded.

    Raises CompletionError where not even a first response could be had. A later failure keeps the
    best response so far and makes the refinement's status `failed`.
    """
    show = observe or (lambda datapoint, iteration: None)
    iterations, failure = await _first_responses(datapoint, roles, options, prompts)
    best = _best(iterations)
    for iteration in iterations:
        show(datapoint, iteration)

    rounds = 0
    stop: StopReason | None = "failed" if failure else None
    while stop is None:
        stop = _reason_to_stop(datapoint, best, rounds, options)
        if stop:
            break
        rounds += 1
        cut_off = best.finish_reason == "length"
        request = p.rewrite_request(prompts, datapoint, best.grades, cut_off=cut_off)
        iterations[-1] = replace(iterations[-1], feedback=request)
        try:
            new = await _rewrite(datapoint, roles, prompts, iterations, best, request)
        except CompletionError as error:
            stop, failure = "failed", Failure(error.type, error.message, "reviser")
            iterations[-1] = replace(iterations[-1], feedback=None)
            break
        if _graded_before(new.response, iterations):
            stop = "repeated"
        iterations.append(new)
        best = new if new.accepted else best
        show(datapoint, new)
    return _refinement(datapoint, iterations, best, stop, failure, options)


def _reason_to_stop(
    datapoint: Datapoint, best: Iteration, rounds: int, options: RefineOptions
) -> StopReason | None:
    if best.score is None:
        return "ungraded"
    if response_passed(datapoint, best.grades, options.threshold):
        return "passed"
    return "max_iterations" if rounds >= options.max_iterations else None


def _refinement(
    datapoint: Datapoint,
    iterations: list[Iteration],
    best: Iteration,
    stop: StopReason,
    failure: Failure | None,
    options: RefineOptions,
) -> Refinement:
    return Refinement(
        status="failed" if failure else "ungraded" if best.score is None else "done",
        stop_reason=stop,
        iterations=tuple(iterations),
        best_iteration=best.iteration,
        passed=response_passed(datapoint, best.grades, options.threshold),
        error=failure,
        usage=sum((iteration.usage for iteration in iterations), Usage()),
    )


# ------------------------------------------------------------------ the first response


async def _first_responses(
    datapoint: Datapoint, roles: Roles, options: RefineOptions, prompts: p.Prompts
) -> tuple[list[Iteration], Failure | None]:
    """The drafts in order, each graded; one that exists already counts as the first of them.

    Where only some of several drafts could be had, those and the first failure.
    """
    given = [] if datapoint.response is None else [datapoint.response]
    drafts: list[Iteration | CompletionError] = await gather(
        [_graded_input(datapoint, response, roles, prompts) for response in given]
        + [
            _draft(datapoint, roles, prompts, number)
            for number in range(len(given), options.drafts)
        ]
    )
    errors = [draft for draft in drafts if isinstance(draft, CompletionError)]
    iterations: list[Iteration] = []
    for draft in drafts:
        if isinstance(draft, Iteration):
            better = not iterations or _better(draft, _best(iterations))
            if (draft.iteration, draft.accepted) != (len(iterations), better):
                draft = replace(draft, iteration=len(iterations), accepted=better)
            iterations.append(draft)
    if not iterations:
        raise errors[0]
    if not errors:
        return iterations, None
    return iterations, Failure(errors[0].type, errors[0].message, "policy")


async def _graded_input(
    datapoint: Datapoint, response: str, roles: Roles, prompts: p.Prompts
) -> Iteration | CompletionError:
    grades, usage = await grade(datapoint, response, roles.grader, prompts)
    score = total_score(datapoint.rubric_items, grades)
    return Iteration(0, None, "input", response, score, True, None, grades, None, usage)


async def _draft(
    datapoint: Datapoint, roles: Roles, prompts: p.Prompts, number: int
) -> Iteration | CompletionError:
    draw = draw_of(datapoint, "policy", 0, number)
    try:
        completion = await roles.policy(datapoint.convo, draw)
    except CompletionError as error:
        return error
    reasoning, response = response_of(completion)
    grades, usage = await grade(datapoint, response, roles.grader, prompts, sample=number)
    score = total_score(datapoint.rubric_items, grades)
    return Iteration(
        iteration=0,
        parent=None,
        role="policy",
        response=response,
        score=score,
        accepted=True,
        finish_reason=completion.finish_reason,
        grades=grades,
        feedback=None,
        usage=completion.usage + usage,
        reasoning=reasoning,
    )


def response_of(completion: Completion) -> tuple[str, str]:
    """A reply's reasoning, from whichever place it came, and the response that others may see."""
    thought, response = split_leading_reasoning(completion.text)
    return "\n".join(filter(None, (completion.reasoning, thought))), response


# ------------------------------------------------------------------ a rewrite


async def _rewrite(
    datapoint: Datapoint,
    roles: Roles,
    prompts: p.Prompts,
    iterations: list[Iteration],
    best: Iteration,
    request: str,
) -> Iteration:
    """One round: the rewrite of the best response and its grades; equal texts are graded once."""
    number = len(iterations)
    draw = draw_of(datapoint, "reviser", number)
    messages = p.rewrite_messages(datapoint, best.response, request)
    completion = await roles.reviser(messages, draw)
    reasoning, response = response_of(completion)
    same = _graded_before(response, iterations)
    if same:
        grades, usage = same.grades, Usage()
    else:
        grades, usage = await grade(datapoint, response, roles.grader, prompts, iteration=number)
    new = Iteration(
        iteration=number,
        parent=best.iteration,
        role="reviser",
        response=response,
        score=total_score(datapoint.rubric_items, grades),
        accepted=False,
        finish_reason=completion.finish_reason,
        grades=grades,
        feedback=None,
        usage=completion.usage + usage,
        reasoning=reasoning,
    )
    return replace(new, accepted=_better(new, best))


def _graded_before(response: str, iterations: list[Iteration]) -> Iteration | None:
    same = (it for it in iterations if it.response == response and it.score is not None)
    return next(same, None)


def _better(new: Iteration, best: Iteration) -> bool:
    """Strictly better; a graded response beats an ungraded one, never the other way round."""
    return new.score is not None and (best.score is None or new.score > best.score)


def _best(iterations: list[Iteration]) -> Iteration:
    """The first of the best."""
    best = iterations[0]
    for iteration in iterations[1:]:
        best = iteration if _better(iteration, best) else best
    return best
