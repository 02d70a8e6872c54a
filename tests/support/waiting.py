"""Waiting for what nobody announces, in small steps and never by a guess of how long it takes."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable
from typing import IO


def wait_until(comes: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not comes():
        assert time.monotonic() < deadline, "it did not come within a minute"
        time.sleep(0.02)


def is_free(file: IO[str]) -> bool:
    """Return whether nobody locks the file, as a process that is dead does not."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
