"""From role settings to completers that answer: starts the embedded server, asks for models."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson

from refinecli.config import Settings
from refinecli.errors import RunError, UsageError
from refinecli.jsonl import digest
from refinecli.limits import Limits
from refinecli.local import find_weights, serve
from refinecli.records import Provenance
from refinecli.roles import RoleSettings
from refinecli.types import Completer, Completion, Draw, JSONObject, Message, Roles

if TYPE_CHECKING:
    from refinecli.chat import Chat, Log
    from refinecli.transport import HttpClient

# The embedded server's slots; more requests than that only wait in its line.
LOCAL_SLOTS = 4
# A small model that loses its thread writes to the end of its context, and cannot be stopped.
LOCAL_MAX_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Engine:
    """What a run asks: the roles' completers, what is sent through them, and who they are."""

    roles: Roles
    chat: Chat
    made_with: Provenance


def check_endpoints(settings: Settings, names: Iterable[str]) -> None:
    """Find what is missing (weights, keys) before anything is read or started."""
    from refinecli.chat import api_key

    for role in _named(settings, names):
        if role.weights:
            find_weights(role.weights)
        else:
            api_key(role)


@asynccontextmanager
async def open_engine(
    settings: Settings, names: Sequence[str], shapes: JSONObject, log: Log
) -> AsyncIterator[Engine]:
    """Completers for the named roles, for as long as the block lasts.

    `shapes` is what else shapes results, for the digest. Says in the log which model and endpoint
    each role uses.
    """
    from refinecli.chat import Chat
    from refinecli.transport import HttpClient

    roles = {role.name: role for role in _named(settings, names)}
    concurrency = settings.run.concurrency
    if any(role.weights for role in roles.values()):
        concurrency = min(concurrency, LOCAL_SLOTS)
    _allow_open_files(concurrency + 64)
    async with AsyncExitStack() as stack:
        try:
            schemes = {urlsplit(role.base_url or "").scheme for role in roles.values()}
            client = HttpClient(tls="https" in schemes)
        except OSError as error:
            raise UsageError(
                f"the trusted certificates cannot be read: {error}",
                "check the variables SSL_CERT_FILE and SSL_CERT_DIR",
            ) from None
        stack.push_async_callback(client.aclose)
        chat = Chat(client, Limits(concurrency, settings.run.max_calls), log)
        servers = await _serve_all({r.weights for r in roles.values() if r.weights}, stack)
        models: dict[tuple[str | None, str | None], str] = {}  # asked for once an endpoint
        completers: dict[str, Completer] = {}
        settled: dict[str, RoleSettings] = {}
        for name, role in roles.items():
            key = ""
            if role.weights:
                role, key = servers[role.weights].settle(role)
            elif role.model is None:
                place = (role.base_url, role.api_key_env)
                if place not in models:
                    models[place] = await _only_model(client, role)
                role = replace(role, model=models[place])
            settled[name] = role
            completers[name] = chat.completer(role, settings.run.seed, key=key)
            if name == "grader" and role.weights:
                completers[name] = _TryOnly(completers[name], log)
        for line in _described(settled):
            log.notice(line)
        grader = completers["grader"]
        policy = completers.get("policy", grader)
        yield Engine(
            roles=Roles(policy, completers.get("reviser", policy), grader),
            chat=chat,
            made_with=_provenance(settings, settled, shapes),
        )


