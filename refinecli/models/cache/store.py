"""The call cache: every reply is on disk before it is used, so that no death of the program loses
one that was paid for.

    FILE.cache   SQLite: replies under a digest of what was asked, the runs that asked, and what was
                 learned of endpoints

A reply's key is the exact request body, where it went, and which sample of it this is; keys for
APIs and timeouts are no part of it. A reply that could not be used (cut off, filtered, no score in
it) is kept for the run that got it alone: that run continues as it began, another asks afresh.

Writes go through one thread, all that has gathered in one statement; whoever waits for the disk is
woken together. Reads are so short that they happen in place.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

import orjson

from refinecli.errors import OutputError
from refinecli.models.cache.file import check_ours, connect, create, open_unchanged, told
from refinecli.types import Datapoint, JSONObject

_SKETCH = 1 << 21  # bytes; of 200,000 replies, one in ten is then looked for in vain
_ANYONE = 0  # in place of a run's number: whoever asks may have the reply
_MOST_AT_ONCE = 200  # times four parameters stays below SQLite's oldest limit of 999


def request_key(place: str, body: bytes, index: str) -> bytes:
    """What a reply is kept under: 16 bytes. `place` is the URL, `index` tells apart the samples of
    one request, and is empty where all of them would be the same (temperature 0)."""
    hashed = blake2b(digest_size=16)
    for part in (place.encode(), index.encode()):
        hashed.update(len(part).to_bytes(4, "big") + part)
    hashed.update(body)
    return hashed.digest()


def row_name(id: str | int, occurrence: int) -> str:
    """Which row of a run a call belongs to, however often it is run."""
    return f"{id!r} {occurrence}"


def _place(key: bytes) -> int:
    """Where a key stands in the sketch; keys are digests, as good as random."""
    return int.from_bytes(key[:4], "big") % _SKETCH


@dataclass(frozen=True, slots=True)
class _Reply:
    key: bytes
    run: int
    row: str | None
    reply: str | bytes
    stored: asyncio.Future[None]


@dataclass(slots=True)
class CallCache:
    """One cache file, open. With `offline` nothing is written to it, and nothing to be sent; with
    `any_run` a reply that only another run may have is better than none; where it is `shared`,
    another process may write to it at the same time."""

    path: Path
    offline: bool = False
    any_run: bool = False
    shared: bool = True
    _run: int = field(init=False, default=-1)
    _reader: sqlite3.Connection = field(init=False)
    _writer: _Writer | None = field(init=False, default=None)
    # A 1 at the place of each key that was stored. Of a file that was empty, and that nobody else
    # writes, it tells what is surely not there: to ask SQLite is to wait for the writing thread.
    _sketch: bytearray | None = field(init=False, default=None)
    _used: int = field(init=False, default=0)  # replies that were found or stored

    def __post_init__(self) -> None:
        with told(self.path):
            if self.offline:
                self._reader = open_unchanged(self.path)
                check_ours(self._reader, self.path)
            else:
                create(self.path)
                self._reader = connect(self.path)
            if not self.offline:
                self._writer = _Writer(self.path, connect(self.path))
            if not self.offline and not self.shared and self.is_empty:
                self._sketch = bytearray(_SKETCH)

    @property
    def notice(self) -> str:
        """What a user should know of how the file is kept, if anything."""
        with told(self.path):
            mode = self._reader.execute("PRAGMA journal_mode").fetchall()[0][0]
        if self.offline or mode == "wal":
            return ""
        return (
            f"{self.path}: on this file system the cache is kept with a rollback journal, "
            "which is slower; --cache PATH puts it on a local disk"
        )

    # -------------------------------------------------------------- replies

    def find(self, key: bytes) -> bytes | None:
        """The reply that this run may have, its own before anyone's."""
        if self._sketch is not None and not self._sketch[_place(key)]:
            return None
        with told(self.path, OutputError):
            if self.any_run:
                sql = "SELECT reply FROM replies WHERE key = ? ORDER BY run = ? DESC, run LIMIT 1"
            else:
                sql = (
                    "SELECT reply FROM replies WHERE key = ? AND run IN (0, ?) "
                    "ORDER BY run DESC LIMIT 1"
                )
            # All of it at once: a half-read answer would keep the log from being cleared.
            found = self._reader.execute(sql, (key, self._run)).fetchall()
        if not found:
            return None
        self._used += 1
        reply: str | bytes = found[0][0]
        return reply.encode() if isinstance(reply, str) else reply

    async def store(self, key: bytes, reply: bytes, row: str, *, usable: bool) -> None:
        """Return once the reply is on disk; raises OutputError where that cannot be."""
        assert self._writer is not None
        if self._sketch is not None:
            self._sketch[_place(key)] = 1
        stored = asyncio.get_running_loop().create_future()
        run = _ANYONE if usable else self._run
        try:
            stored_as: str | bytes = reply.decode()
        except UnicodeDecodeError:  # some servers speak UTF-16, or half characters
            stored_as = reply
        self._writer.put(_Reply(key, run, None if usable else row, stored_as, stored))
        self._used += 1
        await stored

    @property
    def is_empty(self) -> bool:
        """Whether there is surely nothing in it that was paid for, nor a run that wrote a file."""
        if self._writer is not None:
            self._writer.flush()
        try:
            sql = "SELECT 1 FROM replies UNION ALL SELECT 1 FROM runs WHERE output NOTNULL LIMIT 1"
            return not self._reader.execute(sql).fetchall()
        except sqlite3.Error:
            return False

    @property
    def unused(self) -> int:
        """How many of the replies this run neither asked for nor stored. It counts alone: where
        some are asked for more than once, they are more than that."""
        if self._writer is not None:
            self._writer.flush()
        with told(self.path, OutputError):
            sql = "SELECT count(*) FROM replies WHERE run IN (0, ?)"
            there: int = self._reader.execute(sql, (self._run,)).fetchall()[0][0]
        return max(0, there - self._used)

    # -------------------------------------------------------------- runs

    def begin(self, name: str, settings: JSONObject) -> JSONObject | None:
        """Go on with the run of that name, or start it. Where it was started with other settings,
        those, and nothing is changed."""
        text = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS).decode()
        with told(self.path):
            sql = "SELECT id, settings FROM runs WHERE name = ?"
            found = self._reader.execute(sql, (name,)).fetchall()
            if found and found[0][1] != text:
                return dict(orjson.loads(found[0][1]))
            if found:
                self._run = found[0][0]
            if self.offline:
                return None
            if not found:  # two processes may begin it at once
                insert = "INSERT OR IGNORE INTO runs (name, settings) VALUES (?, ?)"
                self._reader.execute(insert, (name, text))
                self._run = self._reader.execute(sql, (name,)).fetchall()[0][0]
            self._reader.execute("DELETE FROM unsettled WHERE run = ?", (self._run,))
        return None

    def restart(self, name: str, settings: JSONObject) -> None:
        """Another run of that name begins in place of the one there, whose replies stay."""
        with told(self.path):
            self._reader.execute("DELETE FROM runs WHERE name = ?", (name,))
        self.begin(name, settings)

    def unsettled(self, datapoint: Datapoint) -> None:
        """A row failed or stayed ungraded: what could not be used of its replies goes with the end
        of the run, so that the same command asks anew."""
        if self._writer is not None:
            row = row_name(datapoint.id, datapoint.occurrence)
            sql = "INSERT OR IGNORE INTO unsettled VALUES (?, ?)"
            self._writer.put((sql, (self._run, row)))

    def end(self, *, complete: bool) -> None:
        """The run wrote all its rows. Complete, it is over, and a later one starts afresh; else
        the same command asks again for what failed, and only for that."""
        if self._writer is None:
            return
        self._writer.flush()
        with told(self.path, OutputError):
            if complete:
                self._reader.execute("DELETE FROM runs WHERE id = ?", (self._run,))
            else:
                self._reader.execute(
                    "DELETE FROM replies WHERE run = ?1 AND row IN "
                    "(SELECT row FROM unsettled WHERE run = ?1)",
                    (self._run,),
                )
            self._reader.execute("DELETE FROM unsettled WHERE run = ?", (self._run,))

    def writes_to(self, output: str) -> bool:
        """Whether a run that is not over has its output there."""
        with told(self.path):
            settings = self._reader.execute("SELECT settings FROM runs").fetchall()
            return any(orjson.loads(row[0]).get("output") == output for row in settings)

    def has_written(self, output: str, *, this_run: bool = False) -> bool:
        """Whether a run that is not over, or this one, `wrote` this."""
        with told(self.path):
            sql = "SELECT 1 FROM runs WHERE output = ? AND (id = ? OR NOT ?) LIMIT 1"
            return bool(self._reader.execute(sql, (output, self._run, this_run)).fetchall())

    def wrote(self, output: str) -> None:
        """Remember the output file by something that tells it from any other."""
        if self._writer is not None:
            with told(self.path, OutputError):
                sql = "UPDATE runs SET output = ? WHERE id = ?"
                self._reader.execute(sql, (output, self._run))

    # -------------------------------------------------------------- facts

    def fact(self, name: str) -> object:
        """What was learned under that name, or None."""
        with told(self.path):
            sql = "SELECT value FROM facts WHERE name = ?"
            found = self._reader.execute(sql, (name,)).fetchall()
        return orjson.loads(found[0][0]) if found else None

    def learn(self, name: str, value: object) -> None:
        if self._writer is not None:
            sql = "INSERT OR REPLACE INTO facts VALUES (?, ?)"
            self._writer.put((sql, (name, orjson.dumps(value).decode())))

    # -------------------------------------------------------------- the end

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._reader.close()

    def remove(self) -> None:
        """Close the cache and delete it: its run is over."""
        # As it is closed SQLite tidies the file up, and need not wait for the disk to do that.
        with contextlib.suppress(sqlite3.Error):
            self._reader.execute("PRAGMA synchronous = OFF")
        self.close()
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)


# ------------------------------------------------------------------ the writing thread


_Statement = tuple[str, tuple[object, ...]]


class _Writer:
    """One thread that writes: everything that has gathered in one statement.

    One statement is one transaction, and SQLite runs it without Python's lock; row by row, the
    thread would wait for that lock each time, milliseconds long while the event loop is busy.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection
        self._queue: queue.SimpleQueue[_Reply | _Statement | threading.Event | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="call cache", daemon=True)
        self._thread.start()

    def put(self, entry: _Reply | _Statement) -> None:
        self._queue.put(entry)

    def flush(self) -> None:
        """Return once all that was put before is written, as far as it could be."""
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
            replies = [entry for entry in entries if isinstance(entry, _Reply)]
            error = self._write(replies, [e for e in entries if isinstance(e, tuple)])
            if replies:
                _wake([reply.stored for reply in replies], error)
            for entry in entries:
                if isinstance(entry, threading.Event):
                    entry.set()
            if None in entries:
                return

    def _write(
        self, replies: Sequence[_Reply], statements: Sequence[_Statement]
    ) -> Exception | None:
        try:
            with told(self._path, OutputError):
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
