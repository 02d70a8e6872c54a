"""Build what a critic is sent, what a writer gets of its feedback, and the rubric shown to a
writer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from refinecli.prompts.conversation import NO_ANSWER, flattened, system_turn
from refinecli.prompts.templates import SELF_REWRITE, Prompts, fill
from refinecli.prompts.untrusted import harmless
from refinecli.types import Datapoint, Message


def criteria(datapoint: Datapoint, *, hidden: bool = False) -> str:
    """List the rubric's items; those the policy may not see only with `hidden`."""
    lines = [
        f"- {'Avoid this: ' if item.penalty else ''}{item.rubric_str.strip()}".replace("\n", "\n  ")
        for item in datapoint.rubric_items
        if hidden or item.reveal == "full"
    ]
    return "\n".join(lines)


def with_rubric(prompts: Prompts, datapoint: Datapoint) -> list[Message]:
    """Add to the end of the conversation's last message what a good answer must meet."""
    shown = criteria(datapoint)
    convo = list(datapoint.convo)
    if not shown:
        return convo
    text = fill(prompts.show_rubric, criteria=shown)
    last = convo[-1]
    content = last.get("content")
    if last["role"] != "user" or content is None:
        return [*convo, {"role": "user", "content": text}]
    if isinstance(content, str):
        return [*convo[:-1], {**last, "content": f"{content}\n\n{text}"}]
    return [*convo[:-1], {**last, "content": [*content, {"type": "text", "text": text}]}]


def feedback_messages(
    prompts: Prompts, datapoint: Datapoint, response: str, principle: str
) -> list[Message]:
    """Ask for feedback on one response by the rubric or by one principle: Self-Refine's second
    step."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.feedback,
        conversation=conversation,
        response=harmless(response) or NO_ANSWER,
        criteria="" if principle else criteria(datapoint),
        principle=principle,
    )
    return asked(prompts.critic_system, text, attachments)


def critique_in(request: str) -> tuple[str, str] | None:
    """Return a critic's words and the principle, if there was one, from the request for a rewrite
    that was made of them; None where another template made it."""
    _, principle, last = SELF_REWRITE.split("\n\n")
    words, found, _ = f"{request}\n".rpartition(f"\n\n{last}\n")
    if not found:
        return None
    critique, _, held_to = words.partition("\n\n" + principle.removesuffix("{{principle}}"))
    return critique, held_to


def improve_messages(prompts: Prompts, datapoint: Datapoint, response: str) -> list[Message]:
    """Ask for a critic's whole job in one request: the faults, and a better response."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.improve,
        conversation=conversation,
        response=harmless(response) or NO_ANSWER,
        criteria=criteria(datapoint),
    )
    return asked(prompts.critic_system, text, attachments)


def self_rewrite_messages(
    datapoint: Datapoint, history: Sequence[tuple[str, str]]
) -> list[Message]:
    """Return the conversation, then each response and the request that followed it as turns:
    Self-Refine's third step."""
    messages: list[Message] = list(datapoint.convo)
    for response, request in history:
        messages.append({"role": "assistant", "content": response or NO_ANSWER})
        messages.append({"role": "user", "content": request})
    return messages


def asked(system: str, text: str, attachments: Sequence[dict[str, Any]]) -> list[Message]:
    """Build one request with its system prompt; the conversation's images and files come before the
    text."""
    parts = [*attachments, {"type": "text", "text": text}]
    user: Message = {"role": "user", "content": parts if attachments else text}
    return [*system_turn(system), user]
