"""The mechanics of training with the real TRL: export, two steps, GGUF, one answer of the model.

The environment is made under `build/` from a lock of its own, which takes 1.5 GB and one to two
minutes; where it cannot be made, the test is skipped and says why.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from refinecli.errors import UsageError
from refinecli.models.local.server import find_weights
from tests.conftest import CLEAN, read_jsonl, write_jsonl
from tests.support.report_files import row as refined_row

ROOT = Path(__file__).parents[2]
HERE = ROOT / "build" / "training"
LOCKS = (ROOT / "requirements.lock", Path(__file__).with_name("train.lock"))
GIGABYTES = 5  # the environment, pip's downloads, the model in three forms and a checkpoint
SECONDS = 300.0  # to install

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the environment, made now unless it is there from the same locks."""
    try:
        find_weights("local")
    except UsageError as error:
        pytest.skip(f"training is not tried: {error}")
    environment, made_from = HERE / "venv", HERE / "made-from"
    locks = "".join(lock.read_text("utf-8") for lock in LOCKS) + sys.version
    interpreter = environment / "bin" / "python"
    if made_from.exists() and made_from.read_text("utf-8") == locks and interpreter.exists():
        return interpreter
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir(parents=True)
    if shutil.disk_usage(HERE).free < GIGABYTES << 30:
        pytest.skip(f"training is not tried: {HERE} has less than {GIGABYTES} GB left")
    pip = [str(interpreter), "-m", "pip", "install", "-q", "--no-deps"]
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, *(word for lock in LOCKS for word in ("-r", str(lock)))],
        # Elsewhere the same version may be a build for GPUs, whose libraries are not in the lock.
        [str(interpreter), "-c", "import torch"],
    ):
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            pytest.skip(f"training is not tried: its packages took more than {SECONDS:.0f} s")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"training is not tried: {' '.join(error.stderr.split())[-400:]}")
    made_from.write_text(locks, "utf-8")
    return interpreter


def test_two_steps_on_exported_data_make_a_model_that_refine_takes(
    python: Path, tmp_path: Path
) -> None:
    def refinecli(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(python), "-m", "refinecli", *arguments],
            cwd=tmp_path,
            env={
                **CLEAN,
                "PYTHONPATH": str(ROOT),
                "PATH": os.environ["PATH"],
                "HF_HOME": str(tmp_path / "hf"),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done

    rows = [refined_row(i, [1.0], texts=(f"The answer is {i}.",)) for i in range(16)]
    for row in rows:
        row["refinement"]["passed"] = True
    write_jsonl(tmp_path / "out.jsonl", rows)
    refinecli("export", "out.jsonl", "--to", "sft", "-o", "data")
    refinecli("train", "data", "--set", "max_steps=2", "-o", "model.gguf")
    assert (tmp_path / "model.gguf").stat().st_size == 270_885_952  # all weights, in F16
    assert not (tmp_path / "model.gguf.work").exists()
    record = json.loads((tmp_path / "model.gguf.json").read_text("utf-8"))
    assert record["steps"] == 2
    first, second = record["log"][:2]
    assert second["loss"] < first["loss"]
    item = {"rubric_str": "Short?", "check": {"kind": "words", "max": 400}}
    question = {"id": 1, "convo": "Question 1?", "rubric_items": [item]}
    write_jsonl(tmp_path / "in.jsonl", [question])
    options = ("--max-iterations", "0", "--model", "model.gguf", "-o", "new.jsonl")
    said = refinecli("refine", "in.jsonl", *options).stderr
    (line,) = read_jsonl(tmp_path / "new.jsonl")
    assert line["response"].strip()
    assert line["score"] == 1.0
    assert "policy, reviser, grader: model (embedded server)" in said
