"""Read prompts that need a rubric: rows that are datapoints except for their `rubric_items`.

Such a row stays as it is, including unknown keys and `response`. A conversation that ends with its
answer, and ShareGPT's `conversations`, are read as by the task `chat`. For a row that already has
rubric items nothing is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from refinecli.data.conversations import CONVO_NAMES
from refinecli.data.rows import Row, read_row
from refinecli.errors import InputError
from refinecli.generators import chat
from refinecli.text.json_text import dumps, loads
from refinecli.types import Datapoint, JSONObject

# Added to a row without items while it is read: a datapoint has at least one.
_TO_BE_WRITTEN = "(to be written)"
_STAND_IN: JSONObject = {"rubric_str": _TO_BE_WRITTEN}


def needs_rubric(datapoint: Datapoint) -> bool:
    """Return whether the rubric is still to be written, with a placeholder as its last item."""
    return datapoint.rubric_items[-1].rubric_str == _TO_BE_WRITTEN


@dataclass(frozen=True, slots=True)
class PromptReader:
    """A reader of one line of prompts; `contrast` names the fields of a good and of a bad
    response."""

    with_response: bool = False
    contrast: tuple[str, str] | None = None

    def __call__(
        self, data: bytes, line: int, where: str, rubric: Sequence[JSONObject] = ()
    ) -> Row:
        """Read the row; if it needs a rubric its object has no `rubric_items`."""
        try:
            row = self._row(data, line, where, rubric)
            if row.datapoint and needs_rubric(row.datapoint) and self.contrast:
                responses(row.raw, self.contrast)
        except InputError as error:
            error.where, error.line = f"{where}:{line}", line
            return Row(line, {}, error=error, text=data.decode("utf-8", "backslashreplace"))
        return row

    def _row(self, data: bytes, line: int, where: str, rubric: Sequence[JSONObject]) -> Row:
        try:
            value = loads(data)
        except ValueError:
            value = None  # `read_row` says what is wrong
        if not isinstance(value, dict):
            return read_row(data, line, where, rubric)
        if _is_chat(value):
            (made,) = chat.read([(where, value)], self.with_response)
            data = dumps(made)
        if value.get("rubric_items"):
            return read_row(data, line, where, rubric)
        row = read_row(data, line, where, [*rubric, _STAND_IN])
        return row._replace(raw={k: v for k, v in row.raw.items() if k != "rubric_items"})


def _is_chat(row: JSONObject) -> bool:
    """Return whether its conversation has a form that datapoints cannot have."""
    name = next((name for name in CONVO_NAMES if row.get(name) is not None), None)
    if row.get("conversations") is not None and name in (None, "prompt"):
        return True
    return _ends_with_answer(row.get(name or ""))


def _ends_with_answer(convo: Any) -> bool:
    last = convo[-1] if isinstance(convo, list) and convo else None
    return isinstance(last, dict) and last.get("role") == "assistant"


# ------------------------------------------------------------------ a good and a bad response


def responses(raw: JSONObject, fields: tuple[str, str]) -> tuple[str, str] | None:
    """Return the good and the bad response of a row, by dotted paths; None where one is missing or
    blank, or where both are the same. Raise InputError where one is not a response."""
    good, bad = (_response(_at(raw, field), field) for field in fields)
    return (good, bad) if good.strip() and bad.strip() and good != bad else None


def _at(raw: JSONObject, path: str) -> Any:
    value: Any = raw
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _response(value: Any, field: str) -> str:
    """Return a text, or the assistant's at the end of messages, as preference data has it."""
    if _ends_with_answer(value):
        value = value[-1].get("content")
    if value is None or isinstance(value, str):
        return value or ""
    raise InputError(
        f"{field}: expected a response", "give a string, or messages that end with the assistant's"
    )
