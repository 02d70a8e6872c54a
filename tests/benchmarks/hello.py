"""The Typer app that does nothing: what `--help` costs at the least, with rich."""

from __future__ import annotations

import typer

app = typer.Typer(rich_markup_mode="rich", no_args_is_help=True)


@app.command()
def hello(name: str = "you") -> None:
    """Say hello."""


@app.command()
def goodbye(name: str = "you") -> None:
    """Say goodbye."""


if __name__ == "__main__":
    app()
