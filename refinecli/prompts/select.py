"""What a selector is sent: responses side by side, with nothing that tells where each is from."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.prompts.critique import asked, criteria
from refinecli.prompts.templates import Prompts, fill
from refinecli.prompts.texts import NO_ANSWER, flattened, harmless
from refinecli.types import Datapoint, Message


def compare_messages(
    prompts: Prompts, datapoint: Datapoint, first: str, second: str
) -> list[Message]:
    """Two responses, judged by all of the rubric: no policy is told what the selector says."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.compare,
        conversation=conversation,
        reference=harmless(datapoint.reference or ""),
        responses=_listed([first, second]),
        criteria=criteria(datapoint, hidden=True),
    )
    return asked(prompts.selector_system, text, attachments)


def pick_messages(
    prompts: Prompts, datapoint: Datapoint, responses: Sequence[str]
) -> list[Message]:
    """All responses so far, without what the policy may not know: the reason goes to it."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.pick,
        conversation=conversation,
        responses=_listed(responses),
        criteria=criteria(datapoint),
    )
    return asked(prompts.selector_system, text, attachments)


def rewrite_from_all_request(prompts: Prompts, responses: Sequence[str], feedback: str) -> str:
    return fill(prompts.rewrite_from_all, responses=_listed(responses), feedback=feedback)


def _listed(responses: Sequence[str]) -> str:
    blocks = (
        f"<response_{n}>\n{harmless(text) or NO_ANSWER}\n</response_{n}>"
        for n, text in enumerate(responses, 1)
    )
    return "\n\n".join(blocks)
