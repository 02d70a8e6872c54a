"""Rubric items as they stand in a line: their defaults, and how they are written back."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from refinecli.checks.kinds import ANSWER_CHECKS, Check
from refinecli.text.patterns import last_match
from refinecli.types import JSONObject, RubricItem

_TINKER = {
    name: RubricItem.model_fields[name].default
    for name in ("extraction_regex", "grader_output_format_instruction")
}
_SCORE_RANGE = re.compile(
    r"score between\s+(-?[0-9]+(?:\.[0-9]+)?)\s+and\s+(-?[0-9]+(?:\.[0-9]+)?)", re.IGNORECASE
)
_ITEM_KEYS = frozenset(RubricItem.model_fields)


def without_nulls(value: JSONObject) -> JSONObject:
    """Null counts as absent: tables (parquet, data frames) fill every key that some row has."""
    return {key: entry for key, entry in value.items() if entry is not None}


def item_fields(item: JSONObject, index: int) -> JSONObject:
    """An item's fields with those defaults filled in that depend on other fields."""
    fields = without_nulls(item)
    fields.setdefault("name", f"item-{index}")
    if choices := _choices(fields):
        weight = fields.get("weight", 1)
        fault = isinstance(weight, int | float) and weight < 0
        fields.setdefault("grader_output_format_instruction", naming(choices, fault=fault))
        fields["score_range"] = [0.0, len(choices) - 1.0]
    instruction = fields.get("grader_output_format_instruction")
    if "score_range" not in fields:
        fields["score_range"] = _range_of(instruction) or [0.0, 1.0]
    elif (
        instruction is None
        and not fields.get("check")
        and (asked := asking_for(fields["score_range"]))
    ):
        fields["grader_output_format_instruction"] = asked
    if isinstance(examples := fields.get("examples"), list):
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


def example_fields(example: JSONObject) -> JSONObject:
    """An example's fields, its conversation under whichever name it came."""
    fields = without_nulls(example)
    for name in ("convo", "messages", "prompt"):
        if name in fields:
            said = fields[name]
            fields["convo"] = [{"role": "user", "content": said}] if isinstance(said, str) else said
            break
    return fields


def _choices(fields: JSONObject) -> list[str]:
    """The names of an item's choices; none where they are not in order, which is told elsewhere."""
    choices = fields.get("choices")
    if not isinstance(choices, list) or len(choices) < 2:
        return []
    names = [name.strip() for name in choices if isinstance(name, str)]
    return names if len(names) == len(choices) else []


def naming(choices: Sequence[str], *, fault: bool) -> str:
    """The instruction of an item with choices that has none of its own."""
    order = "from the least of the fault to the most" if fault else "from worst to best"
    return (
        "Please output exactly one of these, wrapped in <score> ... </score>: "
        f"{'; '.join(choices)} ({order})"
    )


def _range_of(instruction: object) -> list[float] | None:
    """The range that an instruction speaks of, if it does."""
    match = _SCORE_RANGE.search(instruction) if isinstance(instruction, str) else None
    low, high = (float(match[1]), float(match[2])) if match else (0.0, 0.0)
    return [low, high] if low < high < math.inf else None


def asking_for(score_range: object) -> str | None:
    """The default instruction with an item's own range; None where it is no range, which is told
    elsewhere."""
    ends = score_range if isinstance(score_range, list | tuple) else ()
    if len(ends) != 2 or any(type(end) not in (int, float) for end in ends):
        return None
    default = str(_TINKER["grader_output_format_instruction"])
    return default.replace("between 0 and 1", f"between {_plain(ends[0])} and {_plain(ends[1])}")


def _plain(number: float) -> str:
    """As short as it can be read back: 5 and not 5.0."""
    return str(number).removesuffix(".0")


@cache
def _check_adapter() -> TypeAdapter[Any]:
    return TypeAdapter(Check)  # takes a while, and most files need none


def _described(check: JSONObject) -> str:
    """The criterion of an item that only names a check, in words."""
    try:
        return str(_check_adapter().validate_python(check).describe())
    except (ValidationError, TypeError):  # TypeError: a kind that is a list or an object
        return "(a check)"  # its own error is reported where the item is validated


def written_item(item: JSONObject) -> JSONObject:
    """The item as it is written: with all three of tinker-cookbook's keys, and all of its own."""
    fields = item_fields(item, 0)
    tinker = {"rubric_str": fields["rubric_str"]} | {
        key: fields.get(key, default) for key, default in _TINKER.items()
    }
    return item | tinker


def with_defaults(item: JSONObject) -> JSONObject:
    """An item so that equal ones are equal, however much of it is written out."""
    return {**_TINKER, **item_fields(item, 0)}


def slip(items: Sequence[JSONObject]) -> str:
    """What of the rubric items was probably meant otherwise: a key that is none of ours and close
    to one, which changes nothing, or two that contradict each other."""
    for index, item in enumerate(items):
        if told := _contradiction(item):
            return f"rubric_items[{index}].{told}"
        if item.keys() <= _ITEM_KEYS:
            continue
        for key in item:
            if key not in _ITEM_KEYS and (close := _close_to(key)):
                return f"rubric_items[{index}].{key} is ignored; did you mean {close}?"
    return ""


def _contradiction(item: JSONObject) -> str:
    given, choices = item.get("score_range"), item.get("choices")
    instruction = item.get("grader_output_format_instruction")
    if given and choices:
        own = given == [0, len(choices) - 1]
        return "" if own else "score_range is ignored: the choices are the scale"
    if given and instruction and (asked := _range_of(instruction)) and asked != given:
        low, high, other_low, other_high = map(_plain, (*given, *asked))
        return (
            f"score_range is {low} to {high}, but its instruction asks for a score between "
            f"{other_low} and {other_high}"
        )
    pattern = item.get("extraction_regex")
    asks_ours = instruction in (None, _TINKER["grader_output_format_instruction"])
    if pattern and asks_ours and not item.get("check") and not _finds_default(pattern):
        return (
            "extraction_regex does not find <score>1</score>, which the grader is asked for: say "
            "what it is to write in grader_output_format_instruction"
        )
    return ""


@lru_cache(maxsize=256)
def _finds_default(pattern: str) -> bool:
    try:
        return last_match(pattern, "<score>1</score>") is not None
    except TimeoutError:
        return True


@lru_cache(maxsize=1024)  # the same keys stand in every row, and comparing them is slow
def _close_to(key: str) -> str | None:
    return next(iter(difflib.get_close_matches(key, _ITEM_KEYS, n=1, cutoff=0.8)), None)
