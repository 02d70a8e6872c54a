"""Starts of requests that a limiter has granted, which other processes ask too."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from math import inf

from refinecli.models.leases import Starts

# Seconds after which a start that was not used is lost. The limiter's rate allows for it.
LATE = 1.0

Ask = Callable[[int, float, float], Awaitable[Starts]]


class LeasedStarts:
    """The starts that one pacer may use. `ask` leases more, `wake` is called when some have
    come."""

    def __init__(self, ask: Ask, wake: Callable[[], None]) -> None:
        self._ask = ask
        self._wake = wake
        self._starts: deque[tuple[float, float]] = deque()  # from when on, and tokens
        self._asking: asyncio.Task[None] | None = None
        self._more = 0.0  # tokens taken beyond those leased, not reported yet

    def free_at(self, now: float) -> float:
        """Return from when on the next request may start: never, until more have come."""
        while self._starts and self._starts[0][0] < now - LATE:
            self._more -= self._starts.popleft()[1]
        return self._starts[0][0] if self._starts else inf

    def take(self, tokens: float) -> None:
        """Use the next start for a request of these tokens."""
        self._more += tokens - self._starts.popleft()[1]

    def correct(self, tokens: float) -> None:
        """Note that a request took more tokens than was expected."""
        self._more += tokens

    def want(self, requests: int, tokens: float) -> None:
        """Lease starts for requests that wait, unless that is being done."""
        lacking = requests - len(self._starts)
        if lacking > 0 and self._asking is None:
            self._asking = asyncio.ensure_future(self._lease(lacking, tokens / requests * lacking))
            self._asking.add_done_callback(self._came)

    async def _lease(self, requests: int, tokens: float) -> None:
        more, self._more = self._more, 0.0
        granted = await self._ask(requests, tokens, more)
        first = asyncio.get_running_loop().time() + granted.delay
        each = granted.tokens / granted.requests
        self._starts.extend((first + n * granted.every, each) for n in range(granted.requests))

    def _came(self, task: asyncio.Task[None]) -> None:
        self._asking = None
        # A limiter that is gone ends the run by other ways; nothing more starts until then.
        if not task.cancelled() and task.exception() is None:
            self._wake()
