"""Limit what may be sent: requests in flight over all endpoints, and a run's total spending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from types import TracebackType

from refinecli.errors import BudgetError, option
from refinecli.models.traffic import Traffic
from refinecli.types import Usage


@dataclass(frozen=True, slots=True)
class Amount:
    """Calls, tokens and money that are spent, wanted, or allowed."""

    calls: float = 0
    tokens: float = 0
    cost: float = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.cost - other.cost)

    def beyond(self, most: Amount) -> str:
        """Mention the option for the first kind of which this is more than `most`."""
        if self.calls > most.calls:
            return option("max_calls", f"{most.calls:g}")
        if self.tokens > most.tokens:
            return option("max_total_tokens", f"{most.tokens:g}")
        # A sum of many prices is off by rounding.
        over = self.cost > most.cost * (1 + 1e-9)
        return option("max_cost", f"{most.cost:g}") if over else ""


UNLIMITED = Amount(inf, inf, inf)


class Limits:
    """Limits shared by everything that sends in one run: `concurrency` places, and a budget."""

    def __init__(self, concurrency: int, budget: Amount = UNLIMITED) -> None:
        self.concurrency = concurrency
        self.places = asyncio.Semaphore(concurrency)
        self.traffic = Traffic()
        self.budget = budget
        self._spent = Amount()
        self._reserved = Amount()
        self._reservations = 0
        self._settled = asyncio.Event()
        self._counts = budget != UNLIMITED

    @property
    def left(self) -> Amount:
        """The amount that is neither spent nor reserved."""
        return self.budget - self._spent - self._reserved

    async def reserve(self, estimate: Callable[[Amount], Amount]) -> Reservation:
        """Set aside what a request may take, given what is left, waiting for others that may take
        less than they reserved; raise BudgetError where even then it would be too much."""
        if not self._counts:
            return Reservation(self, Amount())
        while (self._spent + self._reserved + (wanted := estimate(self.left))).beyond(self.budget):
            if allowed := (self._spent + wanted).beyond(self.budget):
                enough = "is used up" if "calls" in allowed else "is not enough for one more call"
                raise BudgetError(f"{allowed} {enough}")
            self._settled.clear()
            await self._settled.wait()
        self._reserved += wanted
        self._reservations += 1
        return Reservation(self, wanted)

    def count(self, usage: Usage, cost: float | None) -> None:
        """Add what a reply says it took to the figures that people see."""
        self.traffic.prompt_tokens += usage.prompt_tokens
        self.traffic.completion_tokens += usage.completion_tokens
        if cost is None:
            self.traffic.unpriced += 1
        else:
            self.traffic.cost = (self.traffic.cost or 0) + cost

    def settle(self, reserved: Amount, took: Amount) -> None:
        if not self._counts:
            return
        self._reservations -= 1
        # The dust of adding floats must not keep the last request waiting.
        self._reserved = self._reserved - reserved if self._reservations else Amount()
        self._spent += took
        self._settled.set()


class Reservation:
    """A reservation around one request; at the end of the block only what it `took` counts."""

    def __init__(self, limits: Limits, reserved: Amount) -> None:
        self._limits = limits
        self._reserved = reserved
        self.took = Amount()

    def __enter__(self) -> Reservation:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._limits.settle(self._reserved, self.took)
