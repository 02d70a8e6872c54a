"""Write a Hugging Face directory of the llama architecture as a GGUF file, in F16.

    python -m refinecli.training.to_gguf DIR MODEL.gguf OTHER.gguf
    python -m refinecli.training.to_gguf DIR OTHER.gguf

The second checks that it could be done. Metadata and tokenizer are those of the other file, whose
tensors are replaced by name. It prints one JSON object: what it wrote, or what is wrong. It imports
nothing of refinecli.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from safetensors import safe_open

ARCHITECTURE = "llama"
# Computed from the configuration, not learned: only a GGUF file holds it, as it was.
NOT_LEARNED = ("rope_freqs.weight",)
# Of the file's format, or about the precision, which is set here.
OWN = ("GGUF.", "general.architecture", "general.file_type", "general.quantization_version")


class RefusedError(Exception):
    """The directory and the other file do not go together."""


class Weights:
    """The tensors of a directory, read one at a time."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            opened = safe_open(str(path), framework="pt")  # numpy has no bfloat16
            self._files |= dict.fromkeys(opened.keys(), opened)
        if not self._files:
            raise RefusedError(f"{folder} has no *.safetensors file")

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def shape(self, name: str) -> list[int]:
        return list(self._files[name].get_slice(name).get_shape())

    def read(self, name: str) -> np.ndarray[Any, Any]:
        tensor: np.ndarray[Any, Any] = self._files[name].get_tensor(name).float().numpy()
        if not np.isfinite(tensor).all():
            raise RefusedError(f"{name} has values that are not finite: the training diverged")
        return tensor


def names_in_gguf(weights: Weights, layers: int) -> dict[str, str]:
    """Return the directory's name of each tensor by the name that llama.cpp has for it."""
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    found = {}
    for name in weights:
        there = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if there is None:
            raise RefusedError(
                f"{name} has no place in a GGUF file of the {ARCHITECTURE} architecture"
            )
        found[there] = name
    return found


def permuted(tensor: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """Return the rows of q or k in llama.cpp's order: the halves of a head's rotary pairs are
    interleaved there, and one after the other in Hugging Face's files."""
    pairs = tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
    return pairs.swapaxes(1, 2).reshape(tensor.shape)


def precision(shape: list[int]) -> type[np.floating[Any]]:
    """Return F16 for matrices; vectors, such as norms, are F32 in every GGUF file."""
    return np.float16 if len(shape) > 1 else np.float32


def copy_metadata(like: Any, writer: Any) -> None:
    for field in like.fields.values():
        if not field.name.startswith(OWN):
            inner = field.types[1] if len(field.types) > 1 else None
            writer.add_key_value(field.name, field.contents(), field.types[0], inner)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)


def check_fit(like: Any, weights: Weights, names: dict[str, str]) -> None:
    """Raise RefusedError unless both hold the same tensors, of the same shapes."""
    there = {tensor.name: tensor for tensor in like.tensors if tensor.name not in NOT_LEARNED}
    for name in there.keys() ^ names.keys():
        where = "the directory" if name in there else "the GGUF file"
        raise RefusedError(f"{names.get(name, name)} is missing in {where}")
    for name, tensor in there.items():
        here, expected = weights.shape(names[name]), [int(n) for n in tensor.shape[::-1]]
        if here != expected:
            raise RefusedError(
                f"{names[name]} is {here} in the directory, {expected} in the GGUF file"
            )


def convert(folder: Path, target: Path | None, pattern: Path) -> dict[str, object]:
    like = gguf.GGUFReader(pattern)
    architecture = like.fields["general.architecture"].contents()
    if architecture != ARCHITECTURE:
        raise RefusedError(
            f"{pattern.name} is of the architecture {architecture}, not {ARCHITECTURE}"
        )
    weights = Weights(folder)
    names = names_in_gguf(weights, like.fields[f"{ARCHITECTURE}.block_count"].contents())
    check_fit(like, weights, names)
    done: dict[str, object] = {"architecture": ARCHITECTURE, "tensors": len(like.tensors)}
    if target is None:
        return done
    heads = {
        "attn_q": like.fields[f"{ARCHITECTURE}.attention.head_count"].contents(),
        "attn_k": like.fields[f"{ARCHITECTURE}.attention.head_count_kv"].contents(),
    }
    writer = gguf.GGUFWriter(target, ARCHITECTURE)
    copy_metadata(like, writer)
    for tensor in like.tensors:
        shape = [int(n) for n in tensor.shape[::-1]]
        kind = np.dtype(precision(shape))
        writer.add_tensor_info(tensor.name, shape, kind, int(np.prod(shape)) * kind.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in like.tensors:
        if tensor.name in NOT_LEARNED:
            values = np.asarray(tensor.data)
        else:
            values = weights.read(names[tensor.name])
            part = tensor.name.split(".")[-2]
            values = permuted(values, heads[part]) if part in heads else values
        writer.write_tensor_data(values.astype(precision(list(values.shape))))
    writer.close()
    return done


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m refinecli.training.to_gguf")
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path, nargs="?")
    parser.add_argument("like", type=Path)
    options = parser.parse_args()
    try:
        print(json.dumps(convert(options.folder, options.target, options.like)))
    except RefusedError as refused:
        print(json.dumps({"problem": str(refused)}))
        return 1
    except (OSError, ValueError, KeyError) as error:
        print(json.dumps({"problem": f"{type(error).__name__}: {error}"}))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
