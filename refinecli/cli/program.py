"""Build the command line out of its commands."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated

import typer

from refinecli.cli.help_text import Command, Program
from refinecli.cli.names import COMMANDS, PAGES, version


def _version(wanted: bool) -> None:
    if wanted:
        print(version(), flush=True)
        raise typer.Exit


def _about(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Turn a JSONL file of prompts and rubrics into better answers, honest grades and training
    data, through any OpenAI-compatible chat API.

    A policy model answers, a grader scores the answer item by item, the policy rewrites it.

    \b
    refinecli refine in.jsonl -o out.jsonl
    refinecli generate-data keywords | refinecli refine | refinecli grade
    refinecli grade out.jsonl --fail-under 0.9 > graded.jsonl
    refinecli help
    """


def build(called: Sequence[str] = COMMANDS, *, completion: bool = False) -> typer.Typer:
    """Return the program with these commands: each takes milliseconds to import and for typer to
    read. `completion` adds the options that install it."""
    app = typer.Typer(
        name="refinecli",
        cls=Program,
        add_completion=completion,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        callback=_about,
    )
    for name in called:
        function = name.replace("-", "_")
        module = import_module(f"refinecli.cli.{function}")
        more = ", ".join(f"refinecli help {page}" for page in PAGES[name])
        epilog = f"More: {more}" if more else None
        app.command(name, cls=Command, epilog=epilog)(getattr(module, function))
    return app
