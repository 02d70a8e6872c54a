"""Fill in the defaults of rubric items and conversations as plain objects, and write these back.

The rules are the same for a line of data and for a record built in code.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeAlias

from pydantic import TypeAdapter, ValidationError

from refinecli.checks.kinds import ANSWER_CHECKS, Check
from refinecli.errors import InputError
from refinecli.text.json_text import loads

Fields: TypeAlias = dict[str, Any]

# tinker-cookbook's own, so that its rubrics mean the same here.
EXTRACTION_REGEX = r"<score>(.*?)</score>"
INSTRUCTION = "Please output your score between 0 and 1 wrapped in <score> ... </score>"
_TINKER = {"extraction_regex": EXTRACTION_REGEX, "grader_output_format_instruction": INSTRUCTION}
_SCORE_RANGE = re.compile(
    r"score between\s+(-?[0-9]+(?:\.[0-9]+)?)\s+and\s+(-?[0-9]+(?:\.[0-9]+)?)", re.IGNORECASE
)


def without_nulls(value: Fields) -> Fields:
    """Drop nulls, which count as absent: tables (parquet, data frames) fill every key that some row
    has."""
    return {key: entry for key, entry in value.items() if entry is not None}


def item_fields(item: Fields, index: int) -> Fields:
    """Return an item's fields, with the defaults that depend on other fields filled in."""
    fields = without_nulls(item)
    fields.setdefault("name", f"item-{index}")
    if choices := _choices(fields):
        weight = fields.get("weight", 1)
        fault = isinstance(weight, int | float) and weight < 0
        fields.setdefault("grader_output_format_instruction", naming(choices, fault=fault))
        fields["score_range"] = [0.0, len(choices) - 1.0]
    instruction = fields.get("grader_output_format_instruction")
    if "score_range" not in fields:
        fields["score_range"] = range_of(instruction) or [0.0, 1.0]
    elif (
        instruction is None
        and not fields.get("check")
        and (asked := asking_for(fields["score_range"]))
    ):
        fields["grader_output_format_instruction"] = asked
    if isinstance(examples := fields.get("examples"), list | tuple):
        fields["examples"] = [
            example_fields(example) if isinstance(example, dict) else example
            for example in examples
        ]
    check = fields.get("check")
    if isinstance(check, dict):
        fields["check"] = check = without_nulls(check)
        if check.get("kind") in ANSWER_CHECKS:
            fields.setdefault("reveal", "verdict")
        if "rubric_str" not in fields:
            fields["rubric_str"] = _described(check)
    return fields


def example_fields(example: Fields) -> Fields:
    """Return an example's fields, with its conversation under `convo` whatever its name was."""
    fields = without_nulls(example)
    for name in ("convo", "messages", "prompt"):
        if name in fields:
            fields["convo"] = convo_of(fields[name])
            break
    return fields


def convo_of(said: object) -> object:
    """Return a conversation, given as one, as its JSON, or as the text of its only message, the
    user's. Raise InputError for a text that begins like a conversation and cannot be read as
    one."""
    if not isinstance(said, str):
        return said
    messages = _messages_in(said)
    return [{"role": "user", "content": said}] if messages is None else messages


# How a conversation begins as JSON, or as Python prints it: an object that gives a role, at once or
# after what is said, or that holds a list of such. A user's own text that merely has JSON in it
# begins otherwise, as nearly all lists and objects of JSON do.
_BEGINS_AS_MESSAGES = (
    r"""\s*+(?:\{\s*+["'](?:messages|conversations?|convo|prefix|prompt)["']\s*+:\s*+)?+"""
    r"""(?:array\()?+(?:\[\s*+)?+\{\s*+["'](?:(role|from)|content|value)["']\s*+:"""
)
_NAMES_ROLE = r"""["'](?:role|from)["']\s*+:"""
_AROUND, _FENCE = "\ufeff \t\r\n", "```"


