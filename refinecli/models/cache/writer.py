"""Write the call cache in a thread: everything that has gathered, in one statement."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from refinecli.errors import OutputError
from refinecli.models.cache.file import in_our_words

_MOST_AT_ONCE = 200  # times four parameters stays below SQLite's oldest limit of 999


class Statement(NamedTuple):
    """One statement of SQL, for which nobody waits."""

    sql: str
    parameters: tuple[object, ...]


class NewReply(NamedTuple):
    """A row of the table of replies; `stored` is done once it is on disk."""

    key: bytes
    run: int
    row: str | None
    reply: str | bytes
    stored: asyncio.Future[None]


class Writer:
    """One thread that writes, and wakes everyone who waits for the disk together.

    One statement is one transaction, and SQLite runs it without Python's lock; row by row, the
    thread would wait for that lock each time, milliseconds long while the event loop is busy.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._queue: queue.SimpleQueue[NewReply | Statement | threading.Event | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="call cache", daemon=True)
        self._thread.start()

    def put(self, entry: NewReply | Statement) -> None:
        self._queue.put(entry)

    def flush(self) -> None:
        """Return once everything queued before is written, as far as it could be."""
        done = threading.Event()
        self._queue.put(done)
        done.wait()

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while True:
            entries = [self._queue.get()]
            while len(entries) < _MOST_AT_ONCE:
                try:
                    entries.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            replies = [entry for entry in entries if isinstance(entry, NewReply)]
            error = self._write(replies, [e for e in entries if isinstance(e, Statement)])
            if replies:
                _wake([reply.stored for reply in replies], error)
            for entry in entries:
                if isinstance(entry, threading.Event):
                    entry.set()
            if None in entries:
                return

    def _write(
        self, replies: Sequence[NewReply], statements: Sequence[Statement]
    ) -> Exception | None:
        try:
            with in_our_words(self._path, OutputError):
                if replies:
                    values = ",".join(["(?,?,?,?)"] * len(replies))
                    self._connection.execute(
                        f"INSERT OR IGNORE INTO replies VALUES {values}",
                        [part for r in replies for part in (r.key, r.run, r.row, r.reply)],
                    )
                for sql, parameters in statements:
                    self._connection.execute(sql, parameters)
        except Exception as error:
            return error
        return None


def _wake(waiting: list[asyncio.Future[None]], error: Exception | None) -> None:
    def settle() -> None:
        for future in waiting:
            if future.done():  # its caller was cancelled
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    # The loop may be closed by now: then nobody waits any more.
    with contextlib.suppress(RuntimeError):
        waiting[0].get_loop().call_soon_threadsafe(settle)
