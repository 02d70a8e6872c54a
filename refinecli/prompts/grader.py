"""Build what a grader is sent: one item of one response, and nothing of its history."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from refinecli.prompts.conversation import flattened, system_turn
from refinecli.prompts.templates import Prompts, fill
from refinecli.prompts.untrusted import harmless, nonce
from refinecli.text.patterns import SECONDS, compiled, is_quick, occurs
from refinecli.text.reasoning import split_reasoning
from refinecli.text.visible import visible
from refinecli.types import Datapoint, Example, Message, RubricItem

if TYPE_CHECKING:
    import regex

_TAG = re.compile(r"</?(\w+)>")


def grader_messages(
    prompts: Prompts,
    datapoint: Datapoint,
    response: str,
    item: RubricItem,
    *,
    reasons: bool = True,
    instruction: str | None = None,
    examples: Sequence[tuple[Example, str]] = (),
) -> list[Message]:
    """Build what a grader of one item sees: prefix, reference, response and item, no history.

    Images and other parts of the prefix come in order before the text that names them. `reasons` is
    whether the grader gives reasons before its verdict. `instruction` replaces the item's own. Each
    of the `examples`, with the reply to it, precedes the question as turns like it.
    """
    template = prompts.grader if reasons else prompts.verdict
    if instruction is None:
        instruction = item.grader_output_format_instruction
    messages: list[Message] = [*system_turn(prompts.grader_system)]
    for example, reply in examples:
        shown, by = _of_example(datapoint, item, example)
        messages.append(_asked(template, shown, example.response, by, instruction))
        messages.append({"role": "assistant", "content": reply})
    return [*messages, _asked(template, datapoint, response, item, instruction)]


def _of_example(
    datapoint: Datapoint, item: RubricItem, example: Example
) -> tuple[Datapoint, RubricItem]:
    """Return the datapoint and the item that an example is shown with."""
    own = {"convo": example.convo, "reference": None} if example.convo else {}
    criterion = {"rubric_str": example.rubric_str or item.rubric_str}
    return datapoint.model_copy(update=own), item.model_copy(update=criterion)


def _asked(
    template: str, datapoint: Datapoint, response: str, item: RubricItem, instruction: str
) -> Message:
    values, attachments = case(datapoint, response, item)
    return _turn(fill(template, **{**values, "instruction": instruction}), attachments)


def _turn(text: str, attachments: list[dict[str, Any]]) -> Message:
    parts: list[dict[str, Any]] = [*attachments, {"type": "text", "text": text}]
    return {"role": "user", "content": parts if attachments else text}


# ------------------------------------------------------------------ several items


class Criterion(NamedTuple):
    """One of several items in a prompt: its name there, and the form of its score."""

    name: str
    item: RubricItem
    instruction: str


Form: TypeAlias = Callable[[str, str], str]  # from a response's code and the first item's name


def batch_messages(
    prompts: Prompts,
    datapoint: Datapoint,
    response: str,
    criteria: Sequence[Criterion],
    form: Form,
    examples: Sequence[tuple[Example, Criterion, Form]] = (),
) -> list[Message]:
    """Build what a grader of several items sees, each with its own instruction.

    `form` is the form of the whole reply. Each of the `examples`, with the criterion that it is of
    and the reply to it, precedes the question as turns like it.
    """
    messages: list[Message] = [*system_turn(prompts.grader_batch_system)]
    for example, criterion, reply in examples:
        shown, by = _of_example(datapoint, criterion.item, example)
        one = [criterion._replace(item=by)]
        messages.append(_asked_together(prompts, shown, example.response, one, form))
        answer = reply(code_of(shown, example.response), criterion.name)
        messages.append({"role": "assistant", "content": answer})
    return [*messages, _asked_together(prompts, datapoint, response, criteria, form)]


def _asked_together(
    prompts: Prompts,
    datapoint: Datapoint,
    response: str,
    criteria: Sequence[Criterion],
    form: Form,
) -> Message:
    values, attachments = case(datapoint, response, criteria[0].item)
    values |= {
        "response": harmless(values["response"], GRADE_TAG),
        "criteria": "\n\n".join(map(_listed, criteria)),
        "instruction": form(values["nonce"], criteria[0].name),
    }
    return _turn(fill(prompts.grader_batch, **values), attachments)


GRADE_TAG = "grade"  # begins the tag around one of several verdicts; the response's code ends it


def _listed(one: Criterion) -> str:
    criterion = f'<criterion name="{one.name}">\n{one.item.rubric_str}\n</criterion>'
    return "\n\n".join(
        filter(None, (criterion, PENALTY if one.item.penalty else "", one.instruction))
    )


def code_of(datapoint: Datapoint, response: str) -> str:
    """Return the code in the tags around a response, and around the verdicts on it."""
    return nonce(flattened(datapoint.convo)[0], datapoint.reference or "", response)


def label_instruction(item: RubricItem, labels: Sequence[str]) -> str:
    """Ask for a verdict of a single token out of `labels`, which go from lowest to highest."""
    if item.choices:
        order = "from the least of that fault to the most" if item.penalty else "from worst to best"
        listed = "\n".join(f"{a}: {b}" for a, b in zip(labels, item.choices, strict=True))
        return f"Which of these is it, {order}?\n{listed}\nAnswer with one letter alone."
    asked = "have that fault" if item.penalty else "meet the criterion"
    if labels == ["no", "yes"]:
        return f"Does the response {asked}? Answer with one word alone: yes or no."
    return (
        f"How far does the response {asked}, from {labels[0]} (not at all) to "
        f"{labels[-1]} (fully)? Answer with one number alone."
    )


_SOME_PAGES = 5_000  # characters


def may_take_long(item: RubricItem, response: str) -> Callable[[], object] | None:
    """Return the part of making a grader's prompt that may take long, to be done beforehand and
    elsewhere; None where nothing does."""
    if len(response) <= _SOME_PAGES and is_quick(item.extraction_regex):
        return None
    return partial(defused, visible(response), item.extraction_regex)


def case(
    datapoint: Datapoint, response: str, item: RubricItem
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return all that a template may show of one item of one response, by placeholder; and
    attachments.

    The nonce is that of the response, not of the item, so that the prompts of a response's items
    share everything before the criterion.
    """
    conversation, attachments = flattened(datapoint.convo)
    reference = datapoint.reference or ""
    values = {
        "conversation": conversation,
        "reference": harmless(reference),
        "response": defused(visible(response), item.extraction_regex),
        "nonce": nonce(conversation, reference, response),
        "criterion": item.rubric_str,
        "penalty": PENALTY if item.penalty else "",
        "instruction": item.grader_output_format_instruction,
    }
    return values, attachments


