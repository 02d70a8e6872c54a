"""A page of the guide as a terminal shows it."""

from __future__ import annotations

import io
import re

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table


class _Table(TableElement):
    """A table whose long words are broken: a name that is cut short is of no use."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for part in super().__rich_console__(console, options):
            if isinstance(part, Table):
                for column in part.columns:
                    column.overflow = "fold"
            yield part


class _Page(Markdown):
    elements = Markdown.elements | {"table_open": _Table}


def formatted(markdown: str, width: int) -> str:
    """Return a page with its headings, lists and code set apart by colours, if they are wanted."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with console.capture() as capture:
        console.print(_Page(_without_links(markdown), hyperlinks=False, code_theme="ansi_dark"))
    return capture.get()


def _without_links(markdown: str) -> str:
    """Replace links between pages by the command that shows the page, and those within one by their
    words: nothing in a terminal follows them."""

    def shown(link: re.Match[str]) -> str:
        words, page = link.groups()
        command = f"`refinecli help {page}`"
        return command if words.replace(" ", "-") == page else f"{words} ({command})"

    markdown = re.sub(r"\[([^\]]+)\]\(([\w-]+)\.md(?:#[\w-]*)?\)", shown, markdown)
    return re.sub(r"\[([^\]]+)\]\(#[\w-]+\)", r"\1", markdown)
