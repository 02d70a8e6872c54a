"""Training, with a TRL that only writes files: its command, what is kept, how it continues."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from refinecli.errors import RunError, UsageError
from refinecli.training import train as module
from refinecli.training.train import TRAINERS, Training, planned_training, train
from tests.conftest import CLEAN
from tests.support.waiting import is_free, wait_until

# Takes two steps, the second only if it is resumed or not made to wait, and records each call.
TRL = """
import fcntl, json, os, pathlib, sys, time
def main(argv):
    out = pathlib.Path(argv[argv.index("--output_dir") + 1])
    with open(os.environ["CALLS"], "a") as calls:
        calls.write(json.dumps([argv, os.getcwd(), os.environ["HF_HUB_OFFLINE"]]) + "\\n")
    if "--fail=true" in argv:
        return 7
    if "--odd=true" in argv:
        import argparse
        argparse.ArgumentParser(prog="trl").parse_args(["--odd=true"])
    resumed = "--resume_from_checkpoint" in argv
    for step in (2,) if resumed else (1, 2):
        folder = out / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        log = [{"loss": 1 / step, "step": step}]
        state = {"global_step": step, "log_history": log}
        (folder / "trainer_state.json").write_text(json.dumps(state))
        if "--late=true" in argv:
            return 7
        if step == 1 and "--wait=true" in argv:
            (out / "checkpoint-2").mkdir()  # was being written
            held = open(os.environ["HELD"], "w")
            fcntl.flock(held, fcntl.LOCK_EX)
            (out / "waits").touch()
            time.sleep(120)
    (out / "config.json").write_text("{}")
    (out / "model.safetensors").write_text("trained")
    return 0
"""


@pytest.fixture(autouse=True)
def trl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "site" / "trl" / "cli"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "main.py").write_text(TRL)
    monkeypatch.setenv("PYTHONPATH", str(package.parents[1]))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("HELD", str(tmp_path / "held"))
    monkeypatch.setattr(module, "version", lambda name: "1")
    return tmp_path


def data(folder: Path, kind: str = "sft") -> Path:
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"prompt": []}\n')
    (folder / "trl.yaml").write_text("seed: 42\n")
    (folder / "manifest.json").write_text(json.dumps({"kind": kind}))
    return folder


def base(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("base")
    return folder


def wanted(trl: Path, *settings: str, kind: str = "sft") -> Training:
    folder = trl / "data"
    model = trl / "base"
    return planned_training(
        folder if folder.exists() else data(folder, kind),
        str(model if model.exists() else base(model)),
        trl / "new",
        settings,
    )


def calls(trl: Path) -> list[list[str]]:
    return [json.loads(line) for line in (trl / "calls").read_text().splitlines()]


def silent(line: str) -> None:
    pass


def test_trls_own_command_runs_in_the_folder_of_the_data_with_the_hub_off(trl: Path) -> None:
    train(wanted(trl, "learning_rate=2e-5", "use_peft=true"), silent, quiet=True)
    (call,) = calls(trl)
    argv, folder, offline = call
    assert argv[:3] == ["sft", "--config", "trl.yaml"]
    assert argv[argv.index("--model_name_or_path") + 1] == str(trl / "base")
    assert argv[-2:] == ["--learning_rate=2e-5", "--use_peft=true"]
    assert (folder, offline) == (str(trl / "data"), "1")


@pytest.mark.parametrize(("kind", "trainer"), TRAINERS.items())
def test_each_kind_of_data_has_its_trainer(trl: Path, kind: str, trainer: str) -> None:
    assert wanted(trl, kind=kind).preview().split(" && ")[1].startswith(f"trl {trainer} --config")


def test_the_model_stands_where_it_was_wanted_with_a_record_and_nothing_else(trl: Path) -> None:
    before = {path.name for path in trl.iterdir()} | {"calls", "data", "base"}
    train(wanted(trl), silent, quiet=True)
    assert (trl / "new" / "model.safetensors").read_text() == "trained"
    assert not list((trl / "new").glob("checkpoint-*"))
    record = json.loads((trl / "new.json").read_text())
    assert record["base"]["sha256"] != record["model"]["sha256"]
    assert set(record["data"]["sha256"]) == {"train.jsonl", "trl.yaml", "manifest.json"}
    assert (record["steps"], record["log"]) == (2, [{"loss": 0.5, "step": 2}])
    assert {path.name for path in trl.iterdir()} - before == {"new", "new.json"}


def test_a_failure_of_trl_is_an_error_and_can_be_tried_again(trl: Path) -> None:
    with pytest.raises(RunError, match="trl sft ended with status 7"):
        train(wanted(trl, "late=true"), silent, quiet=True)
    assert not (trl / "new").exists()
    with pytest.raises(UsageError, match="begun with another settings"):
        train(wanted(trl), silent, quiet=True)
    train(wanted(trl), silent, quiet=True, restart=True)
    assert (trl / "new").exists()


def test_after_a_slip_in_a_setting_the_right_command_just_begins(trl: Path) -> None:
    with pytest.raises(UsageError, match="trl sft refuses a setting") as refused:
        train(wanted(trl, "odd=true"), silent, quiet=True)
    said = (trl / "new.work" / "trl.log").read_text()
    assert said == "trl: error: unrecognized arguments: --odd=true\n"  # no list of all the others
    assert re.fullmatch(
        "correct it in the command, or in .*yaml; .*log says why", refused.value.hint
    )
    train(wanted(trl), silent, quiet=True)
    assert (trl / "new").exists()


KILLED = """
import sys
from pathlib import Path
from refinecli.training.train import planned_training, train
data, model, target = sys.argv[1:]
train(planned_training(Path(data), model, Path(target), ["wait=true"]), print, quiet=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_it_trains_on_nowhere_and_continues_from_the_last_whole_checkpoint(
    trl: Path, number: signal.Signals
) -> None:
    training = wanted(trl, "wait=true")
    arguments = [str(training.data), training.model, str(training.target)]
    environ = CLEAN | {name: os.environ[name] for name in ("PYTHONPATH", "CALLS", "HELD")}
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments], env=environ)
    wait_until((training.work.output / "waits").exists)
    with pytest.raises(UsageError, match="another command is training"):
        train(training, silent)
    process.send_signal(number)
    process.wait(30)
    with (trl / "held").open("w") as file:
        wait_until(lambda: is_free(file))
    (training.work.output / "checkpoint-2").rmdir()
    train(training, silent, quiet=True)
    argv = calls(trl)[-1][0]
    resumed = argv[argv.index("--resume_from_checkpoint") + 1]
    assert resumed == str(training.work.output / "checkpoint-1")
    assert (trl / "new" / "model.safetensors").exists()


