"""What each failure of a provider means: one table of replies as providers give them."""

from __future__ import annotations

from time import process_time
from typing import Any

import orjson
import pytest

from refinecli.errors import CompletionError, RunError
from refinecli.models.envelope import provider_words
from refinecli.models.failures import Refusal, failure
from refinecli.models.negotiation import FIRST_TOKEN_LIMIT, SYSTEM_ROLE, RefusedParameterError
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
        (reply(400, "insufficient credits"), ("run", "quota")),
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
        (reply(403, "you may not request logprobs", wants=TOKENS), ("change", "top_logprobs 20")),
        (reply(403, "you may not", wants=TOKENS), ("run", "auth")),
        (
            reply(400, "The schema has too many states for serving.", wants=SCHEMA),
            ("change", "response_format json_schema"),
        ),
        (reply(400, "The schema is too much", wants=JSONReply()), ("call", "bad_request")),
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


@pytest.mark.parametrize(
    "words",
    [
        "Unsupported content: the prompt asks for temperature data",
        "unsupported topic: temperature records",
        "not allowed: a question about temperature",
        "temperature is what the user asks for, which is not permitted",
        "Unexpected mention of temperature",
    ],
)
def test_a_refused_conversation_that_is_about_a_parameters_name_is_not_a_refused_parameter(
    words: str,
) -> None:
    warm = {**BODY, "temperature": 0.5}
    error = failure(Refusal(400, {}, orjson.dumps({"error": words}), warm, URL))
    assert isinstance(error, CompletionError)


def test_a_parameter_is_not_found_within_another_word() -> None:
    assert meaning(reply(400, "unsupported: my_seed_value")) == ("call", "bad_request")


EXPIRED = "API key expired. Please renew the API key."
BROKE = "Your credit balance is too low to access the API."
BUSY = "Rate limit reached: too many requests"
PER_MINUTE = "You exceeded your current quota: GenerateRequestsPerMinute. Please retry in 12s."


# Providers do not agree on statuses: what these words say holds under all of them.
@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
@pytest.mark.parametrize(
    ("words", "expected"),
    [(EXPIRED, ("run", "auth")), (BROKE, ("run", "quota")), (PER_MINUTE, ("retry", "rate_limit"))],
    ids=["expired", "broke", "per minute"],
)
def test_words_that_are_plain_hold_under_every_status(
    status: int, words: str, expected: tuple[str, str]
) -> None:
    assert meaning(reply(status, words)) == expected


@pytest.mark.parametrize("status", [400, 403, 404, 409, 420, 422, 424, 429, 498, 499])
def test_too_much_at_once_is_a_limit_under_every_status_that_may_mean_it(status: int) -> None:
    assert meaning(reply(status, BUSY)) == ("retry", "rate_limit")


@pytest.mark.parametrize("status", [420, 424, 498, 499, 502, 503, 504, 529])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert meaning(reply(status, "something"))[0] == "retry"


def hinted(words: object, **headers: str) -> RetryableError:
    error = failure(Refusal(429, headers, orjson.dumps({"error": words}), BODY, URL))
    assert isinstance(error, RetryableError), error
    return error


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (hinted("exceeded your current quota", **{"retry-after": "7"}), 7.0),
        (
            hinted(
                {
                    "message": "You exceeded your current quota.",
                    "details": [{"@type": "…/google.rpc.RetryInfo", "retryDelay": "29.5s"}],
                }
            ),
            29.5,
        ),
        (hinted("insufficient_quota: please try again in 6m0s"), 360.0),
        (hinted("exceeded your current quota; retry in 1.5 seconds"), 1.5),
        (hinted({"message": "insufficient quota", "retry_after_ms": 1500}), 1.5),
    ],
)
def test_a_limit_that_says_when_to_come_back_is_not_an_empty_account(
    error: RetryableError, seconds: float
) -> None:
    assert (error.kind, error.after) == ("rate_limit", seconds)


@pytest.mark.parametrize(
    "words",
    [
        "Model org/name is currently loading",
        "The model is still being loaded",
        "Loading model",
        "the model is not ready yet: warming up",
    ],
)
def test_a_model_that_is_still_loading_is_given_minutes(words: str) -> None:
    error = failure(reply(503, words))
    assert isinstance(error, RetryableError)
    assert (error.kind, error.takes_minutes) == ("loading", True)


