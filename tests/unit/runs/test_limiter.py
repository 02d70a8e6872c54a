"""The limiter of a cluster: limits hold for all workers together, and nothing is wasted."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from functools import partial
from math import inf

import pytest

from refinecli.errors import BudgetError
from refinecli.models.budget import Amount, Limits
from refinecli.models.leases import Pace, Starts
from refinecli.models.pacing.pacer import Pacer
from refinecli.models.traffic import Traffic
from refinecli.runs.cluster.limiter import Beat, Limiter
from tests.support.pacing import clock, run

TRANSIT = 0.02  # seconds from a worker to the limiter, and back


async def worker(
    limiter: Limiter, pace: Pace, requests: int, tokens: int, sent: list[float], took: int
) -> None:
    """Send requests through a pacer of its own, as a shard does."""

    async def lease(requests: int, tokens: float, more: float) -> Starts:
        await asyncio.sleep(TRANSIT)
        starts = await limiter.starts(pace, requests, tokens, more)
        await asyncio.sleep(TRANSIT)
        return starts

    pacer = Pacer(64, lease=lease)

    async def one() -> None:
        turn = await pacer.admit(tokens)
        sent.append(clock())
        await asyncio.sleep(0.5)
        turn.succeeded(tokens=took)

    await asyncio.gather(*(one() for _ in range(requests)))


def job(pace: Pace, workers: int, requests: int, tokens: int = 10, took: int = 10) -> list[float]:
    """Return when requests were sent, of so many workers that share them."""

    async def main() -> list[float]:
        sent: list[float] = []
        limiter = Limiter(Amount(inf, inf, inf), workers, clock)
        await asyncio.gather(
            *(
                worker(limiter, pace, requests // workers, tokens, sent, took)
                for _ in range(workers)
            )
        )
        return sorted(sent)

    return run(main())


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("rpm", [60, 300])
def test_a_limit_is_used_up_and_kept_to_by_any_number_of_workers(workers: int, rpm: int) -> None:
    sent = job(Pace("p", rpm, None), workers, requests=2 * rpm)
    assert sent[-1] <= 1.1 * 120
    busiest = max(bisect_left(sent, at + 60) - n for n, at in enumerate(sent))
    assert busiest <= rpm


@pytest.mark.parametrize("took", [50, 100, 200])
def test_tokens_count_by_what_replies_took(took: int) -> None:
    sent = job(Pace("p", None, 15_000), 2, requests=250, tokens=100, took=took)
    assert took - 8 <= sent[-1] <= 1.1 * took


def test_another_endpoint_has_a_pace_of_its_own() -> None:
    async def main() -> None:
        limiter = Limiter(Amount(inf, inf, inf), 2, clock)
        for name in ("one", "other"):
            starts = await limiter.starts(Pace(name, 60, None), 50, 0, 0)
            assert (starts.requests, starts.delay) == (1, 0)

    run(main())


# ------------------------------------------------------------------ budgets


async def spending(limits: Limits, estimated: Amount, took: Amount) -> int:
    """Spend until the budget says no; return the number of calls."""
    calls = 0

    async def one() -> None:
        nonlocal calls
        with await limits.reserve(lambda left: estimated) as reservation:
            calls += 1
            await asyncio.sleep(0.1)
            reservation.took = took

    while True:
        done = await asyncio.gather(*(one() for _ in range(16)), return_exceptions=True)
        if any(isinstance(result, BudgetError) for result in done):
            return calls


@pytest.mark.parametrize(
    ("budget", "estimated", "took", "most"),
    [
        (Amount(100, inf, inf), Amount(1, 10, 0.1), Amount(1, 10, 0.1), 100),
        (Amount(inf, 10_000, inf), Amount(1, 200), Amount(1, 100), 100),
        (Amount(inf, inf, 10), Amount(1, 0, 0.2), Amount(1, 0, 0.1), 100),
    ],
)
def test_workers_never_spend_more_than_the_budget_and_leave_little_of_it(
    budget: Amount, estimated: Amount, took: Amount, most: int
) -> None:
    async def main() -> int:
        limiter = Limiter(budget, 3, clock)

        async def shard() -> int:
            limits = Limits(16, budget, limiter.amount)
            calls = await spending(limits, estimated, took)
            await limiter.give_back(limits.unused)
            return calls

        return sum(await asyncio.gather(*(shard() for _ in range(3))))

    assert 0.85 * most <= run(main()) <= most


def test_a_used_up_budget_is_named_as_it_was_given() -> None:
    async def main() -> None:
        limits = Limits(1, Amount(40, inf, inf), Limiter(Amount(40, inf, inf), 4, clock).amount)
        for _ in range(40):
            with await limits.reserve(lambda left: Amount(1)) as reservation:
                reservation.took = Amount(1)
        with pytest.raises(BudgetError, match="max_calls=40 is used up"):
            await limits.reserve(lambda left: Amount(1))

    run(main())


# ------------------------------------------------------------------ progress


def test_what_a_dead_attempt_sent_counts_and_its_ghost_is_stopped() -> None:
    async def main() -> None:
        limiter = Limiter(Amount(inf, inf, inf), 2, clock)
        beat = partial(limiter.beat)
        assert await beat(Beat(1, 1, "a", 5, Traffic(sent=10, in_flight=3)))
        assert await beat(Beat(1, 2, "b", 4, Traffic(sent=7, in_flight=2, replayed=6), ("hello",)))
        assert not await beat(Beat(1, 1, "a", 6, Traffic(sent=12, in_flight=1)))
        assert await beat(Beat(2, 1, "a", 1, Traffic(sent=1)))
        state = await limiter.state()
        assert (state.finished, state.notices, state.host) == (5, ("hello",), {1: "b", 2: "a"})
        assert (state.traffic.sent, state.traffic.in_flight) == (20, 2)
        assert state.traffic.replayed == 6
        await limiter.stop()
        assert not await beat(Beat(2, 1, "a", 1, Traffic(sent=1)))

    run(main())
