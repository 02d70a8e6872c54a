"""End the process, and not by way of the interpreter's own tidying up, which takes longer than many
a run; do last what has to be the last act.

The call cache of a finished run is all that shows, to the same command, that the run was complete.
A process that is killed between its removal and its exit would seem to have failed, and the next
one would find a file that "exists already". So the removal waits until everything else is done,
and nothing comes after it.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

from refinecli.text.clean import as_line

_acts: list[Callable[[], None]] = []


def at_last(act: Callable[[], None]) -> None:
    """Have this done in the last moment of the process."""
    _acts.append(act)


def leave(code: int) -> NoReturn:
    """End the process with this exit code, after what had to wait for the last moment."""
    atexit._run_exitfuncs()
    if _acts:
        code = max(code, _last_acts())
    os._exit(code)


def _last_acts() -> int:
    """Do what had to wait, whole even if a signal comes; return 0, or the exit code of an error."""
    from refinecli.runs.signals import SIGNALS

    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        for act in _acts:
            act()
    except OSError as error:
        print(as_line(f"error: {error.filename}: {error.strerror}"), file=sys.stderr)
        return 3
    return 0
