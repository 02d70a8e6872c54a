"""The JSON object in the bytes of a reply, and the error that it may hold instead of an answer.

Servers and gateways between them wrap both in many ways. What cannot be taken apart here is a
failure by name, never an empty answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from refinecli.errors import CompletionError
from refinecli.models.retries import RetryableError
from refinecli.types import JSONObject

_BOM = b"\xef\xbb\xbf"
# Lines of server-sent events; a line that begins with a colon is a comment that keeps the
# connection alive.
_EVENT = re.compile(rb"(?:data|event|id|retry):")
_MOST_WORDS = 400  # characters of a provider's words in a message

# What a gateway calls an error, and the status that it stands for. To add a name, add a line.
_STATUS_OF_NAME: Mapping[str, int] = MappingProxyType(
    {
        "authentication_error": 401,
        "invalid_api_key": 401,
        "unauthenticated": 401,
        "unauthorized": 401,
        "billing_error": 402,
        "insufficient_quota": 402,
        "payment_required": 402,
        "permission_denied": 403,
        "permission_error": 403,
        "model_not_found": 404,
        "not_found": 404,
        "not_found_error": 404,
        "request_timeout": 408,
        "context_length_exceeded": 400,
        "failed_precondition": 400,
        "invalid_argument": 400,
        "invalid_request_error": 400,
        "rate_limit_error": 429,
        "rate_limit_exceeded": 429,
        "resource_exhausted": 429,
        "throttling": 429,
        "throttlingexception": 429,
        "too_many_requests": 429,
        "api_error": 500,
        "internal": 500,
        "internal_error": 500,
        "internal_server_error": 500,
        "server_error": 500,
        "service_unavailable": 503,
        "unavailable": 503,
        "deadline_exceeded": 504,
        "overloaded_error": 529,
    }
)
# MiniMax's own codes, in `base_resp`; 0 is success.
_STATUS_OF_MINIMAX: Mapping[int, int] = MappingProxyType(
    {1001: 408, 1002: 429, 1004: 401, 1008: 402, 1039: 429, 2013: 400, 2049: 401}
)
_UNKNOWN = 500  # an error that does not say which may pass


class StatedError(Exception):
    """A reply that says it is an error, whatever its HTTP status is; `status` is the one that it
    stands for."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def reply_object(content: bytes) -> JSONObject:
    """Return the JSON object of a reply, also of one that came as a stream, or after comments.

    Raises RetryableError where there is none, and CompletionError for a stream that broke off,
    which is paid for. NaN and Infinity, which are not JSON, count as null.
    """
    content = _without_comments(content)
    if _EVENT.match(content):
        return _from_events(content)
    value = loads_leniently(content)
    if not isinstance(value, dict):
        raise RetryableError("bad_reply", f"the reply is not a JSON object: {clipped(content)}")
    return value


