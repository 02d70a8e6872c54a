"""Read the conversation of a line, under any of its names, with the system prompt next to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from refinecli.errors import InputError
from refinecli.item_defaults import convo_of
from refinecli.types import JSONObject

CONVO_NAMES = ("convo", "prefix", "messages", "prompt")
_SYSTEM = "system"
_SYSTEM_ROLES = ("system", "developer")
_PLACE = re.compile(r"convo(?:\[([0-9]+)\])?")


class Conversation(NamedTuple):
    """A line's conversation, not validated yet, with the name that it has there. `joined` where
    the line's `system` has become its first message."""

    name: str
    convo: object
    joined: bool = False

    def place(self, message: str) -> str:
        """Return an error's message with the place in the line instead of that in `convo`."""
        if not (found := _PLACE.match(message)):
            return message
        index = found[1]
        if index is None:
            return self.name + message[found.end() :]
        if self.joined and index == "0":
            return _SYSTEM + message[found.end() :].removeprefix(".content")
        return f"{self.name}[{int(index) - self.joined}]{message[found.end() :]}"


def conversation_of(raw: JSONObject, name: str) -> Conversation:
    """Return the conversation that stands under `name`; raise InputError for one given as text
    that cannot be read, or with two system prompts."""
    convo = raw[name]
    if isinstance(convo, str):
        try:
            convo = convo_of(convo)
        except InputError as error:
            place = Conversation(name, None).place
            raise InputError(place(error.args[0]), error.args[1]) from None
    system = raw.get(_SYSTEM)
    if system is None or (isinstance(system, str) and not system.strip()):
        return Conversation(name, convo)
    if not isinstance(system, str | list):
        raise InputError(
            f"{_SYSTEM}: must be a string", f"give the system prompt in words, or as part of {name}"
        )
    if not isinstance(convo, list) or not convo:
        return Conversation(name, convo)  # validation says what is wrong with it
    if not lacks_system(convo, system, name):
        return Conversation(name, convo)
    return Conversation(name, [{"role": "system", "content": system}, *convo], joined=True)


def lacks_system(convo: Sequence[object], system: object, name: str) -> bool:
    """Return True where the conversation does not begin with a system prompt; raise InputError
    where it begins with another."""
    first = convo[0]
    if not (isinstance(first, dict) and first.get("role") in _SYSTEM_ROLES):
        return True
    if first.get("content") == system:
        return False
    raise InputError(f"{_SYSTEM}: {name} begins with another system prompt", "keep one of the two")
