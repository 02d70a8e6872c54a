"""Hold every word that a model is sent, and nothing else."""

from refinecli.prompts.conversation import ended, message_text
from refinecli.prompts.critique import (
    criteria,
    critique_in,
    feedback_messages,
    improve_messages,
    self_rewrite_messages,
    with_rubric,
)
from refinecli.prompts.grader import (
    GRADE_TAG,
    PENALTY,
    Criterion,
    Form,
    batch_messages,
    code_of,
    defused,
    grader_messages,
    grader_retry_messages,
    label_instruction,
    may_take_long,
)
from refinecli.prompts.rewrite import rewrite_messages, rewrite_request, shown_problems
from refinecli.prompts.rubric import rubric_messages
from refinecli.prompts.select import compare_messages, pick_messages, rewrite_from_all_request
from refinecli.prompts.templates import (
    GRADER,
    GRADER_RETRY,
    GRADER_SYSTEM,
    PLACEHOLDERS,
    REWRITE,
    Prompts,
    fill,
)

__all__ = [
    "GRADER",
    "GRADER_RETRY",
    "GRADER_SYSTEM",
    "GRADE_TAG",
    "PENALTY",
    "PLACEHOLDERS",
    "REWRITE",
    "Criterion",
    "Form",
    "Prompts",
    "batch_messages",
    "code_of",
    "compare_messages",
    "criteria",
    "critique_in",
    "defused",
    "ended",
    "feedback_messages",
    "fill",
    "grader_messages",
    "grader_retry_messages",
    "improve_messages",
    "label_instruction",
    "may_take_long",
    "message_text",
    "pick_messages",
    "rewrite_from_all_request",
    "rewrite_messages",
    "rewrite_request",
    "rubric_messages",
    "self_rewrite_messages",
    "shown_problems",
    "with_rubric",
]