@pytest.mark.parametrize(
    "words",
    [
        "invalid temperature: only 1 is allowed for this model",
        "Input validation error: `temperature` must be strictly positive",
        "`temperature` and `top_p` cannot both be specified for this model.",
        "temperature: Input should be greater than 0",
        "Unsupported value: 'temperature' does not support 0.0 with this model.",
    ],
)
def test_a_temperature_of_0_is_taken_back_in_any_wording(words: str) -> None:
    assert meaning(reply(400, words)) == ("change", "temperature")
    asked_for = Refusal(400, {}, orjson.dumps({"error": words}), {**BODY, "temperature": 3}, URL)
    if "support" not in words and "only 1" not in words:
        assert isinstance(failure(asked_for), CompletionError)


SYSTEM = {**BODY, "messages": [{"role": "system", "content": "Be brief."}]}


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Developer instruction is not enabled for models/gemma",
        "This model does not support the system role",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "'messages' with role 'system' is unsupported",
        "Only user, assistant and tool roles are supported, got system.",
        "only supports user and assistant roles",
        "unexpected role: expected user or assistant, got 'system'",
    ],
)
def test_a_refused_system_role_is_taken_back_where_one_was_sent(words: str) -> None:
    content = orjson.dumps({"error": words})
    for status in (400, 404, 422, 500):
        error = failure(Refusal(status, {}, content, SYSTEM, URL))
        assert isinstance(error, RefusedParameterError)
        assert error.name == SYSTEM_ROLE
    assert not isinstance(failure(Refusal(400, {}, content, BODY, URL)), RefusedParameterError)


def test_the_limit_of_a_request_for_probabilities_is_taken_back_alone() -> None:
    words = "Invalid 'max_tokens': integer below minimum value. Expected >= 16"
    content, body = orjson.dumps({"error": words}), {**BODY, "max_tokens": 4}
    error = failure(Refusal(400, {}, content, body, URL, wants=TOKENS))
    assert isinstance(error, RefusedParameterError)
    assert error.name == FIRST_TOKEN_LIMIT
    assert isinstance(failure(Refusal(400, {}, content, body, URL)), CompletionError)


def test_a_grammar_that_a_server_cannot_build_is_a_form_that_it_does_not_give() -> None:
    for status in (400, 500, 501):
        found = meaning(reply(status, "failed to parse grammar", wants=SCHEMA))
        assert found == ("change", "response_format json_schema")


def test_a_gateway_without_a_provider_for_these_parameters_says_which_were_sent() -> None:
    error = failure(reply(404, "No endpoints found that support the requested parameters"))
    assert isinstance(error, RunError)
    assert error.hint.endswith("temperature, seed, top_k")


def test_a_web_page_where_json_is_due_makes_one_look_at_the_url() -> None:
    error = failure(reply(404, b"<!DOCTYPE html><title>Not found</title>"))
    assert isinstance(error, RunError)
    assert "ends in /v1" in error.hint


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
        (b'{"code": 1, "data": {"error": {"message": "no"}}}', "no"),
        (b'{"response": {"body": {"message": "no"}}}', "no"),
        (b'{"message": "no", "data": {"message": "yes"}}', "no"),
        (b'{"error": {"message": "' + b"x" * 500 + b'"}}', "x" * 500),
        (b'{"error": {"message": "' + b"x" * 400 + b'"}}', "x" * 400),
    ],
    ids=range(16),
)
def test_a_providers_words_are_found_in_every_usual_shape(content: bytes, words: str) -> None:
    assert provider_words(content) == words


