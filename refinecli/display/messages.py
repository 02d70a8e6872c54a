"""Show messages and replies, as every part of a transcript does."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from refinecli.display.boxes import Body, Limit, label
from refinecli.display.marks import tokens
from refinecli.prompts import message_text
from refinecli.text.clean import one_line
from refinecli.text.word_diff import Piece
from refinecli.types import Completion, JSONObject, Message


def turns(messages: Sequence[Message], limit: Limit, ours: str = "") -> list[RenderableType]:
    """Show each message's role, with its further keys, above its text; attachments are named
    there."""
    parts: list[RenderableType] = []
    attachments: list[JSONObject] = []
    for message in messages:
        known = ("role", "content", "tool_calls")
        more = [f"{key}={value}" for key, value in message.items() if key not in known]
        parts.append(label(one_line(ours + " · ".join([message["role"], *more]), 200)))
        parts.append(Body([("", message_text(message, attachments))], limit))
    return parts


def reply(reasoning: str, pieces: list[Piece], limit: Limit) -> list[RenderableType]:
    """Show a reply's text below its reasoning, which is set apart."""
    parts: list[RenderableType] = []
    if reasoning:
        parts += [label("reasoning", "dim bold"), Body([("", reasoning)], limit, style="dim")]
        parts += [label("answer")] if pieces else []
    return [*parts, Body(pieces, limit)] if pieces else parts


def ending(completion: Completion) -> Text:
    """Show how the reply ended and its tokens."""
    notes = [tokens(completion.usage)]
    if completion.finish_reason not in ("stop", None):
        notes.insert(0, f"finish_reason: {completion.finish_reason}")
    return label(" · ".join(notes), "bold" if len(notes) > 1 else "dim")
