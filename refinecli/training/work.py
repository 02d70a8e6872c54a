"""Keep the folder of a training that is under way, next to the model that it is to make."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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
        found = [path for path in self.output.glob("checkpoint-*") if (path / _STATE).exists()]
        return max(found, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


_STATE = "trainer_state.json"


@contextmanager
def opened(folder: Path, what: JSONObject, *, restart: bool) -> Iterator[Work]:
    """Hold the folder for one command, and check that it is of the same training."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another command is training in {folder}", "wait for it") from None
        if restart:
            for path in folder.iterdir():
                if path.name != "lock":
                    remove(path)
        _check_same(folder, what)
        yield Work(folder)


def _check_same(folder: Path, what: JSONObject) -> None:
    record = folder / "command.json"
    if not record.exists():
        record.write_text(json.dumps(what, indent=2) + "\n", "utf-8")
        return
    before = json.loads(record.read_text("utf-8"))
    changed = [key for key in what if before.get(key) != what[key]]
    if changed:
        raise UsageError(
            f"{folder} holds a training that was begun with another {' and '.join(changed)}",
            f"give the same command, or begin again with {option('restart')}",
        )
