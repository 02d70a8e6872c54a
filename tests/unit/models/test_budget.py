"""Budgets: nothing is sent that could go beyond them, and nothing is held back that need not be."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.errors import BudgetError
from refinecli.models.budget import Amount, Limits


def spend(limits: Limits, wanted: Amount, took: Amount) -> None:
    async def main() -> None:
        with await limits.reserve(lambda left: wanted) as reservation:
            reservation.took = took

    asyncio.run(main())


def test_a_used_up_budget_names_its_option() -> None:
    for most, option in (
        (Amount(1, inf, inf), "max_calls=1 is used up"),
        (Amount(inf, 10, inf), "max_total_tokens=10 is not enough"),
        (Amount(inf, inf, 0.5), "max_cost=0.5 is not enough"),
    ):
        limits = Limits(1, most)
        spend(limits, Amount(1, 10, 0.5), Amount(1, 10, 0.5))
        with pytest.raises(BudgetError, match=option):
            spend(limits, Amount(1, 1, 0.1), Amount())


def test_what_was_reserved_and_not_taken_can_be_spent_by_others() -> None:
    limits = Limits(1, Amount(inf, 10, inf))
    for _ in range(5):
        spend(limits, Amount(1, 5), Amount(1, 1))
    with pytest.raises(BudgetError):
        spend(limits, Amount(1, 6), Amount())


def test_a_request_waits_for_others_that_may_take_less_than_they_reserved() -> None:
    async def main() -> None:
        limits = Limits(2, Amount(inf, 10, inf))
        with await limits.reserve(lambda left: Amount(1, 8)) as first:
            waiting = asyncio.ensure_future(limits.reserve(lambda left: Amount(1, 8)))
            await asyncio.sleep(0)
            assert not waiting.done()
            first.took = Amount(1, 2)
        with await waiting:
            pass

    asyncio.run(main())


def test_all_that_is_left_can_be_reserved_so_that_one_goes_at_a_time() -> None:
    async def main() -> None:
        limits = Limits(2, Amount(inf, 100, inf))

        def everything(left: Amount) -> Amount:
            return Amount(1, max(1.0, left.tokens))

        with await limits.reserve(everything) as first:
            second = asyncio.ensure_future(limits.reserve(everything))
            await asyncio.sleep(0)
            assert not second.done()
            first.took = Amount(1, 5)
        with await second:
            assert limits.left.tokens == 0

    asyncio.run(main())


@given(
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), max_size=30),
    st.integers(1, 8),
)
def test_no_budget_is_ever_exceeded_by_requests_that_take_no_more_than_they_reserved(
    most: int, requests: list[tuple[int, float]], side_by_side: int
) -> None:
    spent = 0.0

    async def main() -> None:
        limits, places = Limits(1, Amount(inf, most, inf)), asyncio.Semaphore(side_by_side)

        async def request(wanted: int, share: float) -> None:
            nonlocal spent
            async with places:
                with await limits.reserve(lambda left: Amount(1, wanted)) as reservation:
                    await asyncio.sleep(0)
                    reservation.took = Amount(1, wanted * share)
                    spent += wanted * share

        await asyncio.wait_for(
            asyncio.gather(*(request(*r) for r in requests), return_exceptions=True), 10
        )

    asyncio.run(main())
    assert spent <= most + 1e-6
