"""What came back over HTTP: a Completion, or a failure by name; pure.

Providers say one thing in many ways. What each status, code and phrase means is settled here: try
again, send it without that parameter, give up this call (CompletionError) or the run (RunError).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from time import time
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import orjson

from refinecli.errors import CompletionError, RunError
from refinecli.models.pacing.rate_headers import hints
from refinecli.types import Completion, JSONObject, Usage

_RETRIED = frozenset({408, 409, 425, 429})
_SOON = 0.1  # seconds
# Parameters an endpoint may refuse and we can do without.
_OPTIONAL = ("temperature", "top_p", "seed", "max_tokens", "max_completion_tokens")
_REFUSED = (
    r"unsupported|not support|n't support|unrecognized|unknown (?:parameter|field|argument|name)"
    r"|unexpected|not permitted|not allowed|deprecated|only the default"
)
_CONTEXT = (
    r"context.{0,10}(?:length|window|size)|maximum context|too many (?:input )?tokens"
    r"|prompt is too long|input is too long|exceeds? the (?:available|maximum) (?:context|number)"
)
_CONTENT = r"content.?(?:filter|policy|management)|moderation|flagged"
_QUOTA = r"insufficient.?(?:quota|credit|balance|funds)|exceeded your current quota|credit.?balance"
_KEY = r"(?:incorrect|invalid) api.?key|api.?key.{0,3} (?:not valid|invalid)"
# How a provider names what it will not give beside, or instead of, plain text.
_WAYS = MappingProxyType(
    {
        "response_format": r"response.?format|json.?(?:schema|object)|structured.?output",
        "top_logprobs": r"log.?prob",
    }
)
# What is refused is not this request alone.
_ACCESS = r"\bkey|token|auth|permission|account|billing|suspend|disabled|revoked|expired"
_NAMED = r"model|deployment|no endpoints found for"
# Nothing that a whole reply ends with; seen from servers that ran out of something.
_BROKEN_OFF = frozenset(
    {"error", "abort", "aborted", "cancelled", "incomplete", "insufficient_system_resource"}
)
_MODEL = (
    r"model.{0,80}(?:not (?:exist|found|available)|n't exist)"
    r"|(?:unknown|invalid|no such) model|model_not_found"
)


def _says(pattern: str, words: str) -> bool:
    # Compiled when a provider first fails, which most never do.
    return re.search(pattern, words, re.IGNORECASE | re.DOTALL) is not None


class RetryableError(Exception):
    """It may work next time, after `after` seconds if the provider said so."""

    def __init__(self, kind: str, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.after = after

    @property
    def later(self) -> float | None:
        """`after`, unless that is at once: a second time it is no help."""
        return None if self.after is None or self.after < _SOON else self.after


class RefusedParameterError(Exception):
    """The endpoint does not take the parameter `name`; in its own words, why."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def read_completion(content: bytes) -> Completion:
    """A chat reply's first choice; RetryableError where there is none, CompletionError by name."""
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
        raise CompletionError("refusal", f"the model refused: {_clip(str(message['refusal']))}")
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
    """The tokens that could have come first, with their log probabilities. White space before the
    first word is no beginning: what follows it counts, as likely as both together."""
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


# White space in tokens, which some servers give as their tokenizer's file spells it.
_SPACES = " \t\r\n\u0120\u010a\u010d\u2581"


def _logprobs(value: object, text: str) -> list[object] | None:
    """The tokens of a reply; None where there are no alternatives to the first, which without them
    would seem to be the only one."""
    positions = value.get("content") if isinstance(value, dict) else None
    if not isinstance(positions, list):
        return None
    given = _alternatives(positions[0]) if positions else not text
    return positions if given else None


def _alternatives(position: object) -> list[tuple[str, float]]:
    """Each once, though some servers repeat one."""
    others = position.get("top_logprobs") if isinstance(position, dict) else None
    tokens = [_token(other) for other in others] if isinstance(others, list) else []
    return list(dict.fromkeys(filter(None, tokens)))


def _token(entry: object) -> tuple[str, float] | None:
    token = entry.get("token") if isinstance(entry, dict) else None
    logprob = entry.get("logprob") if isinstance(entry, dict) else None
    if isinstance(token, str) and isinstance(logprob, int | float) and isfinite(logprob):
        # A little above 0 is rounding; what is far above is no logarithm of a probability.
        return (token, min(0.0, float(logprob))) if logprob < _ROUNDING else None
    return None


_ROUNDING = 0.01


def _parsed(content: bytes) -> JSONObject:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        value = _with_surrogates(content)
    if not isinstance(value, dict):
        raise RetryableError("bad_reply", "the reply is not a JSON object")
    error = value.get("error")
    if error and "choices" not in value:  # some gateways answer 200 and mean something else
        text = provider_words(content)
        code = error.get("code") if isinstance(error, dict) else None
        if code == 402 or _says(_QUOTA, text):
            raise RunError(text, "the account has run out of credit", type="quota")
        if isinstance(code, int) and 400 <= code < 500 and code not in _RETRIED:
            raise CompletionError("bad_request", text)
        raise RetryableError("server", text)
    return value


