"""Turn messages into the text that a model reads about a conversation it takes no part in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

from refinecli.prompts.untrusted import harmless
from refinecli.types import Message

# Stands for a response without text, since some endpoints refuse a turn that has none.
NO_ANSWER = "(no answer)"
_LABELS = MappingProxyType({"developer": "system"})


def system_turn(prompt: str) -> list[Message]:
    """Return the turn of a role's system prompt; none for an empty one, by which users of models
    without a system role leave it out."""
    return [{"role": "system", "content": prompt}] if prompt.strip() else []


def flattened(convo: Sequence[Message]) -> tuple[str, list[dict[str, Any]]]:
    attachments: list[dict[str, Any]] = []
    turns = []
    for message in convo:
        role = _LABELS.get(message["role"], message["role"])
        body = harmless(message_text(message, attachments))
        turns.append(f'<turn role="{role}">\n{body}\n</turn>')
    return "\n".join(turns), attachments


def ended(response: str, finish_reason: str | None) -> str:
    """Return a response as critics and selectors see it: marked if it was cut off, or it would pass
    for one that was meant to end there."""
    if finish_reason != "length":
        return response
    return f"{response}\n[the response broke off here, at the length limit]"


def message_text(message: Message, attachments: list[dict[str, Any]] | None = None) -> str:
    """Return a message as text; other parts are named in it and added to `attachments`."""
    attachments = [] if attachments is None else attachments
    content = message.get("content")
    calls = message.get("tool_calls")
    if isinstance(content, str) and not calls:
        return content  # as in nearly all messages, and this runs for each
    pieces = [content] if isinstance(content, str) else []
    for part in content if isinstance(content, list) else []:
        if not isinstance(part, dict):  # in the output of another tool
            continue
        if isinstance(part.get("text"), str):
            pieces.append(part["text"])
        else:
            attachments.append(part)
            pieces.append(f"[attachment {len(attachments)}: {part.get('type', 'unknown')}]")
    if calls:
        pieces.append(
            "[tool calls] " + json.dumps(calls, ensure_ascii=False, separators=(",", ":"))
        )
    return "\n".join(pieces)
