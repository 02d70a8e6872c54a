"""Lay text out on a terminal of some width: sentences wrapped, tables aligned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, chop_cells, set_cell_size

from refinecli.text.clean import one_line

_PROSE = 100  # columns: longer lines of text are hard to read
_NAME = 8  # columns that a table's first one keeps, however full the line is


@dataclass(frozen=True, slots=True)
class Columns:
    """A page of `width` columns."""

    width: int = 80

    def wrapped(self, sentences: Sequence[str], indent: str = "  ") -> Iterator[str]:
        for sentence in sentences:
            yield from self.lines(sentence, indent, indent + "  ")

    def lines(self, text: str, first: str, others: str) -> Iterator[str]:
        """Wrap the text by terminal cells: `textwrap` counts characters, some of which take two
        cells."""
        width = min(self.width, _PROSE)
        line = first
        for word in one_line(text).split(" "):
            for piece in chop_cells(word, max(1, width - len(others))):
                full = line.strip() and cell_len(line) + 1 + cell_len(piece) > width
                if full:
                    yield line
                    line = others
                line += f" {piece}" if line.strip() else piece
        yield line

    def cut(self, text: str, indent: str = "  ") -> str:
        """Return the text as one line that fits."""
        return indent + left(one_line(text), self.width - len(indent)).rstrip()

    def table(
        self, header: Sequence[str], rows: Sequence[Sequence[str]], *, cut: bool = False
    ) -> Iterator[str]:
        """Align the columns, the first to the left. It gives way where a line would be too long,
        and a cell that does not fit there is cut, or stands on a line of its own. Columns that do
        not fit even so follow in a table of their own, so that no number is broken by the
        terminal."""
        cells = [[one_line(cell) for cell in row] for row in (header, *rows)]
        widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
        fitting = self._fitting(widths)
        if fitting < len(widths):
            yield from self._aligned([row[:fitting] for row in cells], widths[:fitting], cut)
            yield ""
            yield from self.table(
                [header[0], *header[fitting:]],
                [[row[0], *row[fitting:]] for row in rows],
                cut=cut,
            )
        else:
            yield from self._aligned(cells, widths, cut)

    def _fitting(self, widths: Sequence[int]) -> int:
        """Return how many columns fit in a line: two at least."""
        used = 2 + min(widths[0], _NAME)
        for place, width in enumerate(widths[1:], 1):
            used += 2 + width
            if used > self.width and place > 1:
                return place
        return len(widths)

    def _aligned(
        self, cells: Sequence[Sequence[str]], widths: Sequence[int], cut: bool
    ) -> Iterator[str]:
        rest = sum(widths[1:]) + 2 * len(widths)
        name = min(widths[0], max(_NAME, self.width - rest))
        for row in cells:
            if cut:
                row = [_shortened(row[0], name), *row[1:]]
            if cell_len(row[0]) > name:
                yield self.cut(row[0])
                row = ["", *row[1:]]
            line = "".join(
                "  " + (left(cell, width) if not place else _right(cell, width))
                for place, (cell, width) in enumerate(zip(row, (name, *widths[1:]), strict=True))
            )
            yield line.rstrip()


def left(cell: str, width: int) -> str:
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…"
    return cell + " " * (width - cell_len(cell))


def _shortened(cell: str, width: int) -> str:
    """Cut the middle out: names of a kind begin alike, and often end alike too."""
    if cell_len(cell) <= width:
        return cell
    end = cell[len(cell) - (width - 1) // 2 :]
    while cell_len(end) > (width - 1) // 2:
        end = end[1:]
    return set_cell_size(cell, width - 1 - cell_len(end)).rstrip() + "…" + end


def _right(cell: str, width: int) -> str:
    return " " * (width - cell_len(cell)) + cell
