"""The JSON object in the bytes of a reply, or the words in those of an error.

Servers and gateways wrap both in many ways. A reply that cannot be read here is a named failure,
never an empty answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isfinite
from typing import Any

import orjson

from refinecli.errors import CompletionError
from refinecli.models.provider_errors import (
    DEEPEST,
    WRAPPERS,
    first_choice,
    says_something,
    shortened,
    stated_error,
    words_of,
)
from refinecli.models.retries import RetryableError
from refinecli.types import JSONObject

_DIGITS = 19  # of an integer of 64 bits
_BOM = b"\xef\xbb\xbf"
# Lines of server-sent events; a line that begins with a colon is a comment that keeps the
# connection alive.
_EVENT = re.compile(rb"(?:data|event|id|retry):")
_COMMENTS = re.compile(rb"(?:\s*+:[^\n]*+\n?)*+\s*+")
_DONE = b"[DONE]"  # the last event of a stream
# Where an ending stands; the first that is there counts. Some write a word where there is none.
_ENDINGS = ("finish_reason", "finishReason", "finish_details", "stop_reason", "done_reason")
_NO_ENDING = frozenset({"", "null", "none", "nil", "undefined"})


def reply_object(content: bytes) -> JSONObject:
    """Return the JSON object of a reply, even if it came as a stream or after comments.

    Raise RetryableError if there is none, and CompletionError for a stream that broke off, since
    its tokens are paid for. NaN and Infinity, which are not JSON, count as null.
    """
    content = _without_comments(content)
    if _EVENT.match(content):
        return _from_chunks(list(_chunks(content)), done=content.rstrip().endswith(_DONE))
    try:
        value = loads_leniently(content)
    except RetryableError:
        if (chunks := _lines(content)) is None:
            raise
        return _from_chunks(chunks, done=content.rstrip().endswith(_DONE))
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return _from_chunks([_unwrapped(one) for one in value], done=False)
    if not isinstance(value, dict):
        raise RetryableError("bad_reply", f"the reply is not a JSON object: {clipped(content)}")
    return _unwrapped(value)


def _unwrapped(value: JSONObject, deep: int = 0) -> JSONObject:
    """Return a reply with what a gateway has put around it next to it."""
    if value.get("choices") or deep == DEEPEST:
        return value
    for name in WRAPPERS:
        inner = value.get(name)
        if isinstance(inner, str) and inner.lstrip().startswith("{"):
            with suppress(RetryableError):
                inner = loads_leniently(inner.encode("utf-8", "replace"))
        if isinstance(inner, list) and len(inner) == 1:
            inner = inner[0]
        if isinstance(inner, dict) and (inner := _unwrapped(inner, deep + 1)).get("choices"):
            return {k: v for k, v in value.items() if k != name} | inner
    return value


def loads_leniently(content: bytes) -> Any:
    """Parse JSON as servers write it; raise RetryableError if it is not JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        # What is not of its encoding, or not allowed in a string, costs a character, not the reply.
        decoded = content.decode(json.detect_encoding(content), "replace")
        value = json.loads(
            decoded,
            parse_constant=lambda name: None,
            parse_int=_number,
            parse_float=_number,
            strict=False,
        )
        # Some servers cut a character in two when they escape it: its halves become U+FFFD.
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        # A proxy may return a page for a moment; a wrong URL returns nothing else.
        hint = (
            "does base_url end in /v1, and is it that of the API?" if is_web_page(content) else ""
        )
        words = f"the reply is not JSON: {clipped(content) or '(nothing)'}"
        raise RetryableError("bad_reply", words, hint=hint) from None


def _number(digits: str) -> float | int | None:
    """Return a number as JSON writes it; None for one that is larger than any we can count."""
    if digits.lstrip("-").isdecimal() and len(digits) < _DIGITS:
        return int(digits)
    number = float(digits)
    return number if isfinite(number) else None


def _without_comments(content: bytes) -> bytes:
    content = content.removeprefix(_BOM)
    comments = _COMMENTS.match(content)
    return content[comments.end() :] if comments else content


# ------------------------------------------------------------------ unrequested streams


def _lines(content: bytes) -> list[JSONObject] | None:
    """Return the chunks of a body with an object a line; None where its first line is not one."""
    first = content.partition(b"\n")[0].strip()
    try:
        if isinstance(loads_leniently(first), dict):
            return list(_chunks(content))
        return None
    except RetryableError:  # the whole may be one object over many lines
        whole = content.rstrip().removesuffix(_DONE)
        value = loads_leniently(whole.rstrip().removesuffix(b"data:")) if whole else None
        return [_unwrapped(value)] if isinstance(value, dict) else None


