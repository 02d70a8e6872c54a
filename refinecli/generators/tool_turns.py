"""Turn ShareGPT's turns about tools, which are plain text, into tool calls and their results."""

from __future__ import annotations

from typing import Any

from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

# Around a call that stands in the text of an answer, as in Hermes' files, and around its result.
_CALL, _END_OF_CALL = "<tool_call>", "</tool_call>"
_RESULT, _END_OF_RESULT = "<tool_response>", "</tool_response>"


class ToolTurns:
    """The turns of one conversation, in order. Calls get ids by their place, and each observation
    answers the first call that waits for one."""

    def __init__(self) -> None:
        self._calls = 0
        self._waiting: list[str] = []

    def turn(self, role: str, text: str) -> list[JSONObject]:
        """Return the messages of the next turn; raise ValueError where it does not fit. The role
        `calls` is the assistant's when it only calls tools."""
        if role == "tool":
            return self._results(text)
        if self._waiting:
            raise ValueError("expected the observation of the call before it")
        if role == "calls":
            return [self._calling(None, _calls_in(_unwrapped(text)))]
        if role == "assistant" and _CALL in text and _END_OF_CALL in text:
            said, *calls = text.split(_CALL)
            blocks = [call.partition(_END_OF_CALL)[0] for call in calls]
            return [self._calling(said.strip() or None, [c for b in blocks for c in _calls_in(b)])]
        return [{"role": role, "content": text}]

    def _calling(self, said: str | None, calls: list[JSONObject]) -> JSONObject:
        made: list[JSONObject] = []
        for call in calls:
            name = f"call_{self._calls}"
            made.append({"id": name, "type": "function", "function": call})
            self._waiting.append(name)
            self._calls += 1
        return {"role": "assistant", "content": said, "tool_calls": made}

    def _results(self, text: str) -> list[JSONObject]:
        results = [text]
        if _RESULT in text:
            results = [
                part.partition(_END_OF_RESULT)[0].strip() for part in text.split(_RESULT)[1:]
            ]
        elif len(self._waiting) > 1 and (parts := _list_of(text, len(self._waiting))):
            results = parts
        if len(results) > len(self._waiting):
            raise ValueError("is an observation without a call before it")
        waiting, self._waiting = self._waiting, self._waiting[len(results) :]
        return [
            {"role": "tool", "tool_call_id": call, "content": result}
            for call, result in zip(waiting, results, strict=False)
        ]


def _unwrapped(text: str) -> str:
    return text.replace(_CALL, "").replace(_END_OF_CALL, "") if text.count(_CALL) == 1 else text


def _calls_in(text: str) -> list[JSONObject]:
    """Read one call, or a list of them; raise ValueError where a name or arguments are missing."""
    try:
        value = loads(text.encode())
    except ValueError as error:
        raise ValueError(f"a call of a tool that is not JSON: {error}") from None
    calls = value if isinstance(value, list) else [value]
    if not calls:
        raise ValueError("an empty list of calls")
    return [_function(call) for call in calls]


def _function(call: Any) -> JSONObject:
    if isinstance(call, dict) and isinstance(call.get("function"), dict):
        call = call["function"]
    name = call.get("name") if isinstance(call, dict) else None
    if not isinstance(name, str) or not name.strip():
        raise ValueError("a call of a tool without its name")
    arguments = call.get("arguments", call.get("parameters"))
    if isinstance(arguments, str):  # JSON already
        try:
            whole = isinstance(loads(arguments.encode()), dict)
        except ValueError:
            whole = False
        if not whole:
            raise ValueError(f"the arguments of {name} are not a JSON object")
        return {"name": name, "arguments": arguments}
    if not isinstance(arguments, dict):
        raise ValueError(f"a call of {name} without its arguments")
    return {"name": name, "arguments": dumps(arguments).decode()}


def _list_of(text: str, count: int) -> list[str]:
    """Return the results that a text holds as a JSON list of `count`; none where it does not."""
    try:
        value = loads(text.encode("utf-8", "surrogatepass"))
    except ValueError:
        return []
    if not isinstance(value, list) or len(value) != count:
        return []
    return [one if isinstance(one, str) else dumps(one).decode() for one in value]
