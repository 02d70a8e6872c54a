"""An OpenAI-compatible chat endpoint as a Completer: requests, replies, errors by name, retries.

A provider's failure ends in one of two errors: CompletionError, which ends one call, and RunError,
which every further call would meet too (key refused, model unknown, nobody there). What can pass
by itself is tried again first.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import orjson

from refinecli.errors import CompletionError, RunError, UsageError
from refinecli.limits import Limits
from refinecli.replies import (
    RefusedParameterError,
    RetryableError,
    failure,
    read_completion,
    without_secret,
)
from refinecli.roles import RoleSettings
from refinecli.traffic import Traffic
from refinecli.transport import HttpClient, TransportError, joined
from refinecli.types import Completion, Draw, JSONObject, Message, Usage

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds, doubled from try to try, with jitter
# A provider that says "in an hour" has not failed for a moment; waiting would look like hanging.
_LONGEST_RETRY_AFTER = 300.0
# Nobody there at all: a server that restarts is back by then, and a wrong URL is told soon.
_CONNECT_RETRIES = 3
_SURELY_A_KEY = 16  # characters
# What the newer OpenAI models call it.
_RENAMED = {"max_tokens": "max_completion_tokens"}


@dataclass(slots=True)
class Connection:
    """An endpoint and model as all roles that use them share it, with what was learned of it.

    `changes` are the parameters it refused: each is left out (None) or sent under another name.
    """

    url: str
    model: str
    changes: dict[str, str | None] = field(default_factory=dict)
    answered: bool = False  # with anything at all
    worked: bool = False


class Log(Protocol):
    """Where an endpoint's peculiarities and troubles are told."""

    def notice(self, text: str) -> None:
        """Something every user should know."""

    def detail(self, text: str) -> None:
        """Something for those who asked for it."""


class Chat:
    """All endpoints of one run: one HTTP client, one set of limits, one log."""

    def __init__(self, client: HttpClient, limits: Limits, log: Log) -> None:
        self.client = client
        self.limits = limits
        self.log = log
        self.usage = Usage()
        self.traffic = Traffic()
        self._connections: dict[tuple[str, str], Connection] = {}

    def completer(self, role: RoleSettings, seed: int | None = None, *, key: str = "") -> RoleChat:
        """A Completer for a role whose model is settled; `key` comes before its variable's."""
        assert role.base_url is not None
        assert role.model is not None
        secret = key or api_key(role)
        url = joined(role.base_url, "/chat/completions")
        connection = self._connections.setdefault((url, role.model), Connection(url, role.model))
        return RoleChat(self, role, connection, seed, secret)


class RoleChat:
    """One role's Completer."""

    def __init__(
        self,
        chat: Chat,
        role: RoleSettings,
        connection: Connection,
        seed: int | None,
        secret: str,
    ) -> None:
        self._chat = chat
        self._role = role
        self._connection = connection
        self._seed = seed
        self._secret = secret
        self._headers = headers(role, secret)

    async def __call__(self, messages: Sequence[Message], draw: Draw) -> Completion:
        """One reply; raises CompletionError, RunError or BudgetError."""
        body = self._body(messages, draw)
        tries = 0
        async with self._chat.limits:
            while True:
                sent = dict(self._connection.changes)
                try:
                    completion = await self._attempt(_changed(body, sent))
                except RetryableError as again:
                    if tries >= self._retries(again):
                        raise self._final(again) from None
                    seconds = _wait(again, tries)
                    tries += 1
                    self._chat.log.detail(f"{draw.role}: try {tries} in {seconds:.1f} s: {again}")
                    await asyncio.sleep(seconds)
                except RefusedParameterError as refused:
                    self._settle(refused, sent)
                else:
                    self._chat.usage += completion.usage
                    self._chat.traffic.prompt_tokens += completion.usage.prompt_tokens
                    self._chat.traffic.completion_tokens += completion.usage.completion_tokens
                    return completion

    def _body(self, messages: Sequence[Message], draw: Draw) -> JSONObject:
        role = self._role
        body: JSONObject = {
            "model": role.model,
            "messages": with_system(role.system, messages),
            "temperature": role.temperature,
            "top_p": role.top_p,
            "max_tokens": role.max_tokens,
            "seed": None if self._seed is None else wire_seed(self._seed, draw),
        }
        # Only None means absent: temperature 0 and seed 0 must reach the wire.
        return {k: v for k, v in body.items() if v is not None} | role.extra_body

    async def _attempt(self, body: JSONObject) -> Completion:
        connection = self._connection
        self._chat.limits.spend()
        traffic = self._chat.traffic
        traffic.sent += 1
        traffic.in_flight += 1
        try:
            reply = await self._chat.client.post(
                connection.url, _wire(body), self._headers, self._role.timeout
            )
        except TransportError as error:
            raise RetryableError(error.kind, str(error)) from error
        finally:
            traffic.in_flight -= 1
        traffic.refused += reply.status in (429, 503, 529)
        connection.answered = True
        content, headers = without_secret(reply.content, reply.headers, self._secret)
        if reply.status != 200:
            worked = connection.worked
            raise failure(reply.status, headers, content, body, connection.url, worked=worked)
        # A short key, such as the word that a local server wants, may stand in an honest answer.
        honest = reply.content if len(self._secret) < _SURELY_A_KEY else content
        try:
            completion = read_completion(honest)
        except (RetryableError, CompletionError):
            read_completion(content)  # the same error, without the key in its words
            raise
        connection.worked = True
        return completion

    def _retries(self, again: RetryableError) -> int:
        if again.after is not None and again.after > _LONGEST_RETRY_AFTER:
            return 0
        most = self._role.retries
        return min(most, _CONNECT_RETRIES) if again.kind == "connect" else most

    def _final(self, again: RetryableError) -> CompletionError | RunError:
        if again.kind == "connect" and not self._connection.answered:
            return RunError(
                f"{self._connection.url.partition('?')[0]}: {again}",
                "is the server running, and is the URL right?",
                type="unreachable",
            )
        kind = "connection" if again.kind == "connect" else again.kind
        return CompletionError(kind, f"{_host(self._connection.url)}: {again}")

    def _settle(self, refused: RefusedParameterError, sent: Mapping[str, str | None]) -> None:
        """Leave out or rename what was refused, once for all calls to this endpoint and model."""
        changes, name = self._connection.changes, refused.name
        original = next((k for k, v in sent.items() if v == name), name)
        if changes.get(original, original) != name:
            return  # a call that was in flight at the same time settled it
        renamed = _RENAMED.get(name)
        changes[original] = renamed
        what = f"{original} is sent as {renamed}" if renamed else f"{original} is not sent"
        self._chat.log.notice(f"{self._connection.model}: {what}: {refused}")


