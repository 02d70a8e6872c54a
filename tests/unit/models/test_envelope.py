"""The object in a reply's bytes, and the error that it may hold under any status."""

from __future__ import annotations

import json
from time import process_time
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
    chunks: list[dict[str, Any]]
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


# ------------------------------------------------------------------ bodies that gateways make


def lines(*values: object) -> bytes:
    return b"\n".join(json.dumps(value).encode() for value in values)


def chunk(text: str | None = None, ending: object = None, **choice: Any) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": ending, **choice}]}


REPLY = {"choices": [CHOICE], "usage": {"prompt_tokens": 3}}
PRETTY = json.dumps(REPLY, indent=2).encode()

# A body around the answer 4, however it comes. To cover another, add a line.
BODIES: dict[str, bytes] = {
    "in data": lines({"code": 0, "message": "success", "data": REPLY}),
    "in result": lines({"success": True, "errors": [], "result": REPLY}),
    "in output, with its usage outside": lines({"output": {"choices": [CHOICE]}, "usage": {}}),
    "in response and body": lines({"response": {"status_code": 200, "body": REPLY}}),
    "in a body that is text": lines({"statusCode": 200, "body": json.dumps(REPLY)}),
    "in a list of one": lines({"data": [REPLY]}),
    "an object a line": lines(chunk("4"), chunk(None, "stop")),
    "an object a line, and the mark": lines(chunk("4"), chunk()) + b"\n[DONE]\n",
    "a list of chunks": lines([chunk("4"), chunk(None, "stop")]),
    "one reply a line": lines(REPLY, REPLY),
    "the mark of a stream after it": lines(REPLY) + b"\n\ndata: [DONE]\n\n",
    "the same after many lines": PRETTY + b"\ndata:[DONE]",
    "wrapped chunks": events({"data": chunk("4")}, {"data": chunk(None, "stop")}),
    "a summary without a text at the end": events(
        chunk("4"), {"choices": [{"message": {"content": ""}, "finish_reason": "stop"}]}
    ),
    "null as text in every chunk": events(chunk("4", "null"), chunk("", "stop"), chunk("", "null")),
    "a line break in a string": b'{"choices": [{"message": {"content": "4"}, "note": "a\nb"}]}',
    "a byte that is not UTF-8": b'{"choices": [{"message": {"content": "4"}, "note": "\xff"}]}',
    "an integer of 6,000 digits": b'{"created": ' + b"9" * 6000 + b"," + lines(REPLY)[1:],
    "a number beyond any": b'{"created": -1e999, "at": 1.5,' + lines(REPLY)[1:],
    "UTF-16": json.dumps(REPLY).encode("utf-16"),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_an_answer_is_read_from_every_body(body: bytes) -> None:
    assert read_completion(body).text.strip() == "4"


FOUND: dict[str, Any] = {"content_filter_results": {"hate": {"filtered": True}}}

# A body that holds no whole answer, and what it is. To cover another, add a line.
FAILED: dict[str, tuple[bytes, str]] = {
    "a stream of nothing": (b"data: [DONE]\n\n", "bad_reply"),
    "a stream without a content": (events(chunk(None, "stop")), "bad_reply"),
    "a role and no content": (events(chunk(None, "stop", delta={"role": "a"})), "bad_reply"),
    "reasoning in pieces of details": (
        events(chunk(delta={"reasoning_details": [{"text": "hm"}]}), chunk("", "stop")),
        "no_answer",
    ),
    "thinking in pieces": (
        events(chunk(delta={"content": "", "thinking": "hm"}), chunk("", "stop")),
        "no_answer",
    ),
    "a function called in pieces": (
        events(chunk(delta={"content": None, "function_call": {"name": "f"}}), chunk("", "stop")),
        "tool_calls",
    ),
    "an image in pieces": (
        events(chunk(delta={"content": "", "images": [{"url": "data:"}]}), chunk("", "stop")),
        "bad_reply",
    ),
    "a filter that a chunk has found": (
        events(chunk("", **FOUND), chunk("", "stop", content_filter_results={"hate": {}})),
        "content_filter",
    ),
    "a filter of the prompt": (
        events({"choices": [], "prompt_filter_results": [FOUND]}, chunk("", "stop")),
        "content_filter",
    ),
    "another protocol": (lines({"message": {"content": "4"}, "done": True}), "bad_reply"),
    "lines that break off": (lines(chunk("4"), chunk(" or")), "bad_reply"),
    "lines cut in the middle": (lines(chunk("4"), chunk(None, "stop"))[:-9], "bad_reply"),
    "a limit at the end of the lines": (lines(chunk(""), chunk(None, "length")), "no_answer"),
    "the last ending counts": (events(chunk("4", "stop"), chunk("", "SAFETY")), "content_filter"),
    "a wrapper around nothing": (lines({"data": {"choices": []}}), "bad_reply"),
    "a list of nothing": (lines([{}, {}]), "bad_reply"),
    "a limit by another name": (lines({"choices": [{"message": {"content": ""},
                                                   "finishReason": "MAX_TOKENS"}]}), "no_answer"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), FAILED.values(), ids=FAILED)
def test_a_body_without_a_whole_answer_fails_by_name(body: bytes, kind: str) -> None:
    with pytest.raises((CompletionError, RetryableError)) as caught:
        read_completion(body)
    found = caught.value
    assert isinstance(found, CompletionError | RetryableError)
    assert (found.type if isinstance(found, CompletionError) else found.kind) == kind


SLOW = {"error": {"code": 429, "message": "no"}}
# An error in what a gateway puts around it, and its status. To cover another, add a line.
WRAPPED: list[tuple[dict[str, Any], int]] = [
    ({"data": SLOW}, 429),
    ({"response": {"status": "failed", **SLOW}, "type": "response.failed"}, 429),
    ({"response": {"error": {"code": "rate_limit_exceeded", "message": "no"}}}, 429),
    ({"result": {"data": SLOW}}, 429),
    ({"code": 402, "data": {"error": {"message": "no"}}}, 402),
    ({"statusCode": 429, "body": {"message": "no"}}, 429),
    ({"data": {"choices": [], **SLOW}}, 429),
    ({"data": {"choices": [CHOICE], **SLOW}}, 429),
]


@pytest.mark.parametrize(("value", "status"), WRAPPED)
def test_an_error_within_a_wrapper_is_that_error(value: dict[str, Any], status: int) -> None:
    for body in (lines(value), events(value), lines([value])):
        with pytest.raises(StatedError, match="no") as caught:
            read_completion(body)
        assert caught.value.status == status


def test_the_probabilities_of_a_stream_are_those_of_its_first_token() -> None:
    def likely(token: str) -> dict[str, Any]:
        top = [{"token": token, "logprob": -0.1}]
        return {"content": [{"token": token, "logprob": -0.1, "top_logprobs": top}]}

    pieces = [chunk("4", logprobs=likely("4")), chunk(".", "stop", logprobs=likely("."))]
    assert read_completion(events(*pieces)).first_tokens == (("4", -0.1),)


def test_an_error_in_a_later_line_is_that_error() -> None:
    with pytest.raises(StatedError) as caught:
        read_completion(lines(chunk("4"), SLOW))
    assert caught.value.status == 429


def test_an_error_that_a_good_reply_only_quotes_is_none() -> None:
    assert read_completion(lines({**REPLY, "data": SLOW})).text == "4"


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [b":\n", b": wait\n\n", b" ", b"data: {}\n", b"{}\n", b'{"data":', b"[DONE]\n", b'"', b"[{}],"],
)
def test_a_body_of_a_million_bytes_is_read_in_linear_time(piece: bytes) -> None:
    began = process_time()
    with pytest.raises((CompletionError, RetryableError)):
        read_completion(piece * (1_000_000 // len(piece)))
    assert process_time() - began < 4
