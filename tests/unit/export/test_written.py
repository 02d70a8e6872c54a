"""What stands next to the examples: the manifest, the card, TRL's configuration."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.sources import LINE_BYTES
from refinecli.errors import InputError, UsageError
from refinecli.export.collect import collect
from refinecli.export.kinds import KINDS
from refinecli.export.recipe import recipe
from refinecli.export.shelf import Shelf
from tests.conftest import write_jsonl
from tests.support.exports import exported
from tests.support.report_files import row

# The keys of TRL 1.16 that a configuration may have, of its command and of its trainer.
SHARED = set(
    """
    datasets output_dir learning_rate num_train_epochs per_device_train_batch_size
    gradient_accumulation_steps max_length use_cpu dtype bf16 gradient_checkpointing logging_steps
    report_to save_strategy save_total_limit seed
    """.split()  # noqa: SIM905
)
OWN = {
    "sft": {"completion_only_loss"},
    "dpo": {"beta", "precompute_ref_log_probs"},
    "kto": {"beta", "desirable_weight", "undesirable_weight", "precompute_ref_log_probs"},
    "reward": {"center_rewards_coefficient", "lora_task_type"},
    "grpo": {
        *("reward_funcs", "num_generations", "max_completion_length"),
        *("use_vllm", "vllm_mode"),
    },
}


def settings(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(": ", 1) for line in lines)


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("trainer", OWN)
def test_the_configuration_has_trls_keys_alone_with_reasons(trainer: str, gpu: bool) -> None:
    text = recipe("any", trainer, (40, 10), gpu=gpu)
    found = settings(text)
    assert found.keys() <= SHARED | OWN[trainer]
    assert found["datasets"] == "[{path: json, data_files: train.jsonl, split: train}]"
    assert (found.get("use_cpu") == "true") is not gpu
    assert text.count("\n# ") > 6
    assert len(max(text.splitlines(), key=len)) <= 100


def test_the_rarer_label_weighs_more(tmp_path: Path) -> None:
    run = [row(n, [1.0, 0.1, 0.2, 0.3], drafts=True) for n in range(4)]
    found = settings((exported(tmp_path, "kto", run).folder / "trl.yaml").read_text())
    assert (found["desirable_weight"], found["undesirable_weight"]) == ("3", "1")


def test_the_manifest_has_sources_models_filters_and_figures(tmp_path: Path) -> None:
    run: list[dict[str, Any]] = [row(n, [0.5, 1.0], license="MIT") for n in range(10)]
    made = exported(tmp_path, "dpo", run, test_share=0.2)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["sources"][0]["made"] == [
        {
            "by": "refine",
            "models": {"policy": "small", "grader": "large"},
            "settings": "0123456789abcdef",
            "shaped_by": {},
        }
    ]
    train = manifest["files"]["train.jsonl"]
    assert (train["rows"], train["prompts"]) == (8, 8)
    assert train["margin"] == {"n": 8, "mean": 0.5, "sd": 0.0, "min": 0.5, "max": 0.5}
    assert train["prompts_sha256"] != manifest["files"]["test.jsonl"]["prompts_sha256"]
    assert manifest["filters"]["pairs"] == "first-best"
    assert manifest["read"] == {"rows": 10, "responses": 20}
    assert manifest["licence_notes"][0] == "The rows state: MIT."
    assert "small" in manifest["licence_notes"][1]


def test_the_card_names_both_files_and_shows_text_from_rows_as_text(tmp_path: Path) -> None:
    run = [row(n, [0.5, 1.0], license="<b>[x](https://a.b)") for n in range(10)]
    made = exported(tmp_path, "sft", run, test_share=0.2)
    card = (made.folder / "README.md").read_text()
    assert "      - split: train\n        path: train.jsonl\n      - split: test\n" in card
    assert "<b>" not in card
    assert "\\[x](" in card


def test_an_empty_test_file_is_not_named_as_a_split(tmp_path: Path) -> None:
    made = exported(tmp_path, "sft", [row(1, [1.0])])
    assert "split: test" not in (made.folder / "README.md").read_text()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_runs(tmp_path: Path) -> None:
    def most(rows: int) -> int:
        names = [
            str(
                write_jsonl(
                    tmp_path / f"{rows}-{part}.jsonl",
                    [row(n, [0.5, 1.0], texts=("x" * 5000, "y" * 5000)) for n in range(rows)],
                )
            )
            for part in range(2)
        ]
        tracemalloc.start()
        with Shelf(tmp_path / f"shelf-{rows}") as shelf:
            collect(names, shelf, LINE_BYTES)
            assert all(len(offers) == 2 for offers in shelf.by_prompt())
            taken = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return taken

    few, many = most(50), most(600)  # 12 MB of texts more
    assert many < few + 500_000
    assert KINDS["sft"].keep == ()


def test_odd_text_of_rows_goes_through_and_hides_nothing(tmp_path: Path) -> None:
    odd = "\u202e \x1b[31m \U000e0041 }} {{response}}"
    beside = f"\ud800 {odd}"
    run = [
        row(n, [0.5, 1.0], texts=(f"bad {odd} {n}", f"good {odd}"), group=beside, license=beside)
        for n in range(3)
    ]
    made = exported(tmp_path, "dpo", run)
    assert made.pairs[0] == (f"good {odd}", f"bad {odd} 0")
    card = (made.folder / "README.md").read_text("utf-8")
    assert not set("\u202e\x1b\U000e0041") & set(card)
    manifest = json.loads((made.folder / "manifest.json").read_text())
    assert manifest["sources"][0]["licences"] == [beside]


def test_iterations_out_of_order_are_not_an_output_of_ours(tmp_path: Path) -> None:
    run = [row(1, [0.5, 1.0]), row(2, [0.5, 1.0])]
    run[1]["refinement"]["iterations"][1]["parent"] = 1
    found: list[InputError] = []
    names = [str(write_jsonl(tmp_path / "run.jsonl", run))]
    with Shelf(tmp_path / "shelf") as shelf, pytest.raises(UsageError, match="1 of 2 lines"):
        collect(names, shelf, LINE_BYTES, on_bad=found.append)
    assert [error.where for error in found] == [f"{names[0]}:2"]
    assert "iteration 1 is out of order" in found[0].message