def _from_chunks(chunks: Sequence[JSONObject], *, done: bool) -> JSONObject:
    """Join the chunks of a streamed reply into a whole one."""
    if not any(map(first_choice, chunks)):
        return chunks[0] if chunks else {}
    for chunk in chunks:
        is_message = isinstance(first_choice(chunk).get("message"), dict)
        if stated_error(chunk) or (is_message and (len(chunks) == 1 or says_something(chunk))):
            return chunk
    choices = [choice for choice in map(first_choice, chunks) if not choice.get("index")]
    ending = _last(ending_in(choice) for choice in choices)
    if ending is None and not done:
        raise CompletionError("bad_reply", "the reply came as a stream that broke off")
    choice = _merged([{k: v for k, v in one.items() if k not in _PIECES} for one in choices])
    choice |= {"message": _joined([_delta(one) for one in choices]), "finish_reason": ending}
    if logprobs := [one["logprobs"] for one in choices if one.get("logprobs")]:
        choice["logprobs"] = _joined(logprobs)
    return _merged(chunks) | {"choices": [choice]}


_PIECES = ("delta", "text", "message", "logprobs", *_ENDINGS)


def _merged(values: Sequence[JSONObject]) -> JSONObject:
    """Return what several chunks say, each field as the last says it that says anything; a filter
    that one has found stays found."""
    found: JSONObject = {}
    for value in values:
        filtered = _is_filtered(found.get("content_filter_results"))
        found |= {
            k: v for k, v in value.items() if v and not (filtered and k == "content_filter_results")
        }
    return found


def _is_filtered(results: object) -> bool:
    """Return whether one of Azure's filters has found something."""
    found = results.values() if isinstance(results, dict) else ()
    return any(isinstance(one, dict) and bool(one.get("filtered")) for one in found)


def filter_results(value: JSONObject) -> object:
    """Return the results of a filter that has found something, in a reply or its prompt; or
    None."""
    prompts = value.get("prompt_filter_results")
    places = [first_choice(value), *(prompts if isinstance(prompts, list) else [])]
    results = [one.get("content_filter_results") for one in places if isinstance(one, dict)]
    return next(filter(_is_filtered, results), None)


def ending_in(choice: JSONObject) -> object:
    """Return how a choice ended, in the provider's words, or None."""
    endings = (choice.get(name) for name in _ENDINGS)
    return next((one for one in endings if not _is_no_ending(one)), None)


def _is_no_ending(ending: object) -> bool:
    return ending is None or str(ending).strip().lower() in _NO_ENDING


def _last(values: Iterable[object]) -> object:
    return next(filter(None, reversed(list(values))), None)


def _delta(choice: JSONObject) -> JSONObject:
    delta = choice.get("delta")
    # An endpoint of the older kind gives its text next to where a delta would be.
    if isinstance(delta, dict):
        return delta
    return {"content": choice["text"]} if "text" in choice else {}


def _joined(deltas: Sequence[JSONObject]) -> JSONObject:
    """Put the pieces of a message together: texts, and the parts of what is not text. What is in no
    piece is missing."""
    message: JSONObject = {"content": None} if any("content" in one for one in deltas) else {}
    for name in dict.fromkeys(name for delta in deltas for name in delta):
        given = [delta[name] for delta in deltas if delta.get(name)]
        if name == "role" or not any(isinstance(one, str | list | dict) for one in given):
            message |= {name: given[-1]} if given else {}
        elif all(isinstance(piece, str) for piece in given):
            message |= {name: "".join(given)} if given else {}
        else:
            message[name] = [
                part for piece in given for part in (piece if isinstance(piece, list) else [piece])
            ]
    return message


def _chunks(content: bytes) -> Iterator[JSONObject]:
    event = b""
    for line in content.split(b"\n"):
        if line.startswith(b"event:"):
            event = line[6:].strip()
        data = line.strip().removeprefix(b"data:").strip()
        if not line.startswith((b"data:", b"{")) or data in (b"", b"[DONE]"):
            continue
        try:
            value = loads_leniently(data)
        except RetryableError:
            if event == b"error":
                yield {"error": " ".join(data.decode("utf-8", "replace").split())}
                return
            words = f"the stream has an event that is not JSON: {clipped(data)}"
            raise CompletionError("bad_reply", words) from None
        if isinstance(value, dict):
            yield _unwrapped(value)


# ------------------------------------------------------------------ a provider's words


def provider_words(content: bytes) -> str:
    """Return the whole message of an error reply, whichever of the usual shapes it has."""
    try:
        value = orjson.loads(_without_comments(content))
    except orjson.JSONDecodeError:
        return in_one_line(content) or "(nothing)"
    if isinstance(value, list) and len(value) == 1:  # Gemini
        value = value[0]
    return words_of(value)


def is_web_page(content: bytes) -> bool:
    """Return True for HTML, which proxies and wrong URLs return instead of JSON."""
    return content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<head"))


def clipped(content: bytes) -> str:
    """Return the beginning of unexpected bytes as text in one line."""
    return shortened(in_one_line(content))


def in_one_line(content: bytes) -> str:
    """Return bytes as text in one line."""
    return " ".join(content.decode("utf-8", "replace").split())
