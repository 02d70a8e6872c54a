"""Convert a model: a GGUF file to a Hugging Face directory, and back.

A directory that was made here has a note of the GGUF file that it came from, whose metadata and
tokenizer the way back uses.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.errors import UsageError, option
from refinecli.models.local.server import MODEL_NAME, file_digest, find_weights
from refinecli.text.urls import was_url
from refinecli.training.environment import ask, check_installed

if TYPE_CHECKING:
    from refinecli.types import JSONObject

NOTE = "refinecli.json"
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Conversion:
    """A model and what it becomes; `like` is the GGUF file of the metadata, on the way to GGUF.
    `named` is how the user named the source."""

    source: Path
    target: Path
    like: Path | None = None
    named: str = ""

    def run(self) -> str:
        """Convert, and return what was written, in words. The target appears when it is whole."""
        with _next_to(self.target) as folder:
            made, log = folder / self.target.name, folder / "log"
            if self.like is not None:
                answer = self._to_gguf(self.like, folder, log)
            else:
                answer = ask("to_hugging_face", [self.source, made], log=log)
                if self.source.is_file():
                    _write_note(made, self.named, self.source)
                else:
                    copy_note(self.source, made)
            remove(self.target)
            made.rename(self.target)
        counted = "tensors" if self.like else "parameters"
        return f"{answer['architecture']}, {answer[counted]:,} {counted}"

    def _to_gguf(self, like: Path, folder: Path, log: Path) -> JSONObject:
        source = self.source
        if (source / ADAPTER).exists():
            source = folder / "merged"
            ask("to_hugging_face", [self.source, source], log=log)
        return ask("to_gguf", [source, folder / self.target.name, like], log=log)


def planned(
    model: str, target: Path, like: str | None = None, *, force: bool = False
) -> Conversion:
    """Return the conversion that is meant, or raise UsageError before anything is loaded."""
    source = Path(model)
    if not source.is_dir():
        if is_gguf(target) or like is not None:
            raise UsageError(f"{model} is not a directory", "only a directory becomes a GGUF file")
        weights = weights_of(model)
        wanted = Conversion(weights, target, named=model)
    elif not any((source / name).exists() for name in ("config.json", ADAPTER)):
        raise UsageError(f"{source} has no config.json", "name a Hugging Face directory")
    elif is_gguf(target):
        wanted = Conversion(source, target, find_like(source, like))
    elif (source / ADAPTER).exists():
        wanted = Conversion(source, target)
    else:
        raise UsageError(f"{target} does not end in .gguf", "a directory becomes a GGUF file")
    check_installed()
    check_target(target, force=force)
    return wanted


def weights_of(model: str) -> Path:
    """Return the GGUF file behind `local` or a path; a model on a server cannot be trained."""
    if model != MODEL_NAME and not Path(model).exists():
        raise UsageError(
            f"there is no file or directory {model}",
            f"name a .gguf file, a Hugging Face directory, or {MODEL_NAME}",
        )
    return find_weights(model, to_run=False)


def is_gguf(path: Path) -> bool:
    """Return whether the name is that of a GGUF file."""
    return path.suffix.lower() == ".gguf"


def check_target(target: Path, *, force: bool) -> None:
    """Raise UsageError where the target cannot appear, or something of the user's would go."""
    if was_url(str(target)):
        raise UsageError("a model is written on this machine", "name a path, and copy it")
    if not target.parent.is_dir():
        raise UsageError(f"{target.parent} is not a folder", "make it first")
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not force:
        raise UsageError(f"{target} exists", f"name another, or replace it with {option('force')}")
    if target.is_dir() is is_gguf(target) or (target.is_dir() and not (target / NOTE).exists()):
        raise UsageError(f"{target} was not made here, so it is not replaced", "name another")


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _next_to(target: Path) -> Iterator[Path]:
    """Make a folder on the target's file system, gone at the end."""
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        yield Path(folder)


# ------------------------------------------------------------------ where a directory came from


def _write_note(folder: Path, named: str, weights: Path) -> None:
    gguf = named if named == MODEL_NAME else str(weights.resolve())
    note = {"gguf": gguf, "sha256": file_digest(weights)}
    (folder / NOTE).write_text(json.dumps(note, indent=2) + "\n", "utf-8")


def copy_note(source: Path, target: Path) -> None:
    """Hand the note of a directory on to the model that was made of it."""
    if (source / NOTE).exists():
        shutil.copy(source / NOTE, target / NOTE)


def find_like(folder: Path, named: str | None = None) -> Path:
    """Return the GGUF file whose metadata a directory's model takes: the named one, or that of the
    directory's own note, if it is still the same."""
    hint = f"name a GGUF file of the model that it was made of: {option('like', 'FILE.gguf')}"
    if named is not None:
        return weights_of(named)
    try:
        note = json.loads((folder / NOTE).read_text("utf-8"))
        gguf, digest = str(note["gguf"]), note["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{folder} has no note of a GGUF file", hint) from None
    if gguf != MODEL_NAME and not Path(gguf).exists():
        raise UsageError(f"{gguf}, which {folder} was made of, is gone", hint)
    weights = weights_of(gguf)
    if file_digest(weights) != digest:
        raise UsageError(f"{weights} is not the file that {folder} was made of", hint)
    return weights
