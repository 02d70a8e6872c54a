"""How much may be sent: requests in flight, and in all."""

from __future__ import annotations

import asyncio

from refinecli.errors import BudgetError


class Limits:
    """Shared by everything that sends in one run.

    `async with limits:` holds one of `concurrency` places; `spend` counts one request before it is
    sent and raises BudgetError instead of letting one more than `max_calls` through.
    """

    def __init__(self, concurrency: int, max_calls: int | None = None) -> None:
        self.concurrency = concurrency
        self._places = asyncio.Semaphore(concurrency)
        self._max_calls = max_calls
        self.sent = 0
        self.in_flight = 0

    def spend(self) -> None:
        if self._max_calls is not None and self.sent >= self._max_calls:
            raise BudgetError(
                f"--max-calls {self._max_calls} is used up",
                "run it again with a higher --max-calls",
            )
        self.sent += 1

    async def __aenter__(self) -> None:
        await self._places.acquire()
        self.in_flight += 1

    async def __aexit__(self, *_: object) -> None:
        self.in_flight -= 1
        self._places.release()
