"""A page of the guide as a terminal shows it."""

from __future__ import annotations

import io
import re

from rich.console import Console
from rich.markdown import Markdown


def formatted(markdown: str, width: int) -> str:
    """Return a page with its headings, lists and code set apart by colours, if they are wanted."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    with console.capture() as capture:
        console.print(Markdown(_without_links(markdown), hyperlinks=False, code_theme="ansi_dark"))
    return capture.get()


def _without_links(markdown: str) -> str:
    """Replace links between pages by the command that shows the page, and those within one by their
    words: nothing in a terminal follows them."""
    other_page = r"\[([^\]]+)\]\(([\w-]+)\.md(?:#[\w-]*)?\)"
    markdown = re.sub(other_page, r"\1 (`refinecli help \2`)", markdown)
    return re.sub(r"\[([^\]]+)\]\(#[\w-]+\)", r"\1", markdown)
