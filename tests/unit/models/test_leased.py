"""Starts that a limiter grants to one of several processes."""

from __future__ import annotations

import asyncio
from math import inf

from refinecli.models.leases import Starts
from refinecli.models.pacing.leased import LATE, LeasedStarts


class Limiter:
    """Grants what is asked for at once, and remembers that."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, float, float]] = []

    async def __call__(self, requests: int, tokens: float, more: float) -> Starts:
        self.asked.append((requests, tokens, more))
        return Starts(requests, delay=0.0, every=0.5, tokens=tokens)


async def leased(limiter: Limiter, requests: int, tokens: float) -> LeasedStarts:
    """Return the starts once these requests have theirs."""
    come = asyncio.Event()
    starts = LeasedStarts(limiter, come.set)
    starts.want(requests, tokens)
    await come.wait()
    return starts


def test_starts_come_one_after_the_other_and_then_never() -> None:
    async def main() -> None:
        starts = await leased(Limiter(), 2, 100.0)
        now = asyncio.get_running_loop().time()
        first = starts.free_at(now)
        assert first <= now
        starts.take(50.0)
        assert starts.free_at(now) == first + 0.5
        starts.take(50.0)
        assert starts.free_at(now) == inf

    asyncio.run(main())


def test_a_start_that_was_not_used_for_a_second_is_lost_and_its_tokens_are_given_back() -> None:
    async def main() -> None:
        limiter = Limiter()
        starts = await leased(limiter, 2, 100.0)
        first = starts.free_at(0.0)
        assert starts.free_at(first + LATE) == first
        assert starts.free_at(first + LATE + 0.1) == first + 0.5
        starts.take(70.0)  # 20 more than it was granted
        starts.want(1, 10.0)
        await asyncio.sleep(0)
        assert limiter.asked[1:] == [(1, 10.0, 20.0 - 50.0)]

    asyncio.run(main())


def test_no_more_is_leased_than_those_that_wait_lack_and_once_at_a_time() -> None:
    async def main() -> None:
        limiter = Limiter()
        starts = await leased(limiter, 2, 100.0)
        starts.want(2, 100.0)
        starts.want(3, 150.0)
        starts.want(4, 200.0)
        await asyncio.sleep(0)
        assert limiter.asked == [(2, 100.0, 0.0), (1, 50.0, 0.0)]

    asyncio.run(main())
