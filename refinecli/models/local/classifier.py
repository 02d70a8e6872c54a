"""Serve a Hugging Face directory as a classifier, in a child process, for the length of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from refinecli.errors import UsageError
from refinecli.models.local.server import file_digest, running

_NEEDS = ("torch", "transformers")
_STARTUP_SECONDS = 300.0  # importing those takes ten on an idle machine, and minutes on a busy one


@asynccontextmanager
async def serve_classifier(folder: Path) -> AsyncIterator[tuple[str, str]]:
    """Run the child while the block lasts; yield its URL, and the key that it wants."""
    missing = [name for name in _NEEDS if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the classifier in {folder} needs {' and '.join(missing)}",
            "run pip install 'refinecli[train]', or serve it elsewhere and give its url",
        )
    what = f"classifier in {folder}"
    async with running("classifier_child", [str(folder)], what, _STARTUP_SECONDS) as (url, key):
        yield f"{url}/predict", key


def directory_digest(folder: Path) -> str:
    """Identify the model in a directory by all its weights, its labels and its tokenizer."""
    files = [*folder.glob("*.safetensors"), *folder.glob("*.json"), *folder.glob("*.jinja")]
    digests = "".join(f"{path.name} {file_digest(path)} " for path in sorted(files))
    return sha256(digests.encode()).hexdigest()[:32]
