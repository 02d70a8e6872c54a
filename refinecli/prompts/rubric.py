"""Build what the writer of a rubric is sent: the conversation and the reference, but no
response."""

from __future__ import annotations

from refinecli.prompts.conversation import flattened
from refinecli.prompts.critique import asked
from refinecli.prompts.templates import Prompts, fill
from refinecli.prompts.untrusted import harmless
from refinecli.types import Datapoint, Message


def rubric_messages(prompts: Prompts, datapoint: Datapoint) -> list[Message]:
    """Ask for a rubric. Existing responses are not shown: criteria made to fit them would say
    little about others, and contrasting responses are there to test the criteria."""
    conversation, attachments = flattened(datapoint.convo)
    text = fill(
        prompts.rubric,
        conversation=conversation,
        reference=harmless(datapoint.reference or ""),
    )
    return asked(prompts.rubric_system, text, attachments)
