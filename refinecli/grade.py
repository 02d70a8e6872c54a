"""One response against its rubric items: by code where an item has a check, else by the grader."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from refinecli import prompts as p
from refinecli.errors import BudgetError, CompletionError
from refinecli.scoring import extract, graded, item_passed, ungraded
from refinecli.types import (
    Completer,
    Completion,
    Datapoint,
    Draw,
    Failure,
    Grade,
    RubricItem,
    Usage,
)

T = TypeVar("T")


async def grade(
    datapoint: Datapoint,
    response: str,
    grader: Completer,
    prompts: p.Prompts,
    *,
    iteration: int = 0,
    sample: int = 0,
) -> tuple[tuple[Grade, ...], Usage]:
    """One grade for each rubric item, in their order, and what the calls took.

    Items are graded side by side. A grader that fails leaves its item ungraded; RunError and
    BudgetError, which every further call would share, are raised.
    """
    if not response.strip():
        return tuple(_empty(i, item) for i, item in enumerate(datapoint.rubric_items)), Usage()
    items = datapoint.rubric_items
    # Items that ask the same are the same request, and so further samples of it.
    asked = [(item.rubric_str, item.grader_output_format_instruction) for item in items]
    samples = [sample * len(items) + asked[:i].count(key) for i, key in enumerate(asked)]
    verdicts = await gather(
        _grade_item(
            datapoint,
            response,
            index,
            grader,
            prompts,
            draw_of(datapoint, "grader", iteration, samples[index]),
        )
        for index in range(len(items))
    )
    grades, usages = zip(*verdicts, strict=True)
    return grades, sum(usages, Usage())


def draw_of(datapoint: Datapoint, role: str, iteration: int, sample: int = 0) -> Draw:
    """Which draw of this datapoint a role's call in an iteration is."""
    id, times, convo_times = datapoint.id, datapoint.occurrence, datapoint.convo_occurrence
    return Draw(id, times, role, iteration, sample, convo_times)


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """`asyncio.gather`, but the first error cancels and awaits the rest before it comes out;
    a used-up budget only awaits them."""
    coroutines = list(coroutines)
    if len(coroutines) == 1:  # the usual case, and a task takes a twentieth of a call's CPU
        return [await coroutines[0]]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BudgetError:  # what is in flight is paid for
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def _grade_item(
    datapoint: Datapoint,
    response: str,
    index: int,
    grader: Completer,
    prompts: p.Prompts,
    draw: Draw,
) -> tuple[Grade, Usage]:
    item = datapoint.rubric_items[index]
    if item.check is not None:
        return _check(index, item, response), Usage()
    messages = p.grader_messages(prompts, datapoint, response, item)
    usage = Usage()
    judged: list[tuple[Completion, Grade]] = []  # each reply is read once, though asked about twice

    def verdict_on(completion: Completion) -> Grade:
        for known, verdict in judged:
            if known is completion:
                return verdict
        judged.append((completion, _verdict(index, item, completion)))
        return judged[-1][1]

    def has_score(completion: Completion) -> bool:
        return verdict_on(completion).graded

    try:
        completion = await grader(messages, draw, has_score)
        usage += completion.usage
        verdict = verdict_on(completion)
        if verdict.error is not None:
            messages = p.grader_retry_messages(
                prompts, messages, completion.text, verdict.error.message, item
            )
            completion = await grader(messages, draw, has_score)
            usage += completion.usage
            verdict = verdict_on(completion)
    except CompletionError as error:
        verdict = ungraded(index, item, Failure(error.type, error.message))
    return verdict, usage


def _verdict(index: int, item: RubricItem, completion: Completion) -> Grade:
    found = extract(item, completion)
    if found.raw_score is None:
        return ungraded(index, item, Failure("no_score", found.problem), completion.text)
    return graded(index, item, completion, found, found.raw_score)


def _check(index: int, item: RubricItem, response: str) -> Grade:
    assert item.check is not None
    try:
        score, feedback = item.check.grade(response)
    except TimeoutError:
        failure = Failure("no_score", "the check's pattern took too long on this response")
        return ungraded(index, item, failure)
    passed = item_passed(item, score)
    return Grade(index, item.name, score, score, passed, "check", feedback or None)


def _empty(index: int, item: RubricItem) -> Grade:
    """An empty response scores 0 on every item, without a call."""
    feedback = "The response is empty."
    return Grade(
        index, item.name, 0.0, item.score_range[0], item_passed(item, 0.0), "empty", feedback
    )
