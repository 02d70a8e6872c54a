"""Find the error that a reply's object may hold instead of an answer, and the provider's words in
it.

Gateways put both in many places. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from refinecli.models.error_codes import CODES, UNKNOWN, status_of, status_of_minimax
from refinecli.types import JSONObject

_MOST_CHARACTERS = 400  # of a provider's words in a message
# Fields in which gateways put the whole reply of the server behind them. To add one, add a word.
WRAPPERS = ("data", "result", "response", "output", "body", "payload", "completion")
DEEPEST = 4  # wrappers in wrappers


class StatedError(Exception):
    """A reply that reports an error, whatever its own HTTP status; `status` is the error's."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def first_choice(value: JSONObject) -> JSONObject:
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, dict) else {}


def stated_error(value: JSONObject, deep: int = 0) -> StatedError | None:
    """Return the error that a reply reports, or None."""
    error = _error_in(value)
    if error is not None:
        return StatedError(status_of(error), shortened(words_of(value)))
    if says_something(value):
        return None
    for name in WRAPPERS:
        inner = value.get(name)
        if isinstance(inner, dict) and deep < DEEPEST and (found := stated_error(inner, deep + 1)):
            # The status may stand outside.
            return found if found.status != UNKNOWN else StatedError(status_of(value), str(found))
    return None


# The fields in which gateways put an error's words.
_WORDS = ("message", "detail", "msg", "status_msg", "error_msg", "error_message", "faultstring")
_WORDS_ALONE = (*_WORDS, "title", "error", "errors", "fault")
# Codes and words for success, which some servers put in the place of an error.
_NO_ERROR = frozenset({"", "0", "200", "none", "null", "ok", "success", "false"})


def _error_in(value: JSONObject) -> object:
    """Return a reply's error, from wherever its gateway puts it, or None."""
    choice = first_choice(value)
    message = choice.get("message")
    inside = message.get("error") if isinstance(message, dict) else None
    for error in (value.get("error"), choice.get("error"), inside):
        if _is_error(error):
            # `"error": true` has its words next to it.
            return value if error is True else error
    base = value.get("base_resp")
    if isinstance(base, dict) and _is_error(code := base.get("status_code")):
        return {"code": status_of_minimax(code)}
    return None if says_something(value) else _error_instead(value)


def _error_instead(value: JSONObject) -> object:
    """Return a reply that has an error in the place of an answer."""
    if isinstance(value.get("Output"), dict) and "__type" in value["Output"]:  # Bedrock
        value = value["Output"]
    if value.get("object") == "error" or value.get("type") == "error" or value.get("__type"):
        return value
    if value.get("success") is False or any(value.get(k) for k in ("errors", "detail", "fault")):
        return value
    says = next((value[name] for name in (*_WORDS, "title") if _is_error(value.get(name))), None)
    coded = any(_is_error(value.get(name)) for name in CODES)
    # Words without a code are an error only if there is nothing else to read.
    return value if says and (coded or "choices" not in value) else None


def _is_error(error: object) -> bool:
    """Return False for a value in the place of an error that says there is none, or is a turn."""
    if isinstance(error, dict):
        if "content" in error and "code" not in error:
            return False
        return any(_is_error(error.get(name)) for name in error if name != "param")
    return bool(error) and str(error).strip().lower() not in _NO_ERROR


def says_something(value: JSONObject) -> bool:
    """Return True if the first choice of a reply holds more than a blank text."""
    choice = first_choice(value)
    message = choice.get("message")
    if not isinstance(message, dict):
        message = choice.get("delta")
    if not isinstance(message, dict):
        return bool(choice.get("text"))
    said = [value for name, value in message.items() if name != "role"]
    return any(bool(one.strip()) if isinstance(one, str) else bool(one) for one in said)


# ------------------------------------------------------------------ its words


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


def _place_of_words(value: JSONObject, deep: int = 0) -> object:
    choice = first_choice(value)
    message = choice.get("message")
    inside = message.get("error") if isinstance(message, dict) else None
    found = [value.get("error"), choice.get("error"), inside, value.get("base_resp")]
    if not any(value.get(name) for name in _WORDS_ALONE):
        wrapped = (value.get(name) for name in WRAPPERS if deep < DEEPEST)
        found += [_place_of_words(one, deep + 1) for one in wrapped if isinstance(one, dict)]
    return next((error for error in found if error and error is not True), value)


def _raw_words(metadata: object) -> Sequence[str]:
    """Return the words of the provider behind a gateway, which OpenRouter puts into `metadata`."""
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return [raw] if isinstance(raw, str) and raw else []


def _dumped(value: object) -> str:
    return orjson.dumps(value).decode()


def shortened(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a provider's words, cut to a length that fits into a message."""
    return text if len(text) <= most else text[: most - 1] + "…"
