"""What a person sees on standard error while a run goes on: notices, progress, closing lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING

from refinecli.clean import clean
from refinecli.records import Outcome
from refinecli.summary import Summary

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

# On a plain standard error (a log file, CI) a line this often is news; more is noise.
SECONDS_BETWEEN_LINES = 30.0


class Reporter:
    """Everything that goes to standard error. A bar only where it is a terminal, whatever
    FORCE_COLOR says: a log must not fill with cursor movements."""

    def __init__(self, command: str, *, quiet: bool, verbose: bool) -> None:
        self._command = command
        self._quiet = quiet
        self._verbose = verbose
        self._terminal = sys.stderr.isatty()
        self._progress: Progress | None = None
        self._last_line = monotonic()
        self._total = ""
        self._finished = 0  # in whatever order; what is written waits for those before it
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True)
        return self._console

    def show(self, renderable: RenderableType) -> None:
        """Something asked for, such as `--show`: printed above the bar, `-q` or not."""
        from refinecli.render import plain

        self.console.print(renderable, soft_wrap=plain(self.console))

    def notice(self, text: str) -> None:
        """One line that is worth knowing."""
        if not self._quiet:
            self._line(text)

    def detail(self, text: str) -> None:
        """One line for `-v`."""
        if self._verbose:
            self._line(text)

    def _line(self, text: str) -> None:
        if self._progress is None:
            print(clean(text), file=sys.stderr, flush=True)
            return
        from rich.text import Text

        self.console.print(Text(clean(text)), soft_wrap=True)

    def start(self, total: int | None) -> None:
        """Begin to show progress; `total` datapoints where that is known."""
        self._total = "" if total is None else f" of {total}"
        if self._quiet or not self._terminal:
            return
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            expand=True,
        )
        self._progress.add_task(self._command, total=total, state="")
        self._progress.start()

    def finished(self) -> None:
        """One datapoint is finished; those before it may not be."""
        self._finished += 1
        if self._progress is not None:
            self._progress.update(self._progress.task_ids[0], completed=self._finished)

    def advance(self, outcome: Outcome, summary: Summary, in_flight: Callable[[], int]) -> None:
        """One datapoint is finished and written."""
        if self._verbose:
            name = outcome.record.get("id", f"line {outcome.line}")
            score = "" if outcome.score is None else f", score {outcome.score:.3g}"
            why = f" ({', '.join(outcome.failures)})" if outcome.failures else ""
            self.detail(f"{name}: {outcome.status}{score}{why}")
        if self._progress is not None:
            state = f"{in_flight()} in flight{_state(summary)}"
            self._progress.update(self._progress.task_ids[0], state=state)
        elif monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = monotonic()
            self.notice(
                f"{self._command}: {self._finished}{self._total} done, {in_flight()} in flight"
                f"{_state(summary)}, {summary.seconds:.0f} s"
            )

    def stop(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _state(summary: Summary) -> str:
    parts = [f", {summary.failed} failed"] if summary.failed else []
    parts += [f", {summary.ungraded} ungraded"] if summary.ungraded else []
    mean = summary.score.value
    return "".join(parts) + ("" if mean is None else f", score {mean:.3f}")
