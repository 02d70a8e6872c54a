"""A folder on a node's own disk for as long as one shard runs there."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

_PREFIX = "refinecli-shard-"
_LOCK = "lock"  # held by the process that works there; a process id may be another's by then


@contextmanager
def node_folder() -> Iterator[Path]:
    """Provide a folder that goes at the end, and delete those of processes that were killed: each
    holds a whole call cache."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        begun = folder / f"{_LOCK}.begun"
        with begun.open("wb") as lock:
            with suppress(OSError):  # some file systems have no locks; then nothing is swept there
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                begun.rename(folder / _LOCK)  # it is never seen without its lock
            yield folder


def _sweep(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        with suppress(OSError), (folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            rmtree(folder, ignore_errors=True)
