"""Let signals end the work of a command in order."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):  # noqa: N818 - it is not an error
    """A signal ended the run; `code` is the exit code that says so."""

    def __init__(self, number: int) -> None:
        super().__init__("interrupted" if number == signal.SIGINT else "terminated")
        self.code = 128 + number


def execute(main: Coroutine[Any, Any, None]) -> None:
    """Run to the end. The first SIGINT or SIGTERM cancels the work, which may tidy up, and raises
    Interrupted; the second ends the process at once."""
    caught: list[int] = []

    async def runner() -> None:
        task = asyncio.ensure_future(main)

        def on_signal(number: int) -> None:
            if caught:
                os._exit(128 + number)
            caught.append(number)
            task.cancel()

        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
        await task

    try:
        asyncio.run(runner())
    except asyncio.CancelledError:
        raise Interrupted(caught[0] if caught else signal.SIGINT) from None


@contextmanager
def raised() -> Iterator[None]:
    """Raise Interrupted at the first SIGINT or SIGTERM, in work that has no event loop."""

    def on_signal(number: int, _: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        raise Interrupted(number)

    before = {number: signal.signal(number, on_signal) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
