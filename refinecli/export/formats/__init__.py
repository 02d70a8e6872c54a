"""List the formats, a module each: which kinds a reader takes, and how a line looks to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from refinecli.errors import UsageError, option
from refinecli.export.selection import Example
from refinecli.types import JSONObject


class Writer(Protocol):
    """A file of examples."""

    def write(self, line: JSONObject) -> None: ...

    def close(self) -> None: ...


class Format(Protocol):
    """A format for one kind. Every example passes `problem` before the first becomes a `line`."""

    suffix: str

    def problem(self, example: Example) -> str:
        """Return the reason why the reader could not use an example; empty where it can."""

    def line(self, example: Example) -> JSONObject:
        """Return an example as the reader wants it."""

    def writer(self, path: Path) -> Writer:
        """Return a new file at a path."""

    def more_files(self) -> Mapping[str, bytes]:
        """Return what the reader needs besides, by name."""


# What each reader takes; its module has a `make` of its own.
FORMATS = MappingProxyType(
    {
        "trl": ("sft", "dpo", "kto", "reward", "prompts", "critic", "reviser"),
        "openai": ("sft", "dpo", "reward", "critic", "reviser"),
        "llamafactory": ("sft", "dpo", "kto", "reward", "critic", "reviser"),
        "verl": ("prompts",),
        "tinker": ("sft", "dpo", "reward", "critic", "reviser"),
    }
)


def format_for(name: str, kind: str) -> Format:
    """Return a format; raise UsageError where its reader has nothing of the kind."""
    if kind not in FORMATS[name]:
        fit = [other for other, kinds in FORMATS.items() if kind in kinds]
        raise UsageError(
            f"the format {name} has nothing for {kind}",
            f"use {' or '.join(option('format', other) for other in fit)}",
        )
    make = import_module(f"refinecli.export.formats.{name}").make
    return cast(Callable[[str], Format], make)(kind)
