"""Show the progress of a run as two lines under everything else on a terminal.

refine ━━━━━━━━━━━━━━╸──────────────────────  4,120/10,000 · 41% · 21.4/s · 4:35 left
       64 in flight · score 0.713 · 3 failed · 1.2M tokens in, 340K out
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from refinecli.display.progress import Part, Progress

_BETWEEN = " · "
# A shorter bar says less than the words it would displace.
_SHORTEST_BAR, _LONGEST_BAR = 10, 60


class ProgressView:
    """Two lines at any width: a terminal keeps leftovers of a view that changes its height."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        progress, width = self._progress, options.max_width - 1
        indent = len(progress.command) + 1
        room = width - indent
        total = progress.total
        yield Text(f"{progress.command} ", "bold", end="")
        bar = 0 if total is None else _SHORTEST_BAR + 1
        course = fitting(progress.course(), room - bar)
        if bar and (bar := min(room - course.cell_len - 1, _LONGEST_BAR)) >= _SHORTEST_BAR:
            yield _bar(progress.finished / (total or 1), bar)
        yield course
        yield Text(" " * indent, end="")
        yield fitting(progress.state(), room)


def _bar(share: float, width: int) -> Text:
    """Draw the bar with two kinds of stroke: without colour, Rich's own does not show how much is
    left."""
    full, half = divmod(min(int(share * width * 2), width * 2), 2)
    done = "━" * full + "╸" * half
    rest = "─" * (width - len(done))
    return Text.assemble((done, "green"), (rest, "dim"), " ", end="")


def fitting(parts: Sequence[Part], width: int) -> Text:
    """Join the parts that fit into one line, and at least one."""
    kept = list(parts)
    while len(kept) > 1 and len(_BETWEEN.join(part.text for part in kept)) > width:
        kept.remove(max(kept, key=lambda part: part.rank))
    line = Text(no_wrap=True, overflow="ellipsis")
    for part in kept:
        if line:
            line.append(_BETWEEN, "dim")
        line.append(part.text, part.style)
    line.truncate(max(1, width), overflow="ellipsis")
    return line
