"""The example configurations: the files, each option in them switched on, and what they send."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
FILES = sorted(CONFIGS.glob("*.toml"))
HELPFULNESS = CONFIGS / "rubrics" / "helpfulness.toml"
MINIMAL_EDITS = CONFIGS / "prompts" / "minimal-edits.txt"
KEY = "sentinel-key-that-nobody-may-see"
# The host a file talks to, and the variable whose key it sends there.
SENDS = {
    "anthropic": ("api.anthropic.com", "ANTHROPIC_API_KEY"),
    "azure-openai": ("YOUR-RESOURCE.openai.azure.com", "AZURE_OPENAI_API_KEY"),
    "gemini": ("generativelanguage.googleapis.com", "GEMINI_API_KEY"),
    "local": ("a server of our own on loopback", None),
    "ollama": ("localhost:11434", None),
    "openai": ("api.openai.com", "OPENAI_API_KEY"),
    "openai-compatible": ("localhost:8000", None),
    "openrouter": ("openrouter.ai", "OPENROUTER_API_KEY"),
    # Loops, each with OpenAI as an example.
    **dict.fromkeys(
        ("best-of-n", "email-trio", "jury", "rm-gallery", "self-refine", "tinker-rubric"),
        ("api.openai.com", "OPENAI_API_KEY"),
    ),
}


def by_name(path: Path) -> str:
    return path.stem


def sections(text: str) -> dict[str, Any]:
    """A config's tables; a juror's by its whole name."""
    tables = tomllib.loads(text)
    return tables | {f"jury.{name}": juror for name, juror in tables.pop("jury", {}).items()}


every_file = pytest.mark.parametrize("path", FILES, ids=by_name)


def options(lines: list[str]) -> Iterator[tuple[int, int]]:
    """Where each commented-out option begins and ends; a key that comes again begins another."""
    begin, keys = None, set[str]()
    for number, line in enumerate([*lines, ""]):
        option = re.match(r"#(\[.*|\w+)", line)
        if begin is not None and (option is None or option[1] in keys):
            yield begin, number
            begin, keys = None, set()
        if option:
            begin = number if begin is None else begin
            keys.add(option[1])


def switched_on(lines: list[str], begin: int, end: int) -> str:
    """The file with one option in place of what its section says about the same keys."""
    chosen = [line.removeprefix("#") for line in lines[begin:end]]
    keys = {line.partition(" =")[0] for line in chosen}
    kept, section, own = [], "", ""
    sections = []
    for number, line in enumerate(lines):
        section = line if line.startswith("[") else section
        sections.append(section)
        own = section if number == begin else own
    for number, line in enumerate(lines):
        if number == begin:
            kept += chosen
        elif not (
            begin <= number < end or (sections[number] == own and line.partition(" =")[0] in keys)
        ):
            kept.append(line)
    return "\n".join(kept) + "\n"


def variants(path: Path) -> Iterator[tuple[str, str]]:
    """(what it is called, its text): the file as it stands, then with each option switched on."""
    text = path.read_text("utf-8")
    yield path.stem, text
    lines = text.splitlines()
    for begin, end in options(lines):
        yield f"{path.stem}-line-{begin + 1}", switched_on(lines, begin, end)


VARIANTS = [(name, text, path) for path in FILES for name, text in variants(path)]
every_variant = pytest.mark.parametrize(
    ("text", "path"), [v[1:] for v in VARIANTS], ids=[v[0] for v in VARIANTS]
)


def written(text: str, directory: Path) -> Path:
    """The config where its relative paths lead to the same files, and none does from `directory`,
    in which commands run."""
    (directory / "conf").mkdir()
    (directory / "conf" / "prompts").symlink_to(CONFIGS / "prompts")
    config = directory / "conf" / "config.toml"
    config.write_text(text, "utf-8")
    return config


def helpfulness_items() -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in tomllib.loads(HELPFULNESS.read_text())["rubric_items"]}
