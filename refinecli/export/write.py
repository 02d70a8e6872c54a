"""Write the examples: train and test files, the manifest, the card, and TRL's configuration."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from refinecli.export.formats import Format
from refinecli.export.selection import Example
from refinecli.export.shelf import prompt_digest
from refinecli.export.splits import Split
from refinecli.export.statistics import Statistics
from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

SIDES = ("train", "test")


class Spool:
    """Chosen examples on their way to a file, on the disk until it is known to which."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("w+b")
        self.count = 0

    def put(self, unit: str, example: Example) -> None:
        self._file.write(dumps([unit, *example.stored()]) + b"\n")
        self.count += 1

    def read(self) -> Iterator[tuple[str, Example]]:
        self._file.seek(0)
        for line in self._file:
            unit, *fields = loads(line)
            yield unit, Example(*fields)

    def remove(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


@dataclass(slots=True)
class Side:
    """One of the two files, as it was written."""

    name: str
    statistics: Statistics = field(default_factory=Statistics)
    prompts: int = 0
    prompts_digest: str = ""
    sha256: str = ""

    def record(self) -> JSONObject:
        return {
            "sha256": self.sha256,
            "prompts": self.prompts,
            "prompts_sha256": self.prompts_digest,
            **self.statistics.record(),
        }


def write_sides(spool: Spool, split: Split, form: Format, folder: Path) -> Mapping[str, Side]:
    """Write both files in the order of the runs; the examples of one prompt are neighbours."""
    sides = {name: Side(f"{name}.{form.suffix}") for name in SIDES}
    writers = {name: form.writer(folder / side.name) for name, side in sides.items()}
    digests = {name: hashlib.sha256() for name in SIDES}
    last = b""
    try:
        for unit, example in spool.read():
            name = "test" if split.is_test(unit) else "train"
            writers[name].write(form.line(example))
            sides[name].statistics.add(example)
            if (prompt := prompt_digest(example.prompt)) != last:
                last = prompt
                sides[name].prompts += 1
                digests[name].update(prompt)
    finally:
        for writer in writers.values():
            writer.close()
    for name, side in sides.items():
        side.prompts_digest = digests[name].hexdigest()
        with (folder / side.name).open("rb") as file:
            side.sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return sides
