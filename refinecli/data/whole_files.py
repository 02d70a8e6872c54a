"""Read files that are held in memory as a whole, such as a config: within limits, since a name may
be that of a device or a pipe, which need not end nor begin."""

from __future__ import annotations

import errno
import io
import os
import select
from pathlib import Path

# The largest configs, rubrics and templates that people write are a hundredth of this.
_MOST_BYTES = 1 << 24
# `<(gpg -d config.gpg)` is a pipe too, and somebody types a passphrase.
_SILENT_SECONDS = 60.0
_BLOCK = 1 << 16


def read_whole(path: Path) -> bytes:
    """Return what is in a file or comes through a pipe; raise OSError where it is longer than
    anybody writes, or does not come."""
    # Opening a pipe without this waits for its writer, however long that takes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as file:
        content = bytearray()
        while block := _next(descriptor, file):
            content += block
            if len(content) > _MOST_BYTES:
                raise _too_long()
        return bytes(content)


def read_whole_text(path: Path) -> str:
    """Return the text in a file, as `read_whole` reads it, with ends of line as Python has them."""
    return io.TextIOWrapper(io.BytesIO(read_whole(path)), "utf-8-sig").read()


def read_at_most(file: io.BufferedIOBase) -> bytes:
    """Return what is in an open file; raise OSError where it is longer than anybody writes."""
    content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise _too_long()
    return content


def _next(descriptor: int, file: io.FileIO) -> bytes:
    """Return the next block; nothing at the end."""
    waiting = select.poll()  # `select` refuses the 1,024th open file, which a trainer may have
    waiting.register(descriptor, select.POLLIN)
    while True:
        if not waiting.poll(_SILENT_SECONDS * 1000):
            raise TimeoutError(
                errno.ETIMEDOUT, f"nothing came through it for {_SILENT_SECONDS:.0f} seconds"
            )
        block = file.read(_BLOCK)
        if block is not None:  # None: another reader was faster
            return block


def _too_long() -> OSError:
    """Return the error about a file that is too long."""
    return OSError(errno.EFBIG, f"it is longer than the {_MOST_BYTES >> 20} MB that are read")
