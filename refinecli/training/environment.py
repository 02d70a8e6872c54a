"""Run what needs the extra `train` in child processes of this interpreter, without the hub."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.errors import RunError, UsageError
from refinecli.text.clean import one_line

if TYPE_CHECKING:
    from refinecli.types import JSONObject

INSTALL = "pip install 'refinecli[train]'"
# On Linux torch's usual builds bring gigabytes of CUDA along.
INSTALL_CPU = "without a GPU install a CPU build of torch first, by its own instructions"
_CONVERTS = ("torch", "transformers", "gguf", "safetensors")
_TRAINS = (*_CONVERTS, "trl", "datasets", "accelerate", "peft")

# A name that is not a folder here would be looked up, and what is used reported.
_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",
}


def check_installed(*, to_train: bool = False) -> None:
    """Raise UsageError naming what is missing in this interpreter."""
    packages = _TRAINS if to_train else _CONVERTS
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        what = "training" if to_train else "converting models"
        raise UsageError(f"{what} needs {', '.join(missing)}", f"run {INSTALL}\n{INSTALL_CPU}")


def offline(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the hub and its telemetry off."""
    return {**environ, **_OFFLINE}


def tied(name: str, arguments: Sequence[str | Path]) -> list[str]:
    """Return the command that runs a script of this package until its stdin ends; by file, so that
    neither the working folder nor how refinecli came to be importable decides what it imports."""
    here = Path(__file__).parent
    return [
        sys.executable,
        "-P",
        str(here / "tied.py"),
        str(here / f"{name}.py"),
        *map(str, arguments),
    ]


def ask(name: str, arguments: Sequence[str | Path], *, log: Path) -> JSONObject:
    """Run a script of this package, and return the object that it prints; its other words go to the
    log. Raise RunError with what is wrong."""
    with log.open("ab") as words:
        process = subprocess.Popen(
            tied(name, arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env=offline(os.environ),
            start_new_session=True,
        )
        with ending(process):
            assert process.stdout is not None
            said = process.stdout.read()
            status = process.wait()
    lines = said.decode(errors="replace").strip().split("\n")
    try:
        answer: JSONObject = json.loads(lines[-1])
    except ValueError:
        answer = {"problem": f"it ended with status {status}: {_last_words(log)}"}
    if problem := answer.get("problem"):
        raise RunError(f"cannot convert: {one_line(str(problem), 400)}")
    return answer


@contextmanager
def ending(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End a process that is tied to its stdin with the block, whatever ends that."""
    try:
        yield
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _last_words(log: Path) -> str:
    lines = log.read_text("utf-8", errors="replace").replace("\r", "\n").strip().split("\n")
    return one_line(lines[-1], 300)
