"""List the words that may follow `refinecli` and `refinecli help`: commands, and guide topics."""

from __future__ import annotations

from pathlib import Path

import refinecli

# Each is the function of its name, in the module of its name.
COMMANDS = (
    *("generate-data", "refine", "grade", "debug-rollout", "show", "report", "export"),
    *("convert", "train", "merge", "serve", "help"),
)
# The pages of the guide that say more about a command.
PAGES = {
    "generate-data": ("data",),
    "refine": ("strategies", "models", "caching"),
    "grade": ("grading", "agreement", "ci"),
    "debug-rollout": ("prompts", "grading"),
    "show": ("data",),
    "report": ("report", "measurements"),
    "export": ("training-data",),
    "merge": ("scale",),
    "serve": ("rewards",),
    "convert": ("training",),
    "train": ("training", "training-data"),
    "help": (),
}
GUIDE = Path(refinecli.__file__).parent / "guide"


def version() -> str:
    """Return what `--version` prints."""
    return f"refinecli {refinecli.__version__}"


def topics() -> list[str]:
    """Return the topics of the guide, each a page of its own."""
    return sorted(page.stem for page in GUIDE.glob("*.md"))
