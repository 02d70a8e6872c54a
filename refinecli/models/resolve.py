"""Settle a role: its endpoint, its model, and the name of the endpoint in the call cache. Start the
embedded server, and ask an endpoint for its only model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from refinecli.errors import CompletionError, RunError, UsageError
from refinecli.models.endpoint import Log
from refinecli.models.envelope import reply_object
from refinecli.models.provider_errors import stated_error
from refinecli.models.redaction import Redaction, redaction_for
from refinecli.models.retries import Health, RetryableError, retried
from refinecli.settings.roles import RoleSettings, how_to_name
from refinecli.settings.urls import shown_url
from refinecli.text.clean import one_line
from refinecli.text.json_text import digest

if TYPE_CHECKING:
    from refinecli.models.cache.store import CallCache
    from refinecli.models.http import HttpClient, Reply
    from refinecli.models.local.server import Address

# The embedded server's slots; more requests would only wait in its queue.
LOCAL_SLOTS = 4
# A small model that starts to ramble writes until its context is full, and cannot be stopped.
_LOCAL_MAX_TOKENS = 256


class Resolver:
    """Settles roles: each server is started once, each endpoint asked for its model once."""

    def __init__(
        self,
        client: HttpClient,
        stack: AsyncExitStack,
        calls: CallCache | None,
        log: Log,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._log = log
        self._pause = pause
        self._stack = stack
        self._calls = calls
        self._offline = calls is not None and calls.offline
        self._servers: dict[Path, Address] = {}
        self._models: dict[tuple[str | None, str | None], str] = {}

    async def __call__(self, role: RoleSettings) -> tuple[RoleSettings, str, str]:
        """Return the role with its endpoint and model. For the embedded server, also return its key
        and its name in the call cache; for other endpoints, both are empty."""
        if role.weights:
            from refinecli.models.local.server import find_weights

            return await self._served(role, find_weights(role.weights, to_run=not self._offline))
        if role.model is None:
            asked = (role.base_url, role.api_key_env)
            if asked not in self._models:
                self._models[asked] = await self._asked(role)
            role = replace(role, model=self._models[asked])
        return role, "", ""

    async def _served(self, role: RoleSettings, path: Path) -> tuple[RoleSettings, str, str]:
        from refinecli.models.local.server import MODEL_NAME, Address, fingerprint, serve

        if path not in self._servers:
            self._servers[path] = (
                Address("http://127.0.0.1/v1", "", path.stem)
                if self._offline
                else await self._stack.enter_async_context(serve(path, slots=LOCAL_SLOTS))
            )
        server = self._servers[path]
        max_tokens = role.max_tokens or _LOCAL_MAX_TOKENS
        role = replace(role, base_url=server.base_url, model=server.model, max_tokens=max_tokens)
        return role, server.api_key, f"local:{fingerprint(role.weights or MODEL_NAME, path)}"

    async def _asked(self, role: RoleSettings) -> str:
        shown = shown_url(role.base_url or "")
        fact = f"model of {digest(role.base_url)}"
        if self._offline:
            assert self._calls is not None
            if isinstance(model := self._calls.facts.get(fact), str):
                return model
            raise UsageError(
                f"{role.name}: the call cache does not know which model {shown} serves",
                f"name it: {how_to_name(role.name)}",
            )
        model = await _only_model(self._client, role, self._log, self._pause)
        if self._calls:
            self._calls.facts.learn(fact, model)
        return model


async def _only_model(
    client: HttpClient, role: RoleSettings, log: Log, pause: Callable[[float], Awaitable[None]]
) -> str:
    """Return the one model an endpoint serves; raise UsageError if it serves more or none."""
    from refinecli.models.http import joined
    from refinecli.models.request import api_key

    assert role.base_url is not None
    flag = how_to_name(role.name)
    url, key = joined(role.base_url, "/models"), api_key(role)
    health, shown, hidden = Health(url), shown_url(url), redaction_for(role, key)

    def report(tries: int, seconds: float, error: RetryableError) -> None:
        line = f"{role.name}: {shown} answered {error}"
        (log.detail if tries > 1 else log.notice)(f"{line}; asking again in {seconds:.1f} s")

    try:
        attempt = partial(_models_reply, client, role, key, hidden, health)
        reply = await retried(attempt, health, role.retries, pause, report)
    except CompletionError as error:
        words = error.message.removeprefix(f"{health.host}: ")
        raise RunError(
            f"{shown} answered {words}", f"name its model: {flag}", type=error.type
        ) from None
    return _only_one(reply, shown, flag, hidden)


async def _models_reply(
    client: HttpClient, role: RoleSettings, key: str, hidden: Redaction, health: Health, again: bool
) -> Reply:
    """Return the list of an endpoint's models, or a reply that is none; raise RetryableError or
    RunError for an error that means the same to every request."""
    from refinecli.models.http import TransportError
    from refinecli.models.request import headers

    try:
        reply = await client.get(health.url, headers(role, key))
    except TransportError as error:
        raise RunError(
            f"no answer from {shown_url(health.url)}: {hidden.error(error)}",
            f"start the server, or name its model: {how_to_name(role.name)}",
            type="unreachable",
        ) from None
    health.answered = True
    status = _status(reply)
    if 200 <= status < 300:
        return reply
    from refinecli.models.failures import Refusal, failure  # most runs need none of it

    refusal = Refusal(status, reply.headers, reply.content, {}, health.url, hide=hidden.text)
    found = failure(refusal)
    if isinstance(found, RetryableError):
        raise found
    if isinstance(found, RunError) and found.type in _ENDS:
        words = f"{shown_url(health.url)} answered {status}: {refusal.shown}"
        raise RunError(words, hidden.text(found.hint), type=found.type)
    return reply


def _status(reply: Reply) -> int:
    """Return a reply's status, or that of the error in it."""
    if 200 <= reply.status < 300:
        with suppress(RetryableError, CompletionError):
            value = reply_object(reply.content)
            if not value.get("data") and (error := stated_error(value)):
                return error.status
    return reply.status


def _only_one(reply: Reply, url: str, flag: str, hidden: Redaction) -> str:
    try:
        listed = orjson.loads(reply.content)["data"]
        models = [str(entry["id"]) for entry in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        hint = f"name one: {flag}"
        if reply.status == 404 and not urlsplit(url).path.startswith("/v1/"):
            hint = f"base_url of most servers ends in /v1; or {hint}"
        problem = f"{url} does not list its models (status {reply.status})"
        raise UsageError(problem, hint) from None
    if len(models) != 1:
        shown = ", ".join(one_line(hidden.text(model), _NAME) for model in models[:8])
        shown += ", …" if len(models) > 8 else ""
        raise UsageError(f"{url} lists {len(models)} models: {shown}", f"name one: {flag}")
    if hidden.holds(models[0]):  # every line of output names it
        raise UsageError(f"{url} lists a model whose name holds the API key", f"name one: {flag}")
    return models[0]


_NAME = 200  # characters of a model's name in an error
_ENDS = ("auth", "quota", "redirect")  # others are about the list alone, and a name helps
