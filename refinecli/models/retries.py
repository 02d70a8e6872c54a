"""Decide when a call is sent again: which troubles pass, how long to wait, and when to give up.

The whole policy is here. The pace (`pacing/`) decides when any request may go, including one that
is sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from refinecli.errors import CompletionError, FailureKind, OutputError, RunError, option
from refinecli.settings.urls import shown_url
from refinecli.stats.wording import plural

# The statuses by which a provider says that there is too much at once.
REFUSALS = frozenset({420, 429, 498, 503, 529})
# 424, 498 and 499 as Groq, Hugging Face and proxies use them: a dependency or capacity that fails.
_RETRIED = frozenset({408, 409, 420, 424, 425, 429, 498, 499})
_SOON = 0.1  # seconds
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0  # seconds, doubled from try to try, with jitter
# After a refusal in seconds too, but short, since the pacer makes them wait as well.
_FIRST_REFUSED, _LONGEST_REFUSED = 0.01, 4.0
# A provider that says "in an hour" has not failed for a moment; waiting would look like hanging.
_LONGEST_RETRY_AFTER = 300.0
# Nobody there at all: a server that restarts is back by then, and a wrong URL is shown soon.
_CONNECT_RETRIES = 3
# While others get through, a refused call is only unlucky; but some are refused forever, such as
# those with more tokens than are allowed a minute.
_BUSY_TIMES = 3
# A limit by the minute that is not called one opens again within 75 s: with the usual five retries.
_BUSY_SECONDS = 15.0  # for each retry
# That many calls that fail, with no success in between, are not bad luck, and half a minute is
# more than a hiccup; but a server that refuses may do so for a minute.
_OUTAGE_CALLS = 10
_OUTAGE_SECONDS, _OUTAGE_SECONDS_REFUSED = 30.0, 120.0

T = TypeVar("T")


class RetryableError(Exception):
    """A failure that may pass, after `after` seconds if the provider said so; `hint` is what to
    look at if it does not."""

    def __init__(
        self, kind: FailureKind, message: str, after: float | None = None, hint: str = ""
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.after = after
        self.hint = hint

    @property
    def takes_minutes(self) -> bool:
        """True for what opens again within minutes: a limit, or a model that is being loaded."""
        return self.kind in ("rate_limit", "loading")

    @property
    def later(self) -> float | None:
        """The seconds of `after`, unless that is at once: a second time that does not help."""
        return None if self.after is None or self.after < _SOON else self.after


def may_pass(status: int) -> bool:
    """Return whether time alone may cure the trouble of this status."""
    return status in _RETRIED or status >= 500


def backoff(tries: int, after: float | None = None) -> float:
    """Return the seconds that a request waits after its refusal number `tries`, counted from 0."""
    # Jitter is not a sample: it must differ from process to process, or they return all at once.
    spread = random.random()
    if after is not None:
        return after * (1 + spread / 4)
    return min(_FIRST_REFUSED * 2.0 ** min(tries, 30), _LONGEST_REFUSED) * (0.5 + spread)


def pause(error: RetryableError, tries: int, *, alone: bool) -> float:
    """Return the seconds before another try. Where a provider refuses some and lets others through,
    the pace sees to it; other troubles, and those of everyone, need time to pass."""
    after = error.later if tries else error.after
    if error.kind == "rate_limit" and (after is not None or not alone):
        return backoff(tries, after)
    wait = min(_FIRST_WAIT * 2.0 ** min(tries, 30), _LONGEST_WAIT) * (0.5 + random.random() / 2)
    return wait if after is None else max(wait, backoff(tries, after))


@dataclass(slots=True, eq=False)
class Health:
    """The state of one endpoint, as all calls to it have seen it, and what it means for the
    next."""

    url: str
    answered: bool = False  # with anything at all
    successes: int = 0
    _failing: int = 0  # calls that failed since the last success
    _failing_since: float = 0.0

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def succeeded(self) -> None:
        self.successes += 1
        self._failing = 0

    def heard(self) -> None:
        """Note that it answered, even if only to refuse this request: it is not gone."""
        self._failing = 0

    def failed(self, error: RetryableError, tries: int) -> None:
        """Count a call whose try number `tries` failed, from 0; raises RunError where the provider
        has answered nothing for long, or says that it will not."""
        now = asyncio.get_running_loop().time()
        if not self._failing:
            self._failing_since = now
        # Calls, not tries: a few that always fail must not end the run for all others.
        # It is not a call's fault that nobody is there.
        self._failing += tries == 0 or error.kind == "connect"
        silent = now - self._failing_since
        refused = error.takes_minutes
        patience = _OUTAGE_SECONDS_REFUSED if refused else _OUTAGE_SECONDS
        later = (error.after or 0) > _LONGEST_RETRY_AFTER
        unreachable = error.kind == "connect" and not self.answered  # `given_up` says that
        if self.is_down and not unreachable and (silent >= patience or later):
            raise RunError(
                f"{self.host} has answered nothing for {silent:.0f} s, to "
                f"{plural(self._failing, 'call')} in a row; the last one: {error}",
                "run the same command again once it is back; if it fails only these calls, "
                f"{option('policy.retries', 0)} lets them fail and the run end",
                type=error.kind,
            )

    @property
    def is_down(self) -> bool:
        """True while no call gets through."""
        return self._failing >= _OUTAGE_CALLS

    def may_retry(
        self, error: RetryableError, tries: int, retries: int, *, before: int, seconds: float
    ) -> bool:
        """Return whether a call may be tried once more, after `tries` retries within `seconds`, of
        the `retries` it has. `before` is how many successes there were when its last try began."""
        if not retries or (error.after or 0) > _LONGEST_RETRY_AFTER:
            return False
        if error.kind == "connect" and not self.answered:
            return tries < min(retries, _CONNECT_RETRIES)  # a wrong URL is shown soon
        if self.is_down:
            return True  # not this call's fault, and `failed` ends it
        if error.kind == "connect":
            back_soon = self.successes > 0 and seconds < _OUTAGE_SECONDS
            return back_soon or tries < min(retries, _CONNECT_RETRIES)
        if error.takes_minutes:
            if self.successes > before:
                return tries < retries * _BUSY_TIMES
            if error.after is None and seconds < retries * _BUSY_SECONDS:
                return True
        return tries < retries

    def given_up(self, error: RetryableError) -> CompletionError | RunError:
        """Turn a call's last failure into the error that it ends in."""
        if error.kind == "connect" and not self.answered:
            words = f"{shown_url(self.url)}: {error}"
            return RunError(words, _hint_on(str(error)), type="unreachable")
        kind = "connection" if error.kind == "connect" else error.kind
        hint = error.hint
        if not self.answered and error.kind == "connection" and self.url.startswith("http://"):
            hint = hint or "write https:// in base_url if the server speaks TLS"
        return CompletionError(kind, f"{self.host}: {error}", hint)


