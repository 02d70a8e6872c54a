"""The meaning of a provider's failure: try again, send it without that parameter, give up this call
(CompletionError) or the run (RunError); pure.

Providers say one thing in many ways (`wordings`). `_READINGS` are asked in turn, and the
first that knows what to make of a reply is right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from time import time
from typing import TypeAlias
from urllib.parse import urlsplit

from refinecli.errors import CompletionError, FailureKind, RunError, option
from refinecli.models import wordings
from refinecli.models.envelope import is_web_page, provider_words
from refinecli.models.negotiation import (
    FIRST_TOKEN_LIMIT,
    OPTIONAL,
    SYSTEM_ROLE,
    RefusedParameterError,
)
from refinecli.models.pacing.rate_headers import hint_in_words, hints
from refinecli.models.provider_errors import shortened
from refinecli.models.request import name_of
from refinecli.models.retries import RetryableError, may_pass
from refinecli.settings.urls import shown_url
from refinecli.types import JSONObject, JSONReply, Wants

# Under these a model may be loading.
_MAY_BE_LOADING = frozenset({400, 404, 409, 424, 425})
# Under these a provider may mean that there is too much at once.
_MAY_BE_BUSY = frozenset({400, 403, 404, 409, 420, 422, 424, 429, 498, 499, 500})
# Under these a provider may quote the conversation.
_QUOTING = frozenset({400, 403, 404, 413, 422, 500})
# Enough to say what is wrong; a provider may add all of a long prompt.
_MOST_QUOTED, _MOST_HEARD = 200_000, 20_000  # characters


@dataclass(frozen=True)
class Refusal:
    """A reply that is an error to `body`, which asked for what it `wants`, and who gave it.

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
    hide: Callable[[str], str] = str  # what takes our key out of what is shown

    @property
    def place(self) -> str:
        """The URL as it may be shown."""
        return shown_url(self.url)

    @cached_property
    def words(self) -> str:
        """All that the provider says, as it came: a short key may be a piece of any word."""
        return provider_words(self.content)

    @property
    def shown(self) -> str:
        """The provider's words as they may be shown, the key taken out before the end is."""
        return shortened(self.hide(self.words))

    @property
    def message(self) -> str:
        return f"{urlsplit(self.place).netloc} answered {self.status}: {self.shown}"

    @property
    def after(self) -> float | None:
        """The seconds after which to come back, if a header or the words say so."""
        now = hints(self.headers, time()).after
        return hint_in_words(self.content) if now is None else now

    @cached_property
    def heard(self) -> str:
        """The provider's own words, without what it quotes of the conversation."""
        words = self.words[:_MOST_QUOTED]
        if self.status in _QUOTING:
            from refinecli.models.echoes import (
                without_echoes,
            )  # most runs need none of its patterns

            words = without_echoes(words, self.body.get("messages", ()), {*self.body, "system"})
        return words[:_MOST_HEARD]

    def says(self, pattern: str) -> bool:
        # Compiled when a provider first fails, which most never do.
        return re.search(pattern, self.heard, re.IGNORECASE | re.DOTALL) is not None

    def retryable(self, kind: FailureKind) -> RetryableError:
        return RetryableError(kind, f"{self.status}: {self.shown}", self.after)


Reading: TypeAlias = Callable[[Refusal], Exception | None]


def failure(reply: Refusal) -> Exception:
    """Return what an error means: to us, for this call or for the run."""
    for reading in _READINGS:
        if (error := reading(reply)) is not None:
            return error
    return CompletionError("bad_request", reply.message)


def _of_a_known_place(reply: Refusal) -> Exception | None:
    may_be_this_one = 300 <= reply.status < 400 or reply.status in (403, 404, 405)
    if not (reply.known and may_be_this_one):
        return None
    if reply.says(f"{wordings.ACCESS}|{wordings.NAMED}|{wordings.RATE}|{wordings.QUOTA}"):
        return None
    return CompletionError("bad_request", reply.message)


