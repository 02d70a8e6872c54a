"""Read conversations from other projects' columns: a text, OpenAI's messages or ShareGPT's."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from refinecli.data.conversations import CONVO_NAMES, conversation_of, lacks_system
from refinecli.errors import InputError
from refinecli.generators.reading import Columns, checked
from refinecli.generators.tool_turns import ToolTurns
from refinecli.text.json_text import loads
from refinecli.types import JSONObject

_ROLES: Mapping[str, str] = MappingProxyType(
    {
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "assistant": "assistant",
        "function_call": "calls",
        "tool_call": "calls",
        "system": "system",
        "tool": "tool",
        "tool_response": "tool",
        "observation": "tool",
    }
)


def messages(columns: Columns, name: str) -> list[JSONObject]:
    """Return OpenAI's messages, without the `weight` of its fine-tuning, which no chat API takes,
    after the row's `system`, if any; a text that is not JSON becomes a user's message."""
    given = columns.row.get(name)
    if given is None or (isinstance(given, str) and not given.strip()):
        columns.text(name)  # says that it is missing
    try:
        convo = conversation_of(columns.row, name).convo
    except InputError as error:
        raise InputError(*error.args, where=columns.where) from None
    return [
        {key: value for key, value in message.items() if key != "weight"}
        for message in _objects(columns, name, convo)
    ]


def sharegpt_messages(columns: Columns, name: str) -> list[JSONObject]:
    """Return ShareGPT's `from` and `value` as roles and contents, after the row's `system`, if
    any. A call of tools becomes `tool_calls`, and what was observed their results."""
    found: list[JSONObject] = []
    tools = ToolTurns()
    turns = _objects(columns, name, _from_json(columns, name))
    for index, message in enumerate(turns):
        turn = Columns(columns.where, message, f"{columns.prefix}{name}[{index}].")
        speaker = turn.text("from")
        if speaker not in _ROLES:
            raise turn.fault(
                "from", f"unknown speaker {speaker!r}", f"name one of {', '.join(_ROLES)}"
            )
        text = turn.optional_text("value")
        if text is None:
            raise turn.fault("value", "field required")
        try:
            found += tools.turn(_ROLES[speaker], text)
        except ValueError as error:
            raise turn.fault("value", str(error), _TOOLS_HINT) from None
    return _after_system(columns, name, found)


def _after_system(columns: Columns, name: str, convo: list[JSONObject]) -> list[JSONObject]:
    """Return the messages after the row's `system`, if it has one that they do not begin with."""
    system = columns.optional_text("system")
    if system is None or not system.strip():
        return convo
    try:
        new = lacks_system(convo, system, name)
    except InputError as error:
        raise InputError(*error.args, where=columns.where) from None
    return [{"role": "system", "content": system}, *convo] if new else convo


_TOOLS_HINT = (
    'a call is JSON like {"name": "…", "arguments": {…}}, and its observation comes right after it'
)


def _from_json(columns: Columns, name: str) -> object:
    """Return the turns, also where a table holds them as JSON text."""
    value = columns.row.get(name)
    if not isinstance(value, str):
        return value
    try:
        return loads(value.encode("utf-8", "surrogatepass"))
    except ValueError as error:
        raise columns.fault(name, f"is text that is not JSON: {error}") from None


def _objects(columns: Columns, name: str, values: object) -> list[JSONObject]:
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
