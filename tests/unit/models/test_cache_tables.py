"""Each table of the call cache alone, on a database in memory that writes in place."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import cast

import pytest

from refinecli.errors import OutputError, UsageError
from refinecli.models.cache import file as cache_file
from refinecli.models.cache import store
from refinecli.models.cache.store import Facts, OpenFile, Replies, Runs
from refinecli.models.cache.writer import NewReply, Statement, Writer
from tests.support.fakes import datapoint

KEY, OTHER = b"k" * 16, b"o" * 16


class WritesInPlace:
    """Stands for the writing thread: what is put is there at once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.calls: list[str] = []

    def put(self, entry: NewReply | Statement) -> None:
        if isinstance(entry, NewReply):
            row = (entry.key, entry.run, entry.row, entry.reply)
            self.connection.execute("INSERT OR IGNORE INTO replies VALUES (?, ?, ?, ?)", row)
            entry.stored.set_result(None)
        else:
            self.connection.execute(*entry)

    def flush(self) -> None:
        self.calls.append("flush")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def file() -> OpenFile:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.executescript(cache_file._SCHEMA)
    return OpenFile(Path("c.db"), connection, cast(Writer, WritesInPlace(connection)))


def keep(table: Replies, key: bytes, reply: bytes, run: int = 0, row: str | None = None) -> None:
    asyncio.run(table.store(key, reply, run, row))


def raw(file: OpenFile, sql: str) -> list[object]:
    return file.rows(sql)


def test_the_writer_is_waited_for_until_it_is_closed(file: OpenFile) -> None:
    writer = cast(WritesInPlace, file.writer)
    file.flush()
    assert writer.calls == ["flush"]
    file.close()
    file.flush()
    file.close()
    assert writer.calls == ["flush", "close"]
    with pytest.raises(sqlite3.ProgrammingError):
        file.reader.execute("SELECT 1")


# ------------------------------------------------------------------ replies


def test_a_reply_for_anyone_is_found_by_every_run(file: OpenFile) -> None:
    table = Replies(file)
    keep(table, KEY, b"{}")
    assert table.find(KEY, 1) == table.find(KEY, 2) == b"{}"
    assert table.find(OTHER, 1) is None


def test_a_runs_own_reply_comes_before_anyones_and_goes_to_no_other(file: OpenFile) -> None:
    table = Replies(file)
    keep(table, KEY, b"own", run=7, row="'a' 0")
    assert table.find(KEY, 8) is None
    keep(table, KEY, b"anyone's")
    assert (table.find(KEY, 7), table.find(KEY, 8)) == (b"own", b"anyone's")


def test_with_any_run_the_own_reply_comes_first_and_then_the_oldest_runs(file: OpenFile) -> None:
    table = Replies(file, any_run=True)
    keep(table, KEY, b"third", run=3)
    keep(table, KEY, b"second", run=2)
    assert (table.find(KEY, 3), table.find(KEY, 9)) == (b"third", b"second")


def test_the_first_reply_to_a_request_stays(file: OpenFile) -> None:
    table = Replies(file)
    keep(table, KEY, b"first")
    keep(table, KEY, b"second")
    assert table.find(KEY, 1) == b"first"


@pytest.mark.parametrize(
    ("reply", "kind"), [(b'{"a": "\xc3\xa9"}', "text"), (b"\xff\xfe{\x00", "blob")]
)
def test_a_reply_is_text_where_it_can_be_and_comes_back_byte_for_byte(
    file: OpenFile, reply: bytes, kind: str
) -> None:
    table = Replies(file)
    keep(table, KEY, reply)
    assert raw(file, "SELECT typeof(reply) FROM replies") == [(kind,)]
    assert table.find(KEY, 1) == reply


def test_an_unshared_table_does_not_ask_for_what_was_never_stored(file: OpenFile) -> None:
    table = Replies(file, unshared=True)
    file.reader.execute("INSERT INTO replies VALUES (?, 0, NULL, 'somebody wrote it')", (KEY,))
    assert table.find(KEY, 1) is None
    keep(table, OTHER, b"{}")
    assert table.find(OTHER, 1) == b"{}"


def test_replies_that_were_neither_found_nor_stored_are_unused(file: OpenFile) -> None:
    before = Replies(file)
    for n in range(5):
        keep(before, bytes([n]) * 16, b"{}")
    keep(before, KEY, b"another run's", run=2)
    table = Replies(file)
    assert table.unused(1) == 5
    table.find(bytes([0]) * 16, 1)
    keep(table, OTHER, b"{}")
    assert table.unused(1) == 4
    for _ in range(9):  # more often than there are replies
        table.find(OTHER, 1)
    assert table.unused(1) == 0


def test_a_database_that_fails_is_an_output_error_with_a_way_out(file: OpenFile) -> None:
    file.reader.execute("DROP TABLE replies")
    with pytest.raises(OutputError, match=r"c\.db: the call cache: no such table") as caught:
        Replies(file).find(KEY, 1)
    assert "cache=PATH" in caught.value.hint


