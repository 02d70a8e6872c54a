"""Copy a call cache that is being written to."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path


def copy_of_moment(cache: Path, copy: Path) -> None:
    """Write a cache as it is at one moment to a new file."""
    copy.unlink(missing_ok=True)
    with closing(sqlite3.connect(cache)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log next to it
