"""Leave the parts of a run as files of a directory, and a manifest that names them in order."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile

import refinecli
from refinecli.data.part_files import part_file
from refinecli.data.sources import Source
from refinecli.errors import UsageError, option
from refinecli.runs.shards import Part
from refinecli.text.json_text import digest
from refinecli.types import JSONObject

MANIFEST = "manifest.json"
_PART = re.compile(r"part-[0-9]{5,}-of-[0-9]{5,}\.jsonl")


@dataclass(frozen=True, slots=True)
class Directory:
    """The directory that is a run's output. It is whole once its manifest is there."""

    path: Path

    @property
    def manifest(self) -> Path:
        """The file that names the parts."""
        return self.path / MANIFEST

    def make(self) -> bool:
        """Make it; return whether it is new. Raises UsageError where it cannot be made."""
        try:
            self.path.mkdir()
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise UsageError(f"{self.path.parent}: no such directory", "make it first") from None
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}") from None
        return True

    def remove_if_empty(self) -> None:
        """Delete it where nothing is in it."""
        with suppress(OSError):
            self.path.rmdir()

    def check(self, sources: Sequence[Source], *, replaces: bool) -> None:
        """Raise UsageError where parts are that others wrote, unless the run `replaces` them, or
        where the run would replace its own input."""
        there = list(self._parts())
        for source in sources:
            if source.path and source.path.resolve() in [part.resolve() for part in there]:
                raise UsageError(
                    f"{source.name}: is a part in the directory of the output",
                    "write to another directory",
                )
        if there and not replaces:
            raise UsageError(
                f"{self.path}: holds parts already, such as {there[0].name}",
                f"use {option('force')} to replace them, or write to another directory",
            )

    def put(self, parts: Sequence[Part]) -> None:
        """Bring in the parts, which stay where they are, too, until the run is over. The directory
        is not whole while that lasts."""
        self.manifest.unlink(missing_ok=True)
        coming = {Path(part.given).name for part in parts}
        for old in list(self._parts()):
            record = Path(part_file(str(old)))
            if old.name not in coming and record.exists():  # then a run of ours wrote it
                old.unlink()
                record.unlink()
        for part in parts:
            for file in (Path(part.given), Path(part_file(part.given))):
                _put(file, self.path / file.name)

    def _parts(self) -> Iterator[Path]:
        with suppress(FileNotFoundError):
            for path in sorted(self.path.iterdir()):
                if _PART.fullmatch(path.name):
                    yield path


def manifest_of(
    parts: Sequence[Part], source: Path, command: str, described: JSONObject
) -> list[bytes]:
    """Return the lines of the record of a whole directory, whose run is `described` by settings. It
    holds no time and no place: equal runs give equal bytes."""
    record = parts[0].record
    manifest = {
        "made_by": f"refinecli {refinecli.__version__}",
        "command": command,
        "input": {"file": source.name, "sha256": record.input, "limit": record.limit},
        "settings": _settings(described),
        "settings_digest": record.settings,
        "rows": sum(part.record.rows for part in parts),
        "parts": [
            {
                "file": Path(part.given).name,
                "rows": part.record.rows,
                "sha256": part.record.output,
            }
            for part in parts
        ],
    }
    return json.dumps(manifest, indent=1).encode().splitlines()


_ELSEWHERE = ("command", "input", "limit", "shards")


def _settings(described: JSONObject) -> JSONObject:
    """Return those that are set; all prompts by one digest, since they fill pages."""
    prompts = {k: v for k, v in described.items() if k.startswith("prompts.")}
    others = described.keys() - prompts.keys() - {*_ELSEWHERE}
    found = {
        key: value
        for key, value in described.items()
        if key in others and value not in (None, {}, []) and not key.endswith(".name")
    }
    return {**found, "prompts_digest": digest(prompts)}


def _put(file: Path, target: Path) -> None:
    """Have a file at another place too, where it appears whole: by a link, which takes no space, or
    a copy where the file system has none."""
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    unfinished.unlink(missing_ok=True)
    try:
        os.link(file, unfinished)
    except OSError:
        copyfile(file, unfinished)
    unfinished.replace(target)
