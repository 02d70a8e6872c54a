"""Drop or rename parameters that an endpoint refuses, once for all calls, and remember them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from refinecli.errors import CompletionError, UnsupportedError
from refinecli.models.request import name_of
from refinecli.types import Completion, FirstTokens, JSONObject, Message, Wants

# Parameters an endpoint may refuse and we can do without.
OPTIONAL = ("temperature", "top_p", "seed", "max_tokens", "max_completion_tokens")
# Those with the same few values in all requests. Each call has a seed of its own, so one that was
# taken says nothing about the next.
_REPEATED = tuple(name for name in OPTIONAL if name != "seed")
# What a request has that is not a parameter, and can be sent in another way.
SYSTEM_ROLE = "the system role"
FIRST_TOKEN_LIMIT = "max_tokens with logprobs"

# A parameter's intended name -> the name that is sent; None where it is not sent.
Changes: TypeAlias = Mapping[str, str | None]

# Its name in the newer OpenAI models.
_RENAMED = MappingProxyType({"max_tokens": "max_completion_tokens"})
_SYSTEM_ROLES = frozenset({"system", "developer"})


class RefusedParameterError(Exception):
    """The endpoint refuses the parameter `name`, for the reason in its own words."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(slots=True, eq=False)
class Terms:
    """The parts of a request that an endpoint takes, as far as is known.

    `changes` are the parameters, and wants by name, that it refused. `given` are the kinds of wants
    in which it has answered, `taken` the parameters that it took with their values in this run.
    """

    model: str
    changes: dict[str, str | None] = field(default_factory=dict)
    given: set[type[Wants]] = field(default_factory=set)
    taken: set[tuple[str, str]] = field(default_factory=set)
    _tried: dict[str, asyncio.Event] = field(default_factory=dict)

    @asynccontextmanager
    async def trying(self, wants: Wants) -> AsyncIterator[None]:
        """Let the first request that wants this go ahead alone, so that a refusal is found out
        once, and not by every call in flight."""
        name = name_of(wants)
        if tried := self._tried.get(name):
            await tried.wait()
            yield
            return
        tried = self._tried[name] = asyncio.Event()
        try:
            yield
        finally:
            tried.set()

    def took(self, body: JSONObject) -> None:
        """Note what an answered request had."""
        self.taken.update((name, repr(body[name])) for name in _REPEATED if name in body)

    def settle(self, refused: RefusedParameterError, sent: Changes) -> str:
        """Leave out or rename what was refused, for all calls; return what to say about it, nothing
        where another call in flight has settled it."""
        name = refused.name
        original = next((k for k, v in sent.items() if v == name), name)
        if self.changes.get(original, original) != name:
            return ""
        self.changes[original] = _RENAMED.get(name)
        return f"{self.model}: {self.described(original)}: {refused}"

    def described(self, original: str) -> str:
        """Say what is done about a refused parameter."""
        if original == SYSTEM_ROLE:
            return f"{original} is not sent; its words begin the first user turn"
        renamed = self.changes[original]
        return f"{original} is sent as {renamed}" if renamed else f"{original} is not sent"


def changed(body: JSONObject, changes: Changes) -> JSONObject:
    """Return the body with parameters left out or under other names."""
    if not changes:
        return body
    if SYSTEM_ROLE in changes:
        body = body | {"messages": without_system_role(body["messages"])}
    if FIRST_TOKEN_LIMIT in changes and "top_logprobs" in body:
        body = {k: v for k, v in body.items() if k != "max_tokens"}
    renamed = ((changes.get(k, k), v) for k, v in body.items())
    return {k: v for k, v in renamed if k is not None}


def without_system_role(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with what the system says at the beginning of the first user turn."""
    system = [message for message in messages if message["role"] in _SYSTEM_ROLES]
    others = [message for message in messages if message["role"] not in _SYSTEM_ROLES]
    said: list[JSONObject] = [part for message in system for part in _parts(message)]
    if not others or others[0]["role"] != "user":
        others.insert(0, {"role": "user", "content": ""})
    parts = [*said, *_parts(others[0])]
    content: str | list[JSONObject] = parts
    if all(part.get("type") == "text" for part in parts):
        content = "\n\n".join(part["text"] for part in parts if part["text"])
    return [{**others[0], "content": content}, *others[1:]]


def _parts(message: Message) -> list[JSONObject]:
    content = message.get("content") or ""
    return content if isinstance(content, list) else [{"type": "text", "text": content}]


def answers(completion: Completion, wants: Wants | None) -> bool:
    """Return whether a reply has what was wanted: some servers ignore what they do not know."""
    return completion.first_tokens is not None or not isinstance(wants, FirstTokens)


async def negotiated(
    meant: JSONObject,
    wants: Wants | None,
    terms: Terms,
    *,
    find: Callable[[JSONObject], Completion | None],
    send: Callable[[JSONObject], Awaitable[Completion]],
    learned: Callable[[str], None],
) -> Completion:
    """Return the reply to a request without what its endpoint refuses.

    `find` looks for a kept reply to a body that gives what the request wants, `send` answers one in
    any case, and `learned` gets what to say about a refusal. Raise UnsupportedError where the
    endpoint does not give what the request wants.
    """
    wanted = "" if wants is None else name_of(wants)
    while True:
        changes = dict(terms.changes)
        body = changed(meant, changes)
        try:
            completion = None
            if changes:  # a reply may exist from before the refusal
                completion = find(meant) or (find(body) if wanted in changes else None)
            if completion is None and wanted in changes:
                raise UnsupportedError(f"{terms.model} does not take {wanted}")
            completion = completion or await send(body)
            if wants is not None:
                if not answers(completion, wants):
                    raise RefusedParameterError(wanted, "its replies come without")
                terms.given.add(type(wants))
            return completion
        except RefusedParameterError as refused:
            # If it has given or taken that for others, the refusal is about this request alone.
            if wants is not None and refused.name == wanted and type(wants) in terms.given:
                raise UnsupportedError(str(refused)) from None
            if (refused.name, repr(body.get(refused.name))) in terms.taken:
                raise CompletionError("bad_request", str(refused)) from None
            if notice := terms.settle(refused, changes):
                learned(notice)