# What providers say, and what they mean by it under every status that is not its own. To cover
# another wording, add a line.
WORDINGS: list[tuple[str, tuple[str, str]]] = [
    ("Your account request reached max RPM: 3", ("retry", "rate_limit")),
    ("Concurrency limit reached", ("retry", "rate_limit")),
    ("Model too busy, unable to get a response", ("retry", "rate_limit")),
    ("Resource has been exhausted (e.g. check quota).", ("retry", "rate_limit")),
    ("您当前使用该API的并发数过高", ("retry", "rate_limit")),
    ("Your account is not active, please check your billing details.", ("run", "quota")),
    ("Account balance not enough", ("run", "quota")),
    ("please make sure your account is in good standing. (Arrearage)", ("run", "quota")),
    ("Credit limit exceeded", ("run", "quota")),
    ("Key limit exceeded (total limit)", ("run", "quota")),
    ("You have exceeded your monthly included credits", ("run", "quota")),
    ("Budget has been exceeded! Current cost: 10.1, Max budget: 10.0", ("run", "quota")),
    ("You have reached your monthly spend limit", ("run", "quota")),
    ("You have reached your specified API usage limits. Access is back", ("run", "quota")),
    ("您的账户已欠费,请充值后重试。", ("run", "quota")),
    ("invalid x-api-key", ("run", "auth")),
    ("invalid_api_key", ("run", "auth")),
    ("No cookie auth credentials found", ("run", "auth")),
    ("Unauthorized", ("run", "auth")),
    ("Not authenticated", ("run", "auth")),
    ("Could not validate credentials", ("run", "auth")),
    ("The security token included in the request is expired", ("run", "auth")),
    ("Access denied due to invalid subscription key or wrong API endpoint.", ("run", "auth")),
    ("Content Exists Risk", ("call", "content_filter")),
    ("Input data may contain inappropriate content.", ("call", "content_filter")),
    ("The request was blocked: PROHIBITED_CONTENT", ("call", "content_filter")),
    ("This model's maximum context length is 8192 tokens", ("call", "context_length")),
]


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(("words", "expected"), WORDINGS)
def test_what_a_provider_says_counts_under_statuses_that_say_little(
    status: int, words: str, expected: tuple[str, str]
) -> None:
    assert meaning(reply(status, words)) == expected


@pytest.mark.parametrize("status", [400, 404, 409, 424, 425, 500, 503])
def test_a_model_that_is_loading_is_waited_for_under_every_status(status: int) -> None:
    assert meaning(reply(status, "Model m is currently loading")) == ("retry", "loading")


ASKED = [
    "How do I reset my API key if it is missing?",
    "my credit balance is zero, out of credits",
    "Explain how rate limits work to a child",
    "the system message was not clear at all",
    "is the temperature outside unsupported here",
    "the model x does not exist any more",
    "please try again in 5 minutes, thanks",
]


@pytest.mark.parametrize("asked", ASKED)
def test_what_a_provider_quotes_of_the_conversation_is_not_what_it_says(asked: str) -> None:
    turns = [{"role": "system", "content": "Help."}, {"role": "user", "content": f"So: {asked}"}]
    content = orjson.dumps({"error": f"Invalid value: '{asked}'."})
    error = failure(Refusal(400, {}, content, {**BODY, "messages": turns}, URL))
    assert isinstance(error, CompletionError), error
    assert (error.type, asked in error.message) == ("bad_request", True)


SHORT = [
    "invalid api key",
    "api key expired",
    "out of credits",
    "rate limit",
    "model not found",
    "如何处理欠费的账户",
    "鉴权失败",
    "line one\nis an invalid\napi key\nhere it is",
]


@pytest.mark.parametrize("asked", SHORT)
@pytest.mark.parametrize("around", ["Invalid value: '{}'.", "bad input: {}", 'no "{}" here'])
def test_short_words_of_the_conversation_are_not_what_a_provider_says(
    asked: str, around: str
) -> None:
    turns = [{"role": "user", "content": asked}]
    content = orjson.dumps({"error": around.format(asked)})
    error = failure(Refusal(400, {}, content, {**BODY, "messages": turns}, URL))
    assert isinstance(error, CompletionError), error
    assert error.type == "bad_request"


def test_a_quoted_piece_of_a_long_message_is_not_what_a_provider_says() -> None:
    parts = [{"type": "text", "text": "Why does it say invalid api key when I log in?"}]
    body = {**BODY, "messages": [{"role": "user", "content": parts}]}
    content = orjson.dumps({"error": "unexpected 'invalid api key' in the text"})
    assert isinstance(failure(Refusal(400, {}, content, body, URL)), CompletionError)


