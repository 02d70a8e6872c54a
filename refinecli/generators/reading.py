"""Read other projects' files: rows with their places, and their columns with good errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from refinecli.data.rows import Row, read_row, unreadable_record
from refinecli.data.sources import LINE_BYTES, MEGABYTE, Source
from refinecli.errors import InputError, UsageError, option
from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

_FILE_HINT = "give JSONL (one object a line) or one JSON array of objects"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of JSONL, or an entry of an array, whose `value` is known; `number` counts from 1."""

    where: str
    number: int
    line: bytes = b""
    value: Any = None

    def object(self) -> JSONObject:
        """Return the object that it must be; raise InputError where it is not one."""
        value = _loads(self.line, self.where) if self.line else self.value
        if not isinstance(value, dict):
            raise InputError("expected a JSON object", _FILE_HINT, where=self.where)
        return value

    def unreadable(self, error: InputError) -> JSONObject:
        """Return the record that stands for it in the output."""
        text = (self.line or dumps(self.value)).decode("utf-8", "backslashreplace")
        return unreadable_record(Row(self.number, {}, error=error, text=text))


def read_entries(path: str, most: int | None = LINE_BYTES) -> Iterator[Entry]:
    """Yield the file's entries, each with its place: `path:line` in JSONL, `path[index]` in an
    array.

    A file whose first character is `[` is an array and is read as a whole; `.gz` and `.zst` are
    unpacked; `-` is standard input. A line has at most `most` bytes.
    """
    if path == "-":
        return _entries(Source("/dev/stdin", documents=True, most=most), "<stdin>")
    source = Source(path, documents=True, most=most)
    return _entries(source, source.name)


def _entries(source: Source, name: str) -> Iterator[Entry]:
    lines = source.read()
    first = next(lines, None)
    if first is None:
        return
    if first[1].startswith(b"["):
        yield from _array(first, lines, name, source.most if source.is_packed else None)
        return
    for number, line in chain([first], lines):
        yield Entry(f"{name}:{number}", number, line)


def _array(
    first: tuple[int, bytes], lines: Iterator[tuple[int, bytes]], name: str, most: int | None
) -> Iterator[Entry]:
    """Yield the entries of an array, which may have as many bytes as a line where it is packed: it
    could fill the memory."""
    data = bytearray(b"\n" * (first[0] - 1) + first[1])
    at = first[0]
    for number, line in lines:
        data += b"\n" * (number - at) + line  # blank lines count in the places of JSON errors
        if most is not None and len(data) > most:
            raise UsageError(
                f"{name}: unpacked, the array is longer than {most / MEGABYTE:g} MB",
                "unpack it, or allow more: "
                f"{option('run.max_line_mb', f'{2 * most / MEGABYTE:g}')}",
            )
        at = number
    for index, value in enumerate(_loads(bytes(data), name)):
        yield Entry(f"{name}[{index}]", index + 1, value=value)


def _loads(data: bytes, where: str) -> Any:
    try:
        return loads(data)
    except ValueError as error:
        raise InputError(f"not JSON: {error}", _FILE_HINT, where=where) from None


@dataclass(frozen=True, slots=True)
class Columns:
    """A row's columns, or those of an object in it that `prefix` names; null counts as absent."""

    where: str
    row: JSONObject
    prefix: str = ""

    def text(self, name: str) -> str:
        """Return a string that must exist and must not be blank."""
        text = self.optional_text(name)
        if text is None or not text.strip():
            raise self.fault(name, "field required", "give a string that is not blank")
        return text

    def optional_text(self, name: str) -> str | None:
        value = self.row.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.fault(name, "expected a string")

    def within(self, name: str) -> Columns:
        """Return the columns of the object that this column must hold."""
        value = self.row.get(name)
        if value is None:
            raise self.fault(name, "field required", "give an object")
        if not isinstance(value, dict):
            raise self.fault(name, "expected an object")
        return Columns(self.where, value, f"{self.prefix}{name}.")

    def fault(self, name: str, message: str, hint: str = "") -> InputError:
        return InputError(f"{self.prefix}{name}: {message}", hint, where=self.where)


def present(fields: JSONObject) -> JSONObject:
    """Return the fields without those that are None."""
    return {name: value for name, value in fields.items() if value is not None}


def checked(where: str, datapoint: JSONObject) -> JSONObject:
    """Return the datapoint if any command can read it; else raise the error at its row's place."""
    error = read_row(dumps(datapoint), 0, where).error
    if error is not None:
        raise InputError(error.message, error.hint, where=where)
    return datapoint
