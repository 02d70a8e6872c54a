"""Build plain rows, as nearly all are, with the result of validation but without its cost.

A value is plain if its type alone shows that it is valid; every other goes through pydantic, which
alone can say what is wrong. The items of a file usually differ only in their text, so the validated
rest of an item is kept under that rest's own JSON.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, get_args

import orjson
from pydantic import BaseModel, ValidationError

from refinecli.item_defaults import EXTRACTION_REGEX, item_fields, written_item
from refinecli.types import Datapoint, JSONObject, Message, Role, RubricItem

M = TypeVar("M", bound=BaseModel)
_ROLES = frozenset(get_args(Role))
_ALL_FIELDS: dict[type[BaseModel], set[str]] = {
    model: set(model.model_fields) for model in (Datapoint, RubricItem)
}
_DEFAULTS = {name: field.default for name, field in RubricItem.model_fields.items()}
# Of an item; every other field has rules of its own.
_TEXTS = frozenset({"rubric_str", "grader_output_format_instruction", "extraction_regex", "name"})


def plain_datapoint(
    raw: JSONObject, convo: object, items: object
) -> tuple[Datapoint, list[JSONObject]] | None:
    """Build a row's datapoint, and its items in written form; None where a value is not plain.

    `convo` and `items` are the row's, whatever names and places they came from.
    """
    messages = _messages(convo)
    if not messages or type(items) is not list:
        return None
    given_id, tags, group = raw.get("id"), raw.get("tags"), raw.get("group")
    response, reference = raw.get("response"), raw.get("reference")
    if not (
        (given_id is None or type(given_id) is str or type(given_id) is int)
        and (response is None or type(response) is str)
        and (reference is None or type(reference) is str)
        and (group is None or type(group) is str)
        and (tags is None or type(tags) is str)
    ):
        return None
    valid, written = [], []
    positive = False
    for index, item in enumerate(items):
        if (found := _item(item, index)) is None:
            return None
        valid.append(found[0])
        written.append(found[1])
        positive = positive or found[0].weight > 0
    if not positive:
        return None
    fields = {
        "id": "" if given_id is None else given_id,
        "convo": messages,
        "rubric_items": tuple(valid),
        "response": response,
        "reference": reference,
        "group": group,
        "tags": tags,
        "occurrence": 0,
        "convo_occurrence": 0,
    }
    return _unchecked(Datapoint, fields), written


def _messages(convo: object) -> tuple[Message, ...] | None:
    """Return messages that are a role and a text and nothing else; None for others, or if the
    assistant's is last."""
    if type(convo) is not list:
        return None
    messages: list[Any] = []
    role: object = "assistant"
    for message in convo:
        if type(message) is not dict or len(message) != 2:
            return None
        role, content = message.get("role"), message.get("content")
        if type(content) is not str or type(role) is not str or role not in _ROLES:
            return None
        messages.append({"role": role, "content": content})
    return None if role == "assistant" else tuple(messages)


def _item(item: object, index: int) -> tuple[RubricItem, JSONObject] | None:
    if type(item) is not dict:
        return None
    text = item.get("rubric_str")
    varies = type(text) is str and text != "" and _is_unicode(text)
    try:
        rest = orjson.dumps({**item, "rubric_str": None} if varies else item)
    except TypeError:  # JSON that only the standard library writes
        return None
    shape = _shape(rest, index, varies)
    if shape is None:
        return None
    written = item | shape.unwritten if shape.unwritten else item
    if not varies:
        return shape.item, written
    return _unchecked(RubricItem, {**vars(shape.item), "rubric_str": text}), written


def _is_unicode(text: str) -> bool:
    """Return False where the text has a lone surrogate, which validation refuses."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class _Shape(NamedTuple):
    """The validated form of all items that differ only in their text."""

    item: RubricItem
    unwritten: JSONObject  # to be added when such an item is written


@lru_cache(maxsize=256)  # items may be long, and a cache of distinct ones finds nothing
def _shape(rest: bytes, index: int, varies: bool) -> _Shape | None:
    """Validate an item's shape; None where it is invalid."""
    item = orjson.loads(rest)
    if varies:
        item["rubric_str"] = "any text"
    fields = item_fields(item, index)
    if (valid := _plain_item(item, fields)) is None:
        try:
            valid = RubricItem.model_validate(fields)
        except (ValidationError, TypeError):  # TypeError: a check's kind that is not a text
            return None
    added = {key: value for key, value in written_item(item).items() if item.get(key) is None}
    return _Shape(valid, added)


def _plain_item(item: JSONObject, fields: JSONObject) -> RubricItem | None:
    """Build an item of plain texts, the usual ones for a grader; None for others. The first one
    that goes through pydantic builds the rules for all kinds of checks, which takes 10 ms."""
    if not (
        item.keys() - {"reveal"} <= _TEXTS
        and all(type(value) is str for value in item.values())
        and item.get("rubric_str")
        and item.get("reveal", "full") in ("full", "verdict")
        and item.get("extraction_regex", EXTRACTION_REGEX) == EXTRACTION_REGEX
    ):
        return None
    low, high = fields["score_range"]  # as the instruction has it
    if not low < high:
        return None
    plain = {**_DEFAULTS, **fields, "score_range": (float(low), float(high))}
    return _unchecked(RubricItem, plain)


def _unchecked(model: type[M], fields: JSONObject) -> M:
    """Build what `model.model_construct` does from all fields, in a tenth of the time."""
    made = object.__new__(model)
    put = object.__setattr__  # the models are frozen
    put(made, "__dict__", fields)
    put(made, "__pydantic_fields_set__", _ALL_FIELDS[model])
    put(made, "__pydantic_extra__", None)
    put(made, "__pydantic_private__", None)
    return made
