"""Choose between responses with a selector."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from refinecli import prompts as p
from refinecli.completers import ask_readable, draw_of, gather
from refinecli.errors import CompletionError
from refinecli.text.reasoning import split_reasoning
from refinecli.types import (
    Completer,
    Completion,
    Datapoint,
    Selection,
    Usage,
)

_BEST = re.compile(r"<best>\s*([0-9]{1,3})\s*</best>", re.IGNORECASE)


async def compare(
    datapoint: Datapoint,
    old: str,
    new: str,
    selector: Completer,
    prompts: p.Prompts,
    iteration: int,
) -> tuple[Selection, Usage]:
    """Choose the better of two responses, asking in both orders, since selectors favour a position
    (Zheng et al. 2023, arxiv.org/abs/2306.05685). Raise CompletionError without a verdict."""

    async def vote(number: int) -> tuple[tuple[int, str], Usage] | CompletionError:
        first, second = (old, new) if number == 0 else (new, old)
        messages = p.compare_messages(prompts, datapoint, first, second)
        draw = draw_of(datapoint, "selector", iteration, number)
        try:
            return await ask_readable(selector, messages, draw, _reader(2), prompts.selector_retry)
        except CompletionError as error:  # the other vote is paid for, so let it finish
            return error

    replies = []
    for reply in await gather([vote(0), vote(1)]):
        if isinstance(reply, CompletionError):
            raise reply
        replies.append(reply)
    choices = [choice for (choice, _), _ in replies]
    selection = Selection(
        votes=("old" if choices[0] == 0 else "new", "new" if choices[1] == 0 else "old"),
        reasons=tuple(reason for (_, reason), _ in replies),
    )
    return selection, sum((usage for _, usage in replies), Usage())


async def pick(
    datapoint: Datapoint,
    responses: Sequence[str],
    selector: Completer,
    prompts: p.Prompts,
    iteration: int,
) -> tuple[int, str, Usage]:
    """Return the index of the best response, and why. Raise CompletionError without a verdict."""
    messages = p.pick_messages(prompts, datapoint, responses)
    draw = draw_of(datapoint, "selector", iteration)
    (best, reason), usage = await ask_readable(
        selector, messages, draw, _reader(len(responses)), prompts.selector_retry
    )
    return best, reason, usage


def _reader(count: int) -> Callable[[Completion], tuple[int, str]]:
    """Return a reader of a reply's last choice among `count`, counted from 0, and of the rest of
    the reply."""

    def read(completion: Completion) -> tuple[int, str]:
        answer = split_reasoning(completion.text)[1]
        found = list(_BEST.finditer(answer))
        if not found:
            raise ValueError("nothing in it looks like <best>1</best>")
        number = int(found[-1][1])
        if not 1 <= number <= count:
            raise ValueError(f"{number} is not one of the responses, 1 to {count}")
        return number - 1, _BEST.sub("", answer).strip()

    return read
