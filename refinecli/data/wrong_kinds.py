"""Recognise files that are not JSON Lines by their beginning, to report them once."""

from __future__ import annotations

import csv
from typing import NamedTuple


class WrongKind(NamedTuple):
    """The kind of a file that is not JSON Lines, and how to turn it into JSON Lines."""

    name: str
    hint: str


# The beginning of a file, its kind, and the way out. To name another kind, add a line.
_BEGINNINGS = (
    (b"\x1f\x8b", "compressed with gzip", "give it the suffix .gz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", "give it the suffix .zst"),
    (b"\xfd7zXZ\x00", "compressed with xz", "unpack it with xz -d"),
    (b"BZh", "compressed with bzip2", "unpack it with bzip2 -d"),
    (b"PK\x03\x04", "a zip archive (or a spreadsheet)", "unpack it; a sheet exports as CSV"),
    (b"PAR1", "a parquet file", "write it as JSON Lines, with pandas: to_json(lines=True)"),
    (b"SQLite format 3\x00", "an SQLite database, perhaps a call cache", "name a JSONL file"),
    (
        b"version https://git-lfs.github.com/spec/",
        "a Git LFS pointer, not the file that it stands for",
        "fetch the file with git lfs pull",
    ),
    (b"\xff\xfe\x00\x00", "UTF-32 text", "convert it with iconv -t UTF-8"),
    (b"\x00\x00\xfe\xff", "UTF-32 text", "convert it with iconv -t UTF-8"),
    (b"\xff\xfe", "UTF-16 text", "convert it with iconv -f UTF-16 -t UTF-8"),
    (b"\xfe\xff", "UTF-16 text", "convert it with iconv -f UTF-16 -t UTF-8"),
    (b"{\x00", "UTF-16 text", "convert it with iconv -f UTF-16LE -t UTF-8"),
    (b"\x00{", "UTF-16 text", "convert it with iconv -f UTF-16BE -t UTF-8"),
    (b"<!DOCTYPE", "a web page", "download the raw file"),
    (b"<html", "a web page", "download the raw file"),
)
_ARRAY = WrongKind("a JSON array, not one object a line", "take it apart with jq -c '.[]'")
_DOCUMENT = WrongKind("JSON over several lines", "write an object a line with jq -c .")
_TABLE = WrongKind(
    "a table such as CSV", "write it as JSON Lines, with pandas: read_csv, to_json(lines=True)"
)
_BOM = b"\xef\xbb\xbf"
_DELIMITERS = ",;\t|"
# A header and this many rows of as many fields are not a coincidence of broken lines.
_ROWS = 2


def wrong_kind(head: bytes, *, documents: bool = False) -> WrongKind | None:
    """Return the kind of a file whose content begins with `head`, None if it may be JSON Lines.

    `head` may end within a line. With `documents`, JSON arrays and JSON over several lines are read
    too, so they are not wrong.
    """
    for beginning, name, hint in _BEGINNINGS:
        if head.startswith(beginning):
            return WrongKind(name, hint)
    lines = [line.strip() for line in head.removeprefix(_BOM).split(b"\n")]
    first, second = ([line for line in lines if line] + [b"", b""])[:2]
    if first.startswith(b"[") and not documents:
        return _ARRAY
    if first == b"{" and second.startswith((b'"', b"}")) and not documents:
        return _DOCUMENT
    whole = [line for line in lines[:-1] if line]  # the last one may have been cut
    return _TABLE if _is_table(whole) else None


def _is_table(lines: list[bytes]) -> bool:
    """Return whether the lines have equally many fields, and none could be a JSON object."""
    if len(lines) <= _ROWS or any(line.startswith(b"{") for line in lines):
        return False
    # A quoted field may hold line breaks; then the first rows are enough to go by.
    text = [line.decode("utf-8", "replace") for line in lines]
    for delimiter in _DELIMITERS:
        try:
            widths = [len(row) for row in csv.reader(text, delimiter=delimiter)]
        except csv.Error:
            continue
        if widths[0] > 1 and all(width == widths[0] for width in widths[: _ROWS + 1]):
            return True
    return False