def _with_surrogates(content: bytes) -> Any:
    """Some servers cut a character in two when they escape it; its halves become U+FFFD."""
    try:
        text = json.dumps(json.loads(content), ensure_ascii=False)
        return orjson.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    except (ValueError, RecursionError):
        raise RetryableError(
            "bad_reply", f"the reply is not JSON: {_clip(_decoded(content))}"
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
    """What a reply says that it took, whatever else is wrong with it; nothing where it does not."""
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
    """A reply without our key, which some servers repeat."""
    if not secret or secret.encode() not in content + "\n".join(headers.values()).encode():
        return content, headers
    clean = {name: value.replace(secret, "[key]") for name, value in headers.items()}
    return content.replace(secret.encode(), b"[key]"), clean


def failure(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    body: JSONObject,
    url: str,
    *,
    way: str = "",
    worked: bool = False,
    known: bool = False,
) -> Exception:
    """What a reply other than 200 to `body` means. `way` is what it asked for beyond a reply. Where
    the endpoint has `worked` with this model in this run, it cannot be that it does not know it;
    where it is `known` to have, by the call cache too, the URL is right."""
    url = url.partition("?")[0]
    words = provider_words(content)
    told = f"{urlsplit(url).netloc} answered {status}: {words}"
    may_be_this_one = 300 <= status < 400 or status in (403, 404, 405)
    if known and may_be_this_one and not _says(f"{_ACCESS}|{_NAMED}", words):
        return CompletionError("bad_request", told)
    if 300 <= status < 400:
        hint = f"give the right URL: {headers.get('location', '')}"
        return RunError(f"{url} redirects, which is not followed", hint, type="redirect")
    if (status in (402, 429) and _says(_QUOTA, words)) or status == 402:
        return RunError(told, "the account has run out of credit", type="quota")
    if status in _RETRIED or status >= 500:
        kind = "rate_limit" if status == 429 else "timeout" if status == 408 else "server"
        return RetryableError(kind, f"{status}: {words}", hints(headers, time()).after)
    if status in (400, 413, 422) and _says(_CONTEXT, words):
        return CompletionError("context_length", told)
    if status in (400, 403) and _says(_CONTENT, words):
        return CompletionError("content_filter", told)
    if status in (401, 403) or (status == 400 and _says(_KEY, words)):
        return RunError(told, "check the key, and that it is for this endpoint", type="auth")
    if way and status in (400, 404, 422, 501) and _says(_WAYS[way.split()[0]], words):
        return RefusedParameterError(way, told)
    # A path that does not exist says nothing of models; what does is one that is not there.
    if (status in (400, 422) and _says(_MODEL, words)) or (status == 404 and _says(_NAMED, words)):
        if worked:
            return CompletionError("bad_request", told)
        hint = f"{body.get('model')} is what was asked for: --model"
        return RunError(told, hint, type="model_not_found")
    if status in (404, 405):
        return RunError(told, f"is {url} the right URL?", type="not_found")
    if status in (400, 422) and _says(_REFUSED, words):
        if name := _refused(words, [key for key in _OPTIONAL if key in body]):
            return RefusedParameterError(name, told)
        own = {"model", "messages", *_OPTIONAL}
        if name := _refused(words, [key for key in body if key not in own]):
            return RunError(told, f"{name} comes from extra_body in the config", type="bad_request")
    return CompletionError("bad_request", told)


def _refused(words: str, names: Sequence[str]) -> str | None:
    """Which of the names an error refuses: the first that is quoted, or close to the refusal."""
    found = []
    for name in names:
        word = rf"(?<!\w){re.escape(name)}(?!\w)"
        quoted = rf"[\"'`(]{re.escape(name)}[\"'`)]"
        near = rf"(?:{_REFUSED}).{{0,25}}{word}|{word}.{{0,25}}(?:{_REFUSED})"
        if match := re.search(rf"{quoted}|{near}", words, re.IGNORECASE):
            found.append((match.start(), name))
    return min(found)[1] if found else None


def provider_words(content: bytes) -> str:
    """The message of an error reply, whichever of the usual shapes it has."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return _clip(_decoded(content)) or "(nothing)"
    if isinstance(value, list) and len(value) == 1:  # Gemini
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return _clip(str(error))
    message = error.get("message") or error.get("detail") or error
    extras = [str(error[key]) for key in ("code", "param") if error.get(key)]
    text = message if isinstance(message, str) else orjson.dumps(message).decode()
    return _clip(" ".join([text, *(f"({extra})" for extra in extras if extra not in text)]))


def _decoded(content: bytes) -> str:
    return " ".join(content.decode("utf-8", "replace").split())


def _clip(text: str, most: int = 400) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
