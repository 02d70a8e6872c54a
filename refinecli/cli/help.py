"""`refinecli help`: the guide in the terminal, a page a topic. The help of a command
is shown by the program itself, before this module is loaded."""

from __future__ import annotations

import difflib
import os
import re
import shutil
import sys
from typing import Annotated

import typer

from refinecli.cli.completion import GUIDE, complete_topics, topics
from refinecli.cli.options import takes
from refinecli.errors import UsageError

# Lines longer than this are hard to read, however wide the terminal is.
_WIDTH = 100


@takes()
def help(
    topic: Annotated[
        str | None,
        typer.Argument(
            metavar="TOPIC",
            help="A page of the guide, or a command.",
            autocompletion=complete_topics,
        ),
    ] = None,
) -> int:
    """Show a page of the user guide; without TOPIC, list the pages.

    \b
    refinecli help
    refinecli help training-data
    refinecli help grade
    """
    if topic is None:
        _list()
    else:
        _show(_page(topic))
    return 0


def _list() -> None:
    names = topics()
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {_summary(name)}")


def _summary(topic: str) -> str:
    """Return what a page is about: the line after its title, without the full stop."""
    with (GUIDE / f"{topic}.md").open(encoding="utf-8") as page:
        lines = [line.strip() for line in page if line.strip()][:2]
    return lines[1].removesuffix(".")


def _page(topic: str) -> str:
    if topic not in topics():
        from refinecli.cli import COMMANDS

        close = difflib.get_close_matches(topic, [*topics(), *COMMANDS], n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"there is no topic {topic}", f"{meant}`refinecli help` lists them")
    return (GUIDE / f"{topic}.md").read_text("utf-8")


def _show(markdown: str) -> None:
    """Print a page as it is into a pipe, and formatted, in a pager, on a terminal."""
    if not sys.stdout.isatty():
        print(markdown, end="")
        return
    import io
    import pydoc

    from rich.console import Console
    from rich.markdown import Markdown

    width = min(shutil.get_terminal_size().columns, _WIDTH)
    formatted = Console(file=io.StringIO(), force_terminal=True, width=width)
    page = Markdown(_for_terminal(markdown), hyperlinks=False, code_theme="ansi_light")
    with formatted.capture() as capture:
        formatted.print(page)
    # Colours, no pager for what fits the screen, and the page stays when it ends.
    os.environ.setdefault("LESS", "FRX")
    pydoc.pager(capture.get())


def _for_terminal(markdown: str) -> str:
    """Replace links between pages by the command that shows the page, and those within one by their
    words: nothing in a terminal follows them."""
    other_page = r"\[([^\]]+)\]\(([\w-]+)\.md(?:#[\w-]*)?\)"
    markdown = re.sub(other_page, r"\1 (`refinecli help \2`)", markdown)
    return re.sub(r"\[([^\]]+)\]\(#[\w-]+\)", r"\1", markdown)
