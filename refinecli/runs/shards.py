"""Divide a file among several runs, each of which works on one part, and put the parts together.

A part is contiguous, and its lines are those that a run over the whole file would write. What a run
leaves next to its part, `FILE.part.json`, says which part it is, of which input, by which settings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from refinecli.data.part_files import PartFile, part_file, read_part_file
from refinecli.data.sources import Source, file_digest
from refinecli.errors import UsageError, option
from refinecli.text.json_text import digest
from refinecli.text.urls import is_url, without_credentials
from refinecli.types import JSONObject


@dataclass(frozen=True, order=True, slots=True)
class Shard:
    """The part `index`, from 1, of `count` parts."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def rows(self, total: int) -> range:
        """Return the places of its rows, from 0, among `total`: parts differ by one row at
        most."""
        return range(total * (self.index - 1) // self.count, total * self.index // self.count)


def shard_of(text: str) -> Shard:
    """Read I/N. Raises UsageError where that is not a part from 1 to N."""
    first, slash, last = text.partition("/")
    whole = slash and all(part.isascii() and part.isdigit() for part in (first, last))
    if not whole or not 1 <= int(first) <= int(last):
        raise UsageError(
            f"{option('shard', text)}: is not a part of a whole",
            f"give I/N, with I from 1 to N: {option('shard', '1/4')} is the first of four parts",
        )
    return Shard(int(first), int(last))


@dataclass(frozen=True, slots=True)
class PartOf:
    """The part of an input that a run works on, and the number of its rows; `record` describes it
    once it is finished."""

    shard: Shard
    rows: int
    limit: int | None
    input: str  # its digest

    def record(self, settings: JSONObject, output: Path) -> PartFile:
        """Return the record of the part, whose lines are in `output`."""
        return PartFile(
            shard=str(self.shard),
            rows=self.rows,
            limit=self.limit,
            input=self.input,
            settings=digest(settings),
            output=file_digest(output),
        )


# ------------------------------------------------------------------ merge


class Part(NamedTuple):
    """A part as it was named, how it is shown, and its record."""

    given: str
    path: str
    shard: Shard
    record: PartFile


def parts_in_order(paths: Sequence[str]) -> list[Part]:
    """Return the parts of one whole in their order.

    Raises UsageError that names those that are missing, there twice, changed since, or of other
    inputs or settings.
    """
    parts = sorted((_read_part(path) for path in paths), key=lambda part: part.shard)
    _must_agree(parts)
    _must_be_complete(parts)
    for part in parts:
        if _digest_of_part(part) != part.record.output:
            raise UsageError(
                f"{part.path}: has changed since it was written",
                f"run its command again, with {option('shard', part.shard)}",
            )
    return parts


def lines_of(parts: Sequence[Part]) -> Iterator[bytes]:
    """Yield the lines of the parts in order."""
    for part in parts:
        for _, line in Source(part.given, most=None).read():
            yield line


def _digest_of_part(part: Part) -> str:
    try:
        return Source(part.given).digest()
    except OSError as error:
        raise UsageError(f"{part.path}: {error.strerror}", "run its command again") from None


def _read_part(given: str) -> Part:
    path = without_credentials(given) if is_url(given) else given
    where = part_file(path)
    try:
        record = read_part_file(part_file(given))
        return Part(given, path, shard_of(record.shard), record)
    except OSError as error:
        raise UsageError(
            f"{where}: {error.strerror}; {path} is not a finished part",
            f"name what `refine` or `grade` wrote with {option('shard', 'I/N')}",
        ) from None
    except (ValueError, UsageError):
        raise UsageError(
            f"{where}: is not the record of a part",
            f"run the command of {path} again to write it",
        ) from None


_SAME: tuple[tuple[str, Callable[[Part], object]], ...] = (
    ("its input is another file or has changed", lambda part: part.record.input),
    ("it was made with other settings", lambda part: part.record.settings),
    (f"it was made with another {option('limit')}", lambda part: part.record.limit),
    ("it is of another division", lambda part: part.shard.count),
)


def _must_agree(parts: Sequence[Part]) -> None:
    """Raise UsageError if the parts are not of one whole, naming one that differs from most."""
    for why, of in _SAME:
        values = [of(part) for part in parts]
        usual = max(values, key=values.count)
        for part, value in zip(parts, values, strict=True):
            if value != usual:
                like = parts[values.index(usual)]
                raise UsageError(
                    f"{part.path} ({part.shard}) does not belong to {like.path} ({like.shard}): "
                    f"{why}",
                    "name the parts of one whole",
                )


def _must_be_complete(parts: Sequence[Part]) -> None:
    """Raise UsageError if a part is there twice or missing."""
    by_index: dict[int, str] = {}
    for part in parts:
        if other := by_index.get(part.shard.index):
            raise UsageError(
                f"{part.path} and {other} are both part {part.shard}", "name each part once"
            )
        by_index[part.shard.index] = part.path
    count = parts[0].shard.count
    missing = [str(Shard(index, count)) for index in range(1, count + 1) if index not in by_index]
    if missing:
        most = 10
        more = f" and {len(missing) - most} more" if len(missing) > most else ""
        raise UsageError(
            f"not all parts are there: {', '.join(missing[:most])}{more} missing",
            "name every part; one that is not finished continues with its own command",
        )
