"""The call cache: every reply is on disk before it is used, so that no death of the program loses
one that was paid for.

    FILE.cache   SQLite: replies under a digest of what was asked, the runs that asked, and facts:
                 what was learned of endpoints

A reply's key is the exact request body, where it went, and which sample of it this is; it holds no
keys for APIs and no timeouts. A reply that could not be used (cut off, filtered, no score in it) is
kept for the run that got it alone: that run continues as it began, another asks again.

Writes go through one thread (`writer.py`). Reads are so short that they happen in place.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Coroutine
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from refinecli.errors import OutputError, UsageError, option
from refinecli.models.cache.file import (
    LATER_SCHEMA,
    check_ours,
    connect,
    create,
    in_our_words,
    open_unchanged,
    our_words,
)
from refinecli.models.cache.writer import NewReply, Statement, Writer
from refinecli.types import Datapoint, JSONObject

_SKETCH = 1 << 21  # bytes; with 200,000 replies, one search in ten is in vain
_ANYONE = 0  # in place of a run's number: any run may have the reply


def request_key(place: str, body: bytes, index: str) -> bytes:
    """Return the 16 bytes that a reply is kept under. `place` is the URL; `index` distinguishes the
    samples of one request, and is empty where all would be the same (temperature 0)."""
    hashed = blake2b(digest_size=16)
    for part in (place.encode(), index.encode()):
        hashed.update(len(part).to_bytes(4, "big") + part)
    hashed.update(body)
    return hashed.digest()


def row_name(id: str | int, occurrence: int) -> str:
    """Name the row of a run that a call belongs to, the same in every repetition."""
    return f"{id!r} {occurrence}"


@dataclass(slots=True, eq=False)
class OpenFile:
    """A cache file as its tables use it, without a `writer` if nothing may be written."""

    path: Path
    reader: sqlite3.Connection
    writer: Writer | None

    def rows(
        self,
        sql: str,
        parameters: tuple[object, ...] = (),
        kind: type[UsageError | OutputError] = UsageError,
    ) -> list[Any]:
        """Run a statement; SQLite's errors come as one of our `kind`."""
        try:
            # Fetch everything at once: a half-read answer would keep the log from being cleared.
            return self.reader.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise our_words(self.path, error, kind) from error

    def flush(self) -> None:
        """Wait until everything queued for writing can be read."""
        if self.writer is not None:
            self.writer.flush()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
            self.writer = None
        self.reader.close()


class Replies:
    """The table of replies, each for one run or for anyone.

    With `any_run` a reply that only another run may have is better than none. An `unshared` table
    is empty, and nobody else writes to it.
    """

    def __init__(self, file: OpenFile, *, any_run: bool = False, unshared: bool = False) -> None:
        self._file = file
        self._any_run = any_run
        # A 1 at the place of each stored key. For an unshared table a 0 means surely missing:
        # asking SQLite means waiting for the writing thread.
        self._sketch = bytearray(_SKETCH) if unshared else None
        self._used = 0  # replies that were found or stored

    def find(self, key: bytes, run: int) -> bytes | None:
        """Return the reply that the run may have, its own before anyone's."""
        if self._sketch is not None and not self._sketch[_place(key)]:
            return None
        sql = "SELECT reply FROM replies WHERE key = ? AND run IN (0, ?) ORDER BY run DESC LIMIT 1"
        if self._any_run:
            sql = "SELECT reply FROM replies WHERE key = ? ORDER BY run = ? DESC, run LIMIT 1"
        found = self._file.rows(sql, (key, run), OutputError)
        if not found:
            return None
        self._used += 1
        reply: str | bytes = found[0][0]
        return reply.encode() if isinstance(reply, str) else reply

    def is_for_anyone(self, key: bytes) -> bool:
        """Return True where the reply was kept as one that every run may use."""
        sql = "SELECT 1 FROM replies WHERE key = ? AND run = 0"
        return bool(self._file.rows(sql, (key,), OutputError))

    async def store(self, key: bytes, reply: bytes, run: int, row: str | None) -> None:
        """Return once the reply is on disk; raise OutputError where that fails."""
        assert self._file.writer is not None
        if self._sketch is not None:
            self._sketch[_place(key)] = 1
        stored = asyncio.get_running_loop().create_future()
        try:
            stored_as: str | bytes = reply.decode()
        except UnicodeDecodeError:  # some servers speak UTF-16, or half characters
            stored_as = reply
        self._file.writer.put(NewReply(key, run, row, stored_as, stored))
        self._used += 1
        await stored

    def unused(self, run: int) -> int:
        """Count the replies that the run neither asked for nor stored. Only this run is counted,
        and replies asked for repeatedly make it too low."""
        self._file.flush()
        sql = "SELECT count(*) FROM replies WHERE run IN (0, ?)"
        there: int = self._file.rows(sql, (run,), OutputError)[0][0]
        return max(0, there - self._used)


