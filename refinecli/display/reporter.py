"""Write to standard error during a run: notices, progress, closing lines."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from refinecli.data.output_lines import Outcome
from refinecli.display.progress import Progress
from refinecli.display.shared_terminal import (
    another_draws,
    free_to_draw,
    is_last,
    stop_drawing,
    take_place,
)
from refinecli.errors import spelled
from refinecli.models.traffic import Traffic
from refinecli.runs.summary import Summary
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

    from refinecli.display.closing import Line

# On a plain standard error (a log file, CI) a line every 30 seconds is news; more is noise. The
# rate needs more frequent looks.
SECONDS_BETWEEN_LOOKS = 1.0
LOOKS_BETWEEN_LINES = 30
_COLUMNS_OF_A_LOG = 100
_ERASED_BAR = "\r\x1b[2K\x1b[1A\x1b[2K"
# A bar is drawn this often, and not at all in a run that ends before the first time.
SECONDS_BETWEEN_FRAMES = 0.2
SECONDS_BEFORE_BAR = 0.5


class Reporter:
    """Everything that goes to standard error.

    A bar is drawn only on a terminal, whatever FORCE_COLOR says: a log must not fill with cursor
    movements. A thread shows progress, so that it appears while nothing finishes, and so that a
    slow terminal, or one stopped with Ctrl-S, does not hold up requests.
    """

    def __init__(
        self,
        command: str,
        *,
        quiet: bool,
        verbose: bool,
        spell: Callable[[str], str] = spelled,
    ) -> None:
        self._command = command
        self._spell = spell  # the options that a line mentions
        self._quiet = quiet
        self._verbose = verbose
        self._console: Console | None = None
        self._live: Live | None = None
        self._lines: deque[str] = deque()  # to be printed above the bar
        self._printing = threading.Lock()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._terminal = None if quiet else _terminal()
        if self._terminal is not None:
            take_place(self._terminal)

    @property
    def is_brief(self) -> bool:
        """True for all but the last of several commands in a pipe that share a terminal: they say
        one line at the end."""
        return self._terminal is not None and not is_last(self._terminal)

    @property
    def console(self) -> Console:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True)
        return self._console

    def show(self, renderable: RenderableType) -> None:
        """Print what was asked for, such as each turn, above the bar, also with `-q`."""
        from refinecli.display.transcript import plain

        self._print_lines()
        before, after = self._around_another_bar()
        sys.stderr.write(before)
        self.console.print(renderable, soft_wrap=plain(self.console))
        sys.stderr.write(after)
        sys.stderr.flush()

    def _around_another_bar(self) -> tuple[str, str]:
        """Return what to write before and after a text while another command's bar is on the
        terminal: its two lines are erased, and the line that it takes for the bar's first when it
        draws the next is left empty."""
        if self._live is None and self._terminal is not None and another_draws(self._terminal):
            return _ERASED_BAR, "\n"
        return "", ""

    def notice(self, text: str) -> None:
        """Show a line that is worth knowing."""
        if not self._quiet:
            self._line(text)

    def result(self, line: Line) -> None:
        """Show a line of the end of a run, where there is no bar any more."""
        if self._quiet:
            return
        if self._terminal is None:
            self._line("".join(text for text, _ in line))
            return
        from rich.text import Text

        self.console.print(Text.assemble(*line), soft_wrap=True)

    @property
    def width(self) -> int:
        """The columns that a line may have: the terminal's, or enough for a log."""
        return _COLUMNS_OF_A_LOG if self._terminal is None else self.console.width

    def detail(self, text: str) -> None:
        """Show a line to those who gave `-v`."""
        if self._verbose:
            self._line(text)

    def _line(self, text: str) -> None:
        line = as_line(self._spell(text))
        if self._live is not None:
            self._lines.append(line)
        else:  # in one piece, since progress comes from another thread
            before, after = self._around_another_bar()
            sys.stderr.write(f"{before}{line}\n{after}")
            sys.stderr.flush()

    def start(
        self, total: int | None, summary: Summary, traffic: Traffic, *, data_below: bool = False
    ) -> None:
        """Begin to show progress; `total` datapoints where that is known.

        `data_below`: the output goes to the same terminal, where it is progress enough.
        """
        if self._quiet:
            return
        progress = Progress(self._command, total, summary, traffic)
        if not (sys.stderr.isatty() and self.console.is_interactive):
            show = self._show_lines
        elif data_below:
            return
        else:
            show = self._show_bar
        self._thread = threading.Thread(target=show, args=(progress,), daemon=True)
        self._thread.start()

    def advance(self, outcome: Outcome) -> None:
        """Report to those who gave `-v` one datapoint that is finished and written."""
        if self._verbose:
            name = outcome.record.get("id", f"line {outcome.line}")
            score = "" if outcome.score is None else f", score {outcome.score:.3g}"
            why = f" ({', '.join(outcome.failures)})" if outcome.failures else ""
            self._line(f"{name}: {outcome.status}{score}{why}")

    def stop(self) -> None:
        """Remove the bar; later lines are printed as they come."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _show_lines(self, progress: Progress) -> None:
        looks = 0
        while not self._over.wait(SECONDS_BETWEEN_LOOKS):
            progress.update()
            looks += 1
            if looks % LOOKS_BETWEEN_LINES == 0:
                self._line(progress.line())

    def _show_bar(self, progress: Progress) -> None:
        from rich.live import Live

        from refinecli.display.bar import ProgressView

        terminal = sys.stderr.fileno()
        # A run that reads from a pipe does not know its total: another is better to watch.
        seconds = SECONDS_BEFORE_BAR * (1 if progress.total is not None else 2)
        live = Live(
            ProgressView(progress),
            console=self.console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
        )
        while not self._over.wait(seconds):
            seconds = SECONDS_BETWEEN_FRAMES
            progress.update()
            self._print_lines()
            if not free_to_draw(terminal):
                if self._live is not None and not is_last(terminal):
                    self._live = None
                    live.stop()
                continue
            if self._live is None:
                live.start()
                # A killed process could not restore a hidden cursor.
                self.console.show_cursor(True)
                self._live = live
            live.refresh()
        if self._live is not None:
            self._live = None
            self._print_lines()
            live.stop()
            stop_drawing(terminal)

    def _print_lines(self) -> None:
        """Print the lines that wait above the bar, all at once: each time costs a redrawn bar."""
        with self._printing:
            if not self._lines:
                return
            lines = [self._lines.popleft() for _ in range(len(self._lines))]
            from rich.text import Text

            self.console.print(Text("\n".join(lines)), soft_wrap=True)


def _terminal() -> int | None:
    """Return the descriptor of standard error if it is a terminal."""
    try:
        return sys.stderr.fileno() if sys.stderr.isatty() else None
    except (OSError, ValueError):
        return None
