"""Share a terminal among the commands of a pipe: only the last draws.

In `refine | grade` both have the same standard error. A command is the last if its output is not a
pipe, or if what reads that pipe is none of ours, as in `refine | jq`. To find out, each command
locks a byte of the terminal that says what it is, and asks for the bytes of the others: locks
vanish with the process that holds them, however it ends. A pipe has the same inode at both ends,
and the commands of one pipe are one process group.
"""

from __future__ import annotations

import fcntl
import os
import stat
import termios
from contextlib import suppress

# The bytes: whoever draws now, the last command of a process group, the reader of a pipe.
_DRAWS, _LAST, _READS = 0, 1 << 40, 1 << 41
_INODES = (1 << 40) - 1
_INPUT, _OUTPUT = 0, 1


def take_place(terminal: int) -> None:
    """Say on the terminal that this command is there, until it ends."""
    if pipe := _pipe(_INPUT):
        _lock(terminal, _READS + (pipe & _INODES))
    if not _pipe(_OUTPUT):
        _lock(terminal, _LAST + os.getpgrp())


def is_last(terminal: int) -> bool:
    """Return whether no later command of the same pipe shows itself on the terminal."""
    pipe = _pipe(_OUTPUT)
    if not pipe:
        return True
    others = (_READS + (pipe & _INODES), _LAST + os.getpgrp())
    return not any(_held_by_another(terminal, byte) for byte in others)


def free_to_draw(terminal: int) -> bool:
    """Return whether this process may draw on its terminal now.

    Not in the background, nor under a pager, nor before a later command of the same pipe; and only
    one process at a time, which holds a lock until it stops.
    """
    try:
        if os.tcgetpgrp(terminal) != os.getpgrp():
            stop_drawing(terminal)
            return False
    except OSError:  # not the terminal that we were started from, so nobody draws on it
        pass
    if not is_last(terminal):
        stop_drawing(terminal)
        return False
    try:
        line_by_line = termios.tcgetattr(terminal)[3] & termios.ICANON
        fcntl.lockf(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _DRAWS)
    except (BlockingIOError, PermissionError):
        return False
    except (OSError, termios.error):  # not every system can lock a terminal
        return True
    return bool(line_by_line)


def stop_drawing(terminal: int) -> None:
    """Let others draw."""
    with suppress(OSError):
        fcntl.lockf(terminal, fcntl.LOCK_UN, 1, _DRAWS)


def another_draws(terminal: int) -> bool:
    """Return whether the bar of another process is on the terminal."""
    return _held_by_another(terminal, _DRAWS)


def _pipe(descriptor: int) -> int:
    """Return the inode of the pipe that this is; 0 for anything else."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return 0
    return found.st_ino if stat.S_ISFIFO(found.st_mode) else 0


def _lock(terminal: int, byte: int) -> None:
    with suppress(OSError):  # not every system can lock a terminal
        fcntl.lockf(terminal, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)


def _held_by_another(terminal: int, byte: int) -> bool:
    """Return whether another process has locked the byte; a shared lock disturbs none who asks."""
    try:
        fcntl.lockf(terminal, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, byte)
    except (BlockingIOError, PermissionError):
        return True
    except OSError:
        return False
    fcntl.lockf(terminal, fcntl.LOCK_UN, 1, byte)
    return False
