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
LONGEST_RETRY_AFTER = 300.0
# Nobody there at all: a server that restarts is back by then, and a wrong URL is told soon.
_CONNECT_RETRIES = 3
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
        """Count a failed try; raises RunError where the provider has answered nothing for long."""
        now = asyncio.get_running_loop().time()
        if self._well_at is None:
            self._well_at = now
        self._failures += 1
        silent = now - self._well_at
        if self._failures >= _OUTAGE_FAILURES and silent >= _OUTAGE_SECONDS:
            raise RunError(
                f"{self.host} has answered nothing for {silent:.0f} s, {self._failures} tries in a "
                f"row; the last one: {error}",
                "once it is back, the same command continues",
                type=error.kind,
            )

    def may_retry(self, error: RetryableError, tries: int, retries: int, before: int) -> bool:
        """Whether to try again after so many `tries`, of `retries` that a call has. `before` is
        how many successes there were when this try began."""
        if error.after is not None and error.after > LONGEST_RETRY_AFTER:
            return False
        if retries == 0:
            return False
        if error.kind == "rate_limit" and self.successes > before:
            return True  # it is only busy: others get through
        if self._failures >= _OUTAGE_FAILURES:
            return True  # nobody gets through: not this call's fault, and `failed` ends it
        if error.kind == "connect":
            retries = min(retries, _CONNECT_RETRIES)
        return tries < retries

    def given_up(self, error: RetryableError, before: int) -> CompletionError | RunError:
        """What a call's last failure means."""
        url = self.url.partition("?")[0]
        if error.kind == "connect" and not self.answered:
            return RunError(
                f"{url}: {error}",
                "is the server running, and is the URL right?",
                type="unreachable",
            )
        if (error.after or 0) > LONGEST_RETRY_AFTER and self.successes == before:
            hint = "then the same command continues"
            return RunError(
                f"{self.host}: {error} (for {error.after:.0f} s)", hint, type=error.kind
            )
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
