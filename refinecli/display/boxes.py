"""Draw the few shapes that everything shown is made of: headed sections, labels, texts, a table.

On a terminal a section is a panel; elsewhere it is a plain heading with the text indented under it,
so that no text can pass for one of our headings. All text is cleaned here, whatever its origin.
Print with `console.print(part, soft_wrap=plain(console))`, so that a pipe's lines are never broken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from refinecli.stats.wording import plural
from refinecli.text.clean import clean, one_line
from refinecli.text.word_diff import Piece


def shown(text: str, style: str = "") -> Text:
    """Show untrusted text as it is, never as markup."""
    return Text(clean(text), style)


def plain(console: Console) -> bool:
    """Return whether there is no terminal to draw panels on: a pipe, a file, `TERM=dumb`."""
    return not console.is_terminal or console.is_dumb_terminal


def _colourless(console: Console) -> bool:
    return plain(console) or console.no_color or console.color_system is None


# ------------------------------------------------------------------ texts


@dataclass(frozen=True, slots=True)
class _Mark:
    """The look of a marked piece: a style where there is colour, else brackets around each line."""

    style: str
    before: str = ""
    after: str = ""


_MARKS = MappingProxyType(
    {
        "": _Mark(""),
        "deleted": _Mark("red strike", "[-", "-]"),
        "inserted": _Mark("green underline", "{+", "+}"),
        "match": _Mark("bold reverse", "»", "«"),
        "note": _Mark("dim italic"),
    }
)
# A long text keeps its end, where graders give their verdict, and requests their format.
_TAIL = 10
_LONG_LINE, _LINE_HEAD, _LINE_TAIL = 1600, 1000, 200


@dataclass(frozen=True, slots=True)
class Limit:
    """The number of lines shown of a text, roughly, 0 for all, and a hint on how to see the
    rest."""

    lines: int = 0
    hint: str = ""

    def doubled(self) -> Limit:
        return Limit(2 * self.lines, self.hint)


@dataclass(frozen=True, slots=True)
class Body:
    """A text made of pieces, indented, and cut to its limit."""

    pieces: Sequence[Piece]
    limit: Limit = Limit()
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        text = _assembled(self.pieces, self.style, marks=_colourless(console))
        if not text.plain:
            text = Text("(empty)", "dim italic")
        lines = list(text.split("\n", allow_blank=True))
        lines = _cut(lines, self.limit) if self.limit.lines else lines
        if plain(console):
            yield Text("\n").join(Text.assemble("  ", line) if line else line for line in lines)
        else:
            yield Padding(Text("\n").join(lines), (0, 0, 0, 2))


def _assembled(pieces: Sequence[Piece], style: str, *, marks: bool) -> Text:
    text = Text(style=style)
    for kind, piece in pieces:
        mark = _MARKS[kind]
        if marks and mark.before:
            lines = clean(piece).split("\n")
            text.append("\n".join(mark.before + s + mark.after if s else s for s in lines))
        else:
            text.append(clean(piece), mark.style)
    return text


def _cut(lines: list[Text], limit: Limit) -> list[Text]:
    most = limit.lines
    if len(lines) > most + 1:
        tail = min(_TAIL, most // 3)
        note = f"… {plural(len(lines) - most, 'more line')}{limit.hint}"
        lines = [*lines[: most - tail], Text(note, "dim italic"), *lines[len(lines) - tail :]]
    return [_cut_line(line, limit.hint) for line in lines]


def _cut_line(line: Text, hint: str) -> Text:
    if len(line) <= _LONG_LINE:
        return line
    left_out = len(line) - _LINE_HEAD - _LINE_TAIL
    note = Text(f" … {left_out:,} more characters{hint} … ", "dim italic")
    return Text.assemble(line[:_LINE_HEAD], note, line[len(line) - _LINE_TAIL :])


def label(text: str, style: str = "bold") -> Text:
    """Show one of our own lines above a text, such as a role."""
    return Text(one_line(text), style)


# ------------------------------------------------------------------ sections and tables


@dataclass(frozen=True, slots=True)
class Section:
    """Labels and texts under a heading: a panel on a terminal, `== heading ==` elsewhere."""

    title: str
    parts: Sequence[RenderableType]
    style: str = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = one_line(self.title)
        if plain(console):
            yield Text(f"== {title} ==")
            yield from self.parts
            yield Text()
        else:
            yield Panel(
                Group(*self.parts),
                box=box.ROUNDED,
                title=Text(f" {title} ", f"bold {self.style}"),
                title_align="left",
                border_style=self.style,
            )


@dataclass(frozen=True, slots=True)
class Columns:
    """A small table: words in the first and last column, numbers in between."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if plain(console):
            yield from self._lines()
            return
        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for number, name in enumerate(self.header):
            words = number in (0, len(self.header) - 1)
            table.add_column(
                name,
                justify="left" if words else "right",
                overflow="fold",
                no_wrap=not words,
            )
        for row in self.rows:
            table.add_row(*(Text(one_line(cell)) for cell in row))
        yield table

    def _lines(self) -> Iterator[Text]:
        rows = [[one_line(cell) for cell in row] for row in (self.header, *self.rows)]
        widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = []
            for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
                space = " " * (width - cell_len(cell))
                words = number in (0, len(row) - 1)
                cells.append(cell + space if words else space + cell)
            yield Text("  " + "  ".join(cells).rstrip())