def _hint_on(words: str) -> str:
    """Return what to do about a server that cannot be reached."""
    upper = words.upper()
    if "CERTIFICATE" in upper:
        return "if its certificate is your own, export SSL_CERT_FILE=/path/to/ca.pem"
    if "WRONG_VERSION" in upper or "RECORD_LAYER" in upper or "HTTP_REQUEST" in upper:
        return "write http:// in base_url if the server does not speak TLS"
    return "check that the server runs, and the URL"


@dataclass(slots=True, eq=False)
class Ending:
    """The end of all sending, if it has come; calls that wait to try again learn of it at once."""

    error: RunError | OutputError | None = None
    _come: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self, error: RunError | OutputError) -> None:
        """Let nothing more be sent."""
        self.error = error
        self._come.set()

    def lift(self) -> None:
        """Let requests be sent again, for a caller that outlives an outage: the next failure shows
        whether it is over."""
        self.error = None
        self._come.clear()

    async def pause(self, seconds: float) -> None:
        """Wait for that long, or until the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._come.wait(), seconds)
        if self.error:
            raise self.error


async def retried(
    attempt: Callable[[bool], Awaitable[T]],
    health: Health,
    retries: int,
    wait: Callable[[float], Awaitable[None]],
    report: Callable[[int, float, RetryableError], None],
) -> T:
    """Return the result of an attempt, the first one or another; raise CompletionError or RunError.

    `attempt` gets True where one was made before; `report` gets the number of the next, after how
    many seconds it is made, and why.
    """
    tries = 0
    clock = asyncio.get_running_loop().time
    failed_at: float | None = None
    while True:
        before = health.successes
        try:
            return await attempt(tries > 0)
        except RetryableError as error:
            failed_at = failed_at or clock()
            health.failed(error, tries)
            seconds = clock() - failed_at
            if not health.may_retry(error, tries, retries, before=before, seconds=seconds):
                raise health.given_up(error) from None
            seconds = pause(error, tries, alone=health.successes == before)
            tries += 1
            report(tries, seconds, error)
            await wait(seconds)
