"""Does training on what passed make a better model? The embedded model, with its controls.

    python -m tests.experiments train --python VENV/bin/python                # all that is missing
    python -m tests.experiments train --python VENV/bin/python --only "SFT"   # one arm
    python -m tests.experiments train --python VENV/bin/python --data DIR     # on CommonGen-Hard

VENV has refinecli with its extras local, report and train. What is trained on are eight drafts each
of forty prompts of `keywords`, or with DIR/commongen_hard.jsonl of four concepts each. Two hundred
prompts (-n) that share no set of words with them are held out, and each arm answers each once.
Every step is a command of some minutes whose file stands in build/experiments/train, so a run that
was stopped continues. Prints a Markdown table: an arm next to the base that was converted in the
same way, untrained, and what it did to each item, to the length and to the variety of the answers.
The last column is the CPU time of the training, of all processes, and of the answers.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

PROMPTS, DRAFTS, HELD_OUT = 40, 8, 200
BASE = "base, converted"
LORA = (
    *("use_peft=true", "lora_r=16", "lora_target_modules=all-linear"),
    *("learning_rate=5e-4", "num_train_epochs=2"),
)
TWICE = ("learning_rate=1e-4", "num_train_epochs=2")
COLD = ("--set", "policy.temperature=0")


@dataclass(frozen=True)
class Arm:
    """A way to get an answer: a model, which may be trained on an export of the drafts, and how it
    is asked. `control` is the arm that it is compared with."""

    model: str = "local"
    export: Sequence[str] = ()
    settings: Sequence[str] = ()  # of TRL's
    asked: Sequence[str] = ("--max-iterations", "0")
    control: str = BASE
    drafts_of: str = "local"


SFT = ("--to", "sft", "--max-per-prompt", "2", "--test-share", "0")
DPO = ("--to", "dpo", "--pairs", "best-worst", "--test-share", "0")
GRPO = ("--to", "prompts", "--test-share", "0")
ARMS: Mapping[str, Arm] = {
    "base": Arm(),
    BASE: Arm("base.gguf"),
    "SFT": Arm("sft.gguf", SFT),
    "SFT on random drafts": Arm("random.gguf", (*SFT, "--random")),
    "SFT, second seed": Arm("sft-2.gguf", SFT, ("seed=7",)),
    "SFT, twice the rate": Arm("fast.gguf", SFT, TWICE),
    "SFT, twice the rate, second seed": Arm("fast-2.gguf", SFT, (*TWICE, "seed=7")),
    "random, twice the rate": Arm("random-fast.gguf", (*SFT, "--random"), TWICE),
    "random, twice the rate, second seed": Arm(
        "random-fast-2.gguf", (*SFT, "--random", "--seed", "7"), (*TWICE, "seed=7")
    ),
    "base at temperature 0": Arm("base.gguf", asked=("--max-iterations", "0", *COLD)),
    "SFT, twice the rate, at temperature 0": Arm(
        "fast.gguf",
        SFT,
        TWICE,
        asked=("--max-iterations", "0", *COLD),
        control="base at temperature 0",
    ),
    "SFT, LoRA": Arm("lora.gguf", SFT, LORA),
    "DPO": Arm("dpo.gguf", DPO),
    "GRPO": Arm("grpo.gguf", GRPO),
    "SFT, second round": Arm("sft-round-2.gguf", SFT, control="SFT", drafts_of="sft.gguf"),
    "best of 4": Arm(asked=("--strategy", "best-of-n", "--drafts", "4"), control="base"),
    "adaptive": Arm(asked=("--strategy", "adaptive"), control="base"),
}

# With other prompts, the models that were trained on `keywords` are tried too.
CARRIED_OVER: Mapping[str, Arm] = {
    "SFT of keywords": Arm("../train/sft.gguf"),
    "random drafts of keywords": Arm("../train/random.gguf"),
}


class Bench:
    """The folder of the experiment, and the commands that fill it: each file once."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder = folder
        self._python = python
        self._seconds = folder / "seconds.json"

    def made(self, name: str, *command: str) -> Path:
        """Return the file, which the command makes unless it is there."""
        path = self.folder / name
        if not path.exists():
            before = cpu_seconds()
            self.run(*command, "-o", name)
            self._note(name, cpu_seconds() - before)
        return path

    def run(self, *command: str) -> str:
        whole = [self._python, "-m", "refinecli", *command]
        done = subprocess.run(
            whole, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit {done.returncode}")
        return done.stdout

    def seconds(self) -> dict[str, float]:
        if not self._seconds.exists():
            return {}
        found: dict[str, float] = json.loads(self._seconds.read_text())
        return found

    def _note(self, name: str, seconds: float) -> None:
        self._seconds.write_text(json.dumps(self.seconds() | {name: round(seconds)}, indent=1))


def cpu_seconds() -> float:
    """Return what all commands have computed so far: wall time says little on a busy machine."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(
    folder: Path, python: str, only: Sequence[str], data: Path | None = None, n: int | None = None
) -> None:
    bench = Bench(folder, python)
    write_prompts(bench, data, n or HELD_OUT)
    columns = ("coverage", "length", "echo", "words", "distinct", "CPU s")
    print(f"| arm | n | score | difference (95%) | {' | '.join(columns)} |")
    print("|---" * (4 + len(columns)) + "|")
    for name, arm in {**ARMS, **(CARRIED_OVER if data else {})}.items():
        if not only or name in only:
            print(line(bench, name, arm), flush=True)


def write_prompts(bench: Bench, data: Path | None, n: int) -> None:
    """Write prompts to train on and prompts held out: no set of words is on both sides, and none
    is twice. The words of `keywords` are of one pool; concepts are of other lists on each side."""
    source = ("-n", "400", "--seed", "42")
    if data is not None:
        write_concepts(data / "commongen_hard.jsonl", bench.folder / "concepts.jsonl")
        source = ("--from", "concepts.jsonl")
    everything = bench.made("all.jsonl", "generate-data", "keywords", *source)
    by_words: dict[frozenset[str], str] = {}
    for text in everything.read_text("utf-8").splitlines():
        checks = [item["check"] for item in json.loads(text)["rubric_items"]]
        words = frozenset(word for check in checks for word in check.get("words", ()))
        by_words.setdefault(words, text + "\n")
    rows = list(by_words.values())
    for name, part in (
        ("train.jsonl", rows[:PROMPTS]),
        ("test.jsonl", rows[PROMPTS : PROMPTS + n]),
    ):
        (bench.folder / name).write_text("".join(part), "utf-8")


def write_concepts(lists: Path, file: Path) -> None:
    """Write the second half of the lists, on which no wording was chosen, in fours."""
    lines = lists.read_text("utf-8").splitlines()
    cuts = []
    for line in lines[len(lines) // 2 :]:
        words = json.loads(line)["concepts"]
        cuts += [{"concepts": words[at : at + 4]} for at in range(0, len(words) - 3, 4)]
    file.write_text("".join(json.dumps(cut) + "\n" for cut in cuts), "utf-8")


def answers(bench: Bench, name: str, arm: Arm) -> Path:
    """Return the arm's answers to the prompts held out, after all that they need."""
    if arm.model != "local":
        bench.made("base", "convert", "local")  # once, for all
    if arm.model == "base.gguf":
        bench.made(arm.model, "convert", "base")
    elif arm.export:
        start = ("--model", "base", *options("--set", arm.settings))
        bench.made(arm.model, "train", data(bench, arm), *start)
    file = f"{name.replace(', ', '-').replace(' ', '-')}.jsonl"
    asked = ("--model", arm.model, "--seed", "7", "--max-errors", "100%", *arm.asked)
    return bench.made(file, "refine", "test.jsonl", *asked)


def data(bench: Bench, arm: Arm) -> str:
    """Return the folder of the examples that the arm's model is trained on."""
    drafts = f"drafts-of-{arm.drafts_of}.jsonl"
    strategy = ("--strategy", "best-of-n", "--drafts", str(DRAFTS), "--seed", "1")
    warm = ("--set", "policy.temperature=1", "--max-errors", "100%")
    bench.made(drafts, "refine", "train.jsonl", "--model", arm.drafts_of, *strategy, *warm)
    return bench.made(f"data-{arm.model}", "export", drafts, *arm.export).name


def options(flag: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (flag, value)]


def line(bench: Bench, name: str, arm: Arm) -> str:
    file = answers(bench, name, arm)
    rows = [json.loads(text) for text in file.read_text("utf-8").splitlines()]
    said = [row["response"] for row in rows if row.get("response")]
    difference = "–"
    if name not in (BASE, "base", "base at temperature 0"):
        control = answers(bench, arm.control, ARMS[arm.control])
        compared = json.loads(bench.run("report", control.name, file.name, "--json", "-"))
        gain = compared["compared"]["gain"]
        difference = f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"
    scores = [row["score"] for row in rows if row.get("score") is not None]
    words = mean(len(text.split()) for text in said)
    return (
        f"| {name} | {len(scores)} | {mean(scores):.3f} | {difference} "
        f"| {item(rows, 'coverage'):.2f} | {item(rows, 'length'):.2f} | {item(rows, 'echo'):.2f} "
        f"| {words:.0f} | {len(set(said))} of {len(said)} "
        f"| {bench.seconds().get(arm.model, 0):.0f} + {bench.seconds().get(file.name, 0):.0f} |"
    )


def item(rows: Sequence[dict[str, Any]], name: str) -> float:
    """Return the mean score of an item in the answers that were kept."""
    found = []
    for row in rows:
        refinement = row.get("refinement") or {}
        for one in refinement.get("iterations", ()):
            if one["iteration"] == refinement.get("best_iteration"):
                found += [grade["score"] for grade in one["grades"] if grade["name"] == name]
    return float(mean(score for score in found if score is not None))
