"""Do the real readers take what `export` writes? TRL by two steps of training, others by loading.

    python -m tests.experiments.readers RUN.jsonl --python VENV/bin/python [--only trl-sft …]

VENV has torch, transformers, trl, datasets and accelerate, and for the others llamafactory, verl,
pyarrow, tinker-cookbook or together (below 2): they conflict, so that most go in with --no-deps or
into environments of their own, take gigabytes and are in no lock file of this project.
RUN is an output of `refine` with responses that passed and some that did not. The model is a Llama
of some thousand weights, made on the spot, and TRL's own command runs as the file says: in the
directory, with its `trl.yaml` and a model. Prints a line for each reader.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from pathlib import Path

TINY = """
    import json, sys
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    run, folder = sys.argv[1:]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<pad>"]
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([open(run).read()[:200_000]], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=special[0], eos_token=special[1], pad_token=special[2])
    fast.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\\n{{ m['content'] }}<|im_end|>\\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\\n{% endif %}")
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=2048,
        bos_token_id=0, eos_token_id=1, pad_token_id=2)
    LlamaForCausalLM(config).save_pretrained(folder)
"""
# A reward that needs nothing of ours: that the columns arrive is what is tried.
REWARD = """
import json
def score(prompts, completions, id, rubric_items, **columns):
    assert all(isinstance(json.loads(items), list) for items in rubric_items), rubric_items
    return [float(len(completion[0]["content"])) for completion in completions]
"""


# Its own parser and converter; what it would empty is counted, and there is nothing of it.
LLAMAFACTORY = """
    import json, sys, types, importlib.machinery
    for name in ("torchaudio",):  # which no text needs
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
    from datasets import load_dataset
    from llamafactory.data.converter import get_dataset_converter
    from llamafactory.data.parser import get_dataset_list
    from llamafactory.hparams import DataArguments
    names = sorted(json.load(open("dataset_info.json")))
    for about in get_dataset_list(names, "."):
        rows = load_dataset("json", data_files=about.dataset_name, split="train")
        convert = get_dataset_converter(about.formatting, about, DataArguments())
        made = [convert(row) for row in rows]
        empty = sum(not row["_prompt"] or not row["_response"] for row in made)
        assert made and not empty, (about, empty)
        sides = {len(row["_response"]) for row in made}
        assert sides == ({2} if about.ranking or about.kto_tag else {1}), sides
        print(about.dataset_name, len(made), "rows, none empty")
"""
TINKER = """
    import json, sys
    from tinker_cookbook.preference.preference_datasets import ComparisonBuilderFromJsonl
    builder = ComparisonBuilderFromJsonl(train_path="train.jsonl", test_path="test.jsonl")
    train, test = builder.get_labeled_comparisons()
    assert len(train) == sum(1 for _ in open("train.jsonl"))
    assert {one.label for one in train} == {"A", "B"}
    assert train[0].comparison.completion_A[0]["role"] == "assistant"
    print(len(train), len(test), "comparisons")
"""
TINKER_SFT = """
    from datasets import Dataset
    import json
    rows = Dataset.from_list([json.loads(line) for line in open("train.jsonl")])
    from tinker_cookbook.renderers import get_renderer
    from transformers import AutoTokenizer
    import sys
    renderer = get_renderer("role_colon", AutoTokenizer.from_pretrained(sys.argv[1]))
    for row in rows:
        made = renderer.build_supervised_example(row["messages"])
    print(len(rows), "conversations rendered")
"""
# Together's client has the checks of OpenAI's format that OpenAI keeps to its servers.
TOGETHER = """
    from pathlib import Path
    from together.utils.files import check_file
    for name in ("train.jsonl", "test.jsonl"):
        found = check_file(Path(name))
        assert found["is_check_passed"], found
        print(name, found["num_samples"], "samples pass")
"""
VERL = """
    import json, sys
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer
    from verl.utils.dataset.rl_dataset import RLHFDataset
    tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
    config = OmegaConf.create({"max_prompt_length": 512, "cache_dir": "cache"})
    data = RLHFDataset("train.parquet", tokenizer, config)
    row = data[0]
    assert row["data_source"] == "refinecli", row
    assert json.loads(row["extra_info"]["rubric_items"])
    print(len(data), "prompts")
