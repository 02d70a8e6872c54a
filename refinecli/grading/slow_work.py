"""Let slow work on a text continue in a thread, so that other calls do not wait for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")

# What may be done in place: most patterns and checks take microseconds.
SECONDS_AT_ONCE, CHARACTERS_AT_ONCE = 0.01, 20_000


async def in_thread(work: Callable[[], T]) -> T:
    """Return the result of the work."""
    import asyncio  # by which time it is loaded; a command that asks nobody does without

    return await asyncio.get_running_loop().run_in_executor(_thread(), work)


@cache
def _thread() -> ThreadPoolExecutor:
    """Only one, so that patterns with a time limit do not take it from each other."""
    from concurrent.futures import ThreadPoolExecutor  # as late: it brings `logging` and `queue`

    return ThreadPoolExecutor(1, "slow work")
