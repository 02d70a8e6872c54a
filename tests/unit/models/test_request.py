"""A request's body, its key's parts, its headers and its key: pure, without a server."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from refinecli.completers import wire_seed
from refinecli.errors import UsageError
from refinecli.models.request import (
    api_key,
    body_of,
    encoded,
    headers,
    name_of,
    params_of,
    sample_index,
    with_system,
)
from refinecli.settings.load import load
from refinecli.settings.roles import RoleSettings
from refinecli.types import Draw, FirstTokens, JSONReply, Message, Wants

ASK: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]
DRAW = Draw("id", 0, "policy", 0)
SCHEMA = {"type": "object"}


def role(*sets: str) -> RoleSettings:
    return load({"policy.model": "m", "policy.base_url": "http://host/v1"}, sets, {}).policy


def test_a_body_holds_what_was_set_and_nothing_else() -> None:
    assert body_of(role(), ASK, DRAW, None) == {"model": "m", "messages": ASK}


def test_zero_is_sent_and_none_is_not() -> None:
    body = body_of(role("policy.temperature=0", "policy.max_tokens=7"), ASK, DRAW, 0)
    assert (body["temperature"], body["max_tokens"]) == (0, 7)
    assert body["seed"] == wire_seed(0, DRAW)
    assert "top_p" not in body


def test_the_keys_of_a_body_keep_their_order_on_which_cached_replies_depend() -> None:
    sets = ("policy.temperature=0", "policy.top_p=0.5", "policy.max_tokens=7")
    plain = body_of(role(*sets), ASK, DRAW, 0)
    assert list(plain) == ["model", "messages", "temperature", "top_p", "max_tokens", "seed"]
    more = body_of(role(*sets), ASK, DRAW, 0, FirstTokens(20, 4))
    assert list(more) == [*plain, "logprobs", "top_logprobs"]
    assert list(body_of(role(*sets), ASK, DRAW, 0, JSONReply())) == [*plain, "response_format"]


def test_what_is_wanted_comes_before_the_roles_settings_and_extra_body_before_both() -> None:
    body = body_of(role("policy.max_tokens=100"), ASK, DRAW, None, FirstTokens(20, 4))
    assert body["max_tokens"] == 4
    extra = role("policy.extra_body={max_tokens = 9, top_k = 1}")
    assert body_of(extra, ASK, DRAW, None, FirstTokens(20, 4))["max_tokens"] == 9


@pytest.mark.parametrize(
    ("wants", "params", "name"),
    [
        (
            FirstTokens(5, 4),
            {"logprobs": True, "top_logprobs": 5, "max_tokens": 4},
            "top_logprobs 5",
        ),
        (
            JSONReply(),
            {"response_format": {"type": "json_object"}},
            "response_format json_object",
        ),
        (
            JSONReply(SCHEMA),
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "verdict", "strict": True, "schema": SCHEMA},
                }
            },
            "response_format json_schema",
        ),
    ],
    ids=["tokens", "object", "schema"],
)
def test_each_want_has_its_parameters_and_the_name_that_caches_know(
    wants: Wants, params: dict[str, Any], name: str
) -> None:
    # Byte for byte, since a cached reply is found by them.
    assert json.dumps(params_of(wants)) == json.dumps(params)
    assert name_of(wants) == name


# ------------------------------------------------------------------ a role's system prompt


def test_without_a_system_prompt_the_conversation_stays_as_it_is() -> None:
    assert with_system(None, ASK) == with_system("", ASK) == ASK


@pytest.mark.parametrize(
    ("messages", "first"),
    [
        (ASK, "Be brief."),
        ([{"role": "system", "content": "Be exact."}, *ASK], "Be brief.\n\nBe exact."),
        ([{"role": "system", "content": None}, *ASK], "Be brief.\n\n"),
        ([{"role": "system"}, *ASK], "Be brief.\n\n"),
        (
            [{"role": "system", "content": [{"type": "text", "text": "Be exact."}]}, *ASK],
            [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be exact."}],
        ),
        ([], "Be brief."),
    ],
    ids=["none", "text", "null", "missing", "parts", "empty"],
)
def test_a_system_prompt_comes_before_the_conversations_own_in_one_message(
    messages: list[Message], first: object
) -> None:
    sent = with_system("Be brief.", messages)
    assert sent[0]["role"] == "system"
    assert sent[0]["content"] == first
    assert sent[1:] == [message for message in messages if message["role"] != "system"]


# ------------------------------------------------------------------ samples


@pytest.mark.parametrize(
    ("draw", "index"),
    [
        (DRAW, "0.0.0"),
        (Draw("other", 7, "policy", 0), "0.0.0"),  # the request itself holds what differs
        (Draw("id", 0, "policy", 2, 3, 4), "4.2.3"),
        (Draw("id", 0, "grader", 0), "0.0.0"),
        (Draw("id", 0, "jury.a", 0), "0.0.0.jury.a"),
    ],
)
def test_samples_of_one_request_are_kept_apart_and_jurors_too(draw: Draw, index: str) -> None:
    assert sample_index({"temperature": 1}, draw) == sample_index({}, draw) == index


def test_at_temperature_0_all_samples_are_one() -> None:
    assert sample_index({"temperature": 0}, Draw("id", 0, "jury.a", 2)) == ""


# ------------------------------------------------------------------ on the wire


def test_half_a_character_is_replaced_and_the_rest_is_sent() -> None:
    assert orjson.loads(encoded({"text": "a\ud83db"})) == {"text": "a\ufffdb"}
    assert encoded({"a": 1, "é": [None]}) == '{"a":1,"é":[null]}'.encode()


def test_a_key_goes_as_a_bearer_unless_its_header_is_another() -> None:
    assert headers(role(), "")["content-type"] == "application/json"
    assert "Authorization" not in headers(role(), "")
    assert headers(role(), "sk")["Authorization"] == "Bearer sk"
    azure = role("policy.api_key_header=api-key", "policy.headers.X-Team=blue")
    assert headers(azure, "sk")["api-key"] == "sk"
    assert headers(azure, "sk")["X-Team"] == "blue"


def test_a_key_is_read_without_the_space_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-1\n")
    assert api_key(role("policy.api_key_env=SOME_KEY")) == "sk-1"
    assert api_key(role()) == ""


@pytest.mark.parametrize("key", ["", "  ", "sk-\u201d1", "sk\x00"])
def test_a_key_that_cannot_be_one_is_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setattr("os.environ", {"SOME_KEY": key})
    with pytest.raises(UsageError, match="SOME_KEY") as caught:
        api_key(role("policy.api_key_env=SOME_KEY"))
    assert caught.value.hint
    assert key.strip() == "" or key not in caught.value.message
