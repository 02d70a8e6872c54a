"""Settling roles: the model that an endpoint serves, asked for once and remembered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from refinecli.errors import RefineError, RunError, UsageError
from refinecli.models.cache.store import CallCache
from refinecli.models.endpoint import endpoint_at
from refinecli.models.http import HttpClient, Reply, TransportError
from refinecli.models.resolve import Resolver
from refinecli.settings.load import load
from refinecli.settings.roles import RoleSettings


class Client:
    """Lists models, or fails to; gives the last answer from then on."""

    def __init__(self, *answers: Reply | TransportError) -> None:
        self.answers = list(answers)
        self.urls: list[str] = []

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        self.urls.append(url)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, TransportError):
            raise answer
        return answer


class Log:
    def __init__(self) -> None:
        self.notices: list[str] = []
        self.details: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)


async def no_pause(seconds: float) -> None:
    """Let no time pass."""


class Facts:
    def __init__(self, **known: object) -> None:
        self.known: dict[str, object] = dict(known)

    def get(self, name: str) -> object:
        return self.known.get(name)

    def learn(self, name: str, value: object) -> None:
        self.known[name] = value


def listing(*names: str, status: int = 200) -> Reply:
    return Reply(status, {}, orjson.dumps({"data": [{"id": name} for name in names]}))


def role(*sets: str, base_url: str = "http://host/v1", name: str = "policy") -> RoleSettings:
    settings = load({"policy.base_url": base_url}, sets, {})
    return cast(RoleSettings, getattr(settings, name))


def cache(facts: Facts, *, offline: bool = False) -> CallCache:
    return cast(CallCache, SimpleNamespace(facts=facts, offline=offline))


def resolved(
    client: Client, *roles: RoleSettings, calls: CallCache | None = None, log: Log | None = None
) -> list[tuple[RoleSettings, str, str]]:
    async def main() -> list[Any]:
        async with AsyncExitStack() as stack:
            resolver = Resolver(cast(HttpClient, client), stack, calls, log or Log(), no_pause)
            return [await resolver(one) for one in roles]

    return asyncio.run(main())


def test_a_role_whose_model_is_named_is_settled_without_asking() -> None:
    client = Client(listing())
    named = role("policy.model=m")
    assert resolved(client, named) == [(named, "", "")]
    assert client.urls == []


def test_an_endpoint_with_one_model_is_asked_for_it_once() -> None:
    client = Client(listing("only"))
    found = resolved(client, role(), role("policy.temperature=1"))
    assert [settled.model for settled, _, _ in found] == ["only", "only"]
    assert client.urls == ["http://host/v1/models"]


def test_what_was_asked_for_is_remembered_for_offline_runs() -> None:
    facts = Facts()
    resolved(Client(listing("only")), role(), calls=cache(facts))
    silent = Client(TransportError("connect", "asked"))
    ((settled, _, _),) = resolved(silent, role(), calls=cache(facts, offline=True))
    assert (settled.model, silent.urls) == ("only", [])


def test_offline_a_model_that_nobody_remembers_is_to_be_named() -> None:
    with pytest.raises(
        UsageError, match="the call cache does not know which model http://host/v1 serves"
    ) as caught:
        resolved(Client(listing("only")), role(), calls=cache(Facts(), offline=True))
    assert caught.value.hint == "name it: model=NAME"


@pytest.mark.parametrize(
    ("answer", "error", "message", "hint"),
    [
        (listing("a", "b"), UsageError, "lists 2 models: a, b", "name one: model=NAME"),
        (listing(), UsageError, "lists 0 models", "name one"),
        (listing(*"abcdefghij"), UsageError, "a, b, c, d, e, f, g, h, …", "name one"),
        (listing(*"abcdefgh"), UsageError, "a, b, c, d, e, f, g, h$", "name one"),
        (Reply(200, {}, b"<html>"), UsageError, r"does not list its models \(status 200\)", "name"),
        (Reply(200, {}, b'{"data": 3}'), UsageError, "does not list its models", "name one"),
        (Reply(401, {}, b""), RunError, "answered 401", "check the key"),
        (Reply(403, {}, b""), RunError, "answered 403", "check the key"),
        (Reply(402, {}, b"pay"), RunError, "answered 402: pay", "add credit"),
        (Reply(429, {}, b"slow"), RunError, "429: slow", "name its model"),
        (Reply(500, {}, b"oops"), RunError, "500: oops", "name its model"),
        (
            Reply(200, {}, b'{"error": {"code": 401, "message": "who?"}}'),
            RunError,
            "answered 401: who?",
            "check the key",
        ),
        (listing("a-0123456789abcdef"), UsageError, "name holds the API key", "name one"),
        (listing("0123456789abcdef", "b"), UsageError, r"models: \[key\], b", "name one"),
        (
            TransportError("connect", "refused"),
            RunError,
            "no answer from .*: refused",
            "start the server",
        ),
    ],
)
def test_an_endpoint_that_does_not_name_one_model_ends_it_with_a_way_out(
    answer: Reply | TransportError, error: type[RefineError], message: str, hint: str
) -> None:
    keyed = role("policy.retries=0", "policy.headers={X-Team = '0123456789abcdef'}")
    with pytest.raises(error, match=message) as caught:
        resolved(Client(answer), keyed)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "trouble",
    [
        Reply(429, {}, b"slow down"),
        Reply(503, {}, b"the model is loading"),
        Reply(200, {}, b'{"error": {"code": 429, "message": "slow down"}}'),
    ],
)
def test_an_endpoint_that_is_busy_is_asked_again_for_its_model(trouble: Reply) -> None:
    client, log = Client(*[trouble] * 9, listing("only")), Log()
    ((settled, _, _),) = resolved(client, role(), log=log)
    assert (settled.model, len(client.urls)) == ("only", 10)
    assert len(log.notices) == 1
    assert "policy: http://host/v1/models answered" in log.notices[0]
    assert len(log.details) == 8


@pytest.mark.parametrize(("path", "said"), [("", True), ("/api", True), ("/v1", False)])
def test_a_404_outside_v1_says_where_most_servers_are(path: str, said: bool) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(Client(Reply(404, {}, b"")), role(base_url=f"http://host{path}"))
    assert ("ends in /v1" in caught.value.hint) == said


def test_the_query_of_a_url_which_may_be_a_key_is_in_no_message() -> None:
    for answer in (listing("a", "b"), Reply(500, {}, b""), TransportError("connect", "no")):
        with pytest.raises(RefineError) as caught:
            resolved(Client(answer), role("policy.retries=0", base_url="http://host/v1?key=secret"))
        assert "secret" not in caught.value.message + caught.value.hint


# ------------------------------------------------------------------ endpoints that are shared


def test_roles_that_share_an_endpoint_share_the_lower_limits() -> None:
    endpoint = endpoint_at("http://host/v1", "m", "place")
    for sets in ((), ("policy.rpm=60", "policy.tpm=100"), ("policy.rpm=30", "policy.tpm=500"), ()):
        endpoint.limit(role("policy.model=m", *sets), 8)
    assert (endpoint.rpm, endpoint.tpm, endpoint.pacer.most) == (30, 100, 8)


def test_a_fact_about_an_endpoint_names_its_model_and_hides_its_url() -> None:
    endpoint = endpoint_at("http://host/v1?key=secret", "m", "http://host/v1?key=secret")
    assert endpoint.fact.startswith("changes ")
    assert endpoint.fact.endswith(" m")
    assert "secret" not in endpoint.fact


def test_an_endpoint_is_known_by_a_reply_of_this_run_or_of_the_cache() -> None:
    one, other = (endpoint_at("http://host/v1", "m", "place") for _ in range(2))
    assert not one.known
    one.health.succeeded()
    other.replayed = True
    assert (one.known, other.known) == (True, True)
