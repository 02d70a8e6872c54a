"""Build what a selector is sent: responses next to each other, with no sign of their origin."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.prompts.conversation import NO_ANSWER, flattened
from refinecli.prompts.critique import asked, criteria
from refinecli.prompts.templates import Prompts, fill
from refinecli.prompts.untrusted import harmless, nonce
from refinecli.text.visible import visible
from refinecli.types import Datapoint, Message


def compare_messages(
    prompts: Prompts, datapoint: Datapoint, first: str, second: str
) -> list[Message]:
    """Show two responses to be judged by the whole rubric; no policy sees the selector's answer."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.compare,
        conversation=conversation,
        reference=harmless(datapoint.reference or ""),
        responses=_listed([first, second], _code(datapoint, conversation, first, second)),
        criteria=criteria(datapoint, hidden=True),
    )
    return asked(prompts.selector_system, text, attachments)


def pick_messages(
    prompts: Prompts, datapoint: Datapoint, responses: Sequence[str]
) -> list[Message]:
    """Show all responses so far, without what the policy may not know, since it gets the reason."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.pick,
        conversation=conversation,
        responses=_listed(responses, _code(datapoint, conversation, *responses)),
        criteria=criteria(datapoint),
    )
    return asked(prompts.selector_system, text, attachments)


def rewrite_from_all_request(prompts: Prompts, responses: Sequence[str], feedback: str) -> str:
    return fill(prompts.rewrite_from_all, responses=_listed(responses), feedback=feedback)


def _code(datapoint: Datapoint, conversation: str, *responses: str) -> str:
    return "-" + nonce(conversation, datapoint.reference or "", *responses)


def _listed(responses: Sequence[str], code: str = "") -> str:
    blocks = (
        f"<response_{n}{code}>\n{harmless(visible(text)) or NO_ANSWER}\n</response_{n}{code}>"
        for n, text in enumerate(responses, 1)
    )
    return "\n\n".join(blocks)
