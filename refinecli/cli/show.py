"""`refinecli show`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.options import takes
from refinecli.cli.pager import page
from refinecli.errors import UsageError
from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.data.rows import Row
    from refinecli.types import JSONObject

# As many ids, or names of items, are remembered to find what was meant by one that is not there.
_REMEMBERED = 10_000


@takes()
def show(
    ctx: typer.Context,
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="What any command wrote (.gz, .zst, .parquet too), or - for stdin.",
        ),
    ] = None,
    id: Annotated[str | None, typer.Option(metavar="ID", help="The rows with this id.")] = None,
    index: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Row N, from 0. (default: the first)")
    ] = None,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed",
            help="All rows that failed, stayed ungraded or did not pass; with --item those whose "
            "item did not pass.",
        ),
    ] = False,
    item: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only this item's grades.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Cut no text short.")] = False,
) -> int:
    """Show what is stored of a row as debug-rollout does, without any call.

    \b
    refinecli show out.jsonl
    refinecli show out.jsonl --id keywords-3 --full
    refinecli show graded.jsonl --failed --item coverage
    zcat out.jsonl.gz | refinecli show - --index 17
    """
    if id is not None and index is not None:
        raise UsageError("--id and --index both choose a row", "give one of them")
    if file in (None, "-") and sys.stdin.isatty():
        _show_help(ctx)
    wanted = _Wanted(id, index, failed, item)
    texts = _texts(file, wanted, full)
    first = next(texts, None)  # what is wrong is said before a pager takes the screen
    if first is not None:
        page(chain([first], texts))
    elif failed and not wanted.missing:
        print(wanted.none_failed, file=sys.stderr)
    return 0


def _show_help(ctx: typer.Context) -> None:
    """Show help and exit 2 on a terminal with nothing to read, where waiting would look like a
    hang."""
    from contextlib import redirect_stdout

    with redirect_stdout(sys.stderr):
        print(ctx.get_help())
        print("error: no FILE: name a file, or pipe one in")
    raise typer.Exit(2)


@dataclass
class _Wanted:
    """The rows to show, and what was seen on the way to them."""

    id: str | None
    index: int | None
    failed: bool
    item: str | None
    name: str = ""
    rows: int = 0
    chosen: int = 0  # by id or index
    ids: dict[str, None] = field(default_factory=dict)
    items: dict[str, None] = field(default_factory=dict)
    has_item: bool = False

    @property
    def only_one(self) -> bool:
        return self.id is None and not self.failed

    @property
    def missing(self) -> bool:
        """True if there is no row that the id, the index or the item could mean."""
        return not self.chosen or (self.item is not None and not self.has_item)

    @property
    def none_failed(self) -> str:
        what = "no row" if self.item is None else f"{self.item} in no row"
        return f"{self.name}: {what} failed, of {self.chosen:,}"

    def chooses(self, number: int, row: JSONObject) -> bool:
        """Return whether to show this row, the rows being passed in order; an empty one is a line
        that cannot be read."""
        from refinecli.data.names import item_names
        from refinecli.data.stored_rows import has_failed

        if self.id is not None:
            found = str(row.get("id"))
            if found != self.id:
                _remember(self.ids, [found])
                return False
        elif self.index is not None and number != self.index:
            return False
        self.chosen += 1
        if self.item is not None:
            names = item_names(row)
            _remember(self.items, names)
            if self.item not in names:
                return False
            self.has_item = True
        return not self.failed or not row or has_failed(row, self.item)

    def refuse(self) -> None:
        """Raise UsageError if what was asked for is not there."""
        from refinecli.data.names import meant

        if not self.rows:
            raise UsageError(f"{self.name}: has no rows")
        if not self.chosen and self.id is not None:
            raise UsageError(
                f"{self.name}: no row with the id {self.id} among its {plural(self.rows, 'row')}",
                meant(self.id, self.ids) or f"its first id is {next(iter(self.ids), '')}",
            )
        if not self.chosen and self.index is not None:
            raise UsageError(
                f"{self.name}: no row {self.index} among its {plural(self.rows, 'row')}",
                f"they are numbered from 0 to {self.rows - 1:,}",
            )
        if self.item is not None and not self.has_item:
            some = ", ".join(list(self.items)[:8])
            raise UsageError(
                f"{self.name}: no item {self.item}",
                meant(self.item, self.items) or f"name one of: {some}",
            )


def _remember(names: dict[str, None], more: Iterable[str]) -> None:
    if len(names) < _REMEMBERED:
        names |= dict.fromkeys(more)


# ------------------------------------------------------------------ rows


def _texts(file: str | None, wanted: _Wanted, full: bool) -> Iterator[str]:
    """Yield the transcript of each row to show, as the file is read."""
    for row in _rows(file, wanted):
        yield _text(row, wanted.name, wanted.item, full)
    if not wanted.chosen or wanted.item is not None:
        wanted.refuse()


def _rows(file: str | None, wanted: _Wanted) -> Iterator[Row]:
    """Yield the rows to show; raise InputError for one of them that cannot be read. Lines are read
    as datapoints only then."""
    from refinecli.data.rows import read_row
    from refinecli.data.sources import Source

    source = Source(file)
    wanted.name = source.name
    for number, line in source.read():
        place = wanted.rows
        wanted.rows += 1
        if wanted.index not in (None, place):
            continue
        raw = _object(line)
        if raw is None or raw.get("id") is None:  # reading gives it one
            row = read_row(line, number, source.name)
            raw = raw or {} if row.error else row.raw
        if wanted.chooses(place, raw):
            yield _usable(read_row(line, number, source.name), raw)
            if wanted.only_one:
                return


def _object(line: bytes) -> JSONObject | None:
    from refinecli.text.json_text import loads

    try:
        value = loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _usable(row: Row, raw: JSONObject) -> Row:
    """Return a row to show, if only the error that it failed with."""
    if row.error and not isinstance(raw.get("error"), dict):
        raise row.error
    return row._replace(raw=raw) if row.error else row


def _text(row: Row, place: str, item: str | None, full: bool) -> str:
    from refinecli.data.stored_rows import stored_row
    from refinecli.display.rendering import rendered
    from refinecli.display.stored import stored_transcript

    parts = stored_transcript(
        stored_row(row, place), f"line {row.line}", only=item, full=full, hint=" (--full shows all)"
    )
    return rendered(parts, terminal=sys.stdout.isatty())
