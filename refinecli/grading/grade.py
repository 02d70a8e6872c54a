"""Grade one response against its rubric items: by code where an item has a check, else by the
grader."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from refinecli.completers import draw_of
from refinecli.grading.prefix import lead_of, led
from refinecli.grading.scoring import item_passed, ungraded
from refinecli.grading.slow_work import CHARACTERS_AT_ONCE, SECONDS_AT_ONCE, in_thread
from refinecli.grading.verdict import GradeOptions, Question, first_messages, verdict
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
) -> tuple[tuple[Grade, ...], Usage]:
    """Return one grade for each rubric item, in order, and the usage of the calls.

    Items are graded concurrently by the grader of this role, but where their prompts begin with
    enough that a provider can keep, the first call is over before the others begin. A failed call
    leaves its item ungraded; RunError and BudgetError, which every further call would share, are
    raised.
    """
    if not response.strip():
        return tuple(_empty(i, item) for i, item in enumerate(datapoint.rubric_items)), Usage()
    items = datapoint.rubric_items
    # Items with the same question are one request, so each is a further sample of it.
    asked = [(item.rubric_str, item.grader_output_format_instruction) for item in items]
    samples = [sample * len(items) + asked[:i].count(key) for i, key in enumerate(asked)]
    questions = [Question(datapoint, response, i, prompts, options) for i in range(len(items))]
    asks = [
        partial(_grade_item, question, grader, draw_of(datapoint, role, iteration, sample))
        for question, sample in zip(questions, samples, strict=True)
    ]
    await _prepare(questions)
    verdicts = await led(asks, lead_of([None if q.item.check else q for q in questions]))
    grades, usages = zip(*verdicts, strict=True)
    return grades, sum(usages, Usage())


def first_prompt(
    datapoint: Datapoint, prompts: Prompts, options: GradeOptions
) -> list[Message] | None:
    """Return what the grader is asked first about a datapoint; None where code grades all of it."""
    response = datapoint.response or "(the response)"
    for index, item in enumerate(datapoint.rubric_items):
        if item.check is None:
            return first_messages(Question(datapoint, response, index, prompts, options))
    return None


async def _prepare(questions: Sequence[Question]) -> None:
    """Do in a thread, once for each pattern, the part of the prompts that may take long."""
    by_pattern = {
        question.item.extraction_regex: question
        for question in questions
        if question.item.check is None
    }
    for question in by_pattern.values():
        if work := may_take_long(question.item, question.response):
            await in_thread(work)


async def _grade_item(question: Question, grader: Completer, draw: Draw) -> tuple[Grade, Usage]:
    if question.item.check is not None:
        return await _check(question.index, question.item, question.response), Usage()
    return await verdict(question, grader, draw)


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
