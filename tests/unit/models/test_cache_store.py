"""The call cache: what is kept, for whom, and on which disks."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.errors import UsageError
from refinecli.models.cache import file as cache_file
from refinecli.models.cache.network_mounts import file_system, on_network
from refinecli.models.cache.store import CallCache, request_key
from tests.support.fakes import datapoint

KEY = request_key("http://host/v1/chat/completions", b"{}", "")


@contextmanager
def opened(path: Path, run: str = "run", **options: Any) -> Iterator[CallCache]:
    cache = CallCache(path / "c.db", **options)
    try:
        cache.runs.begin(run, {"command": "refine"})
        yield cache
    finally:
        cache.close()


def put(cache: CallCache, reply: bytes, *, usable: bool = True, key: bytes = KEY) -> None:
    asyncio.run(cache.store(key, reply, "'a' 0", usable=usable))


# ------------------------------------------------------------------ keys

parts = st.tuples(st.text(max_size=5), st.binary(max_size=5), st.text(max_size=5))


@given(parts, parts)
def test_requests_have_the_same_key_only_if_place_body_and_sample_are_the_same(
    one: tuple[str, bytes, str], other: tuple[str, bytes, str]
) -> None:
    assert (request_key(*one) == request_key(*other)) == (one == other)


# ------------------------------------------------------------------ replies


def test_a_stored_reply_is_on_disk_before_store_returns(tmp_path: Path) -> None:
    async def main() -> None:
        await first.store(KEY, b'{"a": 1}', "'a' 0", usable=True)
        assert second.find(KEY) == b'{"a": 1}'  # by way of the file

    with opened(tmp_path) as first, opened(tmp_path) as second:
        asyncio.run(main())


def test_a_new_cache_of_ones_own_finds_what_it_stored_also_once_it_is_opened_again(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, shared=False) as cache:
        assert cache.find(KEY) is None
        put(cache, b"{}")
        assert cache.find(KEY) == b"{}"
    with opened(tmp_path, shared=False) as cache:
        assert cache.find(KEY) == b"{}"


def test_a_reply_whose_caller_is_cancelled_is_kept_all_the_same(tmp_path: Path) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(cache.store(KEY, b"{}", "'a' 0", usable=True))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    with opened(tmp_path) as cache:
        asyncio.run(main())
    with opened(tmp_path) as cache:
        assert cache.find(KEY) == b"{}"


def test_a_cancelled_caller_does_not_keep_those_waiting_that_are_written_with_it(
    tmp_path: Path,
) -> None:
    keys = [request_key("", str(n).encode(), "") for n in range(3)]

    async def main() -> None:
        another = sqlite3.connect(tmp_path / "c.db", isolation_level=None)
        another.execute("BEGIN IMMEDIATE")  # until its end, the replies gather
        tasks = [
            asyncio.ensure_future(cache.store(key, b"{}", "'a' 0", usable=True)) for key in keys
        ]
        await asyncio.sleep(0)
        tasks[1].cancel()
        another.execute("COMMIT")
        another.close()
        await asyncio.wait_for(tasks[2], 30)

    with opened(tmp_path) as cache:
        asyncio.run(main())


def test_a_thousand_replies_at_once_are_all_kept(tmp_path: Path) -> None:
    keys = [request_key("", str(n).encode(), "") for n in range(1000)]

    async def main() -> None:
        await asyncio.gather(
            *(cache.store(k, f"{n}".encode(), "'a' 0", usable=True) for n, k in enumerate(keys))
        )

    with opened(tmp_path) as cache:
        asyncio.run(main())
        assert [cache.find(key) for key in keys] == [f"{n}".encode() for n in range(1000)]


def test_what_could_not_be_used_is_replayed_only_by_the_run_that_got_it(tmp_path: Path) -> None:
    with opened(tmp_path, "mine") as cache:
        put(cache, b"cut off", usable=False)
        assert cache.find(KEY) == b"cut off"
    with opened(tmp_path, "other") as cache:
        assert cache.find(KEY) is None
        put(cache, b"whole")
        assert cache.find(KEY) == b"whole"
    with opened(tmp_path, "mine") as cache:  # it goes on as it began
        assert cache.find(KEY) == b"cut off"
    with opened(tmp_path, "third", offline=True, any_run=True) as cache:
        assert cache.find(KEY) == b"whole"


def test_offline_a_reply_of_another_run_is_better_than_none(tmp_path: Path) -> None:
    with opened(tmp_path, "mine") as cache:
        put(cache, b"cut off", usable=False)
    with opened(tmp_path, "other", offline=True, any_run=True) as cache:
        assert cache.find(KEY) == b"cut off"
    with opened(tmp_path, "other", offline=True) as cache:
        assert cache.find(KEY) is None


def test_after_a_whole_run_only_what_failed_is_asked_anew(tmp_path: Path) -> None:
    failed, done = (request_key("", name.encode(), "") for name in ("failed", "done"))

    async def main() -> None:
        await cache.store(failed, b"no score", "'bad' 0", usable=False)
        await cache.store(done, b"no score at first", "'good' 0", usable=False)

    with opened(tmp_path) as cache:
        asyncio.run(main())
        cache.runs.unsettled(datapoint({}, id="bad"))
        cache.runs.end(complete=False)
    with opened(tmp_path) as cache:
        assert cache.find(failed) is None
        assert cache.find(done) == b"no score at first"
        cache.runs.end(complete=True)
    with opened(tmp_path) as cache:  # the same command, but a new run
        assert cache.find(done) is None


def test_a_run_that_died_keeps_also_what_failed(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        put(cache, b"no score", usable=False)
        cache.runs.unsettled(datapoint({}, id="a"))
    with opened(tmp_path) as cache:
        assert cache.find(KEY) == b"no score"


# ------------------------------------------------------------------ runs and facts


def test_a_run_with_other_settings_is_shown_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        there = cache.runs.begin("run", {"command": "grade"})
        assert there == {"command": "refine"}
        assert cache.runs.begin("run", {"command": "refine"}) is None


def test_what_was_learned_of_an_endpoint_outlives_the_run(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        cache.facts.learn("changes", {"temperature": None})
    with opened(tmp_path) as cache:
        assert cache.facts.get("changes") == {"temperature": None}
        assert cache.facts.get("other") is None


def test_the_output_is_known_again_until_the_run_is_over(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        cache.runs.wrote("10 bytes")
    with opened(tmp_path) as cache:
        assert cache.runs.has_written("10 bytes")
        assert not cache.runs.has_written("11 bytes")
        cache.runs.end(complete=True)
        assert not cache.runs.has_written("10 bytes")


# ------------------------------------------------------------------ the file


def test_the_file_and_its_log_are_for_their_owner_only(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        put(cache, b"{}")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("c.db*")}
    assert modes == {0o600}


def test_where_the_log_does_not_work_a_journal_does_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as cache:
        assert cache.notice == ""
    monkeypatch.setattr(cache_file, "on_network", lambda path: True)
    with opened(tmp_path) as cache:
        assert "rollback journal" in cache.notice
        put(cache, b"{}")
        assert not (tmp_path / "c.db-wal").exists()
        with opened(tmp_path, "other") as other:
            assert other.find(KEY) == b"{}"


def test_a_removed_cache_leaves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as cache:
        put(cache, b"{}")
        cache.close_for_good()
        cache_file.delete(cache.path)
    assert list(tmp_path.iterdir()) == []


def _text(path: Path) -> None:
    path.write_text("these are notes of mine, and no database at all\n" * 100)


def _foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE letters (text)")


def _damaged(path: Path) -> None:
    CallCache(path).close()
    data = path.read_bytes()
    path.write_bytes(data[:100] + b"\xff" * (len(data) - 100))


@pytest.mark.parametrize("make", [_text, _foreign, _damaged])
@pytest.mark.parametrize("offline", [False, True])
def test_a_file_that_is_no_whole_cache_is_named_and_left_as_it_was(
    tmp_path: Path, make: Callable[[Path], None], offline: bool
) -> None:
    path = tmp_path / "c.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(UsageError) as caught:
        CallCache(path, offline=offline).runs.begin("run", {})
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert path.read_bytes() == before


def test_a_cache_of_another_format_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    with sqlite3.connect(tmp_path / "c.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="format 99"):
        CallCache(tmp_path / "c.db")


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:2 - nfs4 server:/home rw
31 30 0:41 / /home/me/my\040disk rw shared:3 - ext4 /dev/sdb1 rw
32 22 0:42 / /mnt/share rw - fuse.sshfs me@host:/ rw
33 22 0:43 / /mnt/over rw - xfs /dev/sdc1 rw
34 22 0:44 / /mnt/over rw - cifs //host/share rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/x", "ext4"),
        ("/home/me/x", "nfs4"),
        ("/home/me/my disk/x", "ext4"),
        ("/homes/x", "ext4"),
        ("/mnt/share/x", "fuse.sshfs"),
        ("/mnt/over/x", "cifs"),  # mounted over another, the last one counts
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_innermost_mount(path: str, kind: str) -> None:
    assert file_system(Path(path), MOUNTS.split("\n")) == kind


def test_where_mounts_are_not_listed_nothing_is_taken_for_a_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def missing(*_: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)
    assert not on_network(tmp_path)
    mounts = "1 2 0:1 / / rw - nfs4 host:/x rw\n"
    monkeypatch.setattr(Path, "read_text", lambda *_: mounts)
    assert on_network(tmp_path)


@pytest.mark.parametrize(
    ("kind", "network"),
    [("ext4", False), ("overlay", False), ("tmpfs", False), ("nfs", True), ("fuse.s3fs", True)],
)
def test_network_file_systems_are_known_by_their_type(kind: str, network: bool) -> None:
    from refinecli.models.cache.network_mounts import _NETWORK

    assert bool(_NETWORK.fullmatch(kind)) == network