def _messages_in(text: str) -> list[Any] | None:
    """Return the messages of a conversation given as JSON text; None if it is plain text."""
    text = text.strip(_AROUND)
    if text.startswith(_FENCE) and text.endswith(_FENCE):
        text = text[len(_FENCE) : -len(_FENCE)].removeprefix("json").strip(_AROUND)
    if not text.startswith(("[", "{", '"', "array(")):
        return None
    try:
        value = loads(text.encode())
        if isinstance(value, str):  # JSON within JSON
            return _messages_in(value)
    except ValueError as error:
        begins = re.match(_BEGINS_AS_MESSAGES, text)
        if not begins or not (begins[1] or re.search(_NAMES_ROLE, text)):
            return None
        raise InputError(
            f"convo: is a conversation as text that is not JSON: {error}", _AS_MESSAGES
        ) from None
    messages = [value] if isinstance(value, dict) else value
    if messages and all(map(_is_message, messages)):
        return list(messages)
    if _holds_messages(value):
        raise InputError("convo: is JSON text, but not a list of messages", _AS_MESSAGES)
    return None


_AS_MESSAGES = 'give messages: [{"role": "user", "content": "…"}]'


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value and not value.keys().isdisjoint(_SAYS)


_SAYS = frozenset({"content", "tool_calls"})


def _holds_messages(value: object) -> bool:
    """Return whether a list, or a list in an object, has a message of OpenAI's or of ShareGPT's."""
    if isinstance(value, dict):
        return any(_holds_messages(part) for part in value.values() if isinstance(part, list))
    return any(
        _is_message(part) or (isinstance(part, dict) and {"from", "value"} <= part.keys())
        for part in (value if isinstance(value, list) else ())
    )


def message_fields(message: object) -> object:
    """Return a message as it goes over the wire, where a null could be refused. Only its `content`
    may be null."""
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if isinstance(content, list):
        content = [without_nulls(part) if isinstance(part, dict) else part for part in content]
    return {**without_nulls(message), **({"content": content} if "content" in message else {})}


def _choices(fields: Fields) -> list[str]:
    """Return the names of an item's choices; none where they are not in order, which validation
    reports."""
    choices = fields.get("choices")
    if not isinstance(choices, list | tuple) or len(choices) < 2:
        return []
    names = [name.strip() for name in choices if isinstance(name, str)]
    return names if len(names) == len(choices) else []


def naming(choices: Sequence[str], *, fault: bool) -> str:
    """Return the instruction of an item with choices that has none of its own."""
    order = "from the least of the fault to the most" if fault else "from worst to best"
    return (
        "Please output exactly one of these, wrapped in <score> ... </score>: "
        f"{'; '.join(choices)} ({order})"
    )


def range_of(instruction: object) -> list[float] | None:
    """Return the range that an instruction speaks of, if it does."""
    match = _SCORE_RANGE.search(instruction) if isinstance(instruction, str) else None
    low, high = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    return [low, high] if low < high < math.inf else None


def asking_for(score_range: object) -> str | None:
    """Return the default instruction with an item's own range; None where it is not a range, which
    validation reports."""
    ends = score_range if isinstance(score_range, list | tuple) else ()
    if len(ends) != 2 or any(type(end) not in (int, float) for end in ends):
        return None
    return INSTRUCTION.replace(
        "between 0 and 1", f"between {shortest(ends[0])} and {shortest(ends[1])}"
    )


def shortest(number: float) -> str:
    """Write a number as short as it can be read back: 5 and not 5.0."""
    return str(number).removesuffix(".0")


def as_written(value: Any) -> Any:
    """Write a value as a person does in JSON: 2 and not 2.0."""
    if isinstance(value, dict):
        return {key: as_written(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [as_written(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


@cache
def _check_adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Check)  # takes a while, and most files need none


def _described(check: Fields) -> str:
    """Return the criterion of an item that only names a check, in words."""
    try:
        return str(_check_adapter().validate_python(check).describe())
    except (ValidationError, TypeError):  # TypeError: a kind that is a list or an object
        return "(a check)"  # its own error is reported where the item is validated


def written_item(item: Fields) -> Fields:
    """Return an item in its written form: with all three of tinker-cookbook's keys, and its own."""
    fields = item_fields(item, 0)
    tinker = {"rubric_str": fields["rubric_str"]} | {
        key: fields.get(key, default) for key, default in _TINKER.items()
    }
    return item | tinker


def with_defaults(item: Fields) -> Fields:
    """Return an item in a form in which equal items are equal, however much of it is written
    out."""
    return {**_TINKER, **item_fields(item, 0)}
