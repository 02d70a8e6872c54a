"""What each failure of a provider means: one table of replies as providers give them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from refinecli.errors import CompletionError, RunError
from refinecli.models.failures import (
    Refusal,
    RefusedParameterError,
    failure,
    failure_in_reply,
    provider_words,
)
from refinecli.models.retries import RetryableError
from refinecli.types import FirstTokens, JSONReply

URL = "http://host/v1/chat/completions?key=secret"
BODY = {"model": "m", "messages": [], "temperature": 0, "seed": 1, "top_k": 5}


def reply(status: int, message: object = "", **known: Any) -> Refusal:
    content = message if isinstance(message, bytes) else orjson.dumps({"error": message})
    return Refusal(status, {}, content, BODY, URL, **known)


def meaning(refusal: Refusal) -> tuple[str, str]:
    """Return what becomes of it (call, run, retry or change), and its kind or name."""
    error = failure(refusal)
    if isinstance(error, CompletionError):
        return "call", error.type
    if isinstance(error, RunError):
        return "run", error.type
    if isinstance(error, RetryableError):
        return "retry", error.kind
    assert isinstance(error, RefusedParameterError)
    return "change", error.name


TOKENS, SCHEMA = FirstTokens(20, 4), JSONReply({"type": "object"})


@pytest.mark.parametrize(
    ("refusal", "expected"),
    [
        # Time may mend it.
        (reply(429, "slow down"), ("retry", "rate_limit")),
        (reply(408), ("retry", "timeout")),
        (reply(409), ("retry", "server")),
        (reply(425), ("retry", "server")),
        (reply(500, "oops"), ("retry", "server")),
        (reply(503, "overloaded"), ("retry", "server")),
        (reply(529, "overloaded"), ("retry", "server")),
        # It will not, where the account is empty.
        (reply(402, "pay"), ("run", "quota")),
        (reply(429, "You exceeded your current quota"), ("run", "quota")),
        (reply(400, "insufficient credits"), ("call", "bad_request")),
        # The conversation, and no other.
        (reply(400, "maximum context length is 8192 tokens"), ("call", "context_length")),
        (reply(413, "prompt is too long"), ("call", "context_length")),
        (reply(422, "too many input tokens"), ("call", "context_length")),
        (reply(400, "blocked by our content management policy"), ("call", "content_filter")),
        (reply(403, "Your input was flagged"), ("call", "content_filter")),
        (reply(400, "I do not like it"), ("call", "bad_request")),
        (reply(418, "a teapot"), ("call", "bad_request")),
        # The key.
        (reply(401, "who are you?"), ("run", "auth")),
        (reply(403, "no"), ("run", "auth")),
        (reply(400, "API key not valid"), ("run", "auth")),
        # The model and the URL.
        (reply(404, "The model `m` does not exist"), ("run", "model_not_found")),
        (reply(400, "model m not found"), ("run", "model_not_found")),
        (reply(422, "unknown model"), ("run", "model_not_found")),
        (reply(404, "No endpoints found for m"), ("run", "model_not_found")),
        (reply(404, "nothing here"), ("run", "not_found")),
        (reply(405), ("run", "not_found")),
        (reply(301), ("run", "redirect")),
        (reply(308), ("run", "redirect")),
        # A model that has answered is there, whatever a reply seems to say.
        (reply(404, "model not found", worked=True), ("call", "bad_request")),
        (reply(404, "nothing here", known=True), ("call", "bad_request")),
        (reply(301, known=True), ("call", "bad_request")),
        (reply(403, "this prompt?", known=True), ("call", "bad_request")),
        (reply(403, "your account is suspended", known=True), ("run", "auth")),
        (reply(404, "model was removed", known=True), ("run", "model_not_found")),
        (reply(401, "no", known=True), ("run", "auth")),
        # A parameter that can be left out, and one that cannot.
        (reply(400, "'temperature' does not support 0"), ("change", "temperature")),
        (reply(422, "unexpected field seed"), ("change", "seed")),
        (reply(400, "unknown parameter: max_tokens"), ("call", "bad_request")),
        (reply(400, "unrecognized argument: top_k"), ("run", "bad_request")),
        (reply(400, "'seed' is out of range"), ("call", "bad_request")),
        (reply(404, "temperature is unsupported"), ("run", "not_found")),
        # What was wanted of the reply.
        (reply(400, "logprobs?", wants=TOKENS), ("change", "top_logprobs 20")),
        (reply(404, "no log probs", wants=TOKENS), ("change", "top_logprobs 20")),
        (reply(400, "no json_schema", wants=SCHEMA), ("change", "response_format json_schema")),
        (
            reply(400, "response format?", wants=JSONReply()),
            ("change", "response_format json_object"),
        ),
        (reply(400, "logprobs?", wants=SCHEMA), ("call", "bad_request")),
        (reply(400, "no json_schema", wants=TOKENS), ("call", "bad_request")),
        (reply(500, "logprobs?", wants=TOKENS), ("retry", "server")),
        (reply(400, "logprobs?"), ("call", "bad_request")),
    ],
    ids=lambda value: f"{value.status} {value.words}" if isinstance(value, Refusal) else value[1],
)
def test_each_reply_means_what_its_provider_means_by_it(
    refusal: Refusal, expected: tuple[str, str]
) -> None:
    assert meaning(refusal) == expected


def test_a_message_names_the_host_and_never_the_query_of_the_url() -> None:
    for status in (400, 401, 404, 405, 301):
        error = failure(reply(status, "no"))
        assert isinstance(error, CompletionError | RunError)
        assert "secret" not in error.message + error.hint
    assert str(failure(reply(401, "who?")).args[0]) == "host answered 401: who?"


def test_a_redirect_says_where_to() -> None:
    error = failure(Refusal(301, {"location": "https://other/v1"}, b"", BODY, URL))
    assert isinstance(error, RunError)
    assert error.hint == "give the right URL: https://other/v1"
    assert error.message == "http://host/v1/chat/completions redirects, which is not followed"


def test_the_first_parameter_that_is_refused_is_the_one() -> None:
    words = "`temperature` and `seed` cannot both be set: seed is not allowed"
    assert meaning(reply(400, words)) == ("change", "temperature")
    assert meaning(reply(400, "seed is not allowed, nor is temperature")) == ("change", "seed")


def test_a_parameter_is_not_found_within_another_word() -> None:
    assert meaning(reply(400, "unsupported: my_seed_value")) == ("call", "bad_request")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 402, "message": "pay"}, "quota"),
        ({"message": "insufficient balance"}, "quota"),
        ({"code": 400, "message": "bad"}, "bad_request"),
        ({"code": 499, "message": "bad"}, "bad_request"),
        ({"code": 429, "message": "busy"}, "server"),
        ({"code": 500, "message": "oops"}, "server"),
        ({"code": "overloaded", "message": "oops"}, "server"),
        ("oops", "server"),
    ],
)
def test_an_error_under_status_200_is_read_by_its_code(error: object, kind: str) -> None:
    found = failure_in_reply(error, orjson.dumps({"error": error}))
    if isinstance(found, RetryableError):
        assert found.kind == kind
    else:
        assert isinstance(found, CompletionError | RunError)
        assert found.type == kind


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "(nothing)"),
        (b"<html>\n  <b>502</b> ", "<html> <b>502</b>"),
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"error": {"message": "no", "code": "bad", "param": "seed"}}', "no (bad) (seed)"),
        (b'{"error": {"message": "seed: no", "param": "seed"}}', "seed: no"),
        (b'[{"error": {"message": "no"}}]', "no"),
        (b'{"detail": "no"}', "no"),
        (b'{"message": "no"}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"detail": [{"loc": 1}]}', '[{"loc":1}]'),
        (b'{"odd": 1}', '{"odd":1}'),
        (b'{"error": {"message": "' + b"x" * 500 + b'"}}', "x" * 399 + "…"),
        (b'{"error": {"message": "' + b"x" * 400 + b'"}}', "x" * 400),
    ],
    ids=range(13),
)
def test_a_providers_words_are_found_in_every_usual_shape(content: bytes, words: str) -> None:
    assert provider_words(content) == words
