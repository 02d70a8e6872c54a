"""Write a model as a Hugging Face directory: a GGUF file, or an adapter merged into its base.

    python -m refinecli.training.to_hugging_face MODEL.gguf DIR

It prints one JSON object: what it wrote, or what is wrong. It imports nothing of refinecli.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def from_gguf(source: Path, target: Path) -> dict[str, object]:
    """Write the weights in full precision, with the tokenizer and the chat template of the file."""
    folder, file = str(source.parent), source.name
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=file,
        dtype=torch.float32,
        # Otherwise what was loaded counts as quantized, and cannot be saved.
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return {"architecture": model.config.model_type, "parameters": model.num_parameters()}


def from_adapter(source: Path, target: Path) -> dict[str, object]:
    """Write the base of a LoRA adapter with the adapter's changes in its weights; that of a reward
    model brings its last layer along."""
    from peft import AutoPeftModelForCausalLM, AutoPeftModelForSequenceClassification

    adapter = str(source)
    if json.loads((source / "adapter_config.json").read_text())["task_type"] == "SEQ_CLS":
        adapted = AutoPeftModelForSequenceClassification.from_pretrained(
            adapter, num_labels=1, dtype=torch.float32
        )
    else:
        adapted = AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32)
    model = adapted.merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return {"architecture": model.config.model_type, "parameters": model.num_parameters()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m refinecli.training.to_hugging_face")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args()
    convert = from_adapter if options.source.is_dir() else from_gguf
    try:
        print(json.dumps(convert(options.source, options.target)))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
