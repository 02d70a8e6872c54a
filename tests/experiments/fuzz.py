"""Replies at random, read as the product reads them: none may raise what is not declared, pass for
an empty answer that it is not, or give a score outside its range.

    python -m tests.experiments.fuzz -n 1000000 --seed 1

Half of them are whole replies of which a few bytes were changed, half are put together from what
providers send. Prints how many were read, how many failed, by name, and how many scores came out.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import Counter

from refinecli.errors import CompletionError, RunError
from refinecli.grading.scoring import extract
from refinecli.models.failures import Refusal, failure
from refinecli.models.negotiation import RefusedParameterError
from refinecli.models.provider_errors import StatedError
from refinecli.models.reply import read_completion
from refinecli.models.retries import RetryableError
from refinecli.types import JSONObject, RubricItem

ITEM = RubricItem("Is it right?", score_range=(0, 1))
URL = "http://host/v1/chat/completions"
TEXTS = (
    *("", " ", "4", "<score>1</score>", "<score>0.5</score> or <score>2</score>", "<score>"),
    *("<think>1</think><score>0</score>", "</think><score>1", "<score>1e0</score>", "\x00"),
    *("<score>\u0661</score>", "<score>NaN</score>", "I can't help.", "\ud83d", "x" * 3000),
)
ENDINGS = (None, "", "stop", "STOP", "length", "max_tokens", "content_filter", "tool_calls", "odd")
CODES = (None, 0, 200, 400, 401, 402, 403, 404, 429, "429", 500, 503, 529, "rate_limit_exceeded")
WORDS = ("no", "rate limit", "insufficient credits", "API key expired", "loading", "temperature")


def value(draw: random.Random, depth: int = 0) -> object:
    """Return any JSON value, rarely deep."""
    kind = draw.randrange(8 if depth < 3 else 6)
    if kind == 6:
        return [value(draw, depth + 1) for _ in range(draw.randrange(3))]
    if kind == 7:
        names = ("type", "text", "content", "code", "message", "error", "thinking", "refusal")
        return {draw.choice(names): value(draw, depth + 1) for _ in range(draw.randrange(3))}
    plain = (None, draw.choice(TEXTS), draw.choice(CODES), True, draw.random(), 10**30)
    return plain[kind]


def some(draw: random.Random, usual: object, chance: float = 0.8) -> object:
    return usual if draw.random() < chance else value(draw)


def reply(draw: random.Random) -> bytes:
    """Return a reply as some provider might give it."""
    message: JSONObject = {"role": "assistant", "content": some(draw, draw.choice(TEXTS))}
    for name in ("refusal", "tool_calls", "reasoning", "reasoning_content", "function_call"):
        if draw.random() < 0.1:
            message[name] = some(draw, draw.choice(TEXTS), 0.5)
    choice: JSONObject = {"message": some(draw, message, 0.95)}
    choice["finish_reason"] = some(draw, draw.choice(ENDINGS), 0.9)
    whole: JSONObject = {"choices": some(draw, [choice], 0.95)}
    whole["usage"] = some(draw, {"prompt_tokens": 3, "completion_tokens": 4}, 0.8)
    if draw.random() < 0.2:
        error = {"code": draw.choice(CODES), "message": draw.choice(WORDS)}
        whole["error"] = some(draw, error, 0.6)
    return json.dumps(whole).encode()


def damaged(draw: random.Random, content: bytes) -> bytes:
    """Return the bytes with a few changed, cut, doubled, or put after others."""
    data = bytearray(content)
    for _ in range(draw.randrange(4)):
        place = draw.randrange(len(data) + 1)
        data[place : place + draw.randrange(3)] = bytes(
            draw.choices(range(256), k=draw.randrange(3))
        )
    before = draw.choice(
        (b"", b"", b"\xef\xbb\xbf", b": hello\n\n", b"data: ", b"event: x\ndata: ")
    )
    return before + bytes(data)


def outcome(content: bytes, status: int) -> str:
    """Return what became of a reply by name; raises AssertionError where it is one too good."""
    if status != 200:
        error = failure(Refusal(status, {}, content, {"model": "m", "temperature": 0}, URL))
        assert isinstance(
            error, CompletionError | RunError | RetryableError | RefusedParameterError
        ), error
        return f"status: {type(error).__name__}"
    try:
        completion = read_completion(content)
    except (CompletionError, RetryableError, StatedError) as error:
        return getattr(error, "type", "") or getattr(error, "kind", "") or "stated error"
    if not completion.text.strip():
        assert not completion.cut_off, content
        assert not completion.reasoning, content
        return "empty"
    found = extract(ITEM, completion)
    if found.raw_score is None:
        return "read, no score"
    assert 0 <= found.raw_score <= 1, content
    assert not completion.cut_off, content
    return "read, a score"


def main() -> None:
    """Run as many as were asked for, and print what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw, counts = random.Random(args.seed), Counter[str]()
    for number in range(args.n):
        content = reply(draw)
        if number % 2:
            content = damaged(draw, content)
        counts[
            outcome(content, draw.choice((200, 200, 200, 200, 400, 403, 404, 429, 500, 503)))
        ] += 1
    for name, count in counts.most_common():
        print(f"{count:>10,}  {name}")


if __name__ == "__main__":
    main()
