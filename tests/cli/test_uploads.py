"""Uploads in parts to moto's S3 server, over connections that are cut."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from refinecli.data import remote
from refinecli.data.remote import RemoteObject
from refinecli.data.sinks import Sink
from refinecli.errors import OutputError
from tests.support.cutting_proxy import CuttingProxy
from tests.support.s3_server import S3Server

LINE = os.urandom(1 << 19).hex().encode()  # 33 of them are three parts
Behind = Callable[[Callable[[bytes], bool]], AbstractContextManager[S3Server]]


@pytest.fixture(scope="module")
def store() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture
def behind(store: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behind]:
    """The store behind a proxy that cuts connections; each request is tried a few times."""
    from s3fs import S3FileSystem

    monkeypatch.setattr(remote, "_WAITS", (0.0,))
    port = int(store.env["AWS_ENDPOINT_URL"].rpartition(":")[2])

    @contextmanager
    def behind(cut: Callable[[bytes], bool]) -> Iterator[S3Server]:
        S3FileSystem.clear_instance_cache()
        with CuttingProxy(port, cut) as proxy:
            for name, value in store.env.items():
                monkeypatch.setenv(name, value)
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
            yield store

    yield behind
    S3FileSystem.clear_instance_cache()


def is_part(sent: bytes) -> bool:
    return b"?partNumber=2&" in sent


def test_a_long_file_arrives_whole_over_connections_that_are_cut(
    behind: Behind, tmp_path: Path
) -> None:
    file = tmp_path / "lines"
    file.write_bytes(LINE * 33)
    cuts: list[bytes] = []

    def twice(sent: bytes) -> bool:
        if is_part(sent) and len(cuts) < 2:
            cuts.append(sent)
            return True
        return False

    with behind(twice) as s3:
        RemoteObject("s3://data/whole.jsonl").upload(file)
        assert len(cuts) == 2
        assert s3.get("whole.jsonl") == file.read_bytes()
        assert not s3.unfinished_uploads()


def test_an_upload_that_fails_halfway_leaves_nothing(behind: Behind, tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_bytes(LINE * 33)
    with behind(is_part) as s3:
        with pytest.raises(OutputError, match=r"s3://data/failed\.jsonl: cannot be reached"):
            RemoteObject("s3://data/failed.jsonl").upload(file)
        assert "failed.jsonl" not in s3.names()
        assert not s3.unfinished_uploads()


def test_an_upload_that_is_interrupted_leaves_nothing_but_what_others_began(
    behind: Behind, tmp_path: Path
) -> None:
    reached, release = threading.Event(), threading.Event()

    def hold(sent: bytes) -> bool:
        if is_part(sent):
            reached.set()
            return release.wait(30)
        return False

    async def interrupted() -> None:
        sink = Sink("s3://data/interrupted.jsonl", gathered=tmp_path / "lines")
        await sink.open()
        for _ in range(33):
            await sink.write(LINE)
        sink.commit()
        delivering = asyncio.ensure_future(sink.deliver())
        await asyncio.to_thread(reached.wait, 30)
        assert len(s3.unfinished_uploads()) == 2
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering

    with behind(hold) as s3:
        others = s3.begin_upload("interrupted.jsonl")
        asyncio.run(interrupted())
        assert [one["UploadId"] for one in s3.unfinished_uploads()] == [others]
        release.set()
        assert "interrupted.jsonl" not in s3.names()
