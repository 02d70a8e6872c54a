"""The options of commands whose requests may go in waves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.errors import UsageError
from refinecli.text.urls import is_url

if TYPE_CHECKING:
    from refinecli.cli.options import ModelOptions, OutputOptions
    from refinecli.settings.load import Settings

_BATCHES = "Batches"


@dataclass(frozen=True, eq=False)
class BatchOptions:
    """The ways to send requests in waves instead of one by one."""

    batch: Annotated[
        bool,
        typer.Option(
            "--batch",
            rich_help_panel=_BATCHES,
            help="Send requests as batches of the provider, at batch_discount of the price.",
        ),
    ] = False
    batch_files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_BATCHES,
            help="Keep the waves' files in DIR. Without --batch send nothing: read the results "
            "that are put there, and exit 5 while some are missing.",
        ),
    ] = None
    batch_wait: Annotated[
        str,
        typer.Option(
            metavar="yes|no",
            show_default=False,
            rich_help_panel=_BATCHES,
            help="Wait for batches, or exit 5 and let the same command look again. (default: yes)",
        ),
    ] = "yes"
    batch_min: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            show_default=False,
            rich_help_panel=_BATCHES,
            help="Send what is left one by one once a wave has fewer than N requests. (default: 0)",
        ),
    ] = 0
    batch_cancel: Annotated[
        bool,
        typer.Option(
            "--batch-cancel",
            rich_help_panel=_BATCHES,
            help="Cancel the open batches of this command and exit; what they have done is used "
            "by the next run.",
        ),
    ] = False

    @property
    def used(self) -> bool:
        """True if requests go in waves."""
        return self.batch or self.batch_files is not None or self.batch_cancel

    @property
    def submits(self) -> bool:
        """True if the waves are sent as batches."""
        return self.batch or self.batch_cancel

    def check(self) -> None:
        """Raise UsageError for options that mean nothing together."""
        if self.batch_wait not in ("yes", "no"):
            raise UsageError(f"--batch-wait {self.batch_wait}: must be yes or no")
        alone = ("--batch-wait no" if self.batch_wait == "no" else "") or (
            f"--batch-min {self.batch_min}" if self.batch_min else ""
        )
        if alone and not self.batch:
            raise UsageError(f"{alone} means nothing without --batch", "add --batch")

    def folder(self, out: OutputOptions, options: ModelOptions) -> Path:
        """Return the folder of the waves; raise UsageError where nothing would keep replies."""
        flag = "--batch" if self.submits else f"--batch-files {self.batch_files}"
        if options.offline:
            raise UsageError(f"{flag} means nothing with --offline", "leave one of them out")
        local = out.output not in (None, "-") and not is_url(str(out.output))
        there = out.output if local else options.cache
        if there is None:
            raise UsageError(
                f"{flag} needs a call cache to keep the replies from wave to wave",
                "write to a file, -o FILE, or name the cache: --cache PATH",
            )
        return self.batch_files or Path(f"{there}.batch")


def check_learning(batch: BatchOptions, settings: Settings, *, learned: bool) -> None:
    """Raise UsageError where rows would learn from rows that no pass has finished."""
    options = settings.refine
    learns = options.strategy == "adaptive" and options.learn and options.max_iterations != 0
    if batch.used and learns and not learned:
        raise UsageError(
            "in waves no row can learn from the rows before it",
            "use --learned FILE, --set refine.learn=false, or another --strategy",
        )
