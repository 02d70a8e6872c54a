"""Where lines come from and go to: files, `-`, compression by suffix, output that appears whole."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gzip
import os
import select
import stat
import sys
import threading
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import BinaryIO, TypeVar, cast

from refinecli.errors import UsageError

T = TypeVar("T")
_BOM = b"\xef\xbb\xbf"
_CHUNK = 1 << 16
_MOST_WAITING = 1024  # lines


async def in_daemon_thread(function: Callable[..., T], *args: object) -> T:
    """The call's result, awaited; a call that blocks for ever does not keep the program alive.

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


# ------------------------------------------------------------------ input


class Source:
    """The lines of a file or of standard input, as (line number, bytes); blank lines are no lines.

    `rereadable` tells whether it can be read twice, so that all bad lines can be found first.
    """

    def __init__(self, path: str | None) -> None:
        self.path = None if path is None or path == "-" else Path(path)
        self.name = str(self.path) if self.path else "<stdin>"
        if self.path:
            _must_be_readable(self.path)
        self.rereadable = self.path is not None and self.path.is_file()

    def read(self) -> Iterator[tuple[int, bytes]]:
        """All lines, waiting for each."""
        try:
            with _open_to_read(self.path) if self.path else sys.stdin.buffer as file:
                for number, line in enumerate(file, start=1):
                    yield from _line(number, line)
        except Exception as error:
            if not isinstance(error, (EOFError, OSError, zlib.error, *_zstd_errors())):
                raise
            raise UsageError(f"{self.name}: {error}", "is the file whole?") from None

    async def stream(self) -> AsyncGenerator[tuple[int, bytes], None]:
        """All lines as they arrive."""
        if self.rereadable:
            for number, line in self.read():
                yield number, line
            return
        descriptor = sys.stdin.fileno()
        if self.path:  # a pipe, whose writer may not be there yet
            descriptor = await in_daemon_thread(os.open, self.path, os.O_RDONLY)
        number = 0
        rest: list[bytes] = []  # of a line that goes on in the next chunk
        while chunk := await in_daemon_thread(_read, descriptor):
            first, *others = chunk.split(b"\n")
            rest.append(first)
            for after in others:
                number += 1
                for found in _line(number, b"".join(rest)):
                    yield found
                rest = [after]
        for found in _line(number + 1, b"".join(rest)):
            yield found


def _read(descriptor: int) -> bytes:
    while True:
        try:
            return os.read(descriptor, _CHUNK)
        except BlockingIOError:  # whoever made the pipe wants it that way
            select.select([descriptor], [], [])


def _line(number: int, line: bytes) -> Iterator[tuple[int, bytes]]:
    if number == 1:
        line = line.removeprefix(_BOM)
    line = line.strip(b" \t\r\n")
    if line:
        yield number, line


