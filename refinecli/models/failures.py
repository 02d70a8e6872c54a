"""The meaning of a provider's failure: try again, send it without that parameter, give up this call
(CompletionError) or the run (RunError); pure.

Providers say one thing in many ways. `_READINGS` are asked in turn, and the first that knows what
to make of a reply is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import time
from typing import TypeAlias
from urllib.parse import urlsplit

import orjson

from refinecli.errors import CompletionError, RunError, option
from refinecli.models.pacing.rate_headers import hints
from refinecli.models.request import name_of
from refinecli.models.retries import RetryableError, may_pass
from refinecli.types import JSONObject, JSONReply, Wants

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
# How a provider names what it will not give besides, or instead of, plain text.
_JSON = r"response.?format|json.?(?:schema|object)|structured.?output"
_PROBABILITIES = r"log.?prob"
# What is refused is not this request alone.
_ACCESS = r"\bkey|token|auth|permission|account|billing|suspend|disabled|revoked|expired"
_NAMED = r"model|deployment|no endpoints found for"
_MODEL = (
    r"model.{0,80}(?:not (?:exist|found|available)|n't exist)"
    r"|(?:unknown|invalid|no such) model|model_not_found"
)


class RefusedParameterError(Exception):
    """The endpoint does not take the parameter `name`; in its own words, why."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reply other than 200 to `body`, which asked for what it `wants`, and who gave it.

    Where the endpoint has `worked` with this model in this run, it cannot be that it does not know
    it; where it is `known` to have, by the call cache too, the URL is right.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes
    body: JSONObject
    url: str
    wants: Wants | None = None
    worked: bool = False
    known: bool = False

    @property
    def place(self) -> str:
        """The URL without its query: some have their key there."""
        return self.url.partition("?")[0]

    @property
    def words(self) -> str:
        return provider_words(self.content)

    @property
    def message(self) -> str:
        return f"{urlsplit(self.place).netloc} answered {self.status}: {self.words}"

    def says(self, pattern: str) -> bool:
        return _says(pattern, self.words)


Reading: TypeAlias = Callable[[Refusal], Exception | None]


def failure(reply: Refusal) -> Exception:
    """Return the error that a reply other than 200 means."""
    for reading in _READINGS:
        if (error := reading(reply)) is not None:
            return error
    return CompletionError("bad_request", reply.message)


def failure_in_reply(error: object, content: bytes) -> Exception:
    """Return what an error under status 200 means: some gateways answer so."""
    words = provider_words(content)
    code = error.get("code") if isinstance(error, dict) else None
    if code == 402 or _says(_QUOTA, words):
        return _no_credit(words)
    if isinstance(code, int) and 400 <= code < 500 and not may_pass(code):
        return CompletionError("bad_request", words)
    return RetryableError("server", words)


def _of_a_known_place(reply: Refusal) -> Exception | None:
    may_be_this_one = 300 <= reply.status < 400 or reply.status in (403, 404, 405)
    if reply.known and may_be_this_one and not reply.says(f"{_ACCESS}|{_NAMED}"):
        return CompletionError("bad_request", reply.message)
    return None


def _redirect(reply: Refusal) -> Exception | None:
    if not 300 <= reply.status < 400:
        return None
    hint = f"give the right URL: {reply.headers.get('location', '')}"
    return RunError(f"{reply.place} redirects, which is not followed", hint, type="redirect")


def _credit(reply: Refusal) -> Exception | None:
    spent = reply.status == 402 or (reply.status == 429 and reply.says(_QUOTA))
    return _no_credit(reply.message) if spent else None


def _no_credit(message: str) -> RunError:
    return RunError(message, "the account has run out of credit", type="quota")


def _passing(reply: Refusal) -> Exception | None:
    if not may_pass(reply.status):
        return None
    after = hints(reply.headers, time()).after
    message = f"{reply.status}: {reply.words}"
    if reply.status == 429:
        return RetryableError("rate_limit", message, after)
    return RetryableError("timeout" if reply.status == 408 else "server", message, after)


