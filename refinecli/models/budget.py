"""Limit what may be sent: requests in flight over all endpoints, and a run's total spending."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

    def above(self, other: Amount) -> Amount | None:
        """Return what of each kind this is more than the other; None where that is nothing."""
        calls, tokens, cost = self.calls, self.tokens, self.cost
        more = (calls - other.calls, tokens - other.tokens, cost - other.cost)
        return Amount(*(max(0, kind) for kind in more)) if max(more) > 0 else None

    def beyond(self, most: Amount, of: Amount | None = None) -> str:
        """Mention the option for the first kind of which this is more than `most`, which may be a
        part `of` what the option says."""
        whole = of or most
        if self.calls > most.calls:
            return option("max_calls", f"{whole.calls:g}")
        if self.tokens > most.tokens:
            return option("max_total_tokens", f"{whole.tokens:g}")
        # A sum of many prices is off by rounding.
        over = self.cost > most.cost * (1 + 1e-9)
        return option("max_cost", f"{whole.cost:g}") if over else ""


UNLIMITED = Amount(inf, inf, inf)


class Limits:
    """Limits shared by everything that sends in one run: `concurrency` places, and a budget, of
    which all may be spent at once, or what `more` grants little by little."""

    def __init__(
        self,
        concurrency: int,
        budget: Amount = UNLIMITED,
        more: Callable[[Amount], Awaitable[Amount]] | None = None,
    ) -> None:
        self.concurrency = concurrency
        self.places = asyncio.Semaphore(concurrency)
        self.traffic = Traffic()
        self.budget = budget
        self._more = more
        self._granted = budget if more is None else Amount()
        self._granting = asyncio.Lock()
        self._spent = Amount()
        self._reserved = Amount()
        self._reservations = 0
        self._settled = asyncio.Event()
        self._counts = budget != UNLIMITED

    @property
    def left(self) -> Amount:
        """The amount that is neither spent nor reserved."""
        return self._granted - self._spent - self._reserved

    @property
    def unused(self) -> Amount:
        """The amount that was granted and not spent."""
        return self._granted - self._spent

    async def reserve(self, estimate: Callable[[Amount], Amount]) -> Reservation:
        """Set aside what a request may take, given what is left, waiting for others that may take
        less than they reserved; raise BudgetError where even then it would be too much."""
        if not self._counts:
            return Reservation(self, Amount())
        while (self._spent + self._reserved + (wanted := estimate(self.left))).beyond(
            self._granted
        ):
            if await self._grants_more(wanted):
                continue
            if allowed := (self._spent + wanted).beyond(self._granted, of=self.budget):
                enough = "is used up" if "calls" in allowed else "is not enough for one more call"
                raise BudgetError(f"{allowed} {enough}")
            self._settled.clear()
            await self._settled.wait()
        self._reserved += wanted
        self._reservations += 1
        return Reservation(self, wanted)

    async def _grants_more(self, wanted: Amount) -> bool:
        """Ask for what is lacking, and return whether there is more now. Requests in flight take
        a call each, but may take fewer tokens than they reserved: those are waited for."""
        if self._more is None:
            return False
        before = self._granted
        async with self._granting:
            if self._granted == before:
                need = self._spent + wanted + Amount(calls=self._reserved.calls)
                if lacking := need.above(self._granted):
                    self._granted += await self._more(lacking)
            return self._granted != before

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
