"""The folder of a run on a cluster: its shards' parts and caches, and whose they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile, rmtree

from refinecli.data.output_lines import Outcome, Taken
from refinecli.data.part_files import part_file, read_part_file
from refinecli.data.sources import Source
from refinecli.data.targets import FileTarget
from refinecli.errors import UsageError, option
from refinecli.runs.run_cache import differences
from refinecli.runs.shards import Shard
from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

_RUN, _OUTPUT = "run.json", "output"


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder that all nodes see. A part's outcomes lie next to it until the run is over."""

    path: Path

    def part(self, shard: Shard) -> Path:
        """Return the file of a part."""
        return self.path / f"part-{shard.index:05}-of-{shard.count:05}.jsonl"

    def claim(self, described: JSONObject, *, restart: bool) -> None:
        """Begin the run here, or continue it; raise UsageError where another has begun."""
        self.path.mkdir(exist_ok=True, parents=True)
        there = self._described()
        if there is not None and there != described:
            if not restart:
                raise UsageError(
                    f"{self.path} belongs to another run: {differences(there, described)}",
                    f"go back to those, write elsewhere, or add {option('restart')} to continue "
                    "with the new settings and the replies that fit",
                )
            for old in self.path.glob("part-*.part.json"):
                old.unlink()
        write_whole(self.path / _RUN, dumps(described))

    def is_of(self, described: JSONObject) -> bool:
        """Return whether the run so described is the one that has begun here."""
        return self._described() == described

    def _described(self) -> JSONObject | None:
        try:
            found = loads((self.path / _RUN).read_bytes())
        except OSError:
            return None
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UsageError(f"{self.path / _RUN}: is not the record of a run", "remove the folder")
        return found

    def is_finished(self, shard: Shard) -> bool:
        """Return whether a part is there, and nothing in it has to be asked for again."""
        part = self.part(shard)
        try:
            record = read_part_file(part_file(str(part)))
            outcomes = outcomes_file(part).read_bytes()
        except (OSError, ValueError):
            return False
        settled = not any("status" in loads(line) for line in outcomes.splitlines())
        return settled and record.shard == str(shard) and part.is_file()

    def outcomes(self, shard: Shard) -> Iterator[tuple[bytes, Outcome]]:
        """Yield each line of a part, and what is counted of it."""
        part = self.part(shard)
        with outcomes_file(part).open("rb") as file:
            for (_, line), outcome in zip(Source(str(part), most=None).read(), file, strict=True):
                yield line, _outcome(loads(line), loads(outcome))

    @property
    def keeps_something(self) -> bool:
        """True if the same run has less to do: shards got replies, or are finished."""
        kept = ("part-*.jsonl.cache", "part-*.jsonl.part.json")
        return any(any(self.path.glob(pattern)) for pattern in kept)

    def note_written(self, output: Path) -> None:
        """Remember the output, which the same run may replace."""
        write_whole(self.path / _OUTPUT, FileTarget(output).signature().encode())

    def has_written(self, output: Path) -> bool:
        """Return whether the file is just as this run left it."""
        try:
            return (self.path / _OUTPUT).read_bytes() == FileTarget(output).signature().encode()
        except OSError:
            return False

    def remove(self) -> None:
        """Delete the folder of a run that is over."""
        rmtree(self.path, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Delete the folder of a run that got no reply and finished no part."""
        if not self.keeps_something:
            self.remove()


def record_file(part: Path) -> Path:
    """Return the path of the record next to a part."""
    return Path(part_file(str(part)))


def outcomes_file(part: Path) -> Path:
    """Return the path of the outcomes next to a part."""
    return part.with_name(f"{part.name}.outcomes")


def cache_file(part: Path) -> Path:
    """Return the path of the call cache next to a part."""
    return part.with_name(f"{part.name}.cache")


_DEFAULTS = Outcome({}, "done")._asdict()


def counted(outcome: Outcome) -> bytes:
    """Return as a line of JSON what is counted of an output line."""
    said = outcome._asdict()
    return dumps({k: v for k, v in said.items() if k != "record" and v != _DEFAULTS[k]}) + b"\n"


def _outcome(record: JSONObject, said: JSONObject) -> Outcome:
    said["failures"], said["winners"] = (tuple(said.get(k, ())) for k in ("failures", "winners"))
    said["steps"] = tuple(Taken(*step) for step in said.get("steps", ()))
    return Outcome(**{"status": "done", **said, "record": record})


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that appears whole."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(data)
    unfinished.replace(path)


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, which appears whole."""
    unfinished = target.with_name(f".{target.name}.{os.uname().nodename}.{os.getpid()}")
    copyfile(source, unfinished)
    unfinished.replace(target)
