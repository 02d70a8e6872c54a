"""Grade one response against its rubric items: by code where an item has a check, else by the
grader."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from refinecli.completers import draw_of
from refinecli.grading.batch import Batch, grouped, verdicts
from refinecli.grading.gate import stages
from refinecli.grading.prefix import lead_of, led, prompt_of
from refinecli.grading.scoring import item_passed, ungraded
from refinecli.grading.slow_work import CHARACTERS_AT_ONCE, SECONDS_AT_ONCE, in_thread
from refinecli.grading.verdict import GradeOptions, Question, verdict
from refinecli.prompts import Prompts, may_take_long
from refinecli.types import Completer, Datapoint, Draw, Failure, Grade, Message, RubricItem, Usage

_AS_USUAL = GradeOptions()


async def grade(
    datapoint: Datapoint,
    response: str,
    grader: Completer,
    prompts: Prompts,
    options: GradeOptions = _AS_USUAL,
    *,
    role: str = "grader",
    iteration: int = 0,
    sample: int = 0,
    only: Sequence[int] | None = None,
) -> tuple[tuple[Grade, ...], Usage]:
    """Return one grade for each rubric item, or for `only` those at some places, in order, and the
    usage of the calls.

    Items are graded concurrently by the grader of this role, up to `batch_items` in a call; but
    where their prompts begin with enough that a provider can keep, the first call is over before
    the others begin. A failed call leaves its items ungraded; RunError and BudgetError, which every
    further call would share, are raised.
    """
    items = datapoint.rubric_items
    places = range(len(items)) if only is None else only
    if not response.strip():
        return tuple(_empty(place, items[place]) for place in places), Usage()
    # Items with the same question are one request, so each is a further sample of it.
    asked = [(item.rubric_str, item.grader_output_format_instruction) for item in items]
    samples = [sample * len(items) + asked[:i].count(key) for i, key in enumerate(asked)]
    draws = [draw_of(datapoint, role, iteration, one) for one in samples]
    groups = groups_of(datapoint, response, prompts, options, places)
    of_batch = draw_of(datapoint, role, iteration, sample * len(items))
    asks = [
        partial(_grade_group, group, grader, of_batch, [draws[one.index] for one in group])
        for group in groups
    ]
    await _prepare([question for group in groups for question in group])
    found = await led(asks, lead_of(groups) if options.prefix_lead else None)
    by_place = {grade.item: grade for grades, _ in found for grade in grades}
    return (
        tuple(by_place[place] for place in places),
        sum((usage for _, usage in found), Usage()),
    )


def groups_of(
    datapoint: Datapoint,
    response: str,
    prompts: Prompts,
    options: GradeOptions,
    places: Sequence[int],
) -> list[tuple[Question, ...]]:
    """Return a question for the item at each place, in the groups that are asked in one call."""
    questions = [Question(datapoint, response, place, prompts, options) for place in places]
    return grouped(questions, options.batch_items)


def first_prompt(
    datapoint: Datapoint, prompts: Prompts, options: GradeOptions
) -> list[Message] | None:
    """Return what the grader is asked first about a datapoint; None where code grades all of it."""
    response, items = datapoint.response or "(the response)", datapoint.rubric_items
    orders = stages(items) if options.gate else (range(len(items)),)
    groups = (
        group
        for places in orders
        for group in groups_of(datapoint, response, prompts, options, places)
    )
    asked = (group for group in groups if group[0].item.check is None)
    return next(map(prompt_of, asked), None)


async def _prepare(questions: Sequence[Question]) -> None:
    """Do in a thread, once for each pattern, the part of the prompts that may take long."""
    by_pattern = {
        question.item.extraction_regex: question
        for question in questions
        if question.item.asks_grader
    }
    for question in by_pattern.values():
        if work := may_take_long(question.item, question.response):
            await in_thread(work)


async def _grade_group(
    group: Sequence[Question], grader: Completer, draw: Draw, draws: Sequence[Draw]
) -> tuple[tuple[Grade, ...], Usage]:
    question, *others = group
    if others:
        return await verdicts(Batch(tuple(group)), grader, draw, draws)
    if question.item.check is not None:
        return (await _check(question.index, question.item, question.response),), Usage()
    grade, usage = await verdict(question, grader, draws[0])
    return (grade,), usage


async def _check(index: int, item: RubricItem, response: str) -> Grade:
    check = item.check
    assert check is not None
    try:
        try:
            if len(response) > CHARACTERS_AT_ONCE:
                raise TimeoutError
            score, feedback = check.grade_within(response, SECONDS_AT_ONCE)
        except TimeoutError:
            score, feedback = await in_thread(partial(check.grade, response))
    except TimeoutError:
        failure = Failure("no_score", "the check took too long on this response")
        return ungraded(index, item, failure)
    passed = item_passed(item, score)
    return Grade(index, item.name, score, score, passed, "check", feedback or None)


def _empty(index: int, item: RubricItem) -> Grade:
    """Score an empty response 0 on every item, without a call. It passes none, not even a penalty
    item: that nothing was said is not a virtue."""
    feedback = "The response is empty."
    return Grade(index, item.name, 0.0, item.score_range[0], False, "empty", feedback)
