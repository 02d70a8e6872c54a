"""The JSON object in the bytes of a reply, or the words in those of an error.

Servers and gateways wrap both in many ways. A reply that cannot be read here is a named failure,
never an empty answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from refinecli.errors import CompletionError
from refinecli.models.provider_errors import first_choice, shortened, stated_error, words_of
from refinecli.models.retries import RetryableError
from refinecli.types import JSONObject

_BOM = b"\xef\xbb\xbf"
# Lines of server-sent events; a line that begins with a colon is a comment that keeps the
# connection alive.
_EVENT = re.compile(rb"(?:data|event|id|retry):")


def reply_object(content: bytes) -> JSONObject:
    """Return the JSON object of a reply, even if it came as a stream or after comments.

    Raise RetryableError if there is none, and CompletionError for a stream that broke off, since
    its tokens are paid for. NaN and Infinity, which are not JSON, count as null.
    """
    content = _without_comments(content)
    if _EVENT.match(content):
        return _from_events(content)
    value = loads_leniently(content)
    if isinstance(value, list) and len(value) == 1:  # Gemini
        value = value[0]
    if not isinstance(value, dict):
        raise RetryableError("bad_reply", f"the reply is not a JSON object: {clipped(content)}")
    return value


def loads_leniently(content: bytes) -> Any:
    """Parse JSON as servers write it; raise RetryableError if it is not JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(content, parse_constant=lambda name: None)
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


def _without_comments(content: bytes) -> bytes:
    content = content.removeprefix(_BOM).lstrip()
    while content.startswith(b":"):
        content = content.partition(b"\n")[2].lstrip()
    return content


# ------------------------------------------------------------------ unrequested streams


def _from_events(content: bytes) -> JSONObject:
    """Join the chunks of a streamed reply into a whole one."""
    chunks = list(_chunks(content))
    for chunk in chunks:
        if stated_error(chunk) or isinstance(first_choice(chunk).get("message"), dict):
            return chunk
    choices = [choice for choice in map(first_choice, chunks) if not choice.get("index")]
    ending = next((c["finish_reason"] for c in choices if c.get("finish_reason")), None)
    if ending is None and not content.rstrip().endswith(b"[DONE]"):
        raise CompletionError("bad_reply", "the reply came as a stream that broke off")
    message = _joined([_delta(choice) for choice in choices])
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    return {"choices": [{"message": message, "finish_reason": ending}], "usage": usage}


def _delta(choice: JSONObject) -> JSONObject:
    delta = choice.get("delta")
    # An endpoint of the older kind gives its text next to where a delta would be.
    return delta if isinstance(delta, dict) else {"content": choice.get("text")}


def _joined(deltas: Sequence[JSONObject]) -> JSONObject:
    """Put the pieces of a message together; a content that is not text stays in its parts."""
    message: JSONObject = {"content": None}
    for name in ("content", "reasoning_content", "reasoning", "refusal"):
        given = [delta[name] for delta in deltas if delta.get(name)]
        if all(isinstance(piece, str) for piece in given):
            message |= {name: "".join(given)} if given else {}
        else:
            message[name] = [
                part for piece in given for part in (piece if isinstance(piece, list) else [piece])
            ]
    if calls := [delta["tool_calls"] for delta in deltas if delta.get("tool_calls")]:
        message["tool_calls"] = calls
    return message


def _chunks(content: bytes) -> Iterator[JSONObject]:
    event = b""
    for line in content.split(b"\n"):
        if line.startswith(b"event:"):
            event = line[6:].strip()
        data = line.strip().removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data in (b"", b"[DONE]"):
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
            yield value


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
