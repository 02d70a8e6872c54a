"""Show the guide in the terminal, a page a topic: `refinecli help`. The program itself shows a
command's help, before this module is loaded."""

from __future__ import annotations

import difflib
import os
import shutil
import sys
from typing import Annotated

import typer

from refinecli.cli.completion import complete_topics
from refinecli.cli.names import COMMANDS, GUIDE, topics
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
    if sys.stdout.isatty():
        print("\nrefinecli help TOPIC shows one of them.", file=sys.stderr)


def _summary(topic: str) -> str:
    """Return what a page is about: the line after its title, without the full stop."""
    with (GUIDE / f"{topic}.md").open(encoding="utf-8") as page:
        lines = [line.strip() for line in page if line.strip()][:2]
    return lines[1].removesuffix(".")


def _page(topic: str) -> str:
    if topic not in topics():
        close = difflib.get_close_matches(topic, [*topics(), *COMMANDS], n=1)
        meant = f"did you mean {close[0]}? " if close else ""
        raise UsageError(f"there is no topic {topic}", f"{meant}`refinecli help` lists them")
    return (GUIDE / f"{topic}.md").read_text("utf-8")


def _show(markdown: str) -> None:
    """Print a page as it is into a pipe, and formatted, in a pager, on a terminal."""
    if not sys.stdout.isatty():
        print(markdown, end="")
        return
    import pydoc

    from refinecli.display.guide_page import formatted

    page = formatted(markdown, min(shutil.get_terminal_size().columns, _WIDTH))
    # Quit at once if the page fits the screen, show colours, leave the page on the screen.
    os.environ.setdefault("LESS", "FRX")
    pydoc.pager(page)
