"""Keep the folder of a run's waves to that run, while it works and until its waves are over."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from refinecli.errors import UsageError, option
from refinecli.models.batch.wave_files import latest_wave
from refinecli.runs.run_cache import differences
from refinecli.text.json_text import dumps, loads

if TYPE_CHECKING:
    from refinecli.types import JSONObject


@dataclass(frozen=True)
class WaveFolder:
    """The folder, and the `place` of the run that it belongs to, as the call cache knows it.

    `run.json` in it is locked by the process that works there, and says which run's waves these
    are. Only the latest wave is ever read: a run that wrote one of its own after another run's
    would have that one's results ignored, and paid for again.
    """

    path: Path
    place: JSONObject

    @contextmanager
    def held(self, *, restart: bool) -> Iterator[None]:
        """Work in the folder alone; raise UsageError where another run does, or has to come back to
        it. With `restart` the folder is taken over from a run that does not work there now."""
        with self._locked() as file:
            file.seek(0)
            self._refuse_another(file.read(), restart=restart)
            _write(file, dumps(self._owner))
            yield
            if self.path.is_dir() and not latest_wave(self.path):
                self.release()

    def check(self, *, restart: bool) -> None:
        """Raise UsageError where another run has to come back to the folder; lock and write
        nothing."""
        with suppress(OSError):
            self._refuse_another((self.path / _NAME).read_bytes(), restart=restart)

    def _refuse_another(self, record: bytes, *, restart: bool) -> None:
        there = _read(record, self.path / _NAME)
        if there and there != self._owner and not restart and latest_wave(self.path):
            raise UsageError(
                f"{self.path} holds the waves of another run: {differences(there, self._owner)}",
                f"name another folder, or add {option('restart')} to give up that run's waves",
            )

    def release(self) -> None:
        """Let any run have the folder, once the one that holds it needs no more waves."""
        (self.path / _NAME).unlink(missing_ok=True)

    @property
    def _owner(self) -> JSONObject:
        """The run's place; its output as seen from the folder, since both may be moved."""
        output = str(self.place["output"])
        if Path(output).is_absolute():
            output = os.path.relpath(output, self.path.resolve())
        return {**self.place, "output": output}

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        while True:
            file = self._opened()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                raise UsageError(
                    f"{self.path}: another run is using it",
                    "wait for its end, or name another folder",
                ) from None
            except OSError:  # some network file systems have no locks
                pass
            if _is_at(file, self.path / _NAME):
                break
            file.close()  # the run that held it has removed the folder just now
        with file:
            yield file

    def _opened(self) -> BinaryIO:
        try:
            self.path.mkdir(exist_ok=True)
            return (self.path / _NAME).open("a+b")
        except OSError as error:
            raise UsageError(
                f"{option('batch_files', self.path)}: {error.strerror}",
                "name a folder that can be written to, in one that exists",
            ) from None


_NAME = "run.json"


def _is_at(file: BinaryIO, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())


def _read(record: bytes, path: Path) -> JSONObject:
    """Return whose waves these are; nothing where nobody has to come back to them. Raise UsageError
    for a file of the user's that has the record's name."""
    if not record:
        return {}
    with suppress(ValueError):
        found = loads(record)
        if isinstance(found, dict) and found.keys() >= {"command", "input", "output"}:
            return found
    raise UsageError(
        f"{path}: is not the record of a run", "name a folder that is for waves alone, or remove it"
    )


def _write(file: BinaryIO, content: bytes) -> None:
    file.truncate(0)
    file.write(content)
    file.flush()
