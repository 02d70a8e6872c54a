"""An endpoint and model as all roles that use them share it: what was learned of it, its pace, and
when it counts as gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from refinecli.errors import CompletionError, RunError
from refinecli.models.pacing.pacer import Pacer
from refinecli.models.reply import RefusedParameterError, RetryableError

# A provider that says "in an hour" has not failed for a moment; waiting would look like hanging.
_LONGEST_RETRY_AFTER = 300.0
# Nobody there at all: a server that restarts is back by then, and a wrong URL is told soon.
_CONNECT_RETRIES = 3
# While others get through, a refused call is only unlucky; but some are refused for ever, such as
# those with more tokens than are allowed a minute.
_BUSY_TIMES = 3
# A limit by the minute, not said to be one, opens again within 75 s: with the usual five retries.
_BUSY_SECONDS = 15.0  # for each retry
# So many calls that fail with none in between that succeeds are no accident, and half a minute is
# more than a hiccup; but who refuses may do so for a minute.
_OUTAGE_CALLS = 10
_OUTAGE_SECONDS, _OUTAGE_SECONDS_REFUSED = 30.0, 120.0
# What the newer OpenAI models call it.
_RENAMED = {"max_tokens": "max_completion_tokens"}


class Log(Protocol):
    """Where an endpoint's peculiarities and troubles are told."""

    def notice(self, text: str) -> None:
        """Something every user should know."""

    def detail(self, text: str) -> None:
        """Something for those who asked for it."""


@dataclass(slots=True)
class Connection:
    """One (URL, model, key). `place` stands for the URL in the call cache.

    `changes` are the parameters it refused: each is left out (None) or sent under another name.
    `taken` are the kinds of way to ask for more than a text that it has answered in.
    """

    url: str
    model: str
    place: str
    pacer: Pacer = field(default_factory=lambda: Pacer(1))
    rpm: float | None = None
    tpm: float | None = None
    changes: dict[str, str | None] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    _tried: dict[str, asyncio.Event] = field(default_factory=dict)
    answered: bool = False  # with anything at all
    successes: int = 0
    known: bool = False  # to have answered with this model, in this run or a cached one
    over: RunError | None = None  # why nothing more can be sent here
    _failing: int = 0  # calls that failed since the last success
    _failing_since: float = 0.0

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @asynccontextmanager
    async def trying(self, way: str) -> AsyncIterator[None]:
        """The first to ask in a way goes ahead alone: that it is refused is found out once, and not
        by every call that is in flight meanwhile."""
        if tried := self._tried.get(way):
            await tried.wait()
            yield
            return
        tried = self._tried[way] = asyncio.Event()
        try:
            yield
        finally:
            tried.set()

    def succeeded(self) -> None:
        self.successes += 1
        self.known = True
        self._failing = 0

    def heard(self) -> None:
        """It answered, if only that this request is refused: it has not gone."""
        self._failing = 0

    def failed(self, error: RetryableError, tries: int) -> None:
        """Count a call whose try number `tries` failed, from 0; raises RunError where the provider
        has answered nothing for long, or says that it will not."""
        now = asyncio.get_running_loop().time()
        if not self._failing:
            self._failing_since = now
        # Calls, not tries: a few that always fail must not end the run for all others.
        # That nobody is there is no call's fault.
        self._failing += tries == 0 or error.kind == "connect"
        silent = now - self._failing_since
        refused = error.kind == "rate_limit"
        patience = _OUTAGE_SECONDS_REFUSED if refused else _OUTAGE_SECONDS
        later = (error.after or 0) > _LONGEST_RETRY_AFTER
        unreachable = error.kind == "connect" and not self.answered  # `given_up` tells that
        if self.is_down and not unreachable and (silent >= patience or later):
            raise RunError(
                f"{self.host} has answered nothing for {silent:.0f} s, to {self._failing} calls in "
                f"a row; the last one: {error}",
                "once it is back, the same command continues; where it is there and fails these "
                "calls alone, --set policy.retries=0 lets them fail and the run end",
                type=error.kind,
            )

    @property
    def is_down(self) -> bool:
        """Whether nobody gets through."""
        return self._failing >= _OUTAGE_CALLS

    def may_retry(
        self, error: RetryableError, tries: int, retries: int, *, before: int, seconds: float
    ) -> bool:
        """Whether a call that was tried again `tries` times, of `retries`, in so many `seconds`,
        may be once more. `before` is how many successes there were when the last try began."""
        if not retries or (error.after or 0) > _LONGEST_RETRY_AFTER:
            return False
        if error.kind == "connect" and not self.answered:
            return tries < min(retries, _CONNECT_RETRIES)  # a wrong URL is told soon
        if self.is_down:
            return True  # not this call's fault, and `failed` ends it
        if error.kind == "connect":
            back_soon = self.successes > 0 and seconds < _OUTAGE_SECONDS
            return back_soon or tries < min(retries, _CONNECT_RETRIES)
        if error.kind == "rate_limit":
            if self.successes > before:
                return tries < retries * _BUSY_TIMES
            if error.after is None and seconds < retries * _BUSY_SECONDS:
                return True
        return tries < retries

    def given_up(self, error: RetryableError) -> CompletionError | RunError:
        """What a call's last failure means."""
        if error.kind == "connect" and not self.answered:
            url, hint = self.url.partition("?")[0], "is the server running, and is the URL right?"
            return RunError(f"{url}: {error}", hint, type="unreachable")
        kind = "connection" if error.kind == "connect" else error.kind
        return CompletionError(kind, f"{self.host}: {error}")

    def settle(self, refused: RefusedParameterError, sent: Mapping[str, str | None]) -> str:
        """Leave out or rename what was refused, once for all calls; what there is to say of it."""
        name = refused.name
        original = next((k for k, v in sent.items() if v == name), name)
        if self.changes.get(original, original) != name:
            return ""  # a call that was in flight at the same time settled it
        self.changes[original] = renamed = _RENAMED.get(name)
        what = f"{original} is sent as {renamed}" if renamed else f"{original} is not sent"
        return f"{self.model}: {what}: {refused}"
