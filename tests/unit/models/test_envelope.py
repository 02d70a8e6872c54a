"""The object in a reply's bytes, and the error that it may hold under any status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refinecli.errors import CompletionError
from refinecli.models.envelope import reply_object
from refinecli.models.provider_errors import StatedError, stated_error
from refinecli.models.reply import read_completion
from refinecli.models.retries import RetryableError

CHOICE = {"message": {"content": "4"}, "finish_reason": "stop"}

# An error as a gateway puts it into a good status, and the status that it stands for. To cover
# another place or name, add a line.
ERRORS: list[tuple[dict[str, Any], int]] = [
    ({"error": {"code": 429, "message": "no"}}, 429),
    ({"error": {"code": "402", "message": "no"}}, 402),
    ({"error": {"status": "RESOURCE_EXHAUSTED", "message": "no"}}, 429),
    ({"error": {"type": "overloaded_error", "message": "no"}}, 529),
    ({"error": {"code": "invalid_api_key", "message": "no"}}, 401),
    ({"error": "no"}, 500),
    ({"error": {"message": "no"}}, 500),
    ({"error": {"error": {"code": 401}, "message": "no"}}, 401),
    ({"choices": None, "error": {"code": 402, "message": "no"}}, 402),
    ({"choices": [CHOICE], "error": {"code": 429, "message": "no"}}, 429),
    ({"choices": [CHOICE | {"error": {"code": 502, "message": "no"}}]}, 502),
    ({"detail": "no"}, 500),
    ({"code": 401, "message": "no"}, 401),
    ({"status_code": 503, "message": "no"}, 503),
    ({"object": "error", "message": "no", "code": 400}, 400),
    ({"type": "error", "error": {"type": "rate_limit_error", "message": "no"}}, 429),
    ({"success": False, "msg": "no"}, 500),
    ({"errors": [{"message": "no"}]}, 500),
    ({"base_resp": {"status_code": 1002, "status_msg": "no"}}, 429),
    ({"base_resp": {"status_code": 1008, "status_msg": "no"}, "choices": None}, 402),
    ({"base_resp": {"status_code": "1004", "status_msg": "no"}}, 401),
    ({"error": True, "message": "no"}, 500),
    ({"error": {"code": "rate_limit", "message": "no"}}, 429),
    ({"error": {"code": "1302", "message": "no"}}, 429),
    ({"code": 1113, "msg": "no", "success": False}, 402),
    ({"error": {"type": "exceeded_current_quota_error", "message": "no"}}, 402),
    ({"code": "Throttling.RateQuota", "message": "no"}, 429),
    ({"code": "InvalidApiKey", "message": "no"}, 401),
    ({"code": "Arrearage", "message": "no"}, 402),
    ({"__type": "ThrottlingException", "message": "no"}, 429),
    ({"__type": "com.amazon#ExpiredTokenException", "message": "no"}, 401),
    ({"message": "no"}, 500),
    ({"error_code": 18, "error_msg": "no"}, 500),
    ({"title": "no", "status": 429}, 429),
    ({"fault": {"faultstring": "no"}}, 500),
    ({"detail": {"message": "no", "code": 429}}, 429),
    # Next to a blank reply, which is then no answer.
    ({"choices": [{"message": {"content": ""}}], "code": 429, "message": "no"}, 429),
    ({"choices": [{"message": {"content": None}}], "detail": "no"}, 500),
    ({"choices": [{"message": {"content": None}}], "success": False, "message": "no"}, 500),
    ({"choices": [{"message": {"content": "", "error": {"code": 502, "message": "no"}}}]}, 502),
    ({"choices": [{"index": 0}], "code": 500, "message": "no"}, 500),
]


@pytest.mark.parametrize(("value", "status"), ERRORS)
def test_an_error_stands_for_its_status_in_the_providers_words(
    value: dict[str, Any], status: int
) -> None:
    error = stated_error(value)
    assert error is not None
    assert error.status == status
    assert "no" in str(error)
    with pytest.raises(StatedError):
        read_completion(json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        {"choices": [CHOICE]},
        {"choices": [CHOICE], "error": None},
        {"choices": [CHOICE], "error": {}},
        {"choices": [CHOICE], "code": 200, "message": "ok"},
        {"choices": [CHOICE], "base_resp": {"status_code": 0, "status_msg": "success"}},
        {"choices": []},
    ],
)
def test_a_reply_without_an_error_states_none(value: dict[str, Any]) -> None:
    assert stated_error(value) is None


WHOLE = json.dumps({"choices": [CHOICE]}).encode()


@pytest.mark.parametrize(
    "content",
    [
        WHOLE,
        b"\xef\xbb\xbf" + WHOLE,
        b"\n\n  " + WHOLE + b"\n",
        b": PROCESSING\n\n: PROCESSING\n\n" + WHOLE,
        b"data: " + WHOLE + b"\n\ndata: [DONE]\n\n",
    ],
)
def test_what_stands_around_a_reply_does_not_lose_it(content: bytes) -> None:
    assert read_completion(content).text == "4"


def streamed(*deltas: dict[str, Any], ending: str | None = "stop", done: bool = True) -> bytes:
    chunks = [{"choices": [{"delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"delta": {}, "finish_reason": ending}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})
    lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return "".join([": hello\n\n", *lines, "data: [DONE]\n\n" if done else ""]).encode()


def test_a_stream_that_nobody_asked_for_is_put_together() -> None:
    completion = read_completion(
        streamed({"reasoning_content": "hm"}, {"content": "4"}, {"content": "2"})
    )
    assert (completion.text, completion.reasoning) == ("42", "hm")
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3, 2)
    assert completion.finish_reason == "stop"


def test_a_stream_that_broke_off_is_not_asked_for_again() -> None:
    with pytest.raises(CompletionError, match="broke off"):
        read_completion(streamed({"content": "4"}, ending=None, done=False))
    with pytest.raises(CompletionError, match="the stream has an event that is not JSON: "):
        read_completion(b'data: {"choices": [{"delta": {"content": "4"\n\n')


def test_an_error_within_a_stream_is_that_error() -> None:
    content = streamed({"content": "4"}) + b'data: {"error": {"code": 429, "message": "no"}}\n\n'
    with pytest.raises(StatedError) as caught:
        read_completion(content)
    assert caught.value.status == 429


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"7", b'"x"', b"{", b"\xff", b": x"])
def test_what_is_not_an_object_may_be_tried_again(content: bytes) -> None:
    with pytest.raises(RetryableError):
        reply_object(content)


def test_half_a_character_becomes_a_mark_and_loses_nothing_else() -> None:
    value = reply_object(b'{"a": "x\\ud83d", "b": 1}')
    assert value == {"a": "x\ufffd", "b": 1}


# What some servers put next to a good reply. To cover another habit, add a line.
HARMLESS: list[dict[str, Any]] = [
    {"error": None},
    {"error": {}},
    {"error": False},
    {"error": "None"},
    {"error": {"code": None, "message": None}},
    {"error": {"code": 0, "message": ""}},
    {"error": {"code": "0", "message": "success"}},
    {"error": {"code": 200, "message": "OK"}},
    {"base_resp": {"status_code": "0", "status_msg": "success"}},
    {"code": 200, "status": 200, "message": "success"},
    {"code": 1, "message": "a note", "detail": "another", "errors": ["one"]},
]


@pytest.mark.parametrize("beside", HARMLESS, ids=str)
def test_a_whole_reply_is_read_next_to_what_is_not_an_error(beside: dict[str, Any]) -> None:
    assert read_completion(json.dumps({"choices": [CHOICE], **beside}).encode()).text == "4"


def events(*chunks: object) -> bytes:
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)


def test_a_stream_of_parts_or_of_the_older_kind_is_not_taken_for_an_empty_reply() -> None:
    parts = {"delta": {"content": [{"type": "text", "text": "4"}]}, "finish_reason": "stop"}
    older = {"text": "4", "finish_reason": "stop"}
    for choice in (parts, older):
        assert read_completion(events({"choices": [choice]})).text == "4"


def test_a_stream_of_several_choices_gives_the_first() -> None:
    first = {"index": 0, "delta": {"content": "4"}, "finish_reason": "stop"}
    second = {"index": 1, "delta": {"content": "5"}, "finish_reason": "stop"}
    assert read_completion(events({"choices": [second]}, {"choices": [first]})).text == "4"


def test_an_error_event_of_plain_words_is_an_error() -> None:
    error = stated_error(reply_object(b"event: error\ndata: went away\n\n"))
    assert error is not None
    assert (error.status, str(error)) == (500, "went away")


def test_an_error_may_be_a_number_alone() -> None:
    error = stated_error({"error": 429})
    assert error is not None
    assert error.status == 429


def test_a_list_of_one_reply_is_that_reply() -> None:
    assert read_completion(json.dumps([{"choices": [CHOICE]}]).encode()).text == "4"
    with pytest.raises(StatedError):
        read_completion(b'[{"error": {"code": 429, "message": "no"}}]')