def _wait(again: RetryableError, tries: int) -> float:
    # Jitter is no sample: it must differ from process to process, or they return all at once.
    spread = random.random()
    if again.after is not None:
        return again.after * (1 + spread / 4)
    return min(_FIRST_WAIT * float(2**tries), _LONGEST_WAIT) * (0.5 + spread / 2)


def with_system(system: str | None, messages: Sequence[Message]) -> list[Message]:
    """The messages with a role's system prompt before the conversation's own, in one message."""
    if not system:
        return list(messages)
    if not messages or messages[0]["role"] != "system":
        return [{"role": "system", "content": system}, *messages]
    own = messages[0].get("content") or ""
    merged: Message = {**messages[0], "content": f"{system}\n\n{own}"}
    if isinstance(own, list):
        merged["content"] = [{"type": "text", "text": system}, *own]
    return [merged, *messages[1:]]


def wire_seed(seed: int, draw: Draw) -> int:
    """31 bits from the run's seed and the draw, the same on every machine."""
    parts = [seed, draw.datapoint_id, draw.occurrence, draw.role, draw.iteration, draw.sample]
    data = json.dumps(parts).encode()
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "big") >> 1


def api_key(role: RoleSettings) -> str:
    """The key in the role's environment variable, or none; UsageError where that is not set."""
    if role.api_key_env is None:
        return ""
    key = os.environ.get(role.api_key_env, "").strip()
    if not key:
        raise UsageError(
            f"{role.name}: the environment variable {role.api_key_env} is not set",
            f"export {role.api_key_env}=…, or use the local model: --model local",
        )
    if not (key.isascii() and key.isprintable()):
        raise UsageError(
            f"{role.name}: the key in {role.api_key_env} has characters that no key has",
            "was it copied whole, and nothing else with it?",
        )
    return key


def headers(role: RoleSettings, secret: str) -> dict[str, str]:
    result = {"content-type": "application/json", **role.headers}
    if secret:
        bearer = role.api_key_header.lower() == "authorization"
        result[role.api_key_header] = f"Bearer {secret}" if bearer else secret
    return result


def _changed(body: JSONObject, changes: Mapping[str, str | None]) -> JSONObject:
    if not changes:
        return body
    renamed = ((changes.get(k, k), v) for k, v in body.items())
    return {k: v for k, v in renamed if k is not None}


def _wire(body: JSONObject) -> bytes:
    try:
        return orjson.dumps(body)
    except TypeError:  # lone surrogates have no UTF-8; no tokenizer could take them either
        text = json.dumps(body, ensure_ascii=False).encode("utf-16", "surrogatepass")
        return text.decode("utf-16", "replace").encode()


def _host(url: str) -> str:
    return urlsplit(url).netloc
