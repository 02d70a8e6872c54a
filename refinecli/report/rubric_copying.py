"""Find responses that copy the rubric: long phrases of a criterion that they did not have
before."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from refinecli.data.conversations import CONVO_NAMES, conversation_of
from refinecli.errors import InputError
from refinecli.types import JSONObject

_PHRASE = 6  # words: long enough that two people would hardly write them by chance
_WORD = re.compile(r"\w+")


def copied_phrases(row: JSONObject, first: str, final: str) -> bool:
    """Return whether the final response has a long phrase of a criterion that a model judges, which
    is in neither the first response nor the prompt."""
    if first == final:
        return False
    criteria = [
        item["rubric_str"]
        for item in row.get("rubric_items") or ()
        if item.get("check") is None and isinstance(item.get("rubric_str"), str)
    ]
    found = set().union(*map(_phrases, criteria)) & _phrases(final)
    return bool(found and found - _phrases(first) - _phrases(_text(convo_of(row))))


def _phrases(text: str) -> set[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return {tuple(words[at : at + _PHRASE]) for at in range(len(words) - _PHRASE + 1)}


def convo_of(row: JSONObject) -> Any:
    """Return a row's conversation, its system prompt included."""
    name = next((name for name in CONVO_NAMES if row.get(name) is not None), None)
    if name is None:
        return []
    try:
        return conversation_of(row, name).convo
    except InputError:  # an earlier version may have written it
        return row[name]


def _text(value: Any) -> str:
    """Join all texts in a JSON value."""
    if isinstance(value, str):
        return value
    values = value.values() if isinstance(value, dict) else value
    return "\n".join(map(_text, values)) if isinstance(values, Iterable) else ""
