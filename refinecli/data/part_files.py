"""Describe a finished part of a file in `FILE.part.json` next to it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from refinecli.data.remote import RemoteObject
from refinecli.text.json_text import dumps, loads
from refinecli.text.urls import is_url


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


def part_file(part: str) -> str:
    """Return the path of the record next to a part, or its URL."""
    return f"{part}.part.json"


def write_part_file(record: PartFile, part: str) -> None:
    """Write the record next to the part; it appears whole."""
    content = dumps(record.model_dump()) + b"\n"
    if is_url(part):
        RemoteObject(part_file(part)).write(content)
        return
    path = Path(part_file(part))
    unfinished = path.with_name(f"{path.name}.partial")
    unfinished.write_bytes(content)
    unfinished.replace(path)


def read_part_file(path: str) -> PartFile:
    """Read a record. Raises OSError or UsageError where there is none, ValueError where it is none
    of ours."""
    if is_url(path):
        with RemoteObject(path).open() as file:
            return PartFile.model_validate(loads(file.read()))
    return PartFile.model_validate(loads(Path(path).read_bytes()))
