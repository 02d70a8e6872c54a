"""Reading a reply of status 200: a Completion, or a failure by name; pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

import orjson

from refinecli.errors import CompletionError
from refinecli.models.failures import failure_in_reply, one_line, shortened
from refinecli.models.retries import RetryableError
from refinecli.types import Completion, JSONObject, Usage

# Nothing that a whole reply ends with; seen from servers that ran out of something.
_BROKEN_OFF = frozenset(
    {"error", "abort", "aborted", "cancelled", "incomplete", "insufficient_system_resource"}
)
# White space in tokens, which some servers give as their tokenizer's file spells it.
_SPACES = " \t\r\n\u0120\u010a\u010d\u2581"
_ROUNDING = 0.01


def read_completion(content: bytes) -> Completion:
    """Return a chat reply's first choice; raises RetryableError where there is none, else
    CompletionError by name."""
    value = _parsed(content)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RetryableError("bad_reply", "the reply has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise RetryableError("bad_reply", "the reply has no message")
    text = _text(message.get("content"))
    finish = _finish_reason(choices[0].get("finish_reason"))
    if finish == "content_filter":
        raise CompletionError("content_filter", "the provider's content filter stopped the reply")
    if not text and message.get("refusal"):
        raise CompletionError("refusal", f"the model refused: {shortened(str(message['refusal']))}")
    if not text and message.get("tool_calls"):
        raise CompletionError("tool_calls", "the model called a tool instead of answering")
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    usage = value.get("usage")
    logprobs = _logprobs(choices[0].get("logprobs"), text)
    return Completion(
        text=text,
        finish_reason=finish,
        reasoning=reasoning if isinstance(reasoning, str) else "",
        usage=_usage(usage if isinstance(usage, dict) else {}),
        first_tokens=None if logprobs is None else tuple(_first_tokens(logprobs)),
    )


def _first_tokens(positions: Sequence[object]) -> Iterator[tuple[str, float]]:
    """Yield the tokens that could have come first, with their log probabilities. White space before
    the first word is not a beginning: what follows it counts, as likely as both together."""
    before = 0.0
    for position in positions:
        chosen, others = _token(position), _alternatives(position)
        yield from ((token, before + logprob) for token, logprob in others)
        # The one that was drawn is among them, at times with a logarithm that was rounded.
        if chosen is not None and chosen[0] not in dict(others):
            yield chosen[0], before + chosen[1]
        if chosen is None or chosen[0].strip(_SPACES):
            return
        before += chosen[1]


def _logprobs(value: object, text: str) -> list[object] | None:
    """Return the tokens of a reply, or None where there are no alternatives to the first, which
    without them would seem to be the only one."""
    positions = value.get("content") if isinstance(value, dict) else None
    if not isinstance(positions, list):
        return None
    given = _alternatives(positions[0]) if positions else not text
    return positions if given else None


def _alternatives(position: object) -> list[tuple[str, float]]:
    """Return each alternative once, though some servers repeat one."""
    others = position.get("top_logprobs") if isinstance(position, dict) else None
    tokens = [_token(other) for other in others] if isinstance(others, list) else []
    return list(dict.fromkeys(filter(None, tokens)))


def _token(entry: object) -> tuple[str, float] | None:
    token = entry.get("token") if isinstance(entry, dict) else None
    logprob = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(token, str) and isinstance(logprob, int | float) and isfinite(logprob):
        # A little above 0 is rounding; what is far above is not a logarithm of a probability.
        return (token, min(0.0, float(logprob))) if logprob < _ROUNDING else None
    return None


def _parsed(content: bytes) -> JSONObject:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = _with_surrogates(content)
    if not isinstance(value, dict):
        raise RetryableError("bad_reply", "the reply is not a JSON object")
    if value.get("error") and "choices" not in value:
        raise failure_in_reply(value["error"], content)
    return value


def _with_surrogates(content: bytes) -> Any:
    """Parse JSON in which a server has cut a character in two; its halves become U+FFFD."""
    try:
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise RetryableError(
            "bad_reply", f"the reply is not JSON: {shortened(one_line(content))}"
        ) from None


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        str(part.get("text") or "")
        for part in parts
        if isinstance(part, dict) and part.get("type") in ("text", "output_text")
    )


def _finish_reason(reason: object) -> str | None:
    if not isinstance(reason, str):
        return None
    reason = reason.lower()
    if reason in _BROKEN_OFF:
        raise RetryableError("server", f"the reply broke off: {reason}")
    return "length" if "length" in reason or reason == "max_tokens" else reason


def usage_in(content: bytes) -> Usage:
    """Return what a reply says that it took, whatever else is wrong with it; else nothing."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return Usage()
    usage = value.get("usage") if isinstance(value, dict) else None
    found = _usage(usage if isinstance(usage, dict) else {})
    return found if found.prompt_tokens or found.completion_tokens else Usage()


def _usage(usage: JSONObject) -> Usage:
    prompt, completion = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    return Usage(
        calls=1,
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        reasoning_tokens=_detail(completion, "reasoning_tokens"),
        cached_tokens=_detail(prompt, "cached_tokens"),
    )


def _detail(details: object, name: str) -> int:
    return _count(details.get(name)) if isinstance(details, dict) else 0


def _count(value: object) -> int:
    if type(value) is int:
        return max(0, value)
    return max(0, int(value)) if isinstance(value, float) and isfinite(value) else 0


def without_secret(
    content: bytes, headers: Mapping[str, str], secret: str
) -> tuple[bytes, Mapping[str, str]]:
    """Return a reply without our key, which some servers repeat."""
    if not secret or secret.encode() not in content + "\n".join(headers.values()).encode():
        return content, headers
    clean = {name: value.replace(secret, "[key]") for name, value in headers.items()}
    return content.replace(secret.encode(), b"[key]"), clean