def _redirect(reply: Refusal) -> Exception | None:
    if not 300 <= reply.status < 400:
        return None
    hint = f"give the right URL: {reply.headers.get('location', '')}"
    return RunError(f"{reply.place} redirects, which is not followed", hint, type="redirect")


def _plain_http(reply: Refusal) -> Exception | None:
    """Recognise a server that wants TLS, as nginx, Go and Apache say it."""
    if reply.status != 400 or not reply.says(wordings.WANTS_TLS):
        return None
    return RunError(reply.message, "write https:// in base_url", type="not_found")


def _too_large(reply: Refusal) -> Exception | None:
    """Recognise a request that is larger than all that is allowed in a minute: no other time is
    better for it."""
    if reply.status not in (400, 413, 422, 429):
        return None
    amounts = re.search(wordings.LIMIT_AND_REQUESTED, reply.heard, re.IGNORECASE)
    given = amounts.groups() if amounts else ("0", "0")
    limit, requested = (int(amount.replace(",", "")) for amount in given)
    if not (requested > limit or reply.says(wordings.TOO_LARGE)):
        return None
    hint = "shorten it, or lower its max_tokens: it is larger than all that is allowed at once"
    return CompletionError("context_length", reply.message, hint)


def _credit(reply: Refusal) -> Exception | None:
    """Recognise an account without credit; not if the provider says when to come back."""
    if reply.status != 402 and not reply.says(wordings.QUOTA):
        return None
    if reply.after is not None or (reply.status == 429 and reply.says(wordings.SOON_OPEN)):
        return reply.retryable("rate_limit")
    return RunError(reply.message, "add credit to the account", type="quota")


def _passing(reply: Refusal) -> Exception | None:
    loading = reply.status in _MAY_BE_LOADING and reply.says(wordings.LOADING)
    if loading or (reply.status >= 500 and reply.says(f"{wordings.LOADING}|{wordings.NOT_READY}")):
        return reply.retryable("loading")
    if reply.status == 429 or (reply.status in _MAY_BE_BUSY and reply.says(wordings.RATE)):
        return reply.retryable("rate_limit")
    if not may_pass(reply.status):
        return None
    return reply.retryable("timeout" if reply.status == 408 else "server")


def _conversation(reply: Refusal) -> Exception | None:
    if (
        reply.status in (400, 413, 422, 500)
        and reply.says(wordings.CONTEXT)
        and not reply.says(wordings.SOON_OPEN)
    ):
        return CompletionError("context_length", reply.message)
    if reply.status in (400, 403, 422, 451, 500) and reply.says(wordings.CONTENT):
        return CompletionError("content_filter", reply.message)
    return None


def _key(reply: Refusal) -> Exception | None:
    if reply.status == 401 or reply.says(wordings.KEY):
        hint = "check the key, and that it is for this endpoint"
        return RunError(reply.message, hint, type="auth")
    return None


def _forbidden(reply: Refusal) -> Exception | None:
    if reply.status != 403:
        return None
    hint = "check the key, and that it is for this endpoint"
    return RunError(reply.message, hint, type="auth")


def _wanted(reply: Refusal) -> Exception | None:
    """Recognise the refusal of what the request wants, or of the limit that it has only for
    that."""
    if reply.wants is None or reply.status not in (400, 403, 404, 422, 500, 501):
        return None
    is_json = isinstance(reply.wants, JSONReply)
    named = wordings.JSON if is_json else wordings.PROBABILITIES
    if isinstance(reply.wants, JSONReply) and reply.wants.schema is not None:
        named += wordings.OR_SCHEMA
    if reply.status == 500:  # of anything else it may be the trouble of a moment
        named = r"grammar" if is_json else r"(?!)"
    if reply.says(named) or reply.says(wordings.ENDPOINTS):
        return RefusedParameterError(name_of(reply.wants), reply.message)
    if not is_json and "max_tokens" in reply.body and reply.says(r"max_\w*tokens"):
        return RefusedParameterError(FIRST_TOKEN_LIMIT, reply.message)
    return None