def _allow_open_files(wanted: int) -> None:
    """Every request in flight is an open file, and macOS allows 256 of them unless asked."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _named(settings: Settings, names: Iterable[str]) -> list[RoleSettings]:
    wanted = set(names)
    return [role for role in settings.roles if role.name in wanted]


# ------------------------------------------------------------------ the embedded server


@dataclass(frozen=True, slots=True)
class _Server:
    base_url: str
    api_key: str
    model: str

    def settle(self, role: RoleSettings) -> tuple[RoleSettings, str]:
        max_tokens = role.max_tokens or LOCAL_MAX_TOKENS
        settled = replace(role, base_url=self.base_url, model=self.model, max_tokens=max_tokens)
        return settled, self.api_key


async def _serve_all(weights: set[str], stack: AsyncExitStack) -> dict[str, _Server]:
    """One server for each weights file; roles that name the same file share it."""
    servers: dict[Path, _Server] = {}
    result = {}
    for name in sorted(weights):
        path = find_weights(name)
        if path not in servers:
            endpoint = await stack.enter_async_context(serve(path, slots=LOCAL_SLOTS))
            servers[path] = _Server(endpoint.base_url, endpoint.api_key, endpoint.model)
        result[name] = servers[path]
    return result


class _TryOnly:
    """The embedded model as a grader: its first verdict comes with a warning."""

    def __init__(self, grader: Completer, log: Log) -> None:
        self._grader = grader
        self._log: Log | None = log

    async def __call__(self, messages: Sequence[Message], draw: Draw) -> Completion:
        if self._log:
            self._log.notice(
                "the local model grades: a model this small often gives no verdict that can be "
                "read, and those it gives are for trying things out; name a real grader with "
                "--grader-model"
            )
            self._log = None
        return await self._grader(messages, draw)


# ------------------------------------------------------------------ models and words


async def _only_model(client: HttpClient, role: RoleSettings) -> str:
    """The one model an endpoint serves; raises UsageError where there are more or none."""
    from refinecli.chat import api_key, headers
    from refinecli.transport import TransportError, joined

    assert role.base_url is not None
    flag = "--grader-model" if role.name == "grader" else "--model"
    url = joined(role.base_url, "/models")
    try:
        reply = await client.get(url, headers(role, api_key(role)))
    except TransportError as error:
        raise RunError(
            f"no answer from {url}: {error}",
            f"is the server running? {flag} NAME saves the question",
            type="unreachable",
        ) from None
    if reply.status in (401, 403):
        raise RunError(f"{url} answered {reply.status}", "check the key", type="auth")
    try:
        listed = orjson.loads(reply.content)["data"]
        models = [str(entry["id"]) for entry in listed]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise UsageError(
            f"{url} does not list its models (status {reply.status})", f"name one: {flag} NAME"
        ) from None
    if len(models) != 1:
        shown = ", ".join(models[:8]) + (", …" if len(models) > 8 else "")
        raise UsageError(f"{url} lists {len(models)} models: {shown}", f"name one: {flag} NAME")
    return models[0]


def _described(roles: dict[str, RoleSettings]) -> list[str]:
    """One line for each endpoint and model, with the roles that use it."""
    users: dict[str, list[str]] = {}
    for role in roles.values():
        where = "embedded server" if role.weights else urlsplit(role.base_url or "").netloc
        key = f", key from {role.api_key_env}" if role.api_key_env else ""
        users.setdefault(f"{role.model} ({where}{key})", []).append(role.name)
    return [f"{', '.join(names)}: {what}" for what, names in users.items()]


def _provenance(
    settings: Settings, roles: dict[str, RoleSettings], shapes: JSONObject
) -> Provenance:
    """The digest covers what shapes replies, not how they are fetched. The embedded server's port
    and key are new every time; its weights file stands for it."""
    fetching = ("timeout", "retries", "api_key_env", "api_key_header")
    shaping: JSONObject = {"seed": settings.run.seed, "prompts": asdict(settings.prompts), **shapes}
    for name, role in roles.items():
        described = {k: v for k, v in asdict(role).items() if k not in fetching}
        if role.weights:
            described |= {"base_url": None, "weights": role.model}
        shaping[name] = described
    shown = {name: role.model or "" for name, role in roles.items() if name != "reviser"}
    if "reviser" in roles and roles["reviser"].model != roles["policy"].model:
        shown["reviser"] = roles["reviser"].model or ""
    return Provenance(shown, digest(shaping))
