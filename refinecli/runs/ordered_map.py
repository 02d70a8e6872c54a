"""Map work over a dataset, in order, bounded and cancellable: rows run side by side here alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from refinecli.errors import BudgetError, RunError

A = TypeVar("A")
B = TypeVar("B")


async def ordered_map(
    items: AsyncIterable[A],
    work: Callable[[A], Awaitable[B]],
    *,
    active: int | Places,
    window: int,
    patience: float = 0.0,
) -> AsyncGenerator[B, None]:
    """Yield the results of `work` on each item, in the items' order, each as soon as possible.

    At most `active` items are worked on at once, not counting those that rest, and at most `window`
    lie between the oldest unfinished and the newest started, which bounds memory where one item
    takes long. An error ends all work at once and is raised. After a RunError work in flight first
    has `patience` seconds to finish. A BudgetError is raised only in its item's place, so that
    items before it can still finish and come out.
    """
    started = _Started(items, work, active=active, window=window)
    feeder = asyncio.create_task(started.feed())
    try:
        while (task := await started.next()) is not None:
            yield await started.result(task)
            started.let_go(task)
        started.raise_failure()
    except BudgetError:  # what is in flight is paid for
        feeder.cancel()
        await asyncio.gather(*started.tasks, return_exceptions=True)
        raise
    except RunError:  # here too; what was not sent meets the same error
        feeder.cancel()
        if started.tasks and patience:
            await asyncio.wait(started.tasks, timeout=patience)
        raise
    finally:
        feeder.cancel()
        await started.end(feeder)


class Places:
    """The places of items that are worked on at once, by one map at a time."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.begin()

    def begin(self) -> None:
        """Have all places free: a run in waves maps several times, each in a loop of its own."""
        free = asyncio.Semaphore(self._count)
        self.take, self.give_back = free.acquire, free.release

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Give up a place while waiting for another item's result, so that others use it. After an
        error it is not taken again: that ends the work."""
        self.give_back()
        yield
        await self.take()


class _Started(Generic[A, B]):
    """The work on items that was started and not yet handed out, in the items' order."""

    def __init__(
        self,
        items: AsyncIterable[A],
        work: Callable[[A], Awaitable[B]],
        *,
        active: int | Places,
        window: int,
    ) -> None:
        self.tasks: set[asyncio.Task[B]] = set()
        self._items, self._work = items, work
        self._queue: asyncio.Queue[asyncio.Task[B] | None] = asyncio.Queue()
        self._places = active if isinstance(active, Places) else Places(active)
        self._places.begin()
        self._room = asyncio.Semaphore(window)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def feed(self) -> None:
        """Start the work on each item as soon as there is a place for it."""
        try:
            async for item in self._items:
                await self._room.acquire()
                await self._places.take()
                task = asyncio.create_task(self._run(item))
                self.tasks.add(task)
                self._queue.put_nowait(task)
        except Exception as error:
            self._fail(error)
        finally:
            self._queue.put_nowait(None)

    async def _run(self, item: A) -> B:
        try:
            return await self._work(item)
        except BudgetError:
            raise
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self._places.give_back()

    def _fail(self, error: Exception) -> None:
        if not self._failed.done():
            self._failed.set_exception(error)

    async def next(self) -> asyncio.Task[B] | None:
        """Return the oldest task, None after the last; raise as soon as anything fails."""
        # Fetching a finished task needs no waiting, which would take a task of its own.
        if not (self._queue.empty() or self._failed.done()):
            return self._queue.get_nowait()
        return await _unless(self._failed, self._queue.get())

    async def result(self, task: asyncio.Task[B]) -> B:
        return task.result() if task.done() else await _unless(self._failed, task)

    def let_go(self, task: asyncio.Task[B]) -> None:
        """Make room for another item: the task's result has been given out."""
        self.tasks.discard(task)
        self._room.release()

    def raise_failure(self) -> None:
        if self._failed.done():
            self._failed.result()

    async def end(self, feeder: asyncio.Task[None]) -> None:
        """Cancel what still runs, and wait for it."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(feeder, *self.tasks, return_exceptions=True)
        if self._failed.done():
            self._failed.exception()  # retrieved: it was raised, or another was
        self._failed.cancel()


async def _unless(failed: asyncio.Future[None], awaitable: Awaitable[A]) -> A:
    """Return the awaitable's result; raise the error in `failed` as soon as there is one."""
    future: asyncio.Future[A] = asyncio.ensure_future(awaitable)
    if not future.done():
        both: set[asyncio.Future[Any]] = {future, failed}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    if future.done():
        return future.result()
    if future is not awaitable:  # a task of ours; others may come to their end
        future.cancel()
    failed.result()
    raise AssertionError("unreachable")
