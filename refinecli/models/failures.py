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

from refinecli.errors import CompletionError, FailureKind, RunError, option
from refinecli.models.envelope import is_web_page, provider_words, shortened
from refinecli.models.pacing.rate_headers import hint_in_words, hints
from refinecli.models.request import name_of
from refinecli.models.retries import RetryableError, may_pass
from refinecli.settings.urls import shown_url
from refinecli.types import JSONObject, JSONReply, Message, Wants

# Parameters an endpoint may refuse and we can do without.
OPTIONAL = ("temperature", "top_p", "seed", "max_tokens", "max_completion_tokens")
# What a request has that is not a parameter, and can be sent in another way.
SYSTEM_ROLE = "the system role"
FIRST_TOKEN_LIMIT = "max_tokens with logprobs"

# What providers say, in their many words. To cover another wording, add a part to a pattern.
_REFUSED = (
    r"unsupported|not support|n't support|unrecognized|unknown (?:parameter|field|argument|name)"
    r"|unexpected|not permitted|not allowed|deprecated|only the default"
)
# Between a refusal and a parameter's name, they make it one of what the conversation is about.
_ABOUT = (
    r"\b(?:content|prompts?|topics?|subjects?|questions?|messages?|texts?|conversations?|users?"
    r"|queries|query|asks?|asking|asked|about|discuss\w*|mention\w*|language|words?)\b"
)
_CONTEXT = (
    r"context.{0,10}(?:length|window|size)|maximum context|too many (?:input )?tokens"
    r"|prompt is too long|input is too long|exceeds? the (?:available|maximum) (?:context|number)"
    r"|inputs?. tokens \+|range of input length|reduce the length of the|max message tokens"
    r"|too large for model with"
)
_CONTENT = (
    r"content.?(?:filter|policy|management)|moderation|flagged|content exists risk"
    r"|inappropriate content|data.?inspection|prohibited.?content|usage polic|不安全|敏感"
    r"|(?:new.|input |output |is |contains? )sensitive\b|sensitive (?:content|words?|information)"
)
_QUOTA = (
    r"insufficient.?(?:quota|credit|balance|funds)|exceeded your current quota|credit.?balance"
    r"|(?:out of|no|more|not enough|add) (?:credits?|quota)\b"
    r"|billing.{0,20}(?:limit|inactive|not active)"
    r"|payment required|account.{0,30}(?:arrears|overdue)|(?:quota|credits?|balance).{0,20}exhaust"
    r"|account.{0,12}not active|balance.{0,12}not enough|good standing|arrearage"
    r"|(?:credit|spending|key) limit (?:exceeded|reached)|exceeded.{0,24}credits\b"
    r"|free tier.{0,30}exhaust"
    r"|credits?.{0,12}(?:depleted|used up)|欠费|余额不足"
)
_KEY = (
    r"(?:incorrect|invalid|expired|revoked|missing|malformed|no|wrong)[ _](?:or \w+ |\w+ )?"
    r"(?:(?:x.)?api.?key|auth(?:entication|orization)?[ _](?:credentials|token|key)|access token"
    r"|bearer token|security token|subscription key)"
    r"|api.?key.{0,20}(?:not valid|invalid|expired|revoked|not found|missing|disabled|required)"
    r"|unauthenticated|authentication (?:failed|fails|error|required)|login fail|身份验证|鉴权失败"
    r"|\A\W*(?:invalid (?:api )?token|invalid authentication|unauthorized)\W*(?:\(|\Z)"
    r"|authorization header.{0,20}(?:missing|required|invalid)|invalid username or password"
    r"|\Atoken (?:is )?expired|(?:auth\w*|access|security) token.{0,40}(?:expired|invalid)"
)
_RATE = (
    r"rate.?limit|too many (?:requests|concurrent)|(?:requests?|tokens?) per (?:second|minute|hour)"
    r"|per.?(?:minute|second)\b|throttl|(?:over|at|exceed\w*|limited) capacity|capacity exceed"
    r"|overloaded|(?:server|model)(?: is)?(?: too)? busy|try again (?:later|in)|slow down"
    r"|\b[rt]pm\b|resource.{0,12}exhausted"
    r"|(?:concurrency|qps).{0,20}(?:limit|reach|exceed)|max.{0,20}concurrency"
    r"|并发|限流|频率|请求过多"
)
# Limits that open again soon, also where the words around them are those of an empty account.
_SOON_OPEN = r"per.?(?:minute|second)\b"
_LOADING = (
    r"(?:is|still|currently|being) (?:being )?"
    r"(?:loading|loaded(?! with)|starting|warming|initiali[sz]ing|downloading|scaling up)"
    r"|loading (?:the )?model|warming.?up|cold start"
)
# A model that is not loaded may be one that nobody loads, so only a server's failure says enough.
_NOT_READY = r"model.{0,20}not (?:yet )?(?:ready|loaded)"
_MAY_BE_LOADING = frozenset({400, 404, 409, 424, 425})
_NO = r"(?:\bnot\b|n't\b|\bun(?:support|expect|recogni|know|allow|avail)\w*)"
_SYSTEM_ROLE = r"\bsystem[\s'\"`]{0,3}(?:role|message|prompt|instruction|turn)s?\b"
_SYSTEM = (
    rf"{_SYSTEM_ROLE}.{{0,40}}{_NO}|{_NO}.{{0,40}}{_SYSTEM_ROLE}"
    r"|system.{0,20}not (?:supported|allowed|enabled)|developer instruction.{0,20}not"
    r"|roles must alternate|only (?:support\w* )?user and assistant roles"
    r"|(?:role|input).{0,20}\bsystem\b|invalid value:? .{0,2}system"
    r"|should be .{0,2}user.{0,2} or .{0,2}assistant"
)
# A provider's names for what it does not give besides, or instead of, plain text.
_JSON = (
    r"response.?format|json.?(?:schema|object|mode)|structured.?output|grammar"
    r"|guided.?(?:json|decoding)"
)
_PROBABILITIES = r"log.?prob"
_ENDPOINTS = (
    r"no (?:allowed )?(?:endpoints?|providers?) (?:found )?(?:that|which|match|avail|support)"
)
# More is refused than this request.
_ACCESS = r"\bkey|token|auth|permission|account|billing|suspend|disabled|revoked|expired"
_NAMED = r"model|deployment|no endpoints found for"
_MODEL = (
    r"model.{0,80}(?:not (?:exist|found|available)|n't exist)"
    r"|(?:unknown|invalid|no such|unable to access) model|model_not_found|not a valid model"
    r"|not found: model|decommissioned|requested model is not supported|not a chat model"
    r"|deployment.{0,40}not exist"
)
_WANTS_TLS = r"http request.{0,20}https|speaking plain http"
# Under these a provider may mean that there is too much at once.
_MAY_BE_BUSY = frozenset({400, 403, 409, 420, 424, 429, 498, 499, 500})
# Under these a provider may quote the conversation.
_QUOTING = frozenset({400, 403, 404, 413, 422, 500})
_ECHO = 4  # words in a row that are in the conversation too


