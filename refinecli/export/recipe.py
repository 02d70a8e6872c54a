"""Write the configuration that TRL's own command takes, each value with its reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Setting(NamedTuple):
    """A line of the file: a key of TRL's, its value as YAML, and the reason for it."""

    key: str
    value: object
    why: str = ""


def recipe(kind: str, trainer: str, statistics: tuple[int, int], *, gpu: bool) -> str:
    """Return `trl.yaml` for a kind; `statistics` are its rows, and the good ones among them."""
    settings = [
        Setting(
            "datasets",
            "[{path: json, data_files: train.jsonl, split: train}]",
            "For the losses on test.jsonl give this folder as `dataset_name`, with its path from "
            "above,\n# in the place of this, and `eval_strategy: epoch`.",
        ),
        Setting("output_dir", "model"),
        *(_of_kind(trainer, statistics, gpu=gpu)),
        *(_GPU if gpu else _CPU),
        *_SHARED,
    ]
    machine = "a GPU" if gpu else "a CPU"
    head = (
        f"# Run in this folder: trl {trainer} --config trl.yaml --model_name_or_path MODEL\n"
        f"# For {machine}, and {kind} as `refinecli export` wrote it. The values are where to\n"
        "# begin, not what is best: each key is TRL's own and may be given on its command line.\n"
    )
    return head + "".join(_written(settings))


def _written(settings: Iterable[Setting]) -> Iterable[str]:
    for setting in settings:
        yield f"\n# {setting.why}\n" if setting.why else ""
        yield f"{setting.key}: {_yaml(setting.value)}\n"


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.1e}" if value < 1e-3 else f"{value:g}"
    return str(value)


_SHARED = (
    Setting("logging_steps", 1, "Data sets of this size train in few steps: show each."),
    Setting("report_to", "none", "Nothing leaves this machine."),
    Setting(
        "save_strategy",
        "epoch",
        "So that a run that was stopped can continue with --resume_from_checkpoint.",
    ),
    Setting("save_total_limit", 1, "A checkpoint holds the optimizer too: four models in size."),
    Setting("seed", 42),
)
_CPU = (
    Setting("use_cpu", True),
    Setting("dtype", "float32", "The weights; in bfloat16 small updates would be rounded away."),
    Setting("bf16", True, "The arithmetic: 1.6 times as fast as float32, on a CPU too."),
    Setting(
        "gradient_checkpointing",
        False,
        "It saves memory and costs a third of the time; a small model needs no saving.",
    ),
)
_GPU = (
    Setting("dtype", "bfloat16", "Half the memory; use float32 where that fits."),
    Setting("bf16", True),
    Setting("gradient_checkpointing", True, "Memory is what is scarce: it halves what it can."),
)


def _of_kind(trainer: str, statistics: tuple[int, int], *, gpu: bool) -> list[Setting]:
    rows, good = statistics
    if trainer == "sft":
        return _sft(gpu=gpu)
    if trainer == "dpo":
        return _dpo(gpu=gpu)
    if trainer == "kto":
        return _kto(rows, good, gpu=gpu)
    if trainer == "reward":
        return _reward(gpu=gpu)
    return _grpo(gpu=gpu)


def _sft(*, gpu: bool) -> list[Setting]:
    return [
        Setting(
            "learning_rate",
            2e-5 if gpu else 5e-5,
            "The usual for models of billions of weights."
            if gpu
            else "High, for a model of some hundred million weights; higher, and the seed decides.",
        ),
        Setting(
            "num_train_epochs",
            2 if gpu else 4,
            "More, and a few dozen rows are learned by heart.",
        ),
        *_batch(8, 4 if gpu else 1, "Eight rows a step." if not gpu else "32 rows a step."),
        Setting(
            "completion_only_loss", True, "The model learns the answer, not to write the prompt."
        ),
        Setting("max_length", 2048 if gpu else 1024, "Tokens of prompt and answer; more is cut."),
    ]


def _dpo(*, gpu: bool) -> list[Setting]:
    return [
        Setting(
            "learning_rate",
            1e-6 if gpu else 1e-5,
            "Preferences need a tenth of what imitation needs, or the text falls apart.",
        ),
        Setting("beta", 0.1, "How closely it keeps to the model that it starts from."),
        Setting("num_train_epochs", 1 if gpu else 2),
        *_batch(4, 8 if gpu else 1, "Each row is two texts."),
        Setting(
            "precompute_ref_log_probs",
            True,
            "One pass of the first model beforehand, so that it need not stay in memory.",
        ),
        Setting("max_length", 2048 if gpu else 1024, "Tokens of prompt and answer; more is cut."),
    ]


def _kto(rows: int, good: int, *, gpu: bool) -> list[Setting]:
    bad = rows - good
    weights = []
    if good and bad:
        # The published recipe: the ratio of weight times count between 1 and 4/3.
        desirable = 1.0 if good >= bad else round(bad / good, 2)
        undesirable = 1.0 if bad >= good else round(good / bad, 2)
        weights = [
            Setting(
                "desirable_weight",
                desirable,
                f"There are {good} good answers and {bad} others: these weights make both count "
                "alike.",
            ),
            Setting("undesirable_weight", undesirable),
        ]
    return [
        Setting("learning_rate", 1e-6 if gpu else 1e-5),
        Setting("beta", 0.1, "How closely it keeps to the model that it starts from."),
        *weights,
        Setting("num_train_epochs", 1 if gpu else 2),
        *_batch(8, 4 if gpu else 1, "KTO compares with the rest of its batch: eight or more."),
        Setting("precompute_ref_log_probs", True, "So that the first model need not stay."),
        Setting("max_length", 2048 if gpu else 1024, "Tokens of prompt and answer; more is cut."),
    ]


def _reward(*, gpu: bool) -> list[Setting]:
    return [
        Setting("learning_rate", 1e-5 if gpu else 5e-5, "Its last layer starts from nothing."),
        Setting("num_train_epochs", 1 if gpu else 2, "Reward models overfit in few epochs."),
        *_batch(4, 8 if gpu else 2, "Each row is two texts."),
        Setting(
            "center_rewards_coefficient", 0.01, "Rewards around 0; else only differences mean much."
        ),
        Setting("max_length", 2048 if gpu else 1024, "Tokens of prompt and answer; more is cut."),
        Setting("lora_task_type", "SEQ_CLS", "With use_peft: or its last layer would not be kept."),
    ]


def _grpo(*, gpu: bool) -> list[Setting]:
    return [
        Setting(
            "reward_funcs",
            "[refinecli.reward.score]",
            "The rubric as the reward; settings of its grader come from REFINECLI_CONFIG.",
        ),
        Setting("learning_rate", 1e-6 if gpu else 1e-5),
        Setting("num_generations", 8, "Answers to one prompt, which are compared."),
        *_batch(16 if gpu else 8, 8 if gpu else 2, "A multiple of num_generations in all."),
        Setting("max_completion_length", 1024 if gpu else 128, "Tokens of an answer."),
        Setting("num_train_epochs", 1),
        *([Setting("use_vllm", True), Setting("vllm_mode", "colocate")] if gpu else []),
    ]


def _batch(size: int, steps: int, why: str) -> list[Setting]:
    return [
        Setting("per_device_train_batch_size", size, why),
        Setting("gradient_accumulation_steps", steps),
    ]
