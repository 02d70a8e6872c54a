"""The tokens of a reply: how many it took, and which could have come first."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from refinecli.models.reply import read_completion, usage_in
from refinecli.types import Usage


def reply(message: object = None, **fields: Any) -> bytes:
    choice = {"message": {"content": "4"} if message is None else message}
    whole = {"usage": fields.pop("usage")} if "usage" in fields else {}
    return orjson.dumps({"choices": [choice | fields], **whole})


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
