"""The only dataset-level concurrency: an ordered, bounded, cancellable map."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from typing import Any, TypeVar

from refinecli.errors import BudgetError, RunError

A = TypeVar("A")
B = TypeVar("B")


async def ordered_map(
    items: AsyncIterable[A],
    work: Callable[[A], Awaitable[B]],
    *,
    active: int,
    window: int,
    patience: float = 0.0,
) -> AsyncGenerator[B, None]:
    """Yield the results of `work` on each item, in the items' order, each as soon as possible.

    At most `active` items are worked on at once, and at most `window` lie between the oldest
    unfinished and the newest started, which bounds memory where one item takes long. An error ends
    all work at once and is raised; after a RunError what is in flight has `patience` seconds to
    come to its end first; a BudgetError is raised only in its item's place, so that the items
    before it, which may still be finished, come out.
    """
    started: asyncio.Queue[asyncio.Task[B] | None] = asyncio.Queue()
    workers, room = asyncio.Semaphore(active), asyncio.Semaphore(window)
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tasks: set[asyncio.Task[B]] = set()

    async def run(item: A) -> B:
        try:
            return await work(item)
        except BudgetError:
            raise
        except Exception as error:
            if not failed.done():
                failed.set_exception(error)
            raise
        finally:
            workers.release()

    async def feed() -> None:
        try:
            async for item in items:
                await room.acquire()
                await workers.acquire()
                task = asyncio.create_task(run(item))
                tasks.add(task)
                started.put_nowait(task)
        except Exception as error:
            if not failed.done():
                failed.set_exception(error)
        finally:
            started.put_nowait(None)

    feeder = asyncio.create_task(feed())
    try:
        while True:
            # Fetching what is there already needs no waiting, which would take a task of its own.
            ready = not (started.empty() or failed.done())
            task = started.get_nowait() if ready else await _unless(failed, started.get())
            if task is None:
                break
            yield task.result() if task.done() else await _unless(failed, task)
            tasks.discard(task)
            room.release()
        if failed.done():
            failed.result()
    except BudgetError:  # what is in flight is paid for
        feeder.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    except RunError:  # here too; what was not sent meets the same error
        feeder.cancel()
        if tasks and patience:
            await asyncio.wait(tasks, timeout=patience)
        raise
    finally:
        feeder.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(feeder, *tasks, return_exceptions=True)
        if failed.done():
            failed.exception()  # it was raised, or something else was: either way it is known
        failed.cancel()


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
