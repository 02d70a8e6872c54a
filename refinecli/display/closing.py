"""Show at the end of a run what came of it: how the answers changed, and what failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from refinecli.display.marks import number
from refinecli.runs.highlights import Highlights, Pair
from refinecli.text.clean import one_line

if TYPE_CHECKING:
    from rich.text import Text

_NAME = 40  # characters of an id
_ITEMS = 60  # characters of the names of items


def comparison(highlights: Highlights, width: int) -> Iterator[Text]:
    """Show how many answers became better, and the largest gains, each text in one line."""
    if not highlights.tried:
        return
    from rich.text import Text  # which takes a tenth of a short run

    counts = f"{highlights.better:,} better than at first, {highlights.equal:,} equal"
    yield Text(f"answers: {counts}, {highlights.worse:,} worse")
    for pair in highlights.largest:
        yield from _pair(pair, width)


def _pair(pair: Pair, width: int) -> Iterator[Text]:
    from rich.text import Text

    mended = f" · mended: {one_line(', '.join(pair.mended), _ITEMS)}" if pair.mended else ""
    head = Text.assemble(
        "  ",
        (one_line(pair.id, _NAME), "bold"),
        f"  {number(pair.before)} → {number(pair.after)}{mended}",
    )
    yield _cut(head, width)
    yield _cut(Text.assemble(("  - ", "red"), one_line(pair.first) or "(empty)"), width)
    yield _cut(Text.assemble(("  + ", "green"), one_line(pair.best) or "(empty)"), width)


def _cut(line: Text, width: int) -> Text:
    line.truncate(width, overflow="ellipsis")
    return line


def failures(highlights: Highlights) -> str:
    """Say which items the returned answers failed most, "" where none failed."""
    if not highlights.failures:
        return ""
    rows = "1 row" if highlights.graded == 1 else f"{highlights.graded:,} rows"
    return f"failed most, of {rows}: {highlights.failed_most}"
