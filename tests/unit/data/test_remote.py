"""Files behind URLs: read in blocks, again where the network fails, and written whole or not."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec import AbstractFileSystem
from fsspec.registry import _registry as registered
from fsspec.registry import register_implementation

from refinecli.data import remote, remote_errors
from refinecli.data.rubric_file import read_rubric
from refinecli.data.sinks import Sink
from refinecli.data.sources import Source
from refinecli.errors import OutputError, UsageError
from tests.support.web_files import WebFiles

LINES = b"".join(b'{"n": %d}\n' % n for n in range(60_000))  # more than several blocks


class Store(AbstractFileSystem):  # type: ignore[misc]
    """A store whose next reads and uploads fail as `failures` say."""

    protocol = "gs"
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    failures: ClassVar[list[Exception]] = []
    reads: ClassVar[list[int]] = []

    def info(self, path: str, **more: Any) -> dict[str, Any]:
        if path not in self.objects:
            raise FileNotFoundError(path)
        content = self.objects[path]
        return {"name": path, "size": len(content), "type": "file", "ETag": hash(content)}

    def open(self, path: str, mode: str = "rb", **more: Any) -> Any:
        return _File(path)

    def put_file(self, lpath: str, rpath: str, **more: Any) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.objects[rpath] = Path(lpath).read_bytes()


class _File:
    def __init__(self, path: str) -> None:
        self._path, self._at = path, 0

    def seek(self, at: int) -> None:
        self._at = at

    def read(self, size: int) -> bytes:
        if Store.failures:
            raise Store.failures.pop(0)
        Store.reads.append(size)
        found = Store.objects[self._path][self._at : self._at + size]
        self._at += len(found)
        return found

    def close(self) -> None:
        pass


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """The objects of a store at gs://, by their paths."""
    monkeypatch.setattr(remote, "find_spec", lambda name: object())
    monkeypatch.setattr(remote, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(remote, "_FIRST_WAITS", (0.0,))
    register_implementation("gs", Store, clobber=True)
    Store.objects.clear()
    Store.failures.clear()
    Store.reads.clear()
    yield Store.objects
    registered.pop("gs", None)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_WAITS", (0.0, 0.0))
    monkeypatch.setattr(remote, "_FIRST_WAITS", (0.0,))


def lines_of(url: str) -> list[bytes]:
    async def stream() -> list[bytes]:
        return [line async for _, line in Source(url).stream()]

    found = [line for _, line in Source(url).read()]
    assert found == asyncio.run(stream())
    return found


async def written(sink: Sink, *lines: bytes) -> None:
    await sink.open()
    for line in lines:
        await sink.write(line)
    await sink.drain()
    sink.commit()
    await sink.deliver()


# ------------------------------------------------------------------ reading


def test_lines_are_those_of_the_file_packed_or_not(
    objects: dict[str, bytes], tmp_path: Path
) -> None:
    objects["b/in.jsonl"] = LINES
    objects["b/in.jsonl.gz"] = gzip.compress(LINES)
    pq.write_table(pa.table({"n": list(range(5000))}), tmp_path / "x", row_group_size=100)
    objects["b/in.parquet"] = (tmp_path / "x").read_bytes()
    assert lines_of("gs://b/in.jsonl") == LINES.splitlines()
    assert lines_of("gs://b/in.jsonl.gz") == LINES.splitlines()
    assert lines_of("gs://b/in.parquet") == [b'{"n":%d}' % n for n in range(5000)]


def test_the_beginning_is_a_small_block_and_memory_holds_a_few(objects: dict[str, bytes]) -> None:
    objects["b/in.jsonl"] = b'{"text": "%s"}\n' % (b"x" * 985) * 40_000
    source = Source("gs://b/in.jsonl")
    source.check_kind()
    assert Store.reads == [1 << 16]
    tracemalloc.start()
    assert sum(1 for _ in source.read()) == 40_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 14_000_000, "a block, its copy and the reader's buffer"
    assert max(Store.reads) == 1 << 22


def test_a_read_that_fails_is_tried_again_from_where_it_was(objects: dict[str, bytes]) -> None:
    objects["b/in.jsonl"] = LINES
    source = Source("gs://b/in.jsonl")
    lines = source.read()
    found = [next(lines)[1]]
    Store.failures += [ConnectionResetError("reset by peer"), TimeoutError("silence")]
    found += [line for _, line in lines]
    assert found == LINES.splitlines()
    assert not Store.failures


def test_what_still_fails_is_an_unreadable_input_and_not_its_end(objects: dict[str, bytes]) -> None:
    objects["b/in.jsonl"] = LINES
    lines = Source("gs://b/in.jsonl").read()
    next(lines)
    Store.failures += [ConnectionResetError("reset by peer")] * 3
    with pytest.raises(UsageError, match=r"in\.jsonl: cannot be reached: reset by peer"):
        list(lines)


def test_an_object_that_ends_early_or_changes_is_an_error(objects: dict[str, bytes]) -> None:
    objects["b/in.jsonl"] = LINES
    source = Source("gs://b/in.jsonl")
    lines = source.read()
    next(lines)
    objects["b/in.jsonl"] = LINES[:100]
    with pytest.raises(UsageError, match="has changed since it was first read"):
        list(lines)
    objects["b/in.jsonl"] = b"{}\n"
    with pytest.raises(UsageError, match="has changed since it was first read"):
        list(source.read())


def test_a_packed_file_that_was_cut_off_is_an_error(objects: dict[str, bytes]) -> None:
    objects["b/in.jsonl.gz"] = gzip.compress(LINES)[:-50]
    with pytest.raises(UsageError, match=r"gs://b/in\.jsonl\.gz: Compressed file ended before"):
        list(Source("gs://b/in.jsonl.gz").read())


def test_a_rubric_may_be_behind_a_url(objects: dict[str, bytes]) -> None:
    objects["b/r.toml"] = b'[[rubric_items]]\nrubric_str = "Is it polite?"\n'
    assert read_rubric("gs://b/r.toml", print) == [{"rubric_str": "Is it polite?"}]
    with pytest.raises(UsageError, match=r"gs://b/none\.toml: there is no such file"):
        read_rubric("gs://b/none.toml", print)


# ------------------------------------------------------------------ the web


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("ranges", [True, False])
def test_a_web_file_is_read_through_redirects_cuts_and_busy_servers(ranges: bool) -> None:
    with WebFiles({"/in.jsonl": LINES}, ranges=ranges) as web:
        web.moved["/old.jsonl"] = f"{web.url}/in.jsonl"
        source = Source(f"{web.url}/old.jsonl?token=secret")
        lines = source.read()
        next(lines)
        web.cut, web.statuses = 1, [503]
        assert [line for _, line in lines] == LINES.splitlines()[1:]
        assert not web.cut
        assert source.name == f"{web.url}/old.jsonl"


@pytest.mark.usefixtures("quick")
def test_a_body_shorter_than_was_announced_is_never_the_end() -> None:
    with WebFiles({"/in.jsonl": LINES}, ranges=False) as web:
        web.cut = 100
        with pytest.raises(UsageError, match=r"in\.jsonl: cannot be reached"):
            list(Source(f"{web.url}/in.jsonl").read())


@pytest.mark.usefixtures("quick")
def test_a_refusal_says_what_it_is_at_once_and_shows_no_credentials() -> None:
    with WebFiles({"/in.jsonl": b"{}\n"}) as web:
        secret = web.url.replace("//", "//me:hunter2@")
        for status, why in ((403, "access is refused: 403"), (401, "access is refused: 401")):
            web.files.clear()
            web.statuses = [status]
            with pytest.raises(UsageError) as refused:
                Source(f"{secret}/in.jsonl?X-Amz-Signature=hunter3")
            assert f"{web.url}/in.jsonl: {why}" in str(refused.value)
            assert "hunter" not in str(refused.value.args)
            assert len(web.seen) == 1
            web.seen.clear()
        with pytest.raises(UsageError, match="there is no such file"):
            Source(f"{web.url}/in.jsonl")


# ------------------------------------------------------------------ writing


def test_an_object_appears_whole_after_the_last_line(
    objects: dict[str, bytes], tmp_path: Path
) -> None:
    lines = tmp_path / "c.db.partial"
    sink = Sink("gs://b/out.jsonl.gz", gathered=lines)

    async def run() -> None:
        await sink.open()
        await sink.write(b'{"a":1}')
        await sink.drain()
        assert "b/out.jsonl.gz" not in objects
        sink.commit()
        await sink.deliver()

    asyncio.run(run())
    assert gzip.decompress(objects["b/out.jsonl.gz"]) == b'{"a":1}\n'
    assert sink.has_file
    assert not lines.exists()
    with pytest.raises(UsageError, match=r"gs://b/out\.jsonl\.gz: exists already"):
        Sink("gs://b/out.jsonl.gz")


def test_a_sink_that_is_closed_early_leaves_no_object_and_keeps_its_lines(
    objects: dict[str, bytes], tmp_path: Path
) -> None:
    sink = Sink("gs://b/out.jsonl", gathered=tmp_path / "kept")

    async def run() -> None:
        await sink.open()
        await sink.write(b"{}")

    asyncio.run(run())
    assert sink.close() == tmp_path / "kept"
    assert (tmp_path / "kept").read_bytes() == b"{}\n"
    assert "b/out.jsonl" not in objects


def test_an_upload_is_tried_again_and_then_keeps_the_lines(
    objects: dict[str, bytes], tmp_path: Path
) -> None:
    Store.failures += [ConnectionResetError("reset")]
    asyncio.run(written(Sink("gs://b/one.jsonl", gathered=tmp_path / "one"), b"{}"))
    assert objects["b/one.jsonl"] == b"{}\n"
    Store.failures += [ConnectionResetError("reset by peer")] * 3
    with pytest.raises(OutputError, match=r"gs://b/two\.jsonl: cannot be reached: reset by peer"):
        asyncio.run(written(Sink("gs://b/two.jsonl", gathered=tmp_path / "two"), b"{}"))
    assert (tmp_path / "two").read_bytes() == b"{}\n"


def test_the_input_is_not_an_output(objects: dict[str, bytes]) -> None:
    objects["b/in.jsonl"] = b"{}\n"
    source = Source("gs://b/in.jsonl")
    with pytest.raises(UsageError, match="input and output are the same file"):
        Sink("gs://b/in.jsonl", force=True, sources=[source])


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("url", "why", "hint"),
    [
        ("ftp://h/in.jsonl", "ftp:// is not known", "name a path, or a URL of s3://, gs://"),
        ("gs://b/in.jsonl", "gs:// needs gcsfs", "run pip install gcsfs"),
        ("s3://KEY:SECRET@b/in.jsonl", "was given with credentials", "set AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_url_that_cannot_be_is_refused_with_the_way_out(url: str, why: str, hint: str) -> None:
    with pytest.raises(UsageError) as refused:
        Source(url)
    message, advice = refused.value.args
    assert why in message
    assert "SECRET" not in message
    assert advice.startswith(hint)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as refused:
        Source("s3://b/in.jsonl")
    assert refused.value.args == (
        "s3://b/in.jsonl: s3:// needs fsspec",
        "run pip install 'refinecli[remote]', or '.[remote]' in a checkout",
    )


def test_the_web_is_only_read() -> None:
    with pytest.raises(UsageError, match="https:// can only be read"):
        Sink("https://h/out.jsonl")


class _ClientError(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status} of https://h/x?sig=secret")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (_ClientError(503), True),
        (_ClientError(429), True),
        (_ClientError(403), False),
        (FileNotFoundError("x"), False),
        (PermissionError("x"), False),
        (ConnectionResetError("x"), True),
        (TimeoutError(), True),
        (ValueError("x"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, passes: bool) -> None:
    assert remote_errors.may_pass(error) is passes
    assert "secret" not in str(remote_errors.explained(error, "s3://b/k", "s3").args)


@pytest.mark.parametrize(
    ("scheme", "variable"), [("s3", "AWS_CA_BUNDLE"), ("https", "SSL_CERT_FILE")]
)
def test_a_certificate_that_is_not_trusted_names_the_variable_that_helps(
    scheme: str, variable: str
) -> None:
    error = SSLCertVerificationError("certificate verify failed")
    assert not remote_errors.may_pass(error)
    explained = remote_errors.explained(error, f"{scheme}://h/k", scheme)
    assert explained.hint == f"add its authority to those trusted: export {variable}=FILE"


class HTTPClientError(Exception):
    """By its name botocore's."""


@pytest.mark.parametrize(
    "missing", [FileNotFoundError(2, "No such file"), IsADirectoryError(21, "Is a directory")]
)
def test_a_file_of_certificates_that_is_not_there_is_not_the_network(missing: OSError) -> None:
    error = HTTPClientError("unhandled")
    error.__cause__ = missing
    assert not remote_errors.may_pass(error)
    explained = remote_errors.explained(error, "s3://b/k", "s3")
    assert "the trusted certificates cannot be read: [Errno" in explained.message
    assert explained.hint is not None
    assert "AWS_CA_BUNDLE" in explained.hint
