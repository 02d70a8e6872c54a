"""Train a model on an exported folder: convert, run TRL's own command, convert back, record."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import refinecli
from refinecli.errors import RunError, UsageError, option
from refinecli.models.local.server import file_digest
from refinecli.training.convert import (
    ADAPTER,
    Conversion,
    copy_note,
    find_like,
    is_gguf,
    planned,
    remove,
    weights_of,
)
from refinecli.training.environment import ask, ending, offline, tied
from refinecli.training.work import Work, opened, write_json

if TYPE_CHECKING:
    from refinecli.types import JSONObject

CONFIG = "trl.yaml"
# TRL's command for each kind of data that is exported.
TRAINERS = {
    "sft": "sft",
    "critic": "sft",
    "reviser": "sft",
    "dpo": "dpo",
    "kto": "kto",
    "reward": "reward",
    "prompts": "grpo",
}
_VERSIONS = ("torch", "transformers", "trl", "datasets", "accelerate", "peft", "gguf")
Log = Callable[[str], None]


@dataclass(frozen=True)
class Training:
    """A training that is meant: data, the model to start from as the user named it, the model to
    make, and TRL's own settings on top of those in the folder."""

    data: Path
    model: str
    target: Path
    settings: tuple[str, ...]
    trainer: str
    weights: Path  # the GGUF file, or the directory
    like: str | None = None  # the GGUF file whose metadata the new one gets

    def command(self, base: Path, work: Work) -> list[str]:
        """Return TRL's command, to be run in the folder of the data."""
        checkpoint = work.last_checkpoint()
        resumed = [] if checkpoint is None else ["--resume_from_checkpoint", str(checkpoint)]
        return [
            *("trl", self.trainer, "--config", CONFIG),
            *("--model_name_or_path", str(base), "--output_dir", str(work.output)),
            *resumed,
            *self.settings,
        ]

    def preview(self) -> str:
        """Return the command that would be run, as one line for a shell."""
        work = self.work
        base = work.base if self.weights.is_file() else self.weights.resolve()
        command = shlex.join(self.command(base, work))
        return f"cd {shlex.quote(str(self.data))} && {command}"

    @property
    def work(self) -> Work:
        return Work(self.target.parent.resolve() / f"{self.target.name}.work")

    @property
    def identity(self) -> JSONObject:
        """All that makes it this training and not another."""
        return {
            "data": {name: file_digest(self.data / name) for name in ("train.jsonl", CONFIG)},
            "model": _digest(self.weights),
            "settings": list(self.settings),
        }


def planned_training(
    data: Path, model: str, target: Path, settings: Sequence[str], like: str | None = None
) -> Training:
    """Return the training that is meant, or raise UsageError before anything is loaded."""
    for name in ("train.jsonl", CONFIG, "manifest.json"):
        if not (data / name).is_file():
            raise UsageError(
                f"{data} has no {name}", "name a folder that `export` wrote in the format trl"
            )
    try:
        kind = json.loads((data / "manifest.json").read_text("utf-8"))["kind"]
        trainer = TRAINERS[kind]
    except (ValueError, KeyError, TypeError):
        known = ", ".join(TRAINERS)
        raise UsageError(f"{data}/manifest.json names none of the kinds {known}") from None
    if trainer == "reward" and is_gguf(target):
        raise UsageError(
            f"{target}: a reward model has no GGUF form here",
            f"name a directory, which a classifier reads: {option('output', 'DIR')}",
        )
    weights = Path(model)
    if not weights.is_dir():
        weights = weights_of(model)
    elif not (weights / "config.json").exists():
        raise UsageError(f"{model} has no config.json", "name a Hugging Face directory")
    elif is_gguf(target):
        find_like(weights, like)
    arguments = tuple(map(_argument, settings))
    return Training(data, model, target, arguments, trainer, weights, like)


# Set here, for the same command to find them again.
_OURS = ("config", "model_name_or_path", "output_dir", "resume_from_checkpoint", "push_to_hub")


def _argument(setting: str) -> str:
    """Return TRL's flag for KEY=VALUE."""
    key, separator, value = setting.partition("=")
    if not separator or not key.isidentifier():
        raise UsageError(f"{setting!r} is not KEY=VALUE", "name a key of TRL's, and its value")
    if key in _OURS:
        raise UsageError(f"{key} is set by this command", "leave it out")
    return f"--{key}={value}"