"""


def ran(*command: str, cwd: Path | None = None) -> str:
    """Run a command without a network; return what it said, or exit with that."""
    env = os.environ | dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"), "1")
    # LLaMA-Factory's own, whose pins exclude what TRL needs.
    env |= {"TOKENIZERS_PARALLELISM": "0", "DISABLE_VERSION_CHECK": "1"}
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
    return result.stderr + result.stdout


class Readers:
    """The readers of one environment, and a place for what they read."""

    def __init__(self, run: Path, python: Path, folder: Path) -> None:
        self.run, self.folder, self.python = run.resolve(), folder, python.absolute()
        self.tiny = folder / "tiny"

    def code(self, code: str, *args: str | Path, cwd: Path | None = None) -> str:
        return ran(str(self.python), "-c", textwrap.dedent(code), *map(str, args), cwd=cwd)

    def export(self, kind: str, form: str = "trl", *flags: str) -> Path:
        folder = self.folder / f"{form}-{kind}"
        base = (sys.executable, "-m", "refinecli", "export", str(self.run))
        ran(*base, "--to", kind, "--format", form, "-o", str(folder), *flags)
        return folder

    def trl(self, kind: str, command: str, *flags: str) -> str:
        """Train two steps as the written file says; return the last losses."""
        if not self.tiny.exists():
            self.code(TINY, self.run, self.tiny)
        folder = self.export(kind)
        base = [str(self.python.parent / "trl"), command, "--config", "trl.yaml"]
        base += ["--model_name_or_path", str(self.tiny), "--max_steps", "2"]
        said = ran(*base, *flags, cwd=folder)
        assert (folder / "model" / "config.json").is_file(), said[-2000:]
        return " ".join(re.findall(r"'(?:loss|train_loss)': '?[-0-9.e]+", said))

    def check(self, form: str, kinds: tuple[str, ...], code: str) -> str:
        """Run a reader's code in the folder of each kind; return what it said last."""
        if not self.tiny.exists():
            self.code(TINY, self.run, self.tiny)
        said = [
            self.code(code, self.tiny, cwd=self.export(kind, form)).strip().split("\n")[-1]
            for kind in kinds
        ]
        return "; ".join(f"{kind}: {words}" for kind, words in zip(kinds, said, strict=True))

    def grpo(self) -> str:
        """Train with a reward function of the trial's own, from the folder of the data."""
        folder = self.export("prompts")
        (folder / "trial_reward.py").write_text(REWARD)
        made = folder / "trl.yaml"
        text = made.read_text().replace("refinecli.reward.score", "trial_reward.score")
        made.write_text(text)
        base = [str(self.python.parent / "trl"), "grpo", "--config", "trl.yaml"]
        base += ["--model_name_or_path", str(self.tiny), "--max_steps", "2"]
        ran(*base, "--max_completion_length", "8", cwd=folder)
        return "two steps"


def trials(readers: Readers) -> dict[str, Callable[[], str]]:
    return {
        "trl-sft": lambda: readers.trl("sft", "sft"),
        "trl-dpo": lambda: readers.trl("dpo", "dpo"),
        "trl-kto": lambda: readers.trl("kto", "kto"),
        "trl-reward": lambda: readers.trl("reward", "reward"),
        "trl-grpo": readers.grpo,
        "llamafactory": lambda: readers.check(
            "llamafactory", ("sft", "dpo", "kto", "reward"), LLAMAFACTORY
        ),
        "tinker": lambda: readers.check("tinker", ("dpo", "reward"), TINKER),
        "tinker-sft": lambda: readers.check("tinker", ("sft",), TINKER_SFT),
        "openai": lambda: readers.check("openai", ("sft", "dpo"), TOGETHER),
        "verl": lambda: readers.check("verl", ("prompts",), VERL),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(exist_ok=True, parents=True)
    for name, trial in trials(Readers(options.run, options.python, folder)).items():
        if not options.only or name in options.only:
            print(f"{name}: {trial()}", flush=True)


if __name__ == "__main__":
    main()
