"""Ask classifiers, on the same way as chat models: the cache, retries, pacing, budgets, and a name
for every failure.

A classifier takes `{"inputs": …}` and answers with labels and their probabilities, as TEI and
Hugging Face's servers do. Here it is an endpoint that is sent a conversation and replies with one
JSON object; `LabelClient` puts both into the form of the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from refinecli.models.local.classifier import directory_digest, serve_classifier
from refinecli.models.role_completers import Lazy
from refinecli.prompts.conversation import message_text
from refinecli.settings.roles import RoleSettings
from refinecli.types import Completer, Draw, JSONObject, Message

if TYPE_CHECKING:
    from refinecli.models.attempt import Posts, RequestLog
    from refinecli.models.cache.store import CallCache
    from refinecli.models.chat import Chat
    from refinecli.models.http import Reply, TransportError

Form: TypeAlias = Callable[[bytes], JSONObject]  # of a conversation, as it goes over the wire

_OF_CHAT = frozenset({"model", "messages", "temperature", "seed"})


@dataclass(frozen=True, slots=True)
class Classifiers:
    """The classifiers of the settings, each started when it is first asked."""

    settings: Mapping[str, RoleSettings]
    chat: Chat
    client: Posts
    stack: AsyncExitStack
    calls: CallCache | None
    log_request: RequestLog | None = None

    def completers(self) -> dict[str, Completer]:
        return {name: Lazy(partial(self._make, role)) for name, role in self.settings.items()}

    async def _make(self, role: RoleSettings) -> Completer:
        if role.weights is None:
            return self._chat(inputs).completer(role, path="")
        folder, key = Path(role.weights), ""
        url = "http://127.0.0.1/predict"
        if not (self.calls and self.calls.offline):
            url, key = await self.stack.enter_async_context(serve_classifier(folder))
        place = f"classifier:{directory_digest(folder)}"
        there = replace(role, base_url=url)
        return self._chat(turns).completer(there, key=key, place=place, path="")

    def _chat(self, form: Form) -> Chat:
        log = LabelLog(self.log_request, form) if self.log_request else None
        return self.chat.through(LabelClient(self.client, form), log)


@dataclass(frozen=True, slots=True)
class LabelClient:
    """A client of classifiers: conversations in, and labels with their probabilities out, as if
    they were the texts of a chat model."""

    client: Posts
    form: Form

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Reply:
        reply = await self.client.post(url, orjson.dumps(self.form(body)), headers, seconds)
        found = labels(reply.content) if 200 <= reply.status < 300 else None
        if found is None:
            return reply
        return reply._replace(content=_as_chat(found), as_sent=reply.content)


@dataclass(frozen=True, slots=True)
class LabelLog:
    """A log of requests, in the form in which classifiers are sent them."""

    log: RequestLog
    form: Form

    def __call__(
        self, draw: Draw, url: str, body: bytes, came: Reply | TransportError, content: bytes
    ) -> None:
        self.log(draw, url, orjson.dumps(self.form(body)), came, content)


def inputs(body: bytes) -> JSONObject:
    """Return what goes to a classifier: a text, or a pair of the conversation's text and the
    response."""
    asked: JSONObject = orjson.loads(body)
    *before, last = asked["messages"]
    response = message_text(last)
    rest = {key: value for key, value in asked.items() if key not in _OF_CHAT}
    if not before:
        return {"inputs": response, **rest}
    return {"inputs": [[_prompt(before), response]], **rest}


def turns(body: bytes) -> JSONObject:
    """Return what goes to a directory's child: for a conversation its turns too, which a chat
    template writes as the model was trained on them."""
    messages = orjson.loads(body)["messages"]
    if len(messages) == 1:
        return inputs(body)
    said = [{"role": one["role"], "content": message_text(one)} for one in messages]
    return {**inputs(body), "messages": said}


def _prompt(messages: Sequence[Message]) -> str:
    if len(messages) == 1:
        return message_text(messages[0])
    return "\n\n".join(f"{one['role']}: {message_text(one)}" for one in messages)


def labels(content: bytes) -> dict[str, float] | None:
    """Return the probability of each label in a reply; None where it is not such a reply, which
    then fails by the name of what it is."""
    try:
        value: Any = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    while isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if not isinstance(value, list) or not value:
        return None
    found = {}
    for entry in value:
        if not isinstance(entry, dict):
            return None
        label, score = entry.get("label"), entry.get("score", -1)
        # Raw scores are not on the scale of a grade.
        if not isinstance(label, str) or not isinstance(score, int | float) or not 0 <= score <= 1:
            return None
        found[label] = float(score)
    return found


def _as_chat(found: dict[str, float]) -> bytes:
    text = orjson.dumps(found).decode()
    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return orjson.dumps({"choices": [choice]})
