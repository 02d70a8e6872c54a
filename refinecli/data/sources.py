"""Read lines from files, URLs or standard input, decompressing by suffix."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import select
import stat
import sys
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO, TypeVar, cast

from refinecli.data.wrong_kinds import wrong_kind
from refinecli.errors import UsageError, option
from refinecli.text.urls import is_url

if TYPE_CHECKING:
    from refinecli.data.remote import RemoteObject

T = TypeVar("T")
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 16
_HEAD = 1 << 14  # bytes that show what a file is
_MOST_WAITING = 1024  # lines
MEGABYTE = 1_000_000
LINE_BYTES = 64 * MEGABYTE


async def in_daemon_thread(function: Callable[..., T], *args: object) -> T:
    """Await the call's result in a thread; a call that blocks forever does not keep the program
    alive.

    `asyncio.to_thread` would: a read of standard input cannot be interrupted, and its executor is
    joined at exit.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast(T, result))

    def run() -> None:
        try:
            result, error = function(*args), None
        except BaseException as caught:
            result, error = None, caught
        # The loop may have been closed while the call was blocked.
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, daemon=True).start()
    return await future


class Source:
    """The lines of a file, of what is behind a URL, or of standard input, as (line number, bytes),
    without blank lines.

    `given` is what it was made with, and `name` how it is shown: a URL may hold credentials.
    `rereadable` says whether it can be read twice, so that all bad lines can be found first.
    A line of more than `most` bytes is refused, since a packed file can hide one that fills the
    memory.
    """

    def __init__(
        self, path: str | None, *, documents: bool = False, most: int | None = LINE_BYTES
    ) -> None:
        self.most = most
        self.given = "-" if path is None else path
        self.documents = documents
        self.path: Path | None = None
        self.remote: RemoteObject | None = None
        if is_url(self.given):
            self.remote = _remote(self.given)
            self.name, self.rereadable = self.remote.name, True
            self.remote.look()
            return
        self.path = None if self.given == "-" else Path(self.given)
        self.name = str(self.path) if self.path else "<stdin>"
        if self.path:
            _must_be_readable(self.path)
        self.rereadable = self.path is not None and (self.path.is_file() or self.path.is_dir())

    @property
    def is_stdin(self) -> bool:
        """True if it is standard input."""
        return self.path is None and self.remote is None

    @property
    def suffix(self) -> str:
        """The ending of its name, which says how it is packed; "" of standard input."""
        named = self.path or self.remote
        return named.suffix if named else ""

    @property
    def is_packed(self) -> bool:
        """True if it unpacks to any size, whatever its own is."""
        return self.suffix in (".gz", ".zst", ".parquet")

    def is_same_as(self, other: Source) -> bool:
        """Return whether both are the same file, or the same URL."""
        if self.path and other.path:
            return self.path.samefile(other.path)
        return self.remote is not None and self.given == other.given

    def digest(self) -> str:
        """Return the SHA-256 of the bytes of a file or of what is behind a URL, in hexadecimal."""
        if self.remote:
            return self.remote.digest()
        assert self.path is not None
        return file_digest(self.path)

    def check_kind(self) -> None:
        """Raise UsageError if a regular file does not begin like JSON Lines."""
        if not self.rereadable:
            return
        with self._reporting_damage(), self._opened() as file:
            self._must_be_lines(file.read(_HEAD))

    def _must_be_lines(self, head: bytes) -> None:
        if kind := wrong_kind(head, documents=self.documents):
            raise UsageError(f"{self.name}: is {kind.name}", kind.hint)

    def read(self) -> Iterator[tuple[int, bytes]]:
        """Yield all lines, waiting for each."""
        self.check_kind()
        with self._reporting_damage(), self._opened() as file:
            # A byte more shows that a line is too long.
            limit = -1 if self.most is None else self.most + 1
            for number, line in enumerate(iter(lambda: file.readline(limit), b""), start=1):
                self._must_fit(number, len(line))
                if number == 1 and not self.rereadable:
                    self._must_be_lines(line)
                yield from _line(number, line)

    def _must_fit(self, number: int, size: int) -> None:
        if self.most is None or size <= self.most:
            return
        megabytes = self.most / MEGABYTE
        raise UsageError(
            f"{self.name}:{number}: the line is longer than {megabytes:g} MB",
            f"shorten it, or allow more: {option('run.max_line_mb', f'{2 * megabytes:g}')}",
        )

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        """Open it, unpacked."""
        with ExitStack() as stack:
            raw: Path | BinaryIO
            if self.remote:
                raw = cast(BinaryIO, stack.enter_context(self.remote.open()))
            elif self.path:
                raw = self.path
            else:
                raw = stack.enter_context(sys.stdin.buffer)
            yield stack.enter_context(_unpacked(raw, self.suffix, self.name))

    @contextmanager
    def _reporting_damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if not isinstance(error, (EOFError, OSError, zlib.error, *_zstd_errors())):
                raise
            raise UsageError(f"{self.name}: {error}", "check that the file is complete") from None

    async def stream(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """Yield all lines as they arrive."""
        if self.remote:
            # In a thread: requests are in flight, and the next block may take a while.
            lines = self.read()
            while some := await in_daemon_thread(_several, lines):
                for number, line in some:
                    yield number, line
            return
        if self.rereadable:
            for number, line in self.read():
                yield number, line
            return
        if self.path:  # a pipe, whose writer may not be there yet
            descriptor = await in_daemon_thread(os.open, self.path, os.O_RDONLY)
        else:
            descriptor = sys.stdin.fileno()
        number = 0
        rest: list[bytes] = []  # of a line that continues in the next chunk
        size = 0
        while chunk := await in_daemon_thread(_read, descriptor):
            if not (number or rest):
                self._must_be_lines(chunk)
            first, *others = chunk.split(b"\n")
            rest.append(first)
            size += len(first)
            self._must_fit(number + 1, size)
            for after in others:
                number += 1
                for found in _line(number, b"".join(rest)):
                    yield found
                rest, size = [after], len(after)
                self._must_fit(number + 1, size)
        for found in _line(number + 1, b"".join(rest)):
            yield found


def _remote(url: str) -> RemoteObject:
    from refinecli.data.remote import RemoteObject

    return RemoteObject(url)


def _several(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Return the next lines, of about a block together."""
    found, size = [], 0
    for number, line in lines:
        found.append((number, line))
        size += len(line)
        if size >= _CHUNK:
            break
    return found


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:  # whoever made the pipe wants it that way
            select.select([descriptor], [], [])


def _line(number: int, line: bytes) -> Iterator[tuple[int, bytes]]:
    line = line.strip(b" \t\r\n")
    while line.startswith(_BOM):  # also where files were put together
        line = line[len(_BOM) :].lstrip()
    if line:
        yield number, line


def _must_be_readable(path: Path) -> None:
    try:
        if path.is_dir():
            from refinecli.data.parquet import is_saved_dataset

            if is_saved_dataset(path):
                return
            raise UsageError(f"{path}: is a directory", "name a JSONL file")
        if stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            path.open("rb").close()
    except OSError as error:
        hint = "name a JSONL file, or - for stdin"
        raise UsageError(f"{path}: {error.strerror}", hint) from None


def _unpacked(raw: Path | BinaryIO, suffix: str, name: str) -> BinaryIO:
    """Open a file, or the folder of a data set, or read on from an open one."""
    if suffix == ".gz":
        return cast(BinaryIO, gzip.open(raw, "rb"))
    if suffix == ".zst":
        return cast(BinaryIO, zstd().open(raw, "rb"))
    if suffix == ".parquet" or (isinstance(raw, Path) and raw.is_dir()):
        from refinecli.data.parquet import ParquetLines  # which most runs do without

        return cast(BinaryIO, ParquetLines(raw, name))
    return raw.open("rb") if isinstance(raw, Path) else raw


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def zstd() -> ModuleType:
    """Return Python 3.14's own module, or its backport."""
    try:
        return import_module("compression.zstd")
    except ModuleNotFoundError:
        return import_module("backports.zstd")


def _zstd_errors() -> tuple[type[Exception], ...]:
    loaded = (sys.modules.get(name) for name in ("compression.zstd", "backports.zstd"))
    return tuple(module.ZstdError for module in loaded if module)