def train(wanted: Training, log: Log, *, quiet: bool = False, restart: bool = False) -> None:
    """Train; raise RunError where TRL fails. Stopped anywhere, the same call continues."""
    work = wanted.work
    with opened(work.folder, wanted.identity, restart=restart):
        base = wanted.weights.resolve()
        if base.is_file():
            if not work.base.exists():
                log(f"{wanted.model} is converted, which takes a while")
                planned(wanted.model, work.base).run()
            base = work.base
        if not (work.done.exists() and work.output.exists()):
            _check_way_back(wanted, base, work)
            _run_trl(wanted, base, work, log, quiet=quiet)
        record = json.loads(work.done.read_text("utf-8"))
        model = _model(wanted, base, work)
        _write_manifest(wanted, model, record)
        if wanted.target.is_dir():
            remove(wanted.target)
        model.replace(wanted.target)
        remove(work.folder)


def _check_way_back(wanted: Training, base: Path, work: Work) -> None:
    """Raise RunError where the model that is to be trained would fit no GGUF file afterwards."""
    if is_gguf(wanted.target):
        log = work.folder / "convert.log"
        ask("to_gguf", [base, find_like(base, wanted.like)], log=log)


def _run_trl(wanted: Training, base: Path, work: Work, log: Log, *, quiet: bool) -> None:
    command = wanted.command(base, work)
    if (checkpoint := work.last_checkpoint()) is not None:
        log(f"continues from {checkpoint.name}")
    log(shlex.join(command))
    began = time.monotonic()
    errors = work.folder / "trl.log"
    with errors.open("ab") as words:
        shown = words if quiet else sys.stderr
        process = subprocess.Popen(
            tied("run_trl", command[1:]),
            stdin=subprocess.PIPE,  # its end ends the training
            stdout=shown,
            stderr=shown,
            cwd=wanted.data,
            # What will be gone in a later version of a library is its own business.
            env={"PYTHONWARNINGS": "ignore::FutureWarning", **offline(os.environ)},
            start_new_session=True,
        )
        with ending(process):
            status = process.wait()
    if status:
        where = f"{errors} says why" if quiet else "its own words above say why"
        if status == _REFUSED:
            correct = f"correct it in the command, or in {wanted.data / CONFIG}; {where}"
            raise UsageError(f"trl {wanted.trainer} refuses a setting", correct)
        raise RunError(f"trl {wanted.trainer} ended with status {status}", where)
    record = {"command": command, "seconds": round(time.monotonic() - began), **_course(work)}
    write_json(work.done, record)


_REFUSED = 2  # by Python's parsers of arguments, TRL's and accelerate's


def _course(work: Work) -> JSONObject:
    """Return the steps that TRL logged, as its last checkpoint has them; none without one."""
    checkpoint = work.last_checkpoint()
    if checkpoint is None:
        return {"steps": None, "log": []}
    state = json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
    return {"steps": state["global_step"], "log": state["log_history"]}


def _model(wanted: Training, base: Path, work: Work) -> Path:
    """Return where in the folder the model stands, in the form that the target's name says."""
    made = work.output
    if (base / "refinecli.json").exists():
        copy_note(base, made)
    model = work.folder / f"model{'.gguf' if is_gguf(wanted.target) else ''}"
    if is_gguf(wanted.target):
        Conversion(made, model, find_like(made, wanted.like)).run()
    elif (made / ADAPTER).exists():
        Conversion(made, model).run()
    else:
        for checkpoint in made.glob("checkpoint-*"):
            remove(checkpoint)
        return made
    return model


# ------------------------------------------------------------------ the record


def _digest(model: Path) -> str | JSONObject:
    """Return the digest of a file, or those of a directory's weights."""
    if model.is_file():
        return file_digest(model)
    return {path.name: file_digest(path) for path in sorted(model.glob("*.safetensors"))}


def _write_manifest(wanted: Training, model: Path, record: JSONObject) -> None:
    manifest = {
        "made_by": f"refinecli {refinecli.__version__}",
        "model": {"name": wanted.target.name, "sha256": _digest(model)},
        "base": {"name": wanted.model, "sha256": _digest(wanted.weights)},
        "data": {
            "name": str(wanted.data),
            "sha256": {
                name: file_digest(wanted.data / name)
                for name in ("train.jsonl", CONFIG, "manifest.json")
            },
        },
        "trainer": wanted.trainer,
        "settings": list(wanted.settings),
        "versions": {name: version(name) for name in _VERSIONS},
        **record,
    }
    write_json(wanted.target.with_name(f"{wanted.target.name}.json"), manifest)
