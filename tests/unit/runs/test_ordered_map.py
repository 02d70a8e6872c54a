"""The ordered map: in order, within its bounds, and nothing left running whatever ends it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.errors import BudgetError, RunError
from refinecli.runs.ordered_map import Places, ordered_map


async def numbers(count: int) -> AsyncGenerator[int, None]:
    for n in range(count):
        yield n


async def collected(
    work: Callable[[int], Awaitable[int]],
    items: int | AsyncGenerator[int, None],
    *,
    active: int | Places = 4,
    window: int = 8,
) -> list[int]:
    source = numbers(items) if isinstance(items, int) else items
    results = ordered_map(source, work, active=active, window=window)
    async with aclosing(results):
        return [result async for result in results]


@dataclass
class Gate:
    """Work that begins, then waits until it is let through."""

    begun: list[int] = field(default_factory=list)
    cancelled: list[int] = field(default_factory=list)
    running: int = 0
    most: int = 0
    events: dict[int, asyncio.Event] = field(default_factory=dict)

    def event(self, n: int) -> asyncio.Event:
        return self.events.setdefault(n, asyncio.Event())

    def let(self, ns: Iterable[int]) -> None:
        for n in ns:
            self.event(n).set()

    async def __call__(self, n: int) -> int:
        self.begun.append(n)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.event(n).wait()
        except asyncio.CancelledError:
            self.cancelled.append(n)
            raise
        finally:
            self.running -= 1
        return n


async def settled() -> None:
    """Every task has gone on as far as it can without us."""
    for _ in range(100):
        await asyncio.sleep(0)


def nothing_is_left() -> bool:
    return asyncio.all_tasks() == {asyncio.current_task()}


@given(st.permutations(range(12)), st.integers(1, 13), st.integers(1, 13))
@settings(deadline=None)
def test_results_come_in_the_items_order_whatever_the_order_of_their_ends(
    order: list[int], active: int, window: int
) -> None:
    async def main() -> None:
        gate = Gate()
        results: list[int] = []

        async def consume() -> None:
            stream = ordered_map(numbers(12), gate, active=active, window=window)
            async with aclosing(stream):
                async for result in stream:
                    results.append(result)

        consumer = asyncio.create_task(consume())
        for n in order:
            gate.let([n])
            await asyncio.sleep(0)
        await consumer
        assert results == list(range(12))
        assert gate.begun == list(range(12))
        assert gate.most <= min(active, window)
        assert nothing_is_left()

    asyncio.run(main())


def test_no_items_no_results() -> None:
    async def work(n: int) -> int:
        raise AssertionError

    assert asyncio.run(collected(work, 0)) == []


def test_no_more_than_active_are_worked_on_at_once_and_all_places_are_used() -> None:
    async def main() -> None:
        gate = Gate()
        results = asyncio.create_task(collected(gate, 10, active=3, window=10))
        await settled()
        assert gate.begun == [0, 1, 2]
        gate.let([1])
        await settled()
        assert gate.begun == [0, 1, 2, 3]
        gate.let(range(10))
        assert await results == list(range(10))
        assert gate.most == 3

    asyncio.run(main())


def test_places_serve_one_map_after_another_each_in_its_own_loop() -> None:
    async def work(item: int) -> int:
        await asyncio.sleep(0)
        return item

    async def broken(item: int) -> int:
        raise RunError("nobody answers")

    places = Places(2)
    assert asyncio.run(collected(work, 6, active=places)) == list(range(6))
    with pytest.raises(RunError):
        asyncio.run(collected(broken, 6, active=places))
    assert asyncio.run(collected(work, 6, active=places)) == list(range(6))


def test_a_slow_head_holds_up_no_more_than_a_window() -> None:
    async def main() -> None:
        gate = Gate()
        gate.let(range(1, 20))
        results = asyncio.create_task(collected(gate, 20, active=3, window=6))
        await settled()
        assert gate.begun == [0, 1, 2, 3, 4, 5]
        assert gate.running == 1
        gate.let([0])
        assert await results == list(range(20))

    asyncio.run(main())


def test_a_consumer_that_does_not_ask_stops_the_work_after_a_window() -> None:
    async def main() -> None:
        gate = Gate()
        gate.let(range(100))
        taken: list[int] = []

        async def source() -> AsyncGenerator[int, None]:
            for n in range(100):
                taken.append(n)
                yield n

        results = ordered_map(source(), gate, active=2, window=5)
        assert await anext(results) == 0
        await settled()
        assert len(gate.begun) == 5
        assert len(taken) <= 6
        assert await anext(results) == 1
        await settled()
        assert len(gate.begun) == 6
        await results.aclose()
        assert nothing_is_left()

    asyncio.run(main())


def test_a_result_is_given_while_the_source_is_still_waiting_for_the_next_item() -> None:
    async def main() -> None:
        more = asyncio.Event()

        async def source() -> AsyncGenerator[int, None]:
            yield 0
            await more.wait()
            yield 1

        async def work(n: int) -> int:
            return n

        results = ordered_map(source(), work, active=1, window=1)
        assert await anext(results) == 0
        more.set()
        assert [n async for n in results] == [1]

    asyncio.run(main())


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("error", [RunError("key refused"), OSError("disk full"), KeyError(1)])
def test_an_error_is_raised_at_once_although_the_head_is_slow(error: Exception) -> None:
    async def main() -> None:
        gate = Gate()

        async def work(n: int) -> int:
            if n == 2:
                raise error
            return await gate(n)

        with pytest.raises(type(error)) as caught:
            await collected(work, 10)
        assert caught.value is error
        assert sorted(gate.cancelled) == sorted(gate.begun)
        assert 0 in gate.cancelled
        assert nothing_is_left()

    asyncio.run(main())


def test_what_is_in_flight_may_come_to_its_end_when_the_run_is_over() -> None:
    async def main() -> None:
        gate = Gate()
        finished = []

        async def work(n: int) -> int:
            if n == 2:
                raise RunError("key refused")
            result = await gate(n)
            finished.append(n)
            return result

        results = ordered_map(numbers(3), work, active=3, window=3, patience=60)
        ending = asyncio.ensure_future(anext(results))
        await settled()
        assert not ending.done()
        gate.let([0, 1])
        with pytest.raises(RunError):
            await ending
        assert finished == [0, 1]
        assert nothing_is_left()

    asyncio.run(main())


def test_an_error_is_raised_at_once_although_no_next_item_comes() -> None:
    async def main() -> None:
        async def source() -> AsyncGenerator[int, None]:
            yield 0
            yield 1
            await asyncio.Event().wait()

        gate = Gate()
        gate.let([0])

        async def work(n: int) -> int:
            if n == 1:
                await gate.event(1).wait()
                raise RunError("key refused")
            return await gate(n)

        results = ordered_map(source(), work, active=4, window=4)
        assert await anext(results) == 0
        gate.let([1])
        with pytest.raises(RunError):
            await anext(results)
        assert nothing_is_left()

    asyncio.run(main())


def test_an_error_of_the_source_is_raised_and_ends_the_work() -> None:
    async def main() -> None:
        async def source() -> AsyncGenerator[int, None]:
            yield 0
            raise OSError("no such disk")

        gate = Gate()
        with pytest.raises(OSError, match="no such disk"):
            await collected(gate, source())
        assert gate.cancelled == gate.begun
        assert nothing_is_left()

    asyncio.run(main())


def test_a_used_up_budget_is_raised_only_after_the_items_before_it() -> None:
    async def main() -> None:
        gate = Gate()
        results: list[int] = []

        async def work(n: int) -> int:
            if n >= 3:
                raise BudgetError("used up")
            return await gate(n)

        async def consume() -> None:
            async with aclosing(ordered_map(numbers(10), work, active=4, window=8)) as stream:
                async for result in stream:
                    results.append(result)

        consumer = asyncio.create_task(consume())
        await settled()
        assert not consumer.done()
        gate.let([2, 1])
        await settled()
        assert results == []
        assert not consumer.done()
        gate.let([0])
        with pytest.raises(BudgetError):
            await consumer
        assert results == [0, 1, 2]
        assert gate.cancelled == []
        assert nothing_is_left()

    asyncio.run(main())


def test_another_error_does_not_wait_behind_a_used_up_budget() -> None:
    async def main() -> None:
        gate = Gate()

        async def work(n: int) -> int:
            if n == 1:
                raise BudgetError("used up")
            if n == 2:
                await gate.event(2).wait()
                raise RunError("key refused")
            return await gate(n)

        task = asyncio.create_task(collected(work, 3))
        await settled()
        assert not task.done()
        gate.let([2])
        with pytest.raises(RunError):
            await task
        assert nothing_is_left()

    asyncio.run(main())


# ------------------------------------------------------------------ early ends


def test_a_consumer_that_leaves_takes_all_work_along() -> None:
    async def main() -> None:
        gate = Gate()
        gate.let([0])
        async with aclosing(ordered_map(numbers(10), gate, active=3, window=5)) as results:
            async for _ in results:
                break
        assert set(gate.cancelled) == set(gate.begun) - {0}
        assert nothing_is_left()

    asyncio.run(main())


@pytest.mark.parametrize("let", [[], [0], [0, 1, 2]])
def test_cancelling_the_consumer_cancels_all_work(let: list[int]) -> None:
    async def main() -> None:
        gate = Gate()
        gate.let(let)
        task = asyncio.create_task(collected(gate, 10, active=3, window=5))
        await settled()
        assert gate.running == 3
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert gate.running == 0
        assert sorted(gate.cancelled + let) == sorted(gate.begun)
        assert nothing_is_left()

    asyncio.run(main())


def test_cancelling_a_consumer_that_waits_for_the_source_leaves_nothing() -> None:
    async def main() -> None:
        closed: list[bool] = []

        async def source() -> AsyncGenerator[int, None]:
            try:
                await asyncio.Event().wait()
                yield 0
            finally:
                closed.append(True)

        gate = Gate()

        async def consume() -> None:
            async with aclosing(ordered_map(source(), gate, active=3, window=5)) as results:
                async for _ in results:
                    pass

        task = asyncio.create_task(consume())
        await settled()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert closed == [True]
        await settled()
        assert nothing_is_left()

    asyncio.run(main())
