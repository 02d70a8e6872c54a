"""Read conversations from other projects' columns: a text, OpenAI's messages or ShareGPT's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from refinecli.data.rows import CONVO_NAMES
from refinecli.generators.reading import Columns, checked
from refinecli.types import JSONObject

_ROLES: Mapping[str, str] = MappingProxyType(
    {
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "assistant": "assistant",
        "function_call": "assistant",
        "system": "system",
        "tool": "tool",
        "observation": "tool",
    }
)


def messages(columns: Columns, name: str) -> list[JSONObject]:
    """Return OpenAI's messages, without the `weight` of its fine-tuning, which no chat API takes; a
    text becomes a user's message."""
    if isinstance(columns.row.get(name), str | None):
        return [{"role": "user", "content": columns.text(name)}]
    return [
        {key: value for key, value in message.items() if key != "weight"}
        for message in _objects(columns, name)
    ]


def sharegpt_messages(columns: Columns, name: str) -> list[JSONObject]:
    """Return ShareGPT's `from` and `value` as roles and contents, after the row's `system`, if
    any."""
    system = columns.optional_text("system")
    found = [{"role": "system", "content": system}] if system and system.strip() else []
    for index, message in enumerate(_objects(columns, name)):
        turn = Columns(columns.where, message, f"{columns.prefix}{name}[{index}].")
        speaker = turn.text("from")
        if speaker not in _ROLES:
            raise turn.fault("from", f"unknown speaker {speaker!r}", f"one of {', '.join(_ROLES)}")
        text = turn.optional_text("value")
        if text is None:
            raise turn.fault("value", "field required")
        found.append({"role": _ROLES[speaker], "content": text})
    return found


def _objects(columns: Columns, name: str) -> list[JSONObject]:
    values = columns.row.get(name)
    if not isinstance(values, list) or not values:
        problem = "field required" if values is None else "expected a list of messages"
        raise columns.fault(name, problem)
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise columns.fault(f"{name}[{index}]", "expected an object")
    return values


def checked_as(name: str, where: str, datapoint: JSONObject) -> JSONObject:
    """Return the datapoint if any command can read it; errors call its `convo` by the column's
    name."""
    name = name if name in CONVO_NAMES else "convo"
    others = {key: value for key, value in datapoint.items() if key not in CONVO_NAMES}
    checked(where, {name: datapoint["convo"]} | others)
    return datapoint
