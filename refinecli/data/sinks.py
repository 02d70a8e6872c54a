"""Write result lines to files that appear when complete, URLs, devices, or standard output."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gzip
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO, cast

from refinecli.data.sources import Source, in_daemon_thread, zstd
from refinecli.data.targets import FileTarget, UrlTarget, target_of
from refinecli.errors import UsageError, option

_MOST_WAITING = 1024  # lines
_PARQUET = ".parquet"
_GIVE_UP_SECONDS = 10  # for what an interrupt should wait for; a second one ends it at once


class Sink:
    """The destination of result lines: standard output, a device, or a file that appears only when
    complete.

    A file is written as `FILE.partial` next to its place and moved there by `commit`; `close`
    without it leaves the written lines where they are, if there are any. An existing `FILE.partial`
    is overwritten if this run `continues` the run that wrote it, and otherwise renamed. By its
    suffix a file becomes parquet once all its lines are there, since columns depend on every row.

    What goes to a URL is gathered in a file at `gathered`, else in a temporary one, and leaves with
    `deliver`: an upload lasts as long as it takes, and a run may last for days.
    """

    def __init__(
        self,
        path: str | None,
        *,
        force: bool = False,
        sources: Sequence[Source] = (),
        continues: bool = False,
        gathered: Path | None = None,
    ) -> None:
        self.target = target_of(path)
        self.path = None if path is None or path == "-" else Path(path)
        self.name = "standard output" if self.path is None else str(path)
        if isinstance(self.target, UrlTarget):
            self.path, self.name = None, self.target.key
        elif isinstance(self.target, FileTarget):
            self.path = self.target.path
        self._temporary: Path | None = None
        self._delivered = False
        self.lines = 0
        self._force = force
        self._continues = continues
        self._stack = ExitStack()
        self._file: BinaryIO | None = None
        self._unbegun: BinaryIO | None = None  # open and locked, still with an earlier run's lines
        self._lock: int | None = None
        self.partial: Path | None = None
        self._descriptor: int | None = None  # of a named pipe or device
        self._waiting: list[bytes] = []
        self._writing: asyncio.Future[None] | None = None
        self._suffix = self.target.suffix if self.target else self.path.suffix if self.path else ""
        if self.target is None:
            return
        if self._suffix == _PARQUET:
            from refinecli.data.parquet import check_can_write

            check_can_write(self.name)
        self._check_target(sources)
        if self.path is not None:
            self.partial = self.path.with_name(f"{self.path.name}.partial")
        else:
            self.partial = gathered

    def _check_target(self, sources: Sequence[Source]) -> None:
        target = self.target
        assert target is not None
        ends_like_one = self.name.endswith("/")  # a file would have another name than was given
        if ends_like_one or (self.path is not None and self.path.is_dir()):
            raise UsageError(f"{self.name}: is a directory", "name a file")
        if self.path is not None and not self.path.parent.is_dir():
            raise UsageError(f"{self.path.parent}: no such directory", "make it first")
        if any(target.is_read_by(source) for source in sources):
            raise UsageError(
                f"{self.name}: input and output are the same file", "write to another file"
            )
        if not self._force and target.exists():
            raise UsageError(f"{self.name}: exists already", f"use {option('force')} to replace it")

    @property
    def is_stdout(self) -> bool:
        """True if it is standard output."""
        return self.path is None and self.target is None

    @property
    def is_remote(self) -> bool:
        """True if it goes to a URL."""
        return isinstance(self.target, UrlTarget)

    @property
    def has_file(self) -> bool:
        """True if its file is in its place."""
        return self._delivered or (self.path is not None and self.path.is_file())

    async def open(self) -> None:
        """Make the output ready, and find out whether it can be written. Nothing changes yet,
        except that no other run may write there."""
        if self.is_stdout:
            return
        try:
            if isinstance(self.target, UrlTarget):
                await in_daemon_thread(self.target.remote.check_can_write)
            if self.is_remote and self.partial is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="refinecli-"))
                self.partial = self._temporary / "output.partial"
            if self.partial is None:  # a pipe, whose reader may not be there yet
                raw = await in_daemon_thread(_open_binary, self.path, "wb")
                if (file := _packing(raw, self._suffix, self._stack)) is raw:
                    self._descriptor = raw.fileno()  # each line leaves as it is written
                else:
                    self._file = file
            else:
                self._unbegun = _open_locked(self.partial, self._continues)
                self._lock = os.dup(self._unbegun.fileno())
        except OSError as error:
            raise UsageError(f"{self.partial or self.path}: {error.strerror}") from None

    def _begin(self) -> None:
        """Empty the file."""
        if self._unbegun is not None:
            self._unbegun.truncate()
            self._file = _packing(self._unbegun, self._suffix, self._stack)
            self._unbegun = None

    async def write(self, line: bytes) -> None:
        """Write one line; raise BrokenPipeError where the reader of a pipe is gone."""
        self._begin()
        self.lines += 1
        if self._file is not None:
            self._file.write(line + b"\n")
            return
        # A reader may be slow while requests are in flight, so a thread writes the gathered lines,
        # and only a full buffer makes us wait for it.
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
            # Shielded: if we are cancelled, the thread continues, and `drain` waits for it.
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
        """Move the finished file into place, after passing its signature to `before`; one that goes
        to a URL waits for `deliver`."""
        self._begin()
        self._stack.close()
        if self._file is not None and self.partial is not None and self.target is not None:
            if self._suffix == _PARQUET:
                from refinecli.data.parquet import write_parquet

                unfinished = self.partial.with_name(f"{self.partial.name}.parquet")
                write_parquet(self.partial, unfinished)
                unfinished.replace(self.partial)
            with self.partial.open("rb") as file:
                os.fsync(file.fileno())
            before(self.target.signature(self.partial))
            if not self._force and self.target.exists():
                raise FileExistsError(
                    errno.EEXIST,
                    f"it has appeared since the start; the results are in {self.partial}",
                )
            if self.path is None:
                return
            self.partial.replace(self.path)
        self._file = None

    async def deliver(self) -> None:
        """Send what was committed to its URL, if it goes to one."""
        if not isinstance(self.target, UrlTarget):
            return
        assert self.partial is not None
        try:
            await in_daemon_thread(self.target.remote.upload, self.partial)
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                async with asyncio.timeout(_GIVE_UP_SECONDS):
                    await in_daemon_thread(self.target.remote.give_up)
            raise
        self._delivered = True
        self._file = None
        self.partial.unlink()

    def repeats_the_file(self) -> bool:
        """Return True where the finished lines are those that the file already has."""
        assert self.partial is not None
        assert self.target is not None
        return self.target.has_the_bytes_of(self.partial)

    def answered_before(self) -> int:
        """Count the calls behind the finished lines that the file to be replaced rests on, too."""
        if self.partial is None or self.path is None or not self.path.is_file():
            return 0
        from refinecli.data.answered_before import answered_before

        return answered_before(self.path, self.partial)

    def discard(self) -> None:
        """Drop what was not committed."""
        self.lines = 0
        self.close()
        self.unlock()

    def close(self) -> Path | None:
        """End an unfinished output; return the file with the finished lines, if there are any and
        they are kept."""
        with suppress(OSError):  # a full disk has been reported already
            self._stack.close()
        begun, self._file = self._file is not None, None
        if self._unbegun is not None:
            begun = os.fstat(self._unbegun.fileno()).st_size == 0  # there was nothing before either
            self._unbegun.close()
            self._unbegun = None
        kept = None
        if begun and self.partial is not None:
            if self.lines and self._temporary is None:
                kept = self.partial
            else:
                self.partial.unlink(missing_ok=True)
        return kept

    def unlock(self) -> None:
        """Let others write there, last of all, when nothing of this run is left to do."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def _open_binary(path: Path, mode: str) -> BinaryIO:
    return cast(BinaryIO, path.open(mode))