def test_a_name_that_the_conversation_also_has_is_still_a_name() -> None:
    turns = [{"role": "user", "content": "temperature"}, {"role": "system", "content": "system"}]
    body = {**BODY, "messages": turns}
    for words, name in [
        ("Unsupported parameter: 'temperature'", "temperature"),
        ("'messages' with role 'system' is unsupported", SYSTEM_ROLE),
    ]:
        error = failure(Refusal(400, {}, orjson.dumps({"error": words}), body, URL))
        assert isinstance(error, RefusedParameterError)
        assert error.name == name


def test_a_prompt_that_is_quoted_at_its_full_length_costs_no_time() -> None:
    text = " ".join(f"word{number}" for number in range(20_000))
    body = {**BODY, "messages": [{"role": "user", "content": text}]}
    refusal = Refusal(400, {}, orjson.dumps({"error": f"Invalid input: {text}"}), body, URL)
    began = process_time()
    assert isinstance(failure(refusal), CompletionError)
    assert process_time() - began < 3
    assert refusal.heard == "Invalid input:"


# A request that is larger than all that is allowed in a minute. To cover another wording, add one.
TOO_LARGE = [
    "Request too large for model `m` in organization `o` on tokens per minute (TPM): Limit 6000, "
    "Requested 7340, please reduce your message size and try again. Need more tokens? Upgrade "
    "at https://console/settings/billing",
    "Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000. The input "
    "or output tokens must be reduced in order to run successfully.",
    "Rate limit reached for m on tokens per min (TPM): Limit 10,000, Used 0, Requested 12,000. "
    "Please try again in 12s.",
    "request_too_large: Request exceeds the maximum size",
]


@pytest.mark.parametrize("status", [400, 413, 429])
@pytest.mark.parametrize("words", TOO_LARGE, ids=range(len(TOO_LARGE)))
def test_a_request_that_no_minute_is_long_enough_for_fails_alone(status: int, words: str) -> None:
    error = failure(reply(status, words))
    assert isinstance(error, CompletionError), error
    assert (error.type, "lower its max_tokens" in error.hint) == ("context_length", True)


def test_a_limit_that_others_have_used_up_opens_again() -> None:
    words = "Rate limit reached on TPM: Limit 10000, Used 9500, Requested 2000. Try again in 9s."
    assert meaning(reply(429, words)) == ("retry", "rate_limit")


@pytest.mark.parametrize(
    "words",
    ["Internal system error; message not delivered", "unexpected: the system, message lost"],
)
def test_a_system_in_trouble_is_not_a_refused_system_role(words: str) -> None:
    content = orjson.dumps({"error": words})
    assert isinstance(failure(Refusal(500, {}, content, SYSTEM, URL)), RetryableError)


def test_the_wording_of_a_refused_seed_is_known_at_its_full_length() -> None:
    words = "Unrecognized request argument supplied: seed"
    assert meaning(reply(400, words)) == ("change", "seed")


@pytest.mark.parametrize(
    "words",
    [
        b"<html><center>The plain HTTP request was sent to HTTPS port</center></html>",
        b"Client sent an HTTP request to an HTTPS server.",
    ],
)
def test_a_server_that_wants_tls_says_so_with_the_remedy(words: bytes) -> None:
    error = failure(reply(400, words))
    assert isinstance(error, RunError)
    assert "https://" in error.hint


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("try again in 2m3s", 123.0),
        ("try again in 1 minute and 30 seconds", 90.0),
        ("try again in 2 days", 172800.0),
    ],
)
def test_a_wait_in_words_is_added_up(words: str, seconds: float) -> None:
    assert hinted(words).after == seconds


def test_a_delay_in_the_long_form_of_protobuf_is_read() -> None:
    assert hinted({"message": "slow", "details": [{"retryDelay": {"seconds": 12}}]}).after == 12.0


def test_a_server_that_crashes_at_temperature_0_is_asked_without() -> None:
    words = "`temperature` must be strictly positive"
    assert meaning(reply(500, words)) == ("change", "temperature")
    assert meaning(reply(500, "GPU temperature alarm")) == ("retry", "server")
