"""Ask about one response so that a provider's cache of prompts is used.

The prompts about a response begin with the same conversation and response. A provider that has read
them once bills them as cached from then on, but not to requests that come at the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from refinecli.completers import gather
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


def lead_of(questions: Sequence[Question | None]) -> int | None:
    """Return the place of the question to ask before the others; None where they share too little
    for it, or there are none. Places without a question are for others to answer."""
    asked = [(at, question) for at, question in enumerate(questions) if question is not None]
    if len(asked) < 2 or not _may_be_long(asked[0][1]):
        return None
    one, other = (first_messages(question) for _, question in asked[:2])
    return asked[0][0] if begin_alike(one, other, LONG_ENOUGH) else None


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