def _open_locked(path: Path, continues: bool) -> BinaryIO:
    """Open a file of our own, empty or with this run's earlier lines, and lock out a second run."""
    while True:
        _must_be_ours(path)
        # Not through a link, and without waiting for the reader of a pipe.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
        file = open(os.open(path, flags, 0o666), "r+b")  # noqa: SIM115
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise UsageError(
                f"{path}: another run is writing it", "wait for its end, or write to another file"
            ) from None
        except OSError:  # some network file systems have no locks
            pass
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.close()  # it was moved into place just now
            continue
        if continues or os.fstat(file.fileno()).st_size == 0:
            return file
        # An earlier run's lines are paid work: never overwrite them.
        names = (path.with_name(f"{path.name}.{n}") for n in count(2))
        path.rename(next(free for free in names if not free.exists()))
        file.close()


def _must_be_ours(path: Path) -> None:
    """Raise UsageError for what no run of ours leaves there, and what is lost or stuck if we write
    to it."""
    if path.is_symlink():
        kind = "a symbolic link"
    elif path.is_dir():
        kind = "a directory"
    elif path.exists() and not path.is_file():
        kind = "a pipe or a device"
    else:
        return
    raise UsageError(
        f"{path}: is {kind}, but this run keeps its lines there until it is over", "remove it"
    )


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
