"""Reading a reply of status 200: its text, how it ended, what it took, and what came first."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from refinecli.errors import CompletionError, RunError
from refinecli.models.reply import read_completion, usage_in, without_secret
from refinecli.models.retries import RetryableError
from refinecli.types import Completion, Usage


def reply(message: object = None, **fields: Any) -> bytes:
    choice = {"message": {"content": "4"} if message is None else message}
    whole = {"usage": fields.pop("usage")} if "usage" in fields else {}
    return orjson.dumps({"choices": [choice | fields], **whole})


def test_a_plain_reply_is_its_text() -> None:
    assert read_completion(reply(finish_reason="stop")) == Completion("4", "stop")


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": None}, "", ""),
        ({}, "", ""),
        ({"content": 4}, "", ""),
        ({"content": "4", "reasoning_content": "2 and 2"}, "4", "2 and 2"),
        ({"content": "4", "reasoning": "2 and 2"}, "4", "2 and 2"),
        ({"content": "4", "reasoning": {"text": "2"}}, "4", ""),
        ({"content": "4", "refusal": "no"}, "4", ""),
        (
            {
                "content": [
                    {"type": "text", "text": "4"},
                    {"type": "output_text", "text": "!"},
                    {"type": "text", "text": None},
                    {"type": "image", "text": "x"},
                    "y",
                ]
            },
            "4!",
            "",
        ),
    ],
)
def test_text_and_reasoning_are_read_in_their_usual_shapes(
    message: dict[str, Any], text: str, reasoning: str
) -> None:
    found = read_completion(reply(message))
    assert (found.text, found.reasoning) == (text, reasoning)


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("stop", "stop"),
        ("STOP", "stop"),
        ("length", "length"),
        ("MAX_TOKENS", "length"),
        ("model_length", "length"),
        (None, None),
        (3, None),
    ],
)
def test_a_finish_reason_is_read_in_any_spelling(reason: object, read: str | None) -> None:
    found = read_completion(reply(finish_reason=reason))
    assert found.finish_reason == read
    assert found.cut_off == (read == "length")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (reply(finish_reason="content_filter"), "content_filter"),
        (reply({"content": "", "refusal": "I will not."}), "refusal"),
        (reply({"content": None, "tool_calls": [{}]}), "tool_calls"),
        (b'{"error": {"code": 400, "message": "bad"}}', "bad_request"),
    ],
)
def test_a_reply_without_an_answer_ends_the_call_by_name(content: bytes, kind: str) -> None:
    with pytest.raises(CompletionError) as caught:
        read_completion(content)
    assert caught.value.type == kind


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "bad_reply"),
        (b"<html>", "bad_reply"),
        (b"[]", "bad_reply"),
        (b"{}", "bad_reply"),
        (b'{"choices": []}', "bad_reply"),
        (b'{"choices": ["x"]}', "bad_reply"),
        (b'{"choices": [{}]}', "bad_reply"),
        (reply(finish_reason="error"), "server"),
        (reply(finish_reason="Aborted"), "server"),
        (b'{"error": "busy"}', "server"),
    ],
)
def test_a_reply_that_is_not_whole_may_be_asked_for_again(content: bytes, kind: str) -> None:
    with pytest.raises(RetryableError) as caught:
        read_completion(content)
    assert caught.value.kind == kind


def test_an_empty_account_ends_the_run_and_an_error_next_to_a_choice_does_nothing() -> None:
    with pytest.raises(RunError):
        read_completion(b'{"error": {"code": 402}}')
    assert (
        read_completion(b'{"error": "x", "choices": [{"message": {"content": "4"}}]}').text == "4"
    )


def test_half_a_character_is_replaced_and_the_rest_is_read() -> None:
    content = b'{"choices": [{"message": {"content": "a\\ud83db"}}]}'
    assert read_completion(content).text == "a\ufffdb"


# ------------------------------------------------------------------ what it took


def test_tokens_are_read_with_their_parts() -> None:
    usage = {
        "prompt_tokens": 20,
        "completion_tokens": 5.0,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }
    assert read_completion(reply(usage=usage)).usage == Usage(1, 20, 5, 3, 8)
    assert usage_in(reply(usage=usage)) == Usage(1, 20, 5, 3, 8)


@pytest.mark.parametrize("count", [None, "7", -1, True, [7], {"n": 7}])
def test_a_count_that_is_not_one_is_0(count: object) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": 5}
    assert read_completion(reply(usage=usage)).usage == Usage(1, 0, 5)


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"{}", b'{"usage": 3}', b'{"usage": {}}'])
def test_what_cannot_be_read_took_nothing_that_is_known(content: bytes) -> None:
    assert usage_in(content) == Usage()


# ------------------------------------------------------------------ what came first


def position(token: object, logprob: object, *others: tuple[object, object]) -> dict[str, Any]:
    top = [{"token": name, "logprob": chance} for name, chance in others]
    return {"token": token, "logprob": logprob, "top_logprobs": top}


def first_tokens(*positions: object, text: str = "yes") -> tuple[tuple[str, float], ...] | None:
    content = reply({"content": text}, logprobs={"content": list(positions)})
    return read_completion(content).first_tokens


def test_the_alternatives_to_the_first_token_are_what_could_have_come() -> None:
    found = first_tokens(position("yes", -0.1, ("yes", -0.1), ("no", -2.0)), position("!", -1.0))
    assert found == (("yes", -0.1), ("no", -2.0))


def test_a_drawn_token_that_is_not_among_the_alternatives_comes_with_them() -> None:
    assert first_tokens(position("maybe", -3.0, ("yes", -0.1))) == (("yes", -0.1), ("maybe", -3.0))


@pytest.mark.parametrize("space", [" ", "\n", "\u0120", "\u2581", "\u010a"])
def test_after_white_space_what_follows_counts_as_likely_as_both(space: str) -> None:
    found = first_tokens(
        position(space, -0.5, (space, -0.5), ("no", -1.0)),
        position("yes", -0.25, ("yes", -0.25)),
        position("then", -0.1, ("then", -0.1)),
    )
    assert found == ((space, -0.5), ("no", -1.0), ("yes", -0.75))


@pytest.mark.parametrize("logprob", [None, "x", float("nan"), 5.0, [1]])
def test_an_entry_that_is_not_a_probability_is_left_out(logprob: object) -> None:
    content = {"token": "no", "logprob": None if logprob != logprob else logprob}
    top = {"token": "yes", "logprob": -0.1, "top_logprobs": [{"token": "yes", "logprob": -0.1}]}
    top["top_logprobs"] = [*top["top_logprobs"], content]  # type: ignore[misc]
    assert first_tokens(top) == (("yes", -0.1),)


def test_a_little_above_0_is_rounding() -> None:
    assert first_tokens(position("yes", 0.005, ("yes", 0.005))) == (("yes", 0.0),)


def test_an_alternative_that_is_repeated_counts_once() -> None:
    assert first_tokens(position("yes", -0.1, ("yes", -0.1), ("yes", -0.1))) == (("yes", -0.1),)


@pytest.mark.parametrize("logprobs", [None, [], {}, {"content": None}, {"content": "x"}])
def test_without_probabilities_there_are_none(logprobs: object) -> None:
    assert read_completion(reply(logprobs=logprobs)).first_tokens is None


def test_without_alternatives_there_are_none_either() -> None:
    assert first_tokens(position("yes", -0.1)) is None
    assert first_tokens() is None
    assert first_tokens(text="") == ()  # an empty reply has none to give


# ------------------------------------------------------------------ keys in replies


def test_a_key_that_a_server_repeats_is_taken_out_of_body_and_headers() -> None:
    body, headers = without_secret(b"your key sk-1!", {"x": "sk-1", "y": "z"}, "sk-1")
    assert (body, headers) == (b"your key [key]!", {"x": "[key]", "y": "z"})


def test_a_reply_without_the_key_is_left_alone() -> None:
    given = {"x": "y"}
    assert without_secret(b"body", given, "sk-1")[1] is given
    assert without_secret(b"body", given, "") == (b"body", given)