def _system(reply: Refusal) -> Exception | None:
    roles = {message.get("role") for message in reply.body.get("messages", ())}
    if reply.status not in (400, 404, 422, 500, 501) or not roles & {"system", "developer"}:
        return None
    refused = reply.says(wordings.SYSTEM)
    return RefusedParameterError(SYSTEM_ROLE, reply.message) if refused else None


def _temperature_of_0(reply: Refusal) -> Exception | None:
    """Recognise the refusal of temperature 0, at which verdicts are asked for."""
    at_0 = reply.status in (400, 422) and reply.body.get("temperature") == 0
    if at_0 and reply.says(r"\btemperature\b"):
        return RefusedParameterError("temperature", reply.message)
    return None


def _temperature_of_0_as_a_crash(reply: Refusal) -> Exception | None:
    """Recognise the same under a status that is mostly the trouble of a moment."""
    at_0 = reply.status == 500 and reply.body.get("temperature") == 0
    if at_0 and reply.says(r"\btemperature\b.{0,20}(?:must|should|greater|positive|support)"):
        return RefusedParameterError("temperature", reply.message)
    return None


def _endpoints(reply: Refusal) -> Exception | None:
    """OpenRouter, where none of its providers takes all parameters of a request."""
    if not reply.says(wordings.ENDPOINTS):
        return None
    sent = ", ".join(key for key in reply.body if key not in ("model", "messages"))
    hint = f"leave some of these out, as no provider of this model takes them all: {sent}"
    return RunError(reply.message, hint, type="bad_request")


def _model(reply: Refusal) -> Exception | None:
    # A path that does not exist says nothing about models; a model that does not exist is named.
    named = (reply.status in (400, 422) and reply.says(wordings.MODEL)) or (
        reply.status == 404 and reply.says(wordings.NAMED)
    )
    if not named:
        return None
    if reply.worked:
        return CompletionError("bad_request", reply.message)
    hint = f"check the name, {reply.body.get('model')}: {option('model')}"
    return RunError(reply.message, hint, type="model_not_found")


def _path(reply: Refusal) -> Exception | None:
    if reply.status not in (404, 405):
        return None
    hint = f"check the URL, {reply.place}"
    if is_web_page(reply.content):
        hint += "; the base_url of most servers ends in /v1"
    return RunError(reply.message, hint, type="not_found")


def _parameter(reply: Refusal) -> Exception | None:
    if reply.status not in (400, 422) or not reply.says(wordings.REFUSED):
        return None
    body, words = reply.body, reply.heard
    if name := _refused(words, [key for key in OPTIONAL if key in body]):
        return RefusedParameterError(name, reply.message)
    own = {"model", "messages", *OPTIONAL}
    if name := _refused(words, [key for key in body if key not in own]):
        hint = f"remove {name} from extra_body in the config"
        return RunError(reply.message, hint, type="bad_request")
    return None


# In the order of asking.
_READINGS: tuple[Reading, ...] = (
    _of_a_known_place,
    _redirect,
    _plain_http,
    _too_large,
    _credit,
    _conversation,
    _key,
    _wanted,
    _system,
    _temperature_of_0_as_a_crash,
    _passing,
    _forbidden,
    _endpoints,
    _model,
    _path,
    _parameter,
    _temperature_of_0,
)


def _refused(words: str, names: Sequence[str]) -> str | None:
    """Return the name that an error refuses: the first that is quoted, or close to the refusal."""
    found = []
    refused, between = rf"(?:{wordings.REFUSED})", rf"(?:(?!{wordings.ABOUT}).)"
    for name in names:
        word = rf"(?<!\w){re.escape(name)}(?!\w)"
        quoted = rf"[\"'`(]{re.escape(name)}[\"'`)]"
        near = rf"{refused}{between}{{0,35}}{word}|{word}{between}{{0,25}}{refused}"
        if match := re.search(rf"{quoted}|{near}", words, re.IGNORECASE):
            found.append((match.start(), name))
    return min(found)[1] if found else None
