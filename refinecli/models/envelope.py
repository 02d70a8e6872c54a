"""The JSON object in the bytes of a reply, and the error that it may hold instead of an answer.

Servers and gateways wrap both in many ways. A reply that cannot be read here is a named failure,
never an empty answer.
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
_MOST_CHARACTERS = 400  # of a provider's words in a message

# Gateways' names for errors, with the HTTP status of each. To add a name, add a line.
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
# The same by a part of the name, without its punctuation: `Throttling.RateQuota`,
# `…#ExpiredTokenException`. The first that is found counts.
_STATUS_OF_PART: Sequence[tuple[str, int]] = (
    ("throttl", 429),
    ("ratelimit", 429),
    ("toomanyrequests", 429),
    ("currentquota", 402),
    ("insufficient", 402),
    ("arrear", 402),
    ("billing", 402),
    ("expiredtoken", 401),
    ("unrecognizedclient", 401),
    ("invalidsignature", 401),
    ("apikey", 401),
    ("accessdenied", 403),
    ("datainspection", 400),
    ("validation", 400),
    ("badrequest", 400),
    ("notready", 503),
    ("overload", 529),
    ("unavailable", 503),
)
# Zhipu's own codes; the sentences with them are Chinese.
_STATUS_OF_ZHIPU: Mapping[int, int] = MappingProxyType(
    {1000: 401, 1001: 401, 1002: 401, 1003: 401, 1004: 401, 1113: 402, 1211: 404, 1301: 400}
    | {1302: 429, 1303: 429, 1304: 429, 1305: 429}
)
# MiniMax's own codes, in `base_resp`; 0 is success.
_STATUS_OF_MINIMAX: Mapping[int, int] = MappingProxyType(
    {1001: 408, 1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 429, 2013: 400}
    | {2049: 401}
)
_UNKNOWN = 500  # an error without a status may be temporary


class StatedError(Exception):
    """A reply that reports an error, whatever its own HTTP status; `status` is the error's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


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
        if stated_error(chunk) or isinstance(_first_choice(chunk).get("message"), dict):
            return chunk
    choices = [choice for choice in map(_first_choice, chunks) if not choice.get("index")]
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


def _first_choice(value: JSONObject) -> JSONObject:
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


# ------------------------------------------------------------------ errors


def stated_error(value: JSONObject) -> StatedError | None:
    """Return the error that a reply reports, or None."""
    error = _error_in(value)
    if error is None:
        return None
    return StatedError(_status_of(error), shortened(words_of(value)))


# The fields in which gateways put an error's words, its code and its name.
_WORDS = ("message", "detail", "msg", "status_msg", "error_msg", "error_message", "faultstring")
_WORDS_ALONE = (*_WORDS, "title", "error", "errors", "fault")
_CODES = ("code", "status", "status_code", "statusCode", "http_status", "error_code", "errorcode")
_NAMES = (*_CODES, "type", "error_type", "__type")
# Codes and words for success, which some servers put in the place of an error.
_NO_ERROR = frozenset({"", "0", "200", "none", "null", "ok", "success", "false"})


def _error_in(value: JSONObject) -> object:
    """Return a reply's error, from wherever its gateway puts it, or None."""
    choice = _first_choice(value)
    message = choice.get("message")
    inside = message.get("error") if isinstance(message, dict) else None
    for error in (value.get("error"), choice.get("error"), inside):
        if _is_error(error):
            # `"error": true` has its words next to it.
            return value if error is True else error
    base = value.get("base_resp")
    if isinstance(base, dict) and _is_error(code := base.get("status_code")):
        number = _number(code)
        return {"code": None if number is None else _STATUS_OF_MINIMAX.get(number)}
    return None if _says_something(choice) else _error_instead(value)


def _error_instead(value: JSONObject) -> object:
    """Return a reply that has an error in the place of an answer."""
    if isinstance(value.get("Output"), dict) and "__type" in value["Output"]:  # Bedrock
        value = value["Output"]
    if value.get("object") == "error" or value.get("type") == "error" or value.get("__type"):
        return value
    if value.get("success") is False or any(value.get(k) for k in ("errors", "detail", "fault")):
        return value
    says = next((value[name] for name in (*_WORDS, "title") if _is_error(value.get(name))), None)
    coded = any(_is_error(value.get(name)) for name in _CODES)
    # Words without a code are an error only if there is nothing else to read.
    return value if says and (coded or "choices" not in value) else None


