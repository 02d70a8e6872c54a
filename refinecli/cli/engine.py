"""The options of commands whose rows may be worked on elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from refinecli.cli.options import OutputOptions
from refinecli.errors import UsageError
from refinecli.text.urls import is_url

_RAY = "Ray"


@dataclass(frozen=True, eq=False)
class EngineOptions:
    """The ways to run a file on more than one process."""

    engine: Annotated[
        str | None,
        typer.Option(
            metavar="ray",
            rich_help_panel=_RAY,
            help="Run shards of the file as tasks of Ray's, here or on a cluster (--set "
            "ray.address=…). With -o DIR/ the parts stay files there, with a manifest.",
        ),
    ] = None
    shards: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=_RAY,
            help="Divide the file into N shards. (default: 16)",
        ),
    ] = None

    @property
    def used(self) -> bool:
        """True if shards run by Ray."""
        return self.engine is not None

    def file_of(self, out: OutputOptions) -> OutputOptions:
        """Return the output without a directory: only a run by Ray writes to one."""
        return replace(out, output=None) if self.used and is_directory(out.output) else out

    def check(self, output: str | None) -> None:
        """Raise UsageError where it is not an engine, or is not there, and for an output that only
        it can write."""
        if self.engine is None:
            if self.shards is not None:
                raise UsageError(
                    f"--shards {self.shards} means nothing without --engine ray",
                    "add --engine ray; --shard I/N works on one part",
                )
            if is_directory(output):
                raise UsageError(
                    f"{output}: is a directory; only --engine ray writes to one, a file a part",
                    "name a file, or add --engine ray",
                )
            return
        if self.engine != "ray":
            raise UsageError(f"--engine {self.engine}: must be ray", "leave it out to run here")
        if find_spec("ray") is None:
            raise UsageError("--engine ray needs Ray", "run pip install 'refinecli[ray]'")


def is_directory(output: str | None) -> bool:
    """Return whether an output is to be a directory: it is one, or ends like one."""
    if not output or is_url(output):
        return False
    return output.endswith(os.sep) or Path(output).is_dir()
