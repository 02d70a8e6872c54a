"""Keep the folder of a training that is under way, next to the model that it is to make."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from refinecli.errors import UsageError, option
from refinecli.training.convert import remove

if TYPE_CHECKING:
    from refinecli.types import JSONObject


@dataclass(frozen=True)
class Work:
    """The folder: the model to start from, TRL's own output with its checkpoints, and a record of
    what is trained, so that the same command continues and no other one does."""

    folder: Path

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def output(self) -> Path:
        """The place where TRL writes its checkpoints, and the model in the end."""
        return self.folder / "trl"

    @property
    def done(self) -> Path:
        """A file that stands there once TRL has ended well."""
        return self.folder / "trained.json"

    def last_checkpoint(self) -> Path | None:
        """Return the newest checkpoint that is whole: its state is what TRL writes last."""
        found = [path for path in self.output.glob("checkpoint-*") if _is_whole(path / _STATE)]
        return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


_STATE = "trainer_state.json"


def _is_whole(state: Path) -> bool:
    try:
        return isinstance(json.loads(state.read_bytes()), dict)
    except (OSError, ValueError):
        return False


def write_json(path: Path, value: JSONObject) -> None:
    """Write a file that is there whole, or not at all."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=2) + "\n", "utf-8")
    partial.replace(path)


@contextmanager
def opened(folder: Path, what: JSONObject, *, restart: bool) -> Iterator[Work]:
    """Hold the folder for one command, and check that it is of the same training."""
    with _lock(folder) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another command is training in {folder}", "wait for it") from None
        if restart:
            _clear(folder)
        _check_same(Work(folder), what)
        yield Work(folder)


def _lock(folder: Path) -> TextIO:
    try:
        folder.mkdir(exist_ok=True)
        return (folder / "lock").open("a")
    except OSError as error:
        why = "the folder of the training cannot be made"
        raise UsageError(
            f"{folder}: {why}: {error.strerror}",
            f"name another place with {option('output', 'MODEL')}",
        ) from None


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            remove(path)


def _check_same(work: Work, what: JSONObject) -> None:
    """Refuse to continue another training; one that has no checkpoint yet is begun again instead,
    such as after a slip in a setting."""
    record = work.folder / "command.json"
    before = json.loads(record.read_text("utf-8")) if record.exists() else {}
    changed = [key for key in what if before.get(key) != what[key]]
    if not changed:
        return
    if before and (work.done.exists() or work.last_checkpoint()):
        raise UsageError(
            f"{work.folder} holds a training that was begun with another {' and '.join(changed)}",
            f"give the same command, or begin again with {option('restart')}",
        )
    if "model" in changed:
        remove(work.base)
    remove(work.output)
    write_json(record, what)