def _must_be_readable(path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a directory", "name a JSONL file")
        if stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            path.open("rb").close()
    except OSError as error:
        hint = "INPUT is a JSONL file, or - for stdin"
        raise UsageError(f"{path}: {error.strerror}", hint) from None


def _open_to_read(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return cast(BinaryIO, zstd().open(path, "rb"))
    return path.open("rb")


def zstd() -> ModuleType:
    """Python 3.14's own module, or its backport."""
    try:
        return import_module("compression.zstd")
    except ModuleNotFoundError:
        return import_module("backports.zstd")


def _zstd_errors() -> tuple[type[Exception], ...]:
    loaded = (sys.modules.get(name) for name in ("compression.zstd", "backports.zstd"))
    return tuple(module.ZstdError for module in loaded if module)


# ------------------------------------------------------------------ output


class Sink:
    """Where result lines go: standard output, a device, or a file that appears only when whole.

    A file is written as `FILE.partial` beside its place and moved there by `commit`; `close`
    without it leaves what was written where it is, unless that is nothing. A `FILE.partial` that is
    there already is written anew where this run `continues` that one, and else put aside.
    """

    def __init__(
        self,
        path: str | None,
        *,
        force: bool = False,
        sources: Sequence[Source] = (),
        continues: bool = False,
    ) -> None:
        self.path = None if path is None or path == "-" else Path(path)
        if self.path and not _is_device(self.path):
            self.path = self.path.resolve()  # through a link to the file that is meant
        self.name = "standard output" if self.path is None else str(path)
        self.lines = 0
        self._force = force
        self._continues = continues
        self._stack = ExitStack()
        self._file: BinaryIO | None = None
        self._unbegun: BinaryIO | None = None  # open and locked, with what an earlier run left
        self._lock: int | None = None
        self._partial: Path | None = None
        self._descriptor: int | None = None  # of a pipe or device that has a name
        self._waiting: list[bytes] = []
        self._writing: asyncio.Future[None] | None = None
        if self.path is not None:
            self._partial = _partial_path(self.path, self.name, force, sources)

    async def open(self) -> None:
        """Make the output ready; a file or folder that cannot be written is found here. Nothing is
        changed yet but that no other run may write there."""
        if self.path is None:
            return
        try:
            if self._partial is None:  # a pipe, whose reader may not be there yet
                raw = await in_daemon_thread(_open_binary, self.path, "wb")
                if (file := _packing(raw, self.path.suffix, self._stack)) is raw:
                    self._descriptor = raw.fileno()  # each line leaves as it is written
                else:
                    self._file = file
            else:
                self._unbegun = _open_locked(self._partial, self._continues)
                self._lock = os.dup(self._unbegun.fileno())
        except OSError as error:
            raise UsageError(f"{self._partial or self.path}: {error.strerror}") from None

    def _begin(self) -> None:
        """The file is empty from here on."""
        if self._unbegun is not None and self.path is not None:
            self._unbegun.truncate()
            self._file = _packing(self._unbegun, self.path.suffix, self._stack)
            self._unbegun = None

    async def write(self, line: bytes) -> None:
        """Write one line; raises BrokenPipeError where the reader of a pipe is gone."""
        self._begin()
        self.lines += 1
        if self._file is not None:
            self._file.write(line + b"\n")
            return
        # A reader may be slow, and requests in flight must go on meanwhile: a thread writes what
        # has gathered, and only a full buffer makes us wait for it.
        self._waiting.append(line)
        if self._writing is None or self._writing.done():
            await self._written()
            self._writing = asyncio.ensure_future(self._flush())
        elif len(self._waiting) > _MOST_WAITING:
            await self._written()

    async def drain(self) -> None:
        """Wait until every line is written."""
        cancelled: asyncio.CancelledError | None = None
        while self._waiting or self._writing:
            try:
                await self._written()
            except asyncio.CancelledError as error:  # half a line would be worse than waiting
                cancelled = error
            if self._waiting and self._writing is None:
                self._writing = asyncio.ensure_future(self._flush())
        if cancelled:
            raise cancelled

    async def _written(self) -> None:
        if self._writing is None:
            return
        try:
            # Shielded: where we are cancelled, the thread goes on, and `drain` waits for it.
            await asyncio.shield(self._writing)
        except Exception:
            self._waiting.clear()
            self._writing = None
            raise
        self._writing = None

    async def _flush(self) -> None:
        descriptor = sys.stdout.fileno() if self._descriptor is None else self._descriptor
        while self._waiting:
            lines, self._waiting = self._waiting, []
            await in_daemon_thread(_write_all, descriptor, b"\n".join([*lines, b""]))

    def commit(self, before: Callable[[str], None] = lambda signature: None) -> None:
        """The run is over: the file takes its place. `before` that, its signature is told."""
        self._begin()
        self._stack.close()
        if self._file is not None and self._partial is not None and self.path is not None:
            with self._partial.open("rb") as file:
                os.fsync(file.fileno())
            before(signature(self._partial, self.path))
            if not self._force and self.path.exists():
                raise FileExistsError(
                    errno.EEXIST, f"it has appeared meanwhile; the results are in {self._partial}"
                )
            self._partial.replace(self.path)
        self._file = None

    def discard(self) -> None:
        """Drop what was not committed."""
        self.lines = 0
        self.close()
        self.unlock()

    def close(self) -> Path | None:
        """The run ended early: where the finished lines are, if there are any and they are kept."""
        with suppress(OSError):  # a full disk has been told already
            self._stack.close()
        begun, self._file = self._file is not None, None
        if self._unbegun is not None:
            begun = os.fstat(self._unbegun.fileno()).st_size == 0  # nothing was there either
            self._unbegun.close()
            self._unbegun = None
        kept = None
        if begun and self._partial is not None:
            if self.lines:
                kept = self._partial
            else:
                self._partial.unlink(missing_ok=True)
        return kept

    def unlock(self) -> None:
        """Let others write there: last of all, when nothing of this run is left to be done."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _is_device(path: Path) -> bool:
    """A device or a pipe: nothing that could be replaced by a file."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _partial_path(path: Path, name: str, force: bool, sources: Sequence[Source]) -> Path | None:
    """Where to write until the file is whole; None for devices and pipes, which are no files."""
    if path.is_dir():
        raise UsageError(f"{name}: is a directory", "name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent}: no such directory", "make it first")
    if path.exists():
        if any(source.path and source.path.samefile(path) for source in sources):
            raise UsageError(f"{name}: input and output are the same file", "write to another file")
        if _is_device(path):
            return None
        if not force:
            raise UsageError(f"{name}: exists already", "--force replaces it")
    return path.with_name(path.name + ".partial")


def signature(file: Path, place: Path) -> str:
    """What tells a file that was written, at its place, from what became of it since."""
    there = file.stat()
    return f"{place.name}: {there.st_size} bytes, {there.st_mtime_ns}"


def _open_binary(path: Path, mode: str) -> BinaryIO:
    return cast(BinaryIO, path.open(mode))


def _open_locked(path: Path, continues: bool) -> BinaryIO:
    """A file of our own, empty or what this run left: no second run writes to it as long as it is
    open."""
    while True:
        file = open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UsageError(
                f"{path}: another run is writing it", "wait for its end, or write to another file"
            ) from None
        except OSError:  # some network file systems know no locks
            pass
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.close()  # it was moved to its place just now
            continue
        if continues or os.fstat(file.fileno()).st_size == 0:
            return file
        # What an earlier run left is somebody's paid work: never written over.
        names = (path.with_name(f"{path.name}.{n}") for n in count(2))
        path.rename(next(free for free in names if not free.exists()))
        file.close()


def _packing(raw: BinaryIO, suffix: str, stack: ExitStack) -> BinaryIO:
    file = stack.enter_context(raw)
    if suffix == ".gz":
        # No time stamp and no name in the header: equal lines give equal bytes.
        return cast(BinaryIO, stack.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0)))
    if suffix == ".zst":
        return cast(BinaryIO, stack.enter_context(zstd().open(file, "wb")))
    return file


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
