r"""Plain conversations: rows of OpenAI's `messages` or of ShareGPT's `conversations`.

The answer that a conversation ends with is cut off, and becomes the `response` if asked for. The
row's other keys stay. Such rows have no criteria, unless they hold `rubric_items` already:
`--rubric FILE` gives them some, here or in the command that reads them next.

    {"convo": [{"role": "system", "content": "You are a librarian."},
               {"role": "user", "content": "Who wrote Emma?"}],
     "response": "Jane Austen."}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from refinecli.generators.items import rubric_item
from refinecli.generators.messages import checked_as, messages, sharegpt_messages
from refinecli.generators.reading import Columns, present
from refinecli.types import JSONObject

_STAND_IN = [rubric_item("anything")]  # what a row without items is checked with


def read(rows: Iterable[tuple[str, JSONObject]], with_response: bool) -> Iterator[JSONObject]:
    """One datapoint a row, or what `--rubric` makes one of."""
    for where, row in rows:
        datapoint = _datapoint(Columns(where, row), with_response)
        checked_as("messages", where, {"rubric_items": _STAND_IN} | datapoint)
        yield datapoint


def _datapoint(columns: Columns, with_response: bool) -> JSONObject:
    row = columns.row
    if row.get("messages") is None and row.get("conversations") is not None:
        name, convo = "conversations", sharegpt_messages(columns, "conversations")
        replaced = {name, "messages", "system"}
    else:
        name, convo = "messages", messages(columns, "messages")
        replaced = {name, "conversations"}
    end = len(convo)
    while end and convo[end - 1].get("role") == "assistant":
        end -= 1
    if not end:
        raise columns.fault(name, "expected a message before the answer")
    kept = {key: value for key, value in row.items() if key not in replaced | {"response"}}
    response = None
    if with_response:
        response = _text(columns, name, convo, end)
        response = columns.optional_text("response") if response is None else response
    return present(kept | {"convo": convo[:end], "response": response})


def _text(columns: Columns, name: str, convo: list[JSONObject], start: int) -> str | None:
    """What the answer says; None where it only calls tools, or where there is none."""
    texts = []
    for index in range(start, len(convo)):
        content = convo[index].get("content")
        for text in content if isinstance(content, list) else [content]:
            if isinstance(text, dict) and isinstance(text.get("text"), str):
                text = text["text"]
            if not isinstance(text, str | None):
                raise columns.fault(f"{name}[{index}].content", "expected a text, as an answer is")
            texts.append(text)
    said = [text for text in texts if text is not None]
    return "\n".join(said) if said else None
