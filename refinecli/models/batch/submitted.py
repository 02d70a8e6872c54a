"""Have a wave answered by its providers' batches, and lose none of them.

`batches.json` in the folder of the waves names each batch before it is submitted, by a mark of its
own, and after, by its id. So whenever the program dies, the batch is found again and paid for once.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from refinecli.completers import gather
from refinecli.errors import OutputError, RunError, UsageError, WaveError
from refinecli.models.batch.provider import Batch, Provider
from refinecli.stats.wording import plural

# The most that OpenAI takes in one file; others take as much or more.
MOST_REQUESTS = 50_000
MOST_BYTES = 200_000_000
# A first look soon, since some endpoints answer within seconds; then less and less often.
_FIRST_PAUSE, _SLOWER = 1.0, 1.5


@dataclass(slots=True)
class Submitted:
    """A part of a wave's file that is one batch: where it stands, and what has become of it."""

    wave: int
    file: str
    start: int
    size: int
    requests: int
    mark: str
    round: int = 1  # how often this wave was submitted, since nothing came back
    begun: bool = False
    id: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True)
class Batches:
    """The batches of the waves in one folder.

    `providers` are those of each wave's file, by name without the wave's number. `most` requests
    and bytes go into one batch. `seconds` is the longest pause between two looks.
    """

    folder: Path
    providers: Mapping[str, Provider]
    wait: Callable[[float], Awaitable[None]]
    say: Callable[[str], None]
    seconds: float
    retries: int
    most: tuple[int, int] = (MOST_REQUESTS, MOST_BYTES)

    async def answer(self, wave: int, files: list[Path], *, stay: bool) -> None:
        """Return once the results of a wave are in the folder.

        Raises WaveError where they are not, unless it is to `stay` until they come; RunError where
        a batch cannot be had.
        """
        entries = self.read()
        current = [entry for entry in entries if entry.wave == wave]
        if all(entry.done for entry in current):  # none yet, or nothing came of them
            last = max((entry.round for entry in current), default=0)
            if last > self.retries:
                raise RunError(
                    f"wave {wave}: no result after {plural(last, 'submission')}",
                    f"see what became of them at the provider: {current[-1].id}",
                )
            current = [new for path in files for new in self._new(wave, path, last + 1)]
            entries += current
            self._save(entries)
        over = await gather(self._carry(one, entries, stay) for one in current if not one.done)
        if not all(over):
            names = ", ".join(entry.id for entry in current if not entry.done)
            raise WaveError(f"wave {wave}: not done yet: {names}", "look again later")

    async def cancel(self) -> list[Batch]:
        """Cancel every batch that is open, and return them as they are then."""
        found = await gather(self._ended(one) for one in self.read() if one.begun and not one.done)
        return [batch for batch in found if batch]

    async def _ended(self, entry: Submitted) -> Batch | None:
        """Cancel one batch, unless it is over; None where the provider never got it."""
        provider = self._provider(entry)
        batch = await (provider.batch(entry.id) if entry.id else provider.find(entry.mark))
        if batch is None or batch.over:
            return batch
        return await provider.cancel(batch.id)

    def read(self) -> list[Submitted]:
        """Return what was submitted, or was about to be."""
        return read_submitted(self.folder)

    # -------------------------------------------------------------- one batch

    async def _carry(self, entry: Submitted, entries: list[Submitted], stay: bool) -> bool:
        """Bring one batch to its end, from wherever it is; return False where that has not come."""
        provider = self._provider(entry)
        batch = await self._submitted(entry, entries, provider)
        pause = min(_FIRST_PAUSE, self.seconds)
        while not batch.over:
            if not stay:
                return False
            await self.wait(pause)
            pause = min(pause * _SLOWER, self.seconds)
            batch = await provider.batch(entry.id)
        if batch.status == "failed":
            entry.id, entry.begun, entry.mark = "", False, new_mark()
            self._save(entries)
            raise RunError(
                f"{entry.file}: batch {batch.id} was refused: {batch.errors or 'nobody says why'}",
                "fix what it reports, then run the same command to submit it again",
            )
        for n, file_id in enumerate(batch.files, start=1):
            # Two providers may give their batches the same id.
            name = f"{Path(entry.file).stem}.{batch.id.replace('/', '_')}.{n}.jsonl"
            await provider.fetch(file_id, self.folder / name)
        entry.done = True
        self._save(entries)
        self.say(f"{entry.file}: batch {batch.id} is {batch.status}: {batch.counts}")
        return True

    async def _submitted(
        self, entry: Submitted, entries: list[Submitted], provider: Provider
    ) -> Batch:
        if entry.id:
            return await provider.batch(entry.id)
        batch = await provider.find(entry.mark) if entry.begun else None
        if batch is None:
            entry.begun = True
            self._save(entries)
            with tempfile.TemporaryFile() as lines:
                with (self.folder / entry.file).open("rb") as file:
                    file.seek(entry.start)
                    lines.write(file.read(entry.size))
                batch = await provider.submit(lines, entry.file, entry.mark)
        entry.id = batch.id
        self._save(entries)
        self.say(f"{entry.file}: {plural(entry.requests, 'request')} submitted as batch {batch.id}")
        return batch

    def _provider(self, entry: Submitted) -> Provider:
        name = entry.file.removeprefix(f"wave-{entry.wave:03}")
        if name not in self.providers:
            raise UsageError(
                f"{self.folder / entry.file} was written for other models",
                "use the settings that it was written with",
            )
        return self.providers[name]

    # -------------------------------------------------------------- the file

    def _new(self, wave: int, path: Path, round: int) -> Iterator[Submitted]:
        """Divide a wave's file into batches."""
        most_requests, most_bytes = self.most
        start = size = requests = 0
        with path.open("rb") as file:
            for line in file:
                if requests == most_requests or (requests and size + len(line) > most_bytes):
                    yield Submitted(wave, path.name, start, size, requests, new_mark(), round)
                    start, size, requests = start + size, 0, 0
                size, requests = size + len(line), requests + 1
        yield Submitted(wave, path.name, start, size, requests, new_mark(), round)

    def _save(self, entries: list[Submitted]) -> None:
        """Replace the file by one that is on disk."""
        path = _path(self.folder)
        unfinished = path.with_name(f"{path.name}.partial")
        try:
            with unfinished.open("wb") as file:
                file.write(orjson.dumps([asdict(one) for one in entries], None, _INDENTED))
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror}") from None


_INDENTED = orjson.OPT_INDENT_2


def new_mark() -> str:
    """Return a mark that no other batch bears."""
    return f"refinecli-{secrets.token_hex(8)}"


def read_submitted(folder: Path) -> list[Submitted]:
    """Return the batches of a folder, as far as they were submitted or about to be."""
    path = _path(folder)
    known = {field.name for field in fields(Submitted)}
    try:
        entries = orjson.loads(path.read_bytes()) if path.exists() else []
        return [Submitted(**{k: v for k, v in one.items() if k in known}) for one in entries]
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path}: is not our record of batches: {error}",
            "restore it: without it batches would be paid for twice",
        ) from None


def _path(folder: Path) -> Path:
    return folder / "batches.json"
