"""Recognise files that are not JSON Lines by their beginning, to report them once."""

from __future__ import annotations

import csv
import re
from typing import NamedTuple

from refinecli.text.json_text import loads


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
    (b"PAR1", "a parquet file", "give it the suffix .parquet"),
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
    (b"/annex/objects/", "a git-annex pointer, not the file", "fetch it with git annex get"),
    (b"%PDF-", "a PDF", "name a JSONL file"),
    (b"data: ", "an event stream", "keep what stands after `data: `"),
    (b"---", "YAML", "write it as JSON Lines"),
    (b"- ", "YAML", "write it as JSON Lines"),
    (b"\x1e", "a JSON text sequence", "take its separators out with tr -d '\\036'"),
)
# The same of markup, whose case and indentation do not matter.
_MARKUP = (
    (b"<!doctype html", "a web page", "download the raw file"),
    (b"<html", "a web page", "download the raw file"),
    (b"<?xml", "XML", "write it as JSON Lines"),
)
_BINARY = WrongKind("binary data, not text", "name a JSONL file")
_TOML = WrongKind("TOML", "name a JSONL file: this may be a config, or a rubric")
_CARRIAGE_RETURNS = WrongKind(
    "text whose lines end in carriage returns alone", "convert it with tr '\\r' '\\n'"
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
    head = head.removeprefix(_BOM)
    text = head.lstrip()
    for known, start in ((_BEGINNINGS, head), (_MARKUP, text[:20].lower())):
        for beginning, name, hint in known:
            if start.startswith(beginning):
                return WrongKind(name, hint)
    if _CONTROLS.search(head):
        return _BINARY
    lines = [line.strip() for line in head.split(b"\n")]
    first, second = ([line for line in lines if line] + [b"", b""])[:2]
    if _TABLE_OF_TOML.fullmatch(first):
        return _TOML
    if b"}\r{" in first:
        return _CARRIAGE_RETURNS
    if first.startswith(b"[") and not documents:
        return _ARRAY
    if first.startswith(b"{") and second.startswith((b'"', b"}", b"]")) and not documents:
        return None if _is_json(first) else _DOCUMENT
    whole = [line for line in lines[:-1] if line]  # the last one may have been cut
    return _TABLE if _is_table(whole) else None


# No text has these, and JSON must escape them; a line may end in a carriage return.
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1d\x1f]")
_TABLE_OF_TOML = re.compile(rb"\[\[?[A-Za-z_][\w.-]*\]\]?")


def _is_json(line: bytes) -> bool:
    try:
        loads(line)
    except ValueError:
        return False
    return True


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