def _place(key: bytes) -> int:
    """Return the place of a key in the sketch; keys are digests, as good as random."""
    return int.from_bytes(key[:4], "big") % _SKETCH


class Runs:
    """The table of unfinished runs, and of their unsettled rows."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self.current = -1  # this run's number, once it has begun
        self._failed_once: frozenset[str] = frozenset()

    def begin(self, name: str, settings: JSONObject) -> JSONObject | None:
        """Continue the run of that name, or start it. If it was started with other settings, return
        those and change nothing."""
        text = orjson.dumps(settings, option=orjson.OPT_SORT_KEYS).decode()
        with in_our_words(self._file.path):
            sql = "SELECT id, settings FROM runs WHERE name = ?"
            found = self._file.rows(sql, (name,))
            if found and found[0][1] != text:
                return dict(orjson.loads(found[0][1]))
            if found:
                self.current = found[0][0]
                self._failed_once = self._rows_that_failed()
            if self._file.writer is None:
                return None
            if not found:  # two processes may begin it at once
                insert = "INSERT OR IGNORE INTO runs (name, settings) VALUES (?, ?)"
                self._file.rows(insert, (name, text))
                self.current = self._file.rows(sql, (name,))[0][0]
            self._file.rows("DELETE FROM unsettled WHERE run = ?", (self.current,))
            self._file.rows(LATER_SCHEMA)
        return None

    def _rows_that_failed(self) -> frozenset[str]:
        there = "SELECT 1 FROM sqlite_master WHERE name = 'failed_once'"
        if not self._file.rows(there):  # an older file
            return frozenset()
        failed = self._file.rows("SELECT row FROM failed_once WHERE run = ?", (self.current,))
        return frozenset(row for (row,) in failed)

    def restart(self, name: str, settings: JSONObject) -> None:
        """Start another run of that name in place of the existing one, whose replies stay."""
        self._file.rows("DELETE FROM runs WHERE name = ?", (name,))
        self.begin(name, settings)

    def unsettled(self, datapoint: Datapoint) -> None:
        """Note that a row failed or stayed ungraded: its unusable replies are deleted at the end of
        the run, so that the same command asks again."""
        if self._file.writer is not None:
            row = row_name(datapoint.id, datapoint.occurrence)
            for table in ("unsettled", "failed_once"):
                sql = f"INSERT OR IGNORE INTO {table} VALUES (?, ?)"
                self._file.writer.put(Statement(sql, (self.current, row)))

    def failed_once(self, datapoint: Datapoint) -> bool:
        """Return True for a row that failed or stayed ungraded when this run came to it before, so
        that later rows were decided without it."""
        return row_name(datapoint.id, datapoint.occurrence) in self._failed_once

    def end(self, *, complete: bool) -> None:
        """Note that the run wrote all its rows. If `complete`, it is over, and a later one starts
        from nothing; otherwise the same command asks again for what failed, and only for that."""
        if self._file.writer is None:
            return
        self._file.flush()
        sql = "DELETE FROM runs WHERE id = ?"
        if not complete:
            failed = "SELECT row FROM unsettled WHERE run = ?1"
            sql = f"DELETE FROM replies WHERE run = ?1 AND row IN ({failed})"
        statements = [sql, "DELETE FROM unsettled WHERE run = ?"]
        statements += ["DELETE FROM failed_once WHERE run = ?"] if complete else []
        for statement in statements:
            self._file.rows(statement, (self.current,), OutputError)

    def writes_to(self, output: str) -> bool:
        """Return whether an unfinished run has its output there."""
        with in_our_words(self._file.path):
            settings = self._file.rows("SELECT settings FROM runs")
            return any(orjson.loads(row[0]).get("output") == output for row in settings)

    def has_written(self, output: str, *, this_run: bool = False) -> bool:
        """Return whether an unfinished run, or this one, `wrote` this."""
        sql = "SELECT 1 FROM runs WHERE output = ? AND (id = ? OR NOT ?) LIMIT 1"
        return bool(self._file.rows(sql, (output, self.current, this_run)))

    def wrote(self, output: str) -> None:
        """Remember the output file by a signature of its contents."""
        if self._file.writer is not None:
            sql = "UPDATE runs SET output = ? WHERE id = ?"
            self._file.rows(sql, (output, self.current), OutputError)


class Facts:
    """The table of facts learned once, by name, for all runs."""

    def __init__(self, file: OpenFile) -> None:
        self._file = file

    def get(self, name: str) -> object:
        """Return the fact of that name, or None."""
        with in_our_words(self._file.path):
            found = self._file.rows("SELECT value FROM facts WHERE name = ?", (name,))
            return orjson.loads(found[0][0]) if found else None

    def learn(self, name: str, value: object) -> None:
        """Queue the fact for writing; offline it is forgotten."""
        if self._file.writer is not None:
            sql = "INSERT OR REPLACE INTO facts VALUES (?, ?)"
            self._file.writer.put(Statement(sql, (name, orjson.dumps(value).decode())))


class CallCache:
    """One open cache file: its three tables, and what this run may have of them.

    With `offline` nothing may be written to it, and nothing sent. With `any_run` a reply that only
    another run may have is better than none. If it is `shared`, another process may write to it
    too.
    """

    def __init__(
        self, path: Path, offline: bool = False, any_run: bool = False, shared: bool = True
    ) -> None:
        self.path, self.offline, self.shared = path, offline, shared
        with in_our_words(path):
            self._file = _opened(path, offline=offline)
            self.runs, self.facts = Runs(self._file), Facts(self._file)
            unshared = not offline and not shared and self.is_empty
            self.replies = Replies(self._file, any_run=any_run, unshared=unshared)

    @property
    def notice(self) -> str:
        """The notice about how the file is kept, if a user should know."""
        mode = self._file.rows("PRAGMA journal_mode")[0][0]
        if self.offline or mode == "wal":
            return ""
        return (
            f"{self.path}: on this file system the cache is kept with a rollback journal, "
            f"which is slower; {option('cache', 'PATH')} puts it on a local disk"
        )

    def find(self, key: bytes) -> bytes | None:
        """Return the reply that this run may have, its own before anyone's."""
        return self.replies.find(key, self.runs.current)

    def is_for_anyone(self, key: bytes) -> bool:
        """Return True where the reply was kept as one that every run may use."""
        return self.replies.is_for_anyone(key)

    def store(
        self, key: bytes, reply: bytes, row: str, *, usable: bool
    ) -> Coroutine[Any, Any, None]:
        """Keep a usable reply for anyone, any other for this run; done once it is on disk."""
        run = _ANYONE if usable else self.runs.current
        return self.replies.store(key, reply, run, None if usable else row)

    @property
    def is_empty(self) -> bool:
        """True if it surely has nothing that was paid for, nor a run that wrote a file."""
        self._file.flush()
        try:
            sql = "SELECT 1 FROM replies UNION ALL SELECT 1 FROM runs WHERE output NOTNULL LIMIT 1"
            return not self._file.reader.execute(sql).fetchall()
        except sqlite3.Error:
            return False

    @property
    def unused(self) -> int:
        """The number of replies that this run neither asked for nor stored."""
        return self.replies.unused(self.runs.current)

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self._file.close()

    def close_for_good(self) -> None:
        """Let go of a file that will be removed: SQLite need not wait for the disk as it tidies
        up."""
        with contextlib.suppress(sqlite3.Error):
            self._file.reader.execute("PRAGMA synchronous = OFF")
        self.close()


def _opened(path: Path, *, offline: bool) -> OpenFile:
    """Open the file and check that it is ours; the first run with it makes it."""
    if offline:
        reader = open_unchanged(path)
        check_ours(reader, path)
        return OpenFile(path, reader, None)
    create(path)
    return OpenFile(path, connect(path), Writer(path, connect(path)))
