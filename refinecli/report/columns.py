"""Lay text out on a terminal of 80 columns: sentences wrapped, tables aligned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells, set_cell_size

from refinecli.text.clean import one_line

WIDTH = 80


def wrapped(sentences: Sequence[str]) -> Iterator[str]:
    for sentence in sentences:
        yield from lines(sentence, "  ", "    ")


def lines(text: str, first: str, others: str) -> Iterator[str]:
    """Wrap the text by terminal cells: `textwrap` counts characters, some of which take two
    cells."""
    line = first
    for word in one_line(text).split(" "):
        for piece in chop_cells(word, WIDTH - len(others)):
            full = line.strip() and cell_len(line) + 1 + cell_len(piece) > WIDTH
            if full:
                yield line
                line = others
            line += f" {piece}" if line.strip() else piece
    yield line


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, cut: bool = False
) -> Iterator[str]:
    """Align the columns, the first to the left. It gives way where a line would be too long, and a
    cell that does not fit there is cut, or stands on a line of its own."""
    cells = [[one_line(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*cells, strict=True)]
    rest = sum(widths[1:]) + 2 * len(widths)
    widths[0] = min(widths[0], max(8, WIDTH - rest))
    for row in cells:
        if cut:
            row = [_shortened(row[0], widths[0]), *row[1:]]
        if cell_len(row[0]) > widths[0]:
            yield "  " + left(row[0], WIDTH - 2).rstrip()
            row = ["", *row[1:]]
        line = "".join(
            "  " + (left(cell, width) if not place else _right(cell, width))
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
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
