"""Grade one response against its rubric items: by code where an item has a check, else by the
grader."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

from refinecli.completers import draw_of
from refinecli.grading.prefix import lead_of, led
from refinecli.grading.scoring import item_passed, ungraded
from refinecli.grading.verdict import GradeOptions, Question, first_messages, verdict
from refinecli.prompts import Prompts
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


async def _grade_item(question: Question, grader: Completer, draw: Draw) -> tuple[Grade, Usage]:
    if question.item.check is not None:
        return await _check(question.index, question.item, question.response), Usage()
    return await verdict(question, grader, draw)


# A check that takes longer continues in a thread, so that other calls do not wait for it; only one,
# so that patterns with a time limit do not take it from each other.
_SECONDS_AT_ONCE, _CHARACTERS_AT_ONCE = 0.01, 20_000


@cache
def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "check")


async def _check(index: int, item: RubricItem, response: str) -> Grade:
    check = item.check
    assert check is not None
    try:
        try:
            if len(response) > _CHARACTERS_AT_ONCE:
                raise TimeoutError
            score, feedback = check.grade_within(response, _SECONDS_AT_ONCE)
        except TimeoutError:
            import asyncio  # by which time it is loaded; a command that asks nobody does without

            loop = asyncio.get_running_loop()
            score, feedback = await loop.run_in_executor(_thread(), check.grade, response)
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
