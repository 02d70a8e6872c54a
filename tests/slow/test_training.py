"""The mechanics of training with the real TRL: export, two steps, GGUF, one answer of the model.

The environment is made under `build/` from a lock of its own, which takes 1.5 GB and one to two
minutes; where it cannot be made, the test is skipped and says why.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
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
    HERE.parent.mkdir(exist_ok=True)
    with HERE.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # tests run in several processes
        return _made()


def _made() -> Path:
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


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(python: Path, tmp_path: Path) -> Run:
    """Run the environment's interpreter in the test's folder; it has to succeed."""

    def in_folder(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(python), *arguments],
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

    return in_folder


def test_two_steps_on_exported_data_make_a_model_that_refine_takes(
    run: Run, tmp_path: Path
) -> None:
    refinecli = partial(run, "-m", "refinecli")
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


# Makes a model to train and a sentiment classifier, both of some thousand random weights.
TINY = """
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification
from transformers import PreTrainedTokenizerFast

known = {"<unk>": 0, "<pad>": 1, "<eos>": 2, "good": 3, "bad": 4}
words = Tokenizer(models.WordLevel(known, "<unk>"))
words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
tokenizer = PreTrainedTokenizerFast(
    tokenizer_object=words, unk_token="<unk>", pad_token="<pad>", eos_token="<eos>"
)
tokenizer.chat_template = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} <eos> {% endfor %}"
)
sizes = dict(
    vocab_size=5, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
    num_attention_heads=2, max_position_embeddings=64, pad_token_id=1, eos_token_id=2,
)
moods = LlamaConfig(**sizes, id2label={0: "NEGATIVE", 1: "POSITIVE"}, label2id={"POSITIVE": 1})
for folder, model in {
    "tiny": LlamaForCausalLM(LlamaConfig(**sizes)),
    "mood": LlamaForSequenceClassification(moods),
}.items():
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
"""
# Prints what the reward model says of a conversation, written by the template that it learned with.
REWARD = """
import json, sys, torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("rm")
model = AutoModelForSequenceClassification.from_pretrained("rm", dtype=torch.float32)
text = tokenizer.apply_chat_template(json.loads(sys.argv[1]), tokenize=False)
print(torch.sigmoid(model(**tokenizer(text, return_tensors="pt")).logits).item())
"""


def test_a_reward_model_grades_by_its_template_and_its_grades_make_pairs(
    run: Run, tmp_path: Path
) -> None:
    refinecli = partial(run, "-m", "refinecli")
    run("-c", TINY)
    rows = [refined_row(i, [0.2, 0.9], texts=("bad", "good")) for i in range(8)]
    write_jsonl(tmp_path / "out.jsonl", rows)
    refinecli("export", "out.jsonl", "--to", "reward", "-o", "pairs")
    refinecli("train", "pairs", "--model", "tiny", "--set", "max_steps=2", "-o", "rm")

    asked = [("rm", "LABEL_0", "conversation"), ("mood", "POSITIVE", "response")]
    items = [
        {"rubric_str": name, "classifier": {"name": name, "label": label, "sees": sees}}
        for name, label, sees in asked
    ]
    said = ("user", "good"), ("assistant", "bad bad"), ("user", "good good")
    convo = [{"role": role, "content": text} for role, text in said]
    answers = [
        {"convo": convo, "response": text, "rubric_items": items} for text in ("good", "bad bad")
    ]
    write_jsonl(tmp_path / "answers.jsonl", answers)
    sections = [f'[classifier.{name}]\ndirectory = "{name}"\n' for name, _, _ in asked]
    (tmp_path / "graders.toml").write_text("".join(sections))
    refinecli("grade", "answers.jsonl", "--config", "graders.toml", "-o", "graded.jsonl")
    for line in read_jsonl(tmp_path / "graded.jsonl"):
        reward, mood = line["grading"]["grades"]
        turns = [*convo, {"role": "assistant", "content": line["response"]}]
        assert reward["score"] == pytest.approx(float(run("-c", REWARD, json.dumps(turns)).stdout))
        assert sum(mood["probabilities"].values()) == pytest.approx(1)
        assert mood["score"] == mood["probabilities"]["POSITIVE"]

    refinecli("export", "graded.jsonl", "--to", "dpo", "--pairs", "best-worst", "-o", "prefs")
    refinecli("train", "prefs", "--model", "tiny", "--set", "max_steps=1", "-o", "tuned")
    assert (tmp_path / "tuned" / "model.safetensors").exists()
