"""Describe a finished part of a file in `FILE.part.json` next to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from refinecli.text.json_text import dumps, loads


class PartFile(BaseModel):
    """The record of a finished part. Digests are SHA-256: of the input's bytes, of the part's, and
    of all settings that shape a line."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    shard: str
    rows: int
    limit: int | None
    input: str
    settings: str
    output: str


def part_file(part: Path) -> Path:
    """Return the path of the record next to a part."""
    return part.with_name(f"{part.name}.part.json")


def write_part_file(record: PartFile, part: Path) -> None:
    """Write the record next to the part; it appears whole."""
    path = part_file(part)
    unfinished = path.with_name(f"{path.name}.partial")
    unfinished.write_bytes(dumps(record.model_dump()) + b"\n")
    unfinished.replace(path)


def read_part_file(path: Path) -> PartFile:
    """Read a record. Raises OSError where there is none, ValueError where it is none of ours."""
    return PartFile.model_validate(loads(path.read_bytes()))


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
