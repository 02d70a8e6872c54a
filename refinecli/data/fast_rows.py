"""Rows as nearly all are: what validation makes of them, without its work.

A value is plain where a look at its type settles that it is in order; whatever is not goes through
pydantic, which alone can say what is wrong with it. The items of a file differ in little but their
text, so what validation made of the rest of an item is kept, by that rest's own JSON.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple, TypeVar, get_args

import orjson
from pydantic import BaseModel, ValidationError

from refinecli.item_defaults import item_fields, written_item
from refinecli.types import Datapoint, JSONObject, Message, Role, RubricItem

M = TypeVar("M", bound=BaseModel)
_ROLES = frozenset(get_args(Role))
_ALL_FIELDS: dict[type[BaseModel], set[str]] = {
    model: set(model.model_fields) for model in (Datapoint, RubricItem)
}


def plain_datapoint(
    raw: JSONObject, convo: object, items: object
) -> tuple[Datapoint, list[JSONObject]] | None:
    """The datapoint of a row and its items as they are written; None where a value is not plain.

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
        if (known := _item(item, index)) is None:
            return None
        valid.append(known[0])
        written.append(known[1])
        positive = positive or known[0].weight > 0
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
    """Messages of a role and a text and nothing else, the last one not the assistant's."""
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
    """False where there is a lone surrogate in it, which validation refuses."""
    try:
        return text.isascii() or bool(text.encode())
    except UnicodeEncodeError:
        return False


class _Shape(NamedTuple):
    """What comes of all items that are alike but for their text."""

    item: RubricItem
    unwritten: JSONObject  # what has to be added where such an item is written


@lru_cache(maxsize=256)  # an item may be long, and where all differ none is found anyway
def _shape(rest: bytes, index: int, varies: bool) -> _Shape | None:
    """None where such an item is not in order."""
    item = orjson.loads(rest)
    if varies:
        item["rubric_str"] = "any text"
    try:
        valid = RubricItem.model_validate(item_fields(item, index))
    except (ValidationError, TypeError):  # TypeError: a check's kind that is a list or an object
        return None
    added = {key: value for key, value in written_item(item).items() if item.get(key) is None}
    return _Shape(valid, added)


def _unchecked(model: type[M], fields: JSONObject) -> M:
    """What `model.model_construct` makes of all its fields, in a tenth of the time."""
    made = object.__new__(model)
    put = object.__setattr__  # the models are frozen
    put(made, "__dict__", fields)
    put(made, "__pydantic_fields_set__", _ALL_FIELDS[model])
    put(made, "__pydantic_extra__", None)
    put(made, "__pydantic_private__", None)
    return made