PENALTY = """\
The criterion describes a fault. Score how far the response has that fault: the lowest score where \
it does not, the highest where it plainly does."""


def grader_retry_messages(
    prompts: Prompts, messages: Sequence[Message], reply: str, problem: str, instruction: str
) -> list[Message]:
    """Ask once more: the same question, the unusable reply, and what was wrong with it."""
    request = fill(prompts.grader_retry, problem=problem, instruction=instruction)
    _, answer = split_reasoning(reply)
    answer = answer or "(no answer)"  # some endpoints refuse an assistant turn without text
    return [
        *messages,
        {"role": "assistant", "content": answer},
        {"role": "user", "content": request},
    ]


# Asked for once for each item and once for each comparison of prompts.
@lru_cache(maxsize=128)
def defused(response: str, pattern: str) -> str:
    """Return the response without tags that mean something, changed wherever the score's pattern
    matches it so that it no longer does.

    A grader that quotes the response must not seem to give the score in it. Tags are escaped, the
    pattern's own even where they stand alone; other text is broken up with dots. A match that is
    nothing but a number may be the answer itself and stays.
    """
    response = harmless(response, *_tag_names(pattern))
    try:
        if not occurs(pattern, response):
            return response
        expression = compiled(pattern)
        for change in (_escape_brackets, _dot_after_first, _dot_everywhere):
            changed = _changed_matches(expression, change, response)
            left = expression.finditer(changed, timeout=SECONDS)
            if all(_is_number(match[0]) for match in left):
                return changed
    except TimeoutError:
        return _escape_brackets(response)
    return response


@lru_cache(maxsize=256)
def _tag_names(pattern: str) -> tuple[str, ...]:
    """Return the tags in a score's pattern."""
    return tuple(sorted(set(_TAG.findall(pattern))))


def _changed_matches(
    expression: regex.Pattern[str], change: Callable[[str], str], text: str
) -> str:
    def changed(match: regex.Match[str]) -> str:
        return match[0] if _is_number(match[0]) else change(match[0])

    return expression.sub(changed, text, timeout=SECONDS)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*[-+]?[0-9.,]+\s*", text) is not None


def _escape_brackets(text: str) -> str:
    return (
        text.replace("<", "&lt;").replace(">", "&gt;").replace("[", "&#91;").replace("]", "&#93;")
    )


def _dot_after_first(text: str) -> str:
    return f"{text[:1]}·{text[1:]}"


def _dot_everywhere(text: str) -> str:
    return "·".join(text)
