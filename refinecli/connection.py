"""An endpoint and model as all roles that use them share it: what was learned of it, its pace, and
when it counts as gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from refinecli.errors import CompletionError, RunError
from refinecli.pacing import Pacer
from refinecli.replies import RefusedParameterError, RetryableError

# A provider that says "in an hour" has not failed for a moment; waiting would look like hanging.
_LONGEST_RETRY_AFTER = 300.0
# Nobody there at all: a server that restarts is back by then, and a wrong URL is told soon.
_CONNECT_RETRIES = 3
# While others get through, a refused call is only unlucky; but some are refused for ever, such as
# those with more tokens than are allowed a minute.
_BUSY_TIMES = 3
# Half a minute is more than a hiccup, and so many failures in a row are no accident.
_OUTAGE_SECONDS, _OUTAGE_FAILURES = 30.0, 20
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
    """

    url: str
    model: str
    place: str
    pacer: Pacer
    changes: dict[str, str | None] = field(default_factory=dict)
    answered: bool = False  # with anything at all
    successes: int = 0
    _failures: int = 0  # since the last success
    _well_at: float | None = None  # the last success, or else the first failure

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def succeeded(self) -> None:
        self.successes += 1
        self._failures = 0
        self._well_at = asyncio.get_running_loop().time()

    def failed(self, error: RetryableError) -> None:
        """Count a failed try; raises RunError where the provider has answered nothing for long, or
        says that it will not."""
        now = asyncio.get_running_loop().time()
        if self._well_at is None:
            self._well_at = now
        self._failures += 1
        silent = now - self._well_at
        later = (error.after or 0) > _LONGEST_RETRY_AFTER
        if self._failures >= _OUTAGE_FAILURES and (silent >= _OUTAGE_SECONDS or later):
            raise RunError(
                f"{self.host} has answered nothing for {silent:.0f} s, {self._failures} tries in a "
                f"row; the last one: {error}",
                "once it is back, the same command continues",
                type=error.kind,
            )

    def may_retry(self, error: RetryableError, tries: int, retries: int, before: int) -> bool:
        """Whether a call that was tried again `tries` times, of `retries`, may be once more.
        `before` is how many successes there were when the last try began."""
        if not retries or (error.after or 0) > _LONGEST_RETRY_AFTER:
            return False
        if self._failures >= _OUTAGE_FAILURES:
            return True  # nobody gets through: not this call's fault, and `failed` ends it
        if error.kind == "connect":
            retries = min(retries, _CONNECT_RETRIES)
        elif error.kind == "rate_limit" and self.successes > before:
            retries *= _BUSY_TIMES
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