# ------------------------------------------------------------------ runs


def test_a_run_of_the_same_name_and_settings_is_continued_under_its_number(file: OpenFile) -> None:
    first, again, other = Runs(file), Runs(file), Runs(file)
    assert first.begin("one", {"b": 1, "a": 2}) is None
    assert again.begin("one", {"a": 2, "b": 1}) is None
    assert other.begin("two", {}) is None
    assert first.current == again.current != other.current


def test_a_run_of_that_name_with_other_settings_stays_as_it_is(file: OpenFile) -> None:
    Runs(file).begin("one", {"seed": 1})
    other = Runs(file)
    assert other.begin("one", {"seed": 2}) == {"seed": 1}
    assert other.current == -1


def test_a_restart_takes_the_name_and_keeps_the_replies_for_anyone(file: OpenFile) -> None:
    first, second = Runs(file), Runs(file)
    first.begin("one", {"seed": 1})
    keep(Replies(file), KEY, b"{}")
    second.restart("one", {"seed": 2})
    assert second.current not in (-1, first.current)
    assert Replies(file).find(KEY, second.current) == b"{}"


def test_offline_a_run_is_found_but_not_begun(file: OpenFile) -> None:
    Runs(file).begin("one", {})
    file.writer = None
    found, missing = Runs(file), Runs(file)
    found.begin("one", {})
    missing.begin("two", {})
    missing.unsettled(datapoint({}, id="a"))
    missing.wrote("10 bytes")
    missing.end(complete=True)
    assert (found.current, missing.current) == (1, -1)
    assert raw(file, "SELECT name, output FROM runs") == [("one", None)]


def test_the_end_of_a_run_with_failures_forgets_their_replies_alone(file: OpenFile) -> None:
    runs, replies = Runs(file), Replies(file)
    runs.begin("one", {})
    keep(replies, KEY, b"no score", runs.current, "'bad' 0")
    keep(replies, OTHER, b"no score at first", runs.current, "'good' 0")
    runs.unsettled(datapoint({}, id="bad"))
    runs.end(complete=False)
    assert replies.find(KEY, runs.current) is None
    assert replies.find(OTHER, runs.current) == b"no score at first"
    assert raw(file, "SELECT * FROM unsettled") == []
    assert len(raw(file, "SELECT * FROM runs")) == 1


def test_a_complete_run_is_over_and_its_name_is_free(file: OpenFile) -> None:
    runs = Runs(file)
    runs.begin("one", {"output": "/x/out.jsonl"})
    assert runs.writes_to("/x/out.jsonl")
    runs.end(complete=True)
    assert not runs.writes_to("/x/out.jsonl")
    assert Runs(file).begin("one", {"seed": 2}) is None


def test_what_failed_is_forgotten_as_unsettled_once_the_run_continues(file: OpenFile) -> None:
    runs = Runs(file)
    runs.begin("one", {})
    runs.unsettled(datapoint({}, id="a"))
    runs.begin("one", {})
    assert raw(file, "SELECT * FROM unsettled") == []


def test_an_output_is_known_as_this_runs_or_as_any_runs(file: OpenFile) -> None:
    mine, other = Runs(file), Runs(file)
    mine.begin("mine", {})
    other.begin("other", {})
    mine.wrote("10 bytes")
    assert mine.has_written("10 bytes", this_run=True)
    assert other.has_written("10 bytes")
    assert not other.has_written("10 bytes", this_run=True)
    assert not mine.has_written("11 bytes")


# ------------------------------------------------------------------ facts


def test_a_fact_is_kept_by_name_and_the_newest_counts(file: OpenFile) -> None:
    facts = Facts(file)
    assert facts.get("model") is None
    facts.learn("model", "a")
    facts.learn("model", {"temperature": None})
    assert facts.get("model") == {"temperature": None}


def test_offline_nothing_is_learned(file: OpenFile) -> None:
    file.writer = None
    Facts(file).learn("model", "a")
    assert Facts(file).get("model") is None


def test_a_fact_that_is_not_json_says_that_the_cache_is_damaged(file: OpenFile) -> None:
    file.reader.execute("INSERT INTO facts VALUES ('model', '{')")
    with pytest.raises(UsageError, match="damaged"):
        Facts(file).get("model")


# ------------------------------------------------------------------ keys


def test_keys_and_names_are_those_of_caches_that_exist() -> None:
    key = store.request_key("http://host/v1/chat/completions", b'{"model":"m"}', "0.1.0")
    assert key.hex() == "1c21de69f6c0ccc0b8a8ef5b0e926769"
    assert store.row_name("a", 0) == "'a' 0"
    assert store.row_name(7, 2) == "7 2"


def test_the_sketch_has_a_place_for_every_key() -> None:
    assert store._place(b"\xff" * 16) < store._SKETCH
    assert store._place(b"\0\0\0\1" + b"\xff" * 12) == 1