def _conversation(reply: Refusal) -> Exception | None:
    if reply.status in (400, 413, 422) and reply.says(_CONTEXT):
        return CompletionError("context_length", reply.message)
    if reply.status in (400, 403) and reply.says(_CONTENT):
        return CompletionError("content_filter", reply.message)
    return None


def _key(reply: Refusal) -> Exception | None:
    if reply.status in (401, 403) or (reply.status == 400 and reply.says(_KEY)):
        hint = "check the key, and that it is for this endpoint"
        return RunError(reply.message, hint, type="auth")
    return None


def _wanted(reply: Refusal) -> Exception | None:
    if reply.wants is None or reply.status not in (400, 404, 422):
        return None
    named = _JSON if isinstance(reply.wants, JSONReply) else _PROBABILITIES
    wanted = name_of(reply.wants)
    return RefusedParameterError(wanted, reply.message) if reply.says(named) else None


def _model(reply: Refusal) -> Exception | None:
    # A path that does not exist says nothing of models; what does is one that is not there.
    named = (reply.status in (400, 422) and reply.says(_MODEL)) or (
        reply.status == 404 and reply.says(_NAMED)
    )
    if not named:
        return None
    if reply.worked:
        return CompletionError("bad_request", reply.message)
    hint = f"{reply.body.get('model')} is what was asked for: {option('model')}"
    return RunError(reply.message, hint, type="model_not_found")


def _path(reply: Refusal) -> Exception | None:
    if reply.status not in (404, 405):
        return None
    return RunError(reply.message, f"is {reply.place} the right URL?", type="not_found")


def _parameter(reply: Refusal) -> Exception | None:
    if reply.status not in (400, 422) or not reply.says(_REFUSED):
        return None
    body, words = reply.body, reply.words
    if name := _refused(words, [key for key in _OPTIONAL if key in body]):
        return RefusedParameterError(name, reply.message)
    own = {"model", "messages", *_OPTIONAL}
    if name := _refused(words, [key for key in body if key not in own]):
        hint = f"{name} comes from extra_body in the config"
        return RunError(reply.message, hint, type="bad_request")
    return None


# In the order in which they are asked.
_READINGS: tuple[Reading, ...] = (
    _of_a_known_place,
    _redirect,
    _credit,
    _passing,
    _conversation,
    _key,
    _wanted,
    _model,
    _path,
    _parameter,
)


def _refused(words: str, names: Sequence[str]) -> str | None:
    """Return the name that an error refuses: the first that is quoted, or close to the refusal."""
    found = []
    for name in names:
        word = rf"(?<!\w){re.escape(name)}(?!\w)"
        quoted = rf"[\"'`(]{re.escape(name)}[\"'`)]"
        near = rf"(?:{_REFUSED}).{{0,25}}{word}|{word}.{{0,25}}(?:{_REFUSED})"
        if match := re.search(rf"{quoted}|{near}", words, re.IGNORECASE):
            found.append((match.start(), name))
    return min(found)[1] if found else None


def _says(pattern: str, words: str) -> bool:
    # Compiled when a provider first fails, which most never do.
    return re.search(pattern, words, re.IGNORECASE | re.DOTALL) is not None


def provider_words(content: bytes) -> str:
    """Return the message of an error reply, whichever of the usual shapes it has."""
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return shortened(one_line(content)) or "(nothing)"
    if isinstance(value, list) and len(value) == 1:  # Gemini
        value = value[0]
    error = value.get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        return shortened(str(error))
    message = error.get("message") or error.get("detail") or error
    extras = [str(error[key]) for key in ("code", "param") if error.get(key)]
    text = message if isinstance(message, str) else orjson.dumps(message).decode()
    return shortened(" ".join([text, *(f"({extra})" for extra in extras if extra not in text)]))


def one_line(content: bytes) -> str:
    """Return the text of a reply that is not JSON, in one line."""
    return " ".join(content.decode("utf-8", "replace").split())


def shortened(text: str, most: int = 400) -> str:
    """Return no more of a provider's words than a message can hold."""
    return text if len(text) <= most else text[: most - 1] + "…"
