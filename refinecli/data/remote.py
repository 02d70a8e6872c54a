"""Read and write files behind URLs, by fsspec: in blocks, each of which is asked for again where
the network fails.

    s3://bucket/in.jsonl  gs://…  az://…  hf://datasets/…  https://… (read only)
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from refinecli.data.remote_errors import advice, explained, may_pass
from refinecli.errors import OutputError, RefineError, UsageError
from refinecli.text.urls import has_password, scheme_of, without_credentials

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

T = TypeVar("T")

# The package that fsspec needs for a scheme besides itself.
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "az": "adlfs", "hf": "huggingface_hub"}
_WEB = ("https", "http")
_IN_EXTRA = ("fsspec", "s3fs")
# Seconds before each further try. A store that restarts, or a lost connection, takes that long; a
# name that is wrong should not.
_WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
_FIRST_WAITS = (0.5, 1.0)
# A block is as long as all before it, within these limits: to look at the beginning costs little,
# and a long file takes few requests.
_LEAST, _BLOCK = 1 << 16, 1 << 22
_UPLOAD_PART = 1 << 24  # of which four are in memory
_UPLOADS = 4
# Seconds of silence after which a connection counts as lost. A file may take as long as it takes.
_SILENCE = 60
# What shows that an object is another one, in the words of different stores.
_VERSION = ("ETag", "etag", "LastModified", "last_modified", "updated", "mtime", "created")


class RemoteObject:
    """A file behind a URL, whose `name` shows no credentials. One that changes after it was first
    looked at is not read any more."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = without_credentials(url)
        self.scheme = scheme_of(url)
        self._seen: str | None = None
        self._path = url
        self._system: AbstractFileSystem | None = None
        self._others: set[str] | None = None
        _check_supported(self.scheme, self.name)
        if has_password(url) and self.scheme not in _WEB:
            raise UsageError(
                f"{self.name}: was given with credentials, which no store takes in a URL",
                advice(self.scheme),
            )

    @property
    def path(self) -> str:
        """The path within its store, without what is not part of the name."""
        return self.name.partition("://")[2]

    @property
    def suffix(self) -> str:
        return Path(self.path).suffix

    # -------------------------------------------------------------- reading

    def open(self) -> io.BufferedReader:
        """Open it to read; raise UsageError if it cannot be."""
        return io.BufferedReader(_Blocks(self, self.look()), _BLOCK)

    def look(self) -> int | None:
        """Return its size, if that is known. Raises UsageError if it cannot be read, or is not what
        it was at the first look."""
        info = self.retried(self._info, self._first_waits if self._seen is None else _WAITS)
        if info.get("type") == "directory":
            raise UsageError(f"{self.name}: is a folder", "name a file in it")
        size: int | None = info.get("size")
        version = f"{size} {self._version(info)}"
        if self._seen not in (None, version):
            raise UsageError(
                f"{self.name}: has changed since it was first read",
                "leave the input as it is while a run reads it; run the same command to continue",
            )
        self._seen = version
        return size

    def open_once(self, *, in_ranges: bool) -> Any:
        """Return fsspec's own file; in ranges it can be read from anywhere."""
        return self._store().open(
            self._path, "rb", block_size=_BLOCK if in_ranges else 0, cache_type="none"
        )

    def retried(self, act: Callable[[], T], waits: Sequence[float] | None = None) -> T:
        """Return what the call returns, trying again what may pass; raise UsageError that explains
        what does not."""
        for wait in (*(_WAITS if waits is None else waits), None):
            try:
                return act()
            except RefineError:
                raise
            except Exception as error:
                if wait is None or not may_pass(error):
                    raise explained(error, self.name, self.scheme) from None
            time.sleep(wait)
        raise AssertionError

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, in hexadecimal."""
        with self.open() as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    # -------------------------------------------------------------- writing

    def check_is_store(self) -> None:
        """Raise UsageError for an address that is only read from."""
        if self.scheme in _WEB:
            stores = ", ".join(f"{one}://" for one in _PACKAGES)
            raise UsageError(
                f"{self.name}: {self.scheme}:// can only be read",
                f"write to a file, or to a URL of {stores}",
            )

    def exists(self) -> bool:
        """Return whether there is an object; raise UsageError where that cannot be found out."""

        def there() -> bool:
            try:
                return self._info().get("type") != "directory"
            except FileNotFoundError as error:
                if may_pass(error):
                    raise
                return False

        return self.retried(there, self._first_waits)

    def check_can_write(self) -> None:
        """Raise UsageError where an object cannot be written, as far as that can be found out
        without writing one."""
        if self.scheme == "s3":
            self.retried(self._begin_and_abort, ())

    def upload(self, file: Path) -> None:
        """Put a file there, as one object that appears when it is whole."""
        parts = {"chunksize": _UPLOAD_PART, "max_concurrency": _UPLOADS}
        more = parts if self.scheme == "s3" else {}
        if self.scheme == "s3" and file.stat().st_size > _UPLOAD_PART:
            self._others = self._unfinished()
        try:
            self.retried(lambda: self._store().put_file(str(file), self._path, **more))
        except UsageError as error:
            raise OutputError(*error.args) from None

    def give_up(self) -> None:
        """Remove the parts of an upload that is interrupted: S3 would keep them, unseen, at a
        price. fsspec does that itself where an upload fails."""
        if self._others is None:  # what is under way may be another's
            return
        for upload in (self._unfinished() or set()) - self._others:
            with suppress(Exception):
                self._store().call_s3("abort_multipart_upload", **self._place, UploadId=upload)

    def _unfinished(self) -> set[str] | None:
        """Return the uploads to this object that are under way; None where that is not known."""
        bucket, key = self._place.values()
        with suppress(Exception):  # few may list them
            found = self._store().call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
            return {one["UploadId"] for one in found.get("Uploads", ()) if one["Key"] == key}
        return None

    def write(self, content: bytes) -> None:
        """Write a small object."""
        try:
            self.retried(lambda: self._store().pipe_file(self._path, content))
        except UsageError as error:
            raise OutputError(*error.args) from None

    def _begin_and_abort(self) -> None:
        """Begin an upload in parts, which leaves nothing once it is aborted."""
        store = self._store()
        begun = store.call_s3("create_multipart_upload", **self._place)
        store.call_s3("abort_multipart_upload", **self._place, UploadId=begun["UploadId"])

    @property
    def _place(self) -> dict[str, str]:
        """The object in S3's words."""
        bucket, _, key = self.path.partition("/")
        return {"Bucket": bucket, "Key": key}

    # -------------------------------------------------------------- fsspec

    @property
    def _first_waits(self) -> Sequence[float]:
        return () if self.scheme == "s3" else _FIRST_WAITS  # s3fs tries for some seconds itself

    def _store(self) -> AbstractFileSystem:
        """Return fsspec's file system; it is found only now, since to import it takes a while."""
        if self._system is None:
            from fsspec.core import url_to_fs

            self._system, self._path = url_to_fs(self.url, **self._options())
        return self._system

    def _options(self) -> dict[str, Any]:
        if self.scheme not in _WEB:
            return {"use_listings_cache": False}
        from aiohttp import ClientTimeout

        patience = ClientTimeout(total=None, sock_connect=_SILENCE, sock_read=_SILENCE)
        return {
            "client_kwargs": {"timeout": patience, "trust_env": True},
            "encoded": "%" in self.url,  # a signature holds for what was signed
            "headers": {"Accept-Encoding": "identity"},
            "use_listings_cache": False,
        }

    def _info(self) -> dict[str, Any]:
        store = self._store()
        found: dict[str, Any] = store.info(self._path)
        return found

    def _version(self, info: dict[str, Any]) -> object:
        # Machines that serve the same file may name it by different tags.
        names = ("Last-Modified",) if self.scheme in _WEB else _VERSION
        return next((info[name] for name in names if info.get(name)), "")


