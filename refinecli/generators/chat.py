r"""Import plain conversations: rows of OpenAI's `messages` or of ShareGPT's `conversations`.

Rows with a `prompt`, or with a conversation under any other name that datapoints use, are read too.
The answer at the end of a conversation is cut off, and becomes the `response` on request. The row's
other keys stay. Such rows have no criteria, unless they already have `rubric_items`:
`--rubric FILE` adds some, here or in the command that reads them next.

    {"convo": [{"role": "system", "content": "You are a librarian."},
               {"role": "user", "content": "Who wrote Emma?"}],
     "response": "Jane Austen."}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.data.conversations import CONVO_NAMES
from refinecli.generators.messages import checked_as, messages, sharegpt_messages
from refinecli.generators.reading import Columns, present
from refinecli.generators.shared_items import rubric_item
from refinecli.types import JSONObject

_SHAREGPT = "conversations"
_NAMES = ("messages", _SHAREGPT, *CONVO_NAMES)
_LISTED = ", ".join(dict.fromkeys(_NAMES))
_STAND_IN = [rubric_item("anything")]  # used to check a row without items


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """Yield one datapoint a row; without items of its own it needs `--rubric`."""
    for where, row in rows:
        columns = Columns(where, row)
        if not any(row.get(name) is not None for name in _NAMES):
            raise columns.fault(_NAMES[0], "field required", f"looked for {_LISTED}")
        datapoint = _datapoint(columns, with_response)
        checked_as(_column(columns), where, {"rubric_items": _STAND_IN} | datapoint)
        yield datapoint


def _column(columns: Columns) -> str:
    """Return the column of the row's conversation."""
    return next((name for name in _NAMES if columns.row.get(name) is not None), _NAMES[0])


def _datapoint(columns: Columns, with_response: bool) -> JSONObject:
    name = _column(columns)
    if name == _SHAREGPT:
        convo, replaced = sharegpt_messages(columns, name), {name, "system", "response"}
    else:
        convo, replaced = messages(columns, name), {name, "system", "response"}
    end = len(convo)
    while end and convo[end - 1].get("role") == "assistant":
        end -= 1
    if not end:
        raise columns.fault(name, "expected a message before the answer")
    kept = {key: value for key, value in columns.row.items() if key not in replaced}
    response = None
    if with_response:
        response = _text(columns, name, convo, end)
        response = columns.optional_text("response") if response is None else response
    return present(kept | {"convo": convo[:end], "response": response})


def _text(columns: Columns, name: str, convo: list[JSONObject], start: int) -> str | None:
    """Return the answer's text; None where it only calls tools, or is missing."""
    texts = []
    for index in range(start, len(convo)):
        content = convo[index].get("content")
        for text in content if isinstance(content, list) else [content]:
            if isinstance(text, dict) and isinstance(text.get("text"), str):
                text = text["text"]
            if not isinstance(text, str | None):
                raise columns.fault(f"{name}[{index}].content", "expected a string")
            texts.append(text)
    found = [text for text in texts if text is not None]
    return "\n".join(found) if found else None
