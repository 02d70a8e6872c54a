"""Show at the end of a run what came of it: how the answers changed, and what failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from refinecli.display.marks import number
from refinecli.runs.highlights import Highlights, Pair
from refinecli.stats.wording import plural
from refinecli.text.clean import one_line

_NAME = 40  # characters of an id
_ITEMS = 60  # characters of the names of items

# The parts of a line, each with its style: a log needs no Rich for it, which takes long to load.
Line: TypeAlias = Sequence[tuple[str, str]]


def comparison(highlights: Highlights, width: int) -> Iterator[Line]:
    """Show how many answers became better, and the largest gains, each text in one line."""
    if not highlights.tried:
        return
    counts = f"{highlights.better:,} better than at first, {highlights.equal:,} equal"
    yield [(f"answers: {counts}, {highlights.worse:,} worse", "")]
    for pair in highlights.largest:
        yield from _pair(pair, width)


def _pair(pair: Pair, width: int) -> Iterator[Line]:
    from rich.cells import cell_len  # only where a response became better

    name = one_line(pair.id, _NAME)
    mended = f" · mended: {one_line(', '.join(pair.mended), _ITEMS)}" if pair.mended else ""
    scores = f"  {number(pair.before)} → {number(pair.after)}{mended}"
    yield [(f"  {name}", "bold"), (_cut(scores, width - cell_len(name) - 2), "")]
    yield [("  - ", "red"), (_cut(one_line(pair.first) or "(empty)", width - 4), "")]
    yield [("  + ", "green"), (_cut(one_line(pair.best) or "(empty)", width - 4), "")]


def _cut(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"


def failures(highlights: Highlights) -> str:
    """Say which items the returned answers failed most, "" where none failed."""
    if not highlights.failures:
        return ""
    rows = plural(highlights.graded, "row")
    return f"failed most, of {rows}: {highlights.failed_most}"