def loads_leniently(content: bytes) -> Any:
    """Parse JSON as servers write it; RetryableError where it is none."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass
    try:
        value = json.loads(content, parse_constant=lambda name: None)
        # A server that cuts a character in two when it escapes it: its halves become U+FFFD.
        text = json.dumps(value, ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        # A proxy that hiccups gives a page too; a wrong URL gives nothing else.
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


# ------------------------------------------------------------------ streams that nobody asked for


def _from_events(content: bytes) -> JSONObject:
    """Put the chunks of a streamed reply together as a whole one."""
    chunks = list(_chunks(content))
    for chunk in chunks:
        if stated_error(chunk) or isinstance(_first_choice(chunk).get("message"), dict):
            return chunk
    choices = [_first_choice(chunk) for chunk in chunks]
    ending = next((c["finish_reason"] for c in choices if c.get("finish_reason")), None)
    if ending is None and not content.rstrip().endswith(b"[DONE]"):
        raise CompletionError("bad_reply", "the reply came as a stream that broke off")
    deltas = [c["delta"] for c in choices if isinstance(c.get("delta"), dict)]
    message: JSONObject = {}
    for name in ("content", "reasoning_content", "reasoning", "refusal"):
        parts = [delta[name] for delta in deltas if isinstance(delta.get(name), str)]
        if parts:
            message[name] = "".join(parts)
    if calls := [delta["tool_calls"] for delta in deltas if delta.get("tool_calls")]:
        message["tool_calls"] = calls
    usage = next((chunk["usage"] for chunk in reversed(chunks) if chunk.get("usage")), None)
    return {"choices": [{"message": message, "finish_reason": ending}], "usage": usage}


def _chunks(content: bytes) -> Iterator[JSONObject]:
    for line in content.split(b"\n"):
        data = line.strip().removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data in (b"", b"[DONE]"):
            continue
        try:
            value = loads_leniently(data)
        except RetryableError:
            raise CompletionError("bad_reply", f"a stream with {clipped(data)}") from None
        if isinstance(value, dict):
            yield value


def _first_choice(value: JSONObject) -> JSONObject:
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


# ------------------------------------------------------------------ errors


def stated_error(value: JSONObject) -> StatedError | None:
    """Return the error that a reply says it is; None where it does not say so."""
    error = _error_in(value)
    if error is None:
        return None
    return StatedError(_status_of(error), shortened(words_of(value)))


def _error_in(value: JSONObject) -> object:
    """Return what a reply holds of an error, in any of the places where gateways put it."""
    if error := value.get("error") or _first_choice(value).get("error"):
        return error
    base = value.get("base_resp")
    if isinstance(base, dict) and base.get("status_code"):
        code = base["status_code"]
        return {"code": _STATUS_OF_MINIMAX.get(code) if isinstance(code, int) else None}
    if _first_choice(value):
        return None
    if value.get("object") == "error" or value.get("type") == "error":
        return value
    if value.get("errors") or value.get("detail") or value.get("success") is False:
        return value
    says = value.get("message") or value.get("msg")
    return value if says and any(value.get(name) for name in _CODES) else None


_CODES = ("code", "status", "status_code", "statusCode", "http_status")


def _status_of(error: object) -> int:
    """Return the HTTP status that an error names, as a number or by a word."""
    if not isinstance(error, dict):
        return _UNKNOWN
    for name in (*_CODES, "type"):
        code = error.get(name)
        if isinstance(code, str) and code.isascii() and code.isdecimal():
            code = int(code)
        if isinstance(code, int | float) and 300 <= code < 600:
            return int(code)
        if isinstance(code, str) and (status := _STATUS_OF_NAME.get(code.lower())):
            return status
    # A gateway's own error around that of the provider behind it.
    return _status_of(error["error"]) if isinstance(error.get("error"), dict) else _UNKNOWN


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


def words_of(value: object) -> str:
    """Return an error's own message, with its code; all of it where it has none."""
    error = value
    if isinstance(value, dict):
        base = value.get("base_resp")
        error = value.get("error") or _first_choice(value).get("error") or base or value
    if not isinstance(error, dict):
        return error if isinstance(error, str) else _dumped(error)
    names = ("message", "detail", "msg", "status_msg", "error", "errors")
    message = next((error[name] for name in names if error.get(name)), error)
    extras = [str(error[key]) for key in ("code", "param") if error.get(key)]
    text = message if isinstance(message, str) else _dumped(message)
    raw = _raw_words(error.get("metadata"))
    extras = [extra for extra in (*extras, *raw) if extra not in text]
    return " ".join([text, *(f"({extra})" for extra in extras)])


def _raw_words(metadata: object) -> Sequence[str]:
    """Return what the provider behind a gateway said, which OpenRouter puts into `metadata`."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return [raw] if isinstance(raw, str) and raw else []


def _dumped(value: object) -> str:
    return orjson.dumps(value).decode()


def is_web_page(content: bytes) -> bool:
    """Return True for HTML, which proxies and wrong URLs give where JSON is due."""
    return content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<head"))


def clipped(content: bytes) -> str:
    """Return the beginning of bytes that are not what they should be, in one line."""
    return shortened(in_one_line(content))


def in_one_line(content: bytes) -> str:
    """Return bytes as text in one line."""
    return " ".join(content.decode("utf-8", "replace").split())


def shortened(text: str, most: int = _MOST_WORDS) -> str:
    """Return no more of a provider's words than a message can hold."""
    return text if len(text) <= most else text[: most - 1] + "…"
