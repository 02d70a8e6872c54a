"""A reply is read, or a failure by name; it is never taken for an empty answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.errors import CompletionError
from refinecli.models.provider_errors import StatedError
from refinecli.models.reply import _WHOLE, _carefully, _ordinary, read_completion
from refinecli.models.retries import RetryableError


def reply(content: object = "4", ending: object = "stop", **message: object) -> dict[str, Any]:
    choice = {"message": {"role": "assistant", "content": content, **message}}
    return {"choices": [choice | {"finish_reason": ending}], "usage": {"prompt_tokens": 3}}


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


def kind_of(value: object) -> str:
    """Return the kind of failure that a reply is."""
    with pytest.raises((CompletionError, RetryableError)) as caught:
        read_completion(encoded(value))
    error = caught.value
    if isinstance(error, CompletionError):
        return error.type
    assert isinstance(error, RetryableError)
    return error.kind


# ------------------------------------------------------------------ text


# A content, its text, and the thoughts in it. To cover another shape, add a line.
READABLE: list[tuple[object, str, str]] = [
    ("4", "4", ""),
    ([{"type": "text", "text": "4"}], "4", ""),
    ([{"type": "output_text", "text": "4"}], "4", ""),
    ([{"text": "4"}], "4", ""),
    ({"type": "text", "text": "4"}, "4", ""),
    ([{"type": "text", "text": {"value": "4"}}], "4", ""),
    (["4", "2"], "42", ""),
    ([{"type": "text", "text": "4"}, {"type": "image_url"}], "4", ""),
    ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}], "4", "hm"),
    ([{"type": "thinking", "thinking": [{"text": "hm"}]}, {"text": "4"}], "4", "hm"),
]


@pytest.mark.parametrize(("content", "text", "thoughts"), READABLE)
def test_text_is_found_in_every_shape_of_a_content(
    content: object, text: str, thoughts: str
) -> None:
    completion = read_completion(encoded(reply(content)))
    assert (completion.text, completion.reasoning) == (text, thoughts)


@pytest.mark.parametrize("content", [None, "", " \n", [], [{"type": "text", "text": ""}]])
def test_a_model_that_had_its_say_and_said_nothing_is_empty(content: object) -> None:
    assert read_completion(encoded(reply(content))).text.strip() == ""


# Fields next to a blank content that say nothing. To cover another, add a line.
SAYING_NOTHING: list[dict[str, object]] = [
    {"refusal": None, "tool_calls": [], "audio": None, "images": [], "function_call": None},
    {"provider_specific_fields": {"refusal": None, "citations": None}},
    {"annotations": [{"type": "url_citation"}], "name": "assistant", "id": "m-1"},
    {"a_new_field": {"inner": [None, "", {}]}},
]


@pytest.mark.parametrize("fields", SAYING_NOTHING, ids=str)
def test_what_says_nothing_next_to_a_blank_content_does_not_make_it_a_failure(
    fields: dict[str, object],
) -> None:
    assert read_completion(encoded(reply("", **fields))).text == ""


def test_an_ending_next_to_the_choices_counts_where_they_have_none() -> None:
    details = {"incomplete_details": {"reason": "max_output_tokens"}, "status": "incomplete"}
    assert read_completion(encoded(reply("4", None) | details)).cut_off
    assert not read_completion(encoded(reply("4", "stop") | details)).cut_off


# What holds no text that can be read, and what it is called. To cover another, add a line.
NAMED: list[tuple[dict[str, Any], str]] = [
    (reply(7), "bad_reply"),
    (reply([{"type": "audio", "audio": {"id": 1}}]), "bad_reply"),
    (reply({"parts": 1}), "bad_reply"),
    (reply("", refusal="I can't help with that."), "refused"),
    (reply([{"type": "refusal", "refusal": "No."}]), "refused"),
    (reply("I can't.", "refusal"), "refused"),
    (reply(None, tool_calls=[{"id": "1"}]), "tool_calls"),
    (reply(None, "function_call", function_call={"name": "f"}), "tool_calls"),
    (reply("Let me look.", "tool_calls"), "tool_calls"),
    (reply(None, "MALFORMED_FUNCTION_CALL"), "tool_calls"),
    (reply(None, "content_filter"), "content_filter"),
    (reply(None, "SAFETY"), "content_filter"),
    (reply("Half an", "RECITATION"), "content_filter"),
    (reply(None, "guardrail_intervened"), "content_filter"),
    ({"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
    (reply(None, "length", reasoning_content="hm"), "no_answer"),
    (reply("", "stop", reasoning="hm"), "no_answer"),
    (reply([{"type": "thinking", "thinking": "hm"}]), "no_answer"),
    (reply("", "max_tokens"), "no_answer"),
    (reply("4", "a_new_ending"), "bad_reply"),
    (reply("Half", "contentFilter"), "content_filter"),
    (reply("Half", "toolUse"), "tool_calls"),
    ({"choices": [{"message": {"role": "assistant"}, "finish_reason": "stop"}]}, "bad_reply"),
    ({"choices": [{"message": {"answer": "4"}, "finish_reason": "stop"}]}, "bad_reply"),
    (
        {
            "choices": [
                {
                    "message": {"content": ""},
                    "content_filter_results": {"hate": {"filtered": True}},
                }
            ]
        },
        "content_filter",
    ),
    (reply("", "a_new_ending"), "bad_reply"),
    # Next to a blank content, what may be the answer.
    (reply(None, audio={"id": "a", "transcript": "4"}), "bad_reply"),
    (reply("", images=[{"image_url": {"url": "data:"}}]), "bad_reply"),
    (reply("", output_text="4"), "bad_reply"),
    (reply("", prefix=True, a_new_field={"inner": ["4"]}), "bad_reply"),
    (reply("") | {"usage": {"completion_tokens_details": {"reasoning_tokens": 512}}}, "no_answer"),
    (
        reply("") | {"prompt_filter_results": [{"content_filter_results": {"a": {"filtered": 1}}}]},
        "content_filter",
    ),
    (reply("", None) | {"status": "incomplete"}, "server"),
    (reply("4", None) | {"status": "failed"}, "server"),
]


@pytest.mark.parametrize(("value", "kind"), NAMED)
def test_what_holds_no_whole_say_is_a_failure_by_name(value: dict[str, Any], kind: str) -> None:
    assert kind_of(value) == kind


def test_the_providers_words_are_in_the_failure() -> None:
    with pytest.raises(CompletionError, match="I can't help with that"):
        read_completion(encoded(reply("", refusal="I can't help with that.")))
    with pytest.raises(CompletionError, match="'a_new_ending'"):
        read_completion(encoded(reply("4", "a_new_ending")))
    with pytest.raises(CompletionError, match="cut off inside its reasoning"):
        read_completion(encoded(reply("", "length", reasoning="hm")))


# ------------------------------------------------------------------ endings


@pytest.mark.parametrize(
    "ending",
    [*sorted(_WHOLE), "STOP", "End-Turn", "FinishReason.STOP", "FINISH_REASON_STOP", "eos token"],
)
def test_endings_that_are_whole_in_every_spelling(ending: str) -> None:
    completion = read_completion(encoded(reply(ending=ending)))
    assert (completion.text, completion.cut_off) == ("4", False)


@pytest.mark.parametrize("ending", [None, "", " ", "null", "None", "undefined"])
def test_a_blank_ending_is_none_and_whole(ending: object) -> None:
    assert read_completion(encoded(reply(ending=ending))).finish_reason is None


@pytest.mark.parametrize(
    "ending",
    ["length", "max_tokens", "MAX_TOKENS", "max_output_tokens", "model_context_window_exceeded"],
)
def test_a_reply_at_a_limit_is_cut_off_whatever_its_name(ending: str) -> None:
    assert read_completion(encoded(reply(ending=ending))).cut_off


@pytest.mark.parametrize("ending", ["error", "ABORT", "cancelled", "insufficient_system_resource"])
def test_a_reply_that_broke_off_may_be_tried_again(ending: str) -> None:
    with pytest.raises(RetryableError, match="broke off"):
        read_completion(encoded(reply(ending=ending)))


# How the server behind a gateway ended, where the gateway says that all is well. To cover another,
# add a line.
@pytest.mark.parametrize(
    ("native", "kind"),
    [
        ("error", "server"),
        ("MAX_TOKENS", "cut off"),
        ("length", "cut off"),
        ("SAFETY", "content_filter"),
        ("refusal", "refused"),
        ("STOP", "whole"),
        ("an_ending_of_its_own", "whole"),
        (None, "whole"),
    ],
)
@pytest.mark.parametrize("ending", ["stop", None, "null"])
def test_the_server_behind_a_gateway_knows_better_how_it_ended(
    ending: object, native: object, kind: str
) -> None:
    value = reply(ending=ending)
    value["choices"][0]["native_finish_reason"] = native
    try:
        found = "cut off" if read_completion(encoded(value)).cut_off else "whole"
    except CompletionError as error:
        found = error.type
    except RetryableError as error:
        found = error.kind
    assert found == kind


@given(st.text())
def test_an_ending_that_is_not_known_never_comes_with_a_verdict(ending: str) -> None:
    try:
        completion = read_completion(encoded(reply(ending=ending)))
    except (CompletionError, RetryableError):
        return
    known = completion.finish_reason in (*_WHOLE, None)
    assert known or completion.cut_off


# ------------------------------------------------------------------ tokens


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 7, "completion_tokens": 5}, (7, 5)),
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}, (7, 5)),
        ({"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 40}, (7, 33)),
        ({"input_tokens": 7, "output_tokens": 5}, (7, 5)),
        ({"prompt_tokens": 0, "input_tokens": 7, "output_tokens": 5}, (7, 5)),
        ({"prompt_tokens": -1, "completion_tokens": 5.0}, (0, 5)),
        ({"prompt_tokens": "7"}, (0, 0)),
        ({}, (0, 0)),
    ],
)
def test_tokens_are_counted_under_all_their_names(
    usage: dict[str, Any], tokens: tuple[int, int]
) -> None:
    found = read_completion(encoded(reply() | {"usage": usage})).usage
    assert (found.prompt_tokens, found.completion_tokens) == tokens


def test_a_number_that_is_not_json_loses_nothing() -> None:
    for odd in ("NaN", "Infinity", "-Infinity"):
        content = encoded(reply() | {"cost": "HERE"}).replace(b'"HERE"', odd.encode())
        completion = read_completion(content)
        assert (completion.text, completion.usage.prompt_tokens) == ("4", 3)


# ------------------------------------------------------------------ anything at all

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "text", "content", "refusal", "error", "code", "x"]), inner
        )
    ),
    max_leaves=8,
)


@given(content=JSON, ending=JSON, extra=st.dictionaries(st.sampled_from(
    ["refusal", "tool_calls", "reasoning", "reasoning_content", "reasoning_details"]), JSON),
    error=JSON)  # fmt: skip
def test_no_reply_is_anything_but_read_or_failed_by_name(
    content: object, ending: object, extra: dict[str, object], error: object
) -> None:
    value = reply(content, ending, **extra) | {"error": error}
    try:
        completion = read_completion(encoded(value))
    except (CompletionError, RetryableError, StatedError):
        return
    assert not error
    if not completion.text.strip():  # empty only where nothing else is beside it
        assert completion.finish_reason is None or completion.finish_reason in _WHOLE
        assert not completion.reasoning
        assert not extra.get("refusal")
        assert not extra.get("tool_calls")


def outcome(content: bytes) -> tuple[str, object]:
    try:
        completion = read_completion(content)
    except CompletionError as error:
        return "call", error.type
    except RetryableError as error:
        return "retry", error.kind
    except StatedError as error:
        return "error", error.status
    return completion.text, completion.finish_reason


@given(content=JSON, ending=st.sampled_from(["stop", "length", None, "odd"]), extra=st.dictionaries(
    st.sampled_from(["refusal", "tool_calls", "reasoning", "images", "text"]), JSON))  # fmt: skip
def test_what_a_gateway_puts_around_a_reply_does_not_change_what_it_is(
    content: object, ending: object, extra: dict[str, object]
) -> None:
    value = reply(content, ending, **extra)
    around = [
        encoded({"data": value}),
        encoded({"code": 0, "message": "ok", "result": {"output": [value]}}),
        encoded({"statusCode": 200, "body": json.dumps(value)}),
        encoded(value) + b"\n\ndata: [DONE]\n",
        b"data: " + encoded(value) + b"\n\ndata: [DONE]\n\n",
        json.dumps(value, indent=1).encode() + b"\ndata: [DONE]",
    ]
    assert {outcome(body) for body in around} == {outcome(encoded(value))}


@given(text=st.text(max_size=6), extra=st.dictionaries(st.sampled_from(
    ["refusal", "reasoning", "thinking", "images", "function_call", "answer"]), JSON))  # fmt: skip
def test_a_reply_in_pieces_is_what_it_is_in_one(text: str, extra: dict[str, object]) -> None:
    whole = reply(text, "stop", **extra)
    delta = {"role": "assistant", "content": text[:2], **extra}
    pieces = [
        {"choices": [{"delta": delta}]},
        {"choices": [{"delta": {"content": text[2:]}, "finish_reason": "stop"}]},
    ]
    lines = [encoded(piece) for piece in pieces]
    streams = [b"\n".join(lines), b"".join(b"data: " + line + b"\n\n" for line in lines)]
    assert {outcome(body) for body in streams} == {outcome(encoded(whole))}


@pytest.mark.parametrize(
    "ending",
    [
        *("endTurn", "stopSequence", "<|im_end|>", "</s>", "StopReason.end_turn"),
        *("finishReasonStop", "stop_str", "end of turn", "EOS_TOKEN", "EndOfText"),
    ],
)
def test_a_whole_ending_is_known_in_every_case_and_dress(ending: str) -> None:
    completion = read_completion(encoded(reply("4", ending)))
    assert (completion.text, completion.cut_off) == ("4", False)


def test_a_length_in_another_case_is_cut_off() -> None:
    assert read_completion(encoded(reply("4", "maxTokens"))).cut_off


@pytest.mark.parametrize("ending", ["network_error", "rate_limit", "preempted", "server_error"])
def test_an_ending_of_a_server_in_trouble_may_be_tried_again(ending: str) -> None:
    with pytest.raises(RetryableError):
        read_completion(encoded(reply("Half", ending)))


def test_blank_reasoning_is_none_and_details_are_read_as_text() -> None:
    assert read_completion(encoded(reply("", reasoning=" \n"))).reasoning == ""
    details = [{"type": "reasoning.text", "text": "hm"}]
    assert read_completion(encoded(reply("4", reasoning_details=details))).reasoning == "hm"


def test_a_reply_in_the_form_of_one_chunk_is_read() -> None:
    value = {"choices": [{"delta": {"content": "4"}, "finish_reason": "stop"}]}
    assert read_completion(encoded(value)).text == "4"


# ------------------------------------------------------------------ the short way

# Where a reply may be odd, and how.
PLACES: list[tuple[str | int, ...]] = [
    *((key,) for key in ("error", "base_resp", "usage", "choices", "message", "status", "data")),
    *(("choices", 0, key) for key in ("message", "finish_reason", "native_finish_reason")),
    *(("choices", 0, key) for key in ("error", "logprobs", "stop_reason", "delta", "text")),
    *(("choices", 0, "message", key) for key in ("content", "refusal", "tool_calls", "error")),
    *(("choices", 0, "message", key) for key in ("reasoning", "reasoning_content", "audio")),
    *(("usage", key) for key in ("prompt_tokens", "completion_tokens", "total_tokens")),
    *(("usage", key) for key in ("input_tokens", "completion_tokens_details")),
]
ODD: list[object] = [
    *(None, True, False, "", " ", "4 ", "stop", "length", "content_filter", "error", 0, 7, -1, 2.5),
    *([], {}, {"reasoning_tokens": 3}, {"code": 429}, {"status_code": 1002}, [{"message": "busy"}]),
    {"content": [{"token": "4", "top_logprobs": [{"token": "4", "logprob": -0.1}]}]},
]


def check_both_ways_agree(odd: Sequence[tuple[tuple[str | int, ...], object]]) -> None:
    value: Any = reply()
    for (*way, key), put in odd:
        at = value
        with suppress(LookupError, TypeError):  # where an earlier one has put something else
            for step in way:
                at = at[step]
            at[key] = put
    content = encoded(value)
    if (short := _ordinary(content)) is not None:
        assert short == _carefully(content) == read_completion(content), value


def test_a_reply_that_is_odd_in_one_place_is_read_in_the_short_way_as_in_the_careful_one() -> None:
    for place, value in product(PLACES, ODD):
        check_both_ways_agree([(place, value)])


@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD) | JSON), max_size=4))
def test_so_is_one_that_is_odd_in_several(
    odd: list[tuple[tuple[str | int, ...], object]],
) -> None:
    check_both_ways_agree(odd)


@pytest.mark.parametrize("usage", [{}, {"completion_tokens": 2, "total_tokens": 9}])
@pytest.mark.parametrize("extra", [{}, {"refusal": None, "annotations": [], "tool_calls": None}])
def test_a_reply_as_most_servers_write_it_goes_the_short_way(
    usage: dict[str, Any], extra: dict[str, object]
) -> None:
    value = reply(**extra) | {"id": "x", "object": "chat.completion", "error": None}
    value["usage"] |= usage
    assert _ordinary(encoded(value)) == _carefully(encoded(value))
