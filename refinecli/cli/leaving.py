"""End the process right after what has to be its last act.

The call cache of a finished run is all that shows, to the same command, that the run was complete.
A process that is killed between its removal and its exit would seem to have failed, and the next
one would find a file that "exists already". So the removal waits until everything else is done,
and nothing comes after it, not even the interpreter's own tidying up, which takes longer than many
a run.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable

from refinecli.runs.signals import SIGNALS
from refinecli.text.clean import as_line

_acts: list[Callable[[], None]] = []


def at_last(act: Callable[[], None]) -> None:
    """Have this done in the last moment of the process."""
    _acts.append(act)


def leave(code: int) -> None:
    """End the process with this exit code, if anything had to wait for the last moment."""
    if not _acts:
        return
    atexit._run_exitfuncs()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        for act in _acts:
            act()
    except OSError as error:
        print(as_line(f"error: {error.filename}: {error.strerror}"), file=sys.stderr)
        code = max(code, 3)
    os._exit(code)
