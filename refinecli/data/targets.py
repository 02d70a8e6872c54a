"""The places where finished output goes: a file, or what is behind a URL."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from refinecli.data.sources import Source, file_digest
from refinecli.text.urls import is_url


class Target(Protocol):
    """A place for an output. `given` is its name as it was given, and `key` the name that a call
    cache knows it by."""

    given: str
    key: str
    suffix: str

    def exists(self) -> bool:
        """Return whether a file is there."""

    def signature(self, file: Path | None = None) -> str:
        """Describe the file that is there, or one that is to go there, so that any later change
        shows."""

    def has_the_bytes_of(self, file: Path) -> bool:
        """Return whether the file that is there is equal to another."""

    def is_read_by(self, source: Source) -> bool:
        """Return whether the source reads it."""


class FileTarget:
    """A file on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()  # follow a link to its target
        self.given = self.key = str(self.path)
        self.suffix = self.path.suffix

    def exists(self) -> bool:
        return self.path.is_file()

    def signature(self, file: Path | None = None) -> str:
        there = (file or self.path).stat()
        return f"{self.path.name}: {there.st_size} bytes, {there.st_mtime_ns}"

    def has_the_bytes_of(self, file: Path) -> bool:
        import filecmp  # few runs come here

        return filecmp.cmp(file, self.path, shallow=False)

    def is_read_by(self, source: Source) -> bool:
        return source.path is not None and self.path.exists() and source.path.samefile(self.path)


class UrlTarget:
    """An object behind a URL, which appears when it is whole."""

    def __init__(self, url: str) -> None:
        from refinecli.data.remote import RemoteObject

        self.given = url
        self.remote = RemoteObject(url)
        self.remote.check_is_store()
        self.key = self.remote.name
        self.suffix = self.remote.suffix

    def exists(self) -> bool:
        return self.remote.exists()

    def signature(self, file: Path | None = None) -> str:
        # Known before it is there, unlike what a store says of it.
        digest = file_digest(file) if file else Source(self.given).digest()
        return f"{self.key}: {digest}"

    def has_the_bytes_of(self, file: Path) -> bool:
        return self.signature() == self.signature(file)

    def is_read_by(self, source: Source) -> bool:
        return source.remote is not None and source.name == self.key


def target_of(output: str | None) -> Target | None:
    """Return the place that an output names; None for standard output, devices and pipes."""
    if output is None or output == "-":
        return None
    if is_url(output):
        return UrlTarget(output)
    path = Path(output)
    return None if path.exists() and not path.is_file() and not path.is_dir() else FileTarget(path)