class RefusedParameterError(Exception):
    """The endpoint refuses the parameter `name`, for the reason in its own words."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
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

    @property
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

    def says(self, pattern: str) -> bool:
        # Compiled when a provider first fails, which most never do.
        words = self.words
        if self.status in _QUOTING:
            words = _without_echo(words, self.body.get("messages", ()))
        return re.search(pattern, words, re.IGNORECASE | re.DOTALL) is not None

    def retryable(self, kind: FailureKind) -> RetryableError:
        return RetryableError(kind, f"{self.status}: {self.shown}", self.after)


def _without_echo(words: str, messages: Sequence[Message]) -> str:
    """Leave out what a provider quotes of the conversation: a question about lost keys is not
    a lost key."""
    said = str([message.get("content") for message in messages])
    pieces = words.split()
    kept, place = [], 0
    while place < len(pieces):
        end = place
        while end < len(pieces) and _bare(pieces[place : end + 1]) in said:
            end += 1
        if end - place >= _ECHO:
            place = end
        else:
            kept.append(pieces[place])
            place += 1
    return " ".join(kept)


def _bare(pieces: Sequence[str]) -> str:
    return " ".join(pieces).strip("'\"`.,:;()[]…")


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
    if reply.says(f"{_ACCESS}|{_NAMED}|{_RATE}|{_QUOTA}"):
        return None
    return CompletionError("bad_request", reply.message)


def _redirect(reply: Refusal) -> Exception | None:
    if not 300 <= reply.status < 400:
        return None
    hint = f"give the right URL: {reply.headers.get('location', '')}"
    return RunError(f"{reply.place} redirects, which is not followed", hint, type="redirect")


def _plain_http(reply: Refusal) -> Exception | None:
    """Recognise a server that wants TLS, as nginx, Go and Apache say it."""
    if reply.status != 400 or not reply.says(_WANTS_TLS):
        return None
    return RunError(reply.message, "write https:// in base_url", type="not_found")


def _credit(reply: Refusal) -> Exception | None:
    """Recognise an account without credit; not if the provider says when to come back."""
    if reply.status != 402 and not reply.says(_QUOTA):
        return None
    if reply.after is not None or (reply.status == 429 and reply.says(_SOON_OPEN)):
        return reply.retryable("rate_limit")
    return RunError(reply.message, "add credit to the account", type="quota")


def _passing(reply: Refusal) -> Exception | None:
    loading = reply.status in _MAY_BE_LOADING and reply.says(_LOADING)
    if loading or (reply.status >= 500 and reply.says(f"{_LOADING}|{_NOT_READY}")):
        return reply.retryable("loading")
    if reply.status == 429 or (reply.status in _MAY_BE_BUSY and reply.says(_RATE)):
        return reply.retryable("rate_limit")
    if not may_pass(reply.status):
        return None
    return reply.retryable("timeout" if reply.status == 408 else "server")


def _conversation(reply: Refusal) -> Exception | None:
    if reply.status in (400, 413, 422, 500) and reply.says(_CONTEXT) and not reply.says(_SOON_OPEN):
        return CompletionError("context_length", reply.message)
    if reply.status in (400, 403, 422, 451, 500) and reply.says(_CONTENT):
        return CompletionError("content_filter", reply.message)
    return None


def _key(reply: Refusal) -> Exception | None:
    if reply.status == 401 or reply.says(_KEY):
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
    if reply.wants is None or reply.status not in (400, 404, 422, 500, 501):
        return None
    is_json = isinstance(reply.wants, JSONReply)
    named = _JSON if is_json else _PROBABILITIES
    if reply.status == 500:  # of anything else it may be the trouble of a moment
        named = r"grammar" if is_json else r"(?!)"
    if reply.says(named) or reply.says(_ENDPOINTS):
        return RefusedParameterError(name_of(reply.wants), reply.message)
    if not is_json and "max_tokens" in reply.body and reply.says(r"max_\w*tokens"):
        return RefusedParameterError(FIRST_TOKEN_LIMIT, reply.message)
    return None


def _system(reply: Refusal) -> Exception | None:
    roles = {message.get("role") for message in reply.body.get("messages", ())}
    if reply.status not in (400, 422, 500) or not roles & {"system", "developer"}:
        return None
    return RefusedParameterError(SYSTEM_ROLE, reply.message) if reply.says(_SYSTEM) else None


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
    if not reply.says(_ENDPOINTS):
        return None
    sent = ", ".join(key for key in reply.body if key not in ("model", "messages"))
    hint = f"no provider of this model takes all of these; leave some out: {sent}"
    return RunError(reply.message, hint, type="bad_request")


def _model(reply: Refusal) -> Exception | None:
    # A path that does not exist says nothing about models; a model that does not exist is named.
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
    hint = f"is {reply.place} the right URL?"
    if is_web_page(reply.content):
        hint += " The base_url of most servers ends in /v1"
    return RunError(reply.message, hint, type="not_found")


def _parameter(reply: Refusal) -> Exception | None:
    if reply.status not in (400, 422) or not reply.says(_REFUSED):
        return None
    body, words = reply.body, reply.words
    if name := _refused(words, [key for key in OPTIONAL if key in body]):
        return RefusedParameterError(name, reply.message)
    own = {"model", "messages", *OPTIONAL}
    if name := _refused(words, [key for key in body if key not in own]):
        hint = f"{name} comes from extra_body in the config"
        return RunError(reply.message, hint, type="bad_request")
    return None


# In the order of asking.
_READINGS: tuple[Reading, ...] = (
    _of_a_known_place,
    _redirect,
    _plain_http,
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
    between = rf"(?:(?!{_ABOUT}).)"
    for name in names:
        word = rf"(?<!\w){re.escape(name)}(?!\w)"
        quoted = rf"[\"'`(]{re.escape(name)}[\"'`)]"
        near = rf"(?:{_REFUSED}){between}{{0,35}}{word}|{word}{between}{{0,25}}(?:{_REFUSED})"
        if match := re.search(rf"{quoted}|{near}", words, re.IGNORECASE):
            found.append((match.start(), name))
    return min(found)[1] if found else None