class _Blocks(io.RawIOBase):
    """The bytes of a remote object, from wherever they are asked for."""

    def __init__(self, remote: RemoteObject, size: int | None) -> None:
        self._remote = remote
        self._size = size
        self._at = 0
        self._in_ranges = size is not None
        self._file: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._size is not None

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size or 0}[whence]
        if start + offset != self._at and not self._in_ranges:
            self._close_file()
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        wanted = min(len(view), max(_LEAST, min(self._at, _BLOCK)))
        data = self._remote.retried(lambda: self._fetch(wanted))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _fetch(self, wanted: int) -> bytes:
        try:
            data = self._read(wanted)
        except BaseException:
            self._close_file()
            raise
        if not data and self._size is not None and self._at < self._size:
            self._close_file()
            raise ConnectionError(f"it ended after {self._at:,} of {self._size:,} bytes")
        return data

    def _read(self, wanted: int) -> bytes:
        if self._size is not None and self._at >= self._size and self._in_ranges:
            return b""
        if self._in_ranges:
            try:
                return self._read_range(wanted)
            except ValueError:  # a web server that sends files only from their beginning
                self._close_file()
                self._in_ranges = False
        if self._file is None:
            self._open(in_ranges=False)
            self._skip(self._at)
        return bytes(self._file.read(wanted))

    def _read_range(self, wanted: int) -> bytes:
        if self._file is None:
            self._open(in_ranges=True)
        self._file.seek(self._at)
        return bytes(self._file.read(wanted))

    def _open(self, *, in_ranges: bool) -> None:
        if self._at:  # after a failure, or a while
            self._remote.look()
        self._file = self._remote.open_once(in_ranges=in_ranges)

    def _skip(self, count: int) -> None:
        while count:
            skipped = len(self._file.read(min(count, _BLOCK)))
            if not skipped:
                raise ConnectionError(f"it ended before byte {self._at:,}")
            count -= skipped

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def close(self) -> None:
        if not self.closed:
            self._close_file()
        super().close()


def _check_supported(scheme: str, name: str) -> None:
    if scheme not in (*_PACKAGES, *_WEB):
        known = ", ".join(f"{one}://" for one in (*_PACKAGES, *_WEB))
        raise UsageError(f"{name}: {scheme}:// is not known", f"name a path, or a URL of {known}")
    needed = ("fsspec", *((_PACKAGES[scheme],) if scheme in _PACKAGES else ()))
    package = next((one for one in needed if find_spec(one) is None), "")
    if package:
        hint = "run pip install 'refinecli[remote]', or '.[remote]' in a checkout"
        if package not in _IN_EXTRA:
            hint = f"run pip install {package}"
        raise UsageError(f"{name}: {scheme}:// needs {package}", hint)
