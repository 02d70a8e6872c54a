"""Make, open and recognize the call cache's file, and put its errors in our words."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import orjson

from refinecli.errors import OutputError, UsageError, option
from refinecli.models.cache.network_mounts import on_network

_APPLICATION = 0x7266636C  # "rfcl": no other SQLite files have it
_VERSION = 1
_SCHEMA = """
CREATE TABLE replies (key BLOB NOT NULL, run INTEGER NOT NULL, row TEXT, reply NOT NULL);
CREATE UNIQUE INDEX by_key ON replies (key, run);
CREATE TABLE runs (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL,
                   settings TEXT NOT NULL, output TEXT);
CREATE TABLE unsettled (run INTEGER NOT NULL, row TEXT NOT NULL, UNIQUE (run, row));
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
# Came later; a file without it has no rows in it.
LATER_SCHEMA = """
CREATE TABLE IF NOT EXISTS failed_once (run INTEGER NOT NULL, row TEXT NOT NULL, UNIQUE (run, row))
"""
_ELSEWHERE = option("cache", "PATH")
# Another process's transaction takes milliseconds; a disk that hangs longer is in trouble.
_BUSY_SECONDS = 60


@contextmanager
def in_our_words(path: Path, kind: type[UsageError | OutputError] = UsageError) -> Iterator[None]:
    """Raise SQLite's errors in our words: what happened to which file, and the way out."""
    try:
        yield
    except (sqlite3.DatabaseError, orjson.JSONDecodeError) as error:
        raise our_words(path, error, kind) from error


def our_words(
    path: Path, error: Exception, kind: type[UsageError | OutputError]
) -> UsageError | OutputError:
    """Return an error of SQLite's in our words."""
    if isinstance(error, sqlite3.OperationalError):
        hint = f"use {_ELSEWHERE} to keep further replies elsewhere; those in it are kept"
        if "full" in str(error):
            hint = "make room, then run the same command again; the replies in it are kept"
        return kind(f"{path}: the call cache: {error}", hint)
    return kind(
        f"{path}: the call cache is damaged, or not a call cache: {error}",
        "move it away, and every call is paid for again; or save what "
        f"`sqlite3 {path} .recover` can",
    )


def create(path: Path) -> None:
    """Make the file, readable by its owner only: requests to models may be private. The files that
    SQLite keeps next to it take over its mode."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise UsageError(
            f"{path}: the call cache cannot be written: {error.strerror}",
            f"use {_ELSEWHERE} to keep it elsewhere",
        ) from None


def delete(path: Path) -> None:
    """Delete the file and what SQLite keeps next to it, the file itself last: as long as it is
    there, the same command finds that its run was complete."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        if not connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall():
            _fill(connection)
        check_ours(connection, path)
        if on_network(path) or not _writes_ahead(connection):
            connection.execute("PRAGMA journal_mode = TRUNCATE")
        # A process that dies loses nothing committed; a machine that dies may lose seconds.
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()  # and with it the files that SQLite keeps next to it
        raise
    return connection


def _writes_ahead(connection: sqlite3.Connection) -> bool:
    try:
        return bool(connection.execute("PRAGMA journal_mode = WAL").fetchall()[0][0] == "wal")
    except sqlite3.OperationalError:  # no shared memory here
        return False


def _fill(connection: sqlite3.Connection) -> None:
    """Make the tables of a new file. Two processes may come here at once: one of them finds it
    done."""
    # A power failure could not cost anything yet, and waiting for the disk here would keep the
    # first request waiting.
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("BEGIN IMMEDIATE")
    empty = not connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
    if empty:
        for statement in _SCHEMA.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {_APPLICATION}")
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def open_unchanged(path: Path) -> sqlite3.Connection:
    """Open the file for reading only, even in a folder where nothing may be written."""
    if not path.is_file():
        raise UsageError(
            f"{path}: no such call cache",
            f"run once without {option('offline')}, or name it: {_ELSEWHERE}",
        )
    path = path.resolve()  # what SQLite keeps next to it lies where a link points
    # With no log next to it nobody is writing, and SQLite need not make files to find that out.
    logs = (path.with_name(path.name + suffix) for suffix in ("-wal", "-journal"))
    alone = not any(file.exists() for file in logs)
    uri = f"file:{quote(str(path))}?mode=ro" + ("&immutable=1" if alone else "")
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)


def check_ours(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchall()[0][0]
    version = connection.execute("PRAGMA user_version").fetchall()[0][0]
    if application != _APPLICATION:
        raise UsageError(f"{path}: is not a call cache", f"name another file: {_ELSEWHERE}")
    if version != _VERSION:
        raise UsageError(
            f"{path}: was made by another version of refinecli (format {version}, not {_VERSION})",
            f"name another file: {_ELSEWHERE}",
        )
