"""Render transcripts as text."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich.console import Console, RenderableType

from refinecli.display.boxes import plain

_WIDTH = 100  # where there is no terminal to take it from


def rendered(parts: Iterable[RenderableType], *, terminal: bool) -> str:
    """Return parts of a transcript as text: with colour and panels only for a terminal, whose width
    it takes."""
    here = Console()  # the terminal's own width and colours
    text = StringIO()
    console = Console(
        file=text,
        force_terminal=terminal,
        color_system=here.color_system if terminal else None,  # type: ignore[arg-type]
        width=here.width if terminal else _WIDTH,
        no_color=here.no_color,
        legacy_windows=False,
    )
    for part in parts:
        console.print(part, soft_wrap=plain(console))
    return text.getvalue().rstrip("\n")