def _is_error(error: object) -> bool:
    """Return False for a value in the place of an error that says there is none."""
    if isinstance(error, dict):
        return any(_is_error(error.get(name)) for name in error if name != "param")
    return bool(error) and str(error).strip().lower() not in _NO_ERROR


def _says_something(choice: JSONObject) -> bool:
    """Return True if a choice holds more than a blank text."""
    message = choice.get("message")
    if not isinstance(message, dict):
        message = choice.get("delta")
    if not isinstance(message, dict):
        return bool(choice.get("text"))
    said = [value for name, value in message.items() if name != "role"]
    return any(bool(one.strip()) if isinstance(one, str) else bool(one) for one in said)


def _number(code: object) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) < 10:
        return int(code)
    return int(code) if isinstance(code, int | float) and abs(code) < 1e9 else None


def _status_of(error: object) -> int:
    """Return the HTTP status that an error names, as a number or by a word."""
    if not isinstance(error, dict):
        number = _number(error)
        return number if number is not None and 300 <= number < 600 else _UNKNOWN
    for name in _NAMES:
        if status := _status_by(error.get(name)):
            return status
    # A gateway's own error around that of the provider behind it.
    inner = next((error[k] for k in ("error", "detail", "fault") if error.get(k)), None)
    return _UNKNOWN if inner is None else _status_of(inner)


def _status_by(code: object) -> int | None:
    if (number := _number(code)) is not None:
        return number if 300 <= number < 600 else _STATUS_OF_ZHIPU.get(number)
    if not isinstance(code, str):
        return None
    if status := _STATUS_OF_NAME.get(code.lower()):
        return status
    bare = re.sub(r"[^a-z]", "", code.lower())
    return next((status for part, status in _STATUS_OF_PART if part in bare), None)


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
    """Return an error's own message with its code, or the whole error if it has no message."""
    error = value
    if isinstance(value, dict):
        error = _place_of_words(value)
    if not isinstance(error, dict):
        return error if isinstance(error, str) else _dumped(error)
    message = next((error[name] for name in _WORDS_ALONE if error.get(name)), error)
    if isinstance(message, dict) and isinstance(message.get("faultstring"), str):  # Apigee
        message = message["faultstring"]
    extras = [str(error[key]) for key in ("code", "__type", "param") if error.get(key)]
    text = message if isinstance(message, str) else _dumped(message)
    raw = _raw_words(error.get("metadata"))
    extras = [extra for extra in (*extras, *raw) if extra not in text]
    return " ".join([text, *(f"({extra})" for extra in extras)])


def _place_of_words(value: JSONObject) -> object:
    choice = _first_choice(value)
    message = choice.get("message")
    inside = message.get("error") if isinstance(message, dict) else None
    found = (value.get("error"), choice.get("error"), inside, value.get("base_resp"))
    return next((error for error in found if error and error is not True), value)


def _raw_words(metadata: object) -> Sequence[str]:
    """Return the words of the provider behind a gateway, which OpenRouter puts into `metadata`."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return [raw] if isinstance(raw, str) and raw else []


def _dumped(value: object) -> str:
    return orjson.dumps(value).decode()


def is_web_page(content: bytes) -> bool:
    """Return True for HTML, which proxies and wrong URLs return instead of JSON."""
    return content.lstrip()[:9].lower().startswith((b"<!doctype", b"<html", b"<head"))


def clipped(content: bytes) -> str:
    """Return the beginning of unexpected bytes as text in one line."""
    return shortened(in_one_line(content))


def in_one_line(content: bytes) -> str:
    """Return bytes as text in one line."""
    return " ".join(content.decode("utf-8", "replace").split())


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a provider's words, cut to a length that fits into a message."""
    return text if len(text) <= most else text[: most - 1] + "…"
