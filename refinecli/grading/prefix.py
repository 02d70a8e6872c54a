"""Ask about one response so that a provider's cache of prompts is used.

The prompts about a response begin with the same conversation and response. A provider that has read
them once bills them as cached from then on, but not to requests that come at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from refinecli.completers import gather
from refinecli.grading.batch import Batch
from refinecli.grading.verdict import Question, first_messages
from refinecli.prompts import message_text
from refinecli.types import Message

T = TypeVar("T")

# Providers keep prefixes of 1,024 tokens and more, each of about four characters.
LONG_ENOUGH = 4 * 1024
# The tags around a turn of the conversation.
_TAGS = 40


async def led(
    asks: Sequence[Callable[[], Coroutine[Any, Any, T]]], lead: int | None = None
) -> list[T]:
    """Ask all at once, or first the one that leads; return what came, in order."""
    if lead is None:
        return await gather(ask() for ask in asks)
    first = await asks[lead]()
    others = await gather(ask() for at, ask in enumerate(asks) if at != lead)
    return [*others[:lead], first, *others[lead:]]


def lead_of(groups: Sequence[Sequence[Question]]) -> int | None:
    """Return the place of the questions to ask before the others; None where their prompts share
    too little for that. Each group is asked in one call, but for what code grades."""
    asked = [(at, group) for at, group in enumerate(groups) if group[0].item.check is None]
    if len(asked) < 2 or not _may_be_long(asked[0][1][0]):
        return None
    one, other = (prompt_of(group) for _, group in asked[:2])
    return asked[0][0] if begin_alike(one, other, LONG_ENOUGH) else None


def prompt_of(group: Sequence[Question]) -> list[Message]:
    """Return what the grader is sent first about a group."""
    if len(group) == 1:
        return first_messages(group[0])
    batch = Batch(tuple(group))
    return batch.messages(batch.wants[0])


def _may_be_long(question: Question) -> bool:
    """Return False where the prompts are too short to be worth a comparison, which takes as long as
    making them."""
    datapoint, prompts = question.datapoint, question.prompts
    if question.options.examples or question.item.examples:
        return True
    texts = [message_text(message) for message in datapoint.convo]
    texts += [prompts.grader_system, max(prompts.grader, prompts.verdict, key=len)]
    texts += [datapoint.reference or "", question.response]
    return sum(map(len, texts)) + _TAGS * len(datapoint.convo) > LONG_ENOUGH


def begin_alike(one: Sequence[Message], other: Sequence[Message], characters: int) -> bool:
    """Return True where two prompts have at least that many characters of text in common at their
    beginning."""
    for mine, theirs in zip(one, other, strict=False):
        text, same = message_text(mine), message_text(theirs)
        if text[:characters] != same[:characters]:
            return False
        characters -= min(len(text), len(same))
        if characters <= 0:
            return True
        if mine != theirs:
            return False
    return False
