"""Do equal work once: what is in flight is shared, and the latest results that are worth keeping
are given out again."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# More than a batch of any trainer, so that a request that is repeated after a timeout is free.
_KEPT = 4096


class Shared(Generic[T]):
    """Results by their keys, in one event loop. One that is not worth keeping, such as a response
    that stayed ungraded, is worked on again when it is next asked for."""

    def __init__(self, worth_keeping: Callable[[T], bool], most: int = _KEPT) -> None:
        self._worth_keeping = worth_keeping
        self._most = most
        self._in_flight: dict[Hashable, asyncio.Task[T]] = {}
        self._results: OrderedDict[Hashable, T] = OrderedDict()
        self.shared = 0  # times that a result was given out without work

    async def once(self, key: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result for the key, of this `work` or of an equal one. Who goes away does not
        end the work: it is paid for, and another may wait for it."""
        if key in self._results:
            self._results.move_to_end(key)
            self.shared += 1
            return self._results[key]
        if key in self._in_flight:
            self.shared += 1
        else:
            task = self._in_flight[key] = asyncio.create_task(work())
            task.add_done_callback(partial(self._done, key))
        return await asyncio.shield(self._in_flight[key])

    def _done(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._in_flight[key]
        if task.cancelled() or task.exception() is not None:
            return
        if self._worth_keeping(task.result()):
            self._results[key] = task.result()
            if len(self._results) > self._most:
                self._results.popitem(last=False)