def test_a_checkpoint_that_was_being_written_does_not_count(trl: Path) -> None:
    work = wanted(trl).work
    for name in ("checkpoint-9", "checkpoint-10", "checkpoint-11"):
        (work.output / name).mkdir(parents=True)
    assert work.last_checkpoint() is None
    for name in ("checkpoint-9", "checkpoint-10"):
        (work.output / name / "trainer_state.json").write_text("{}")
    (work.output / "checkpoint-11" / "trainer_state.json").write_text('{"epoch": 1.')
    assert work.last_checkpoint() == work.output / "checkpoint-10"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["learning_rate"], "is not KEY=VALUE"),
        (["--lr=1"], "is not KEY=VALUE"),
        (["output_dir=/tmp"], "output_dir is set by this command"),
    ],
)
def test_what_is_no_setting_of_trls_is_refused(trl: Path, settings: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        wanted(trl, *settings)


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(trl: Path) -> None:
    training = wanted(trl)
    training.work.folder.write_text("a file")
    with pytest.raises(UsageError, match=r"new\.work: the folder of the training cannot be made: "):
        train(training, silent, quiet=True)


def test_what_cannot_be_trained_is_refused_before_anything_is_loaded(trl: Path) -> None:
    folder, model = data(trl / "data"), str(base(trl / "base"))
    with pytest.raises(UsageError, match="a reward model has no GGUF form"):
        planned_training(data(trl / "rm", "reward"), model, trl / "rm.gguf", ())
    with pytest.raises(UsageError, match="has no note of a GGUF file"):
        planned_training(folder, model, trl / "new.gguf", ())
    with pytest.raises(UsageError, match="there is no file or directory gpt-9") as nowhere:
        planned_training(folder, "gpt-9", trl / "new", ())
    assert nowhere.value.hint == "name a .gguf file, a Hugging Face directory, or local"
    with pytest.raises(UsageError, match="names none of the kinds"):
        planned_training(data(trl / "odd", "odd"), model, trl / "new", ())
    with pytest.raises(UsageError, match=r"has no train\.jsonl"):
        planned_training(trl, model, trl / "new", ())
