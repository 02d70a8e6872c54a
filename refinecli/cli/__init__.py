"""The command line: the only import of typer. One file a command; shared options in `options`."""

from __future__ import annotations

import io
import sys

import typer

from refinecli import __version__
from refinecli.cli.debug_rollout import debug_rollout
from refinecli.cli.generate_data import generate_data
from refinecli.cli.grade import grade
from refinecli.cli.refine import refine

app = typer.Typer(
    name="refinecli",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"refinecli {__version__}")
        raise typer.Exit


@app.callback()
def _app(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Turn a JSONL file of prompts and rubrics into better answers, honest grades and training
    data, through any OpenAI-compatible chat API.

    A policy model answers, a grader scores the answer item by item against a rubric, and the policy
    rewrites it from that feedback.

    \b
    refinecli refine in.jsonl -o out.jsonl
    refinecli generate-data addition -n 100 | refinecli refine | refinecli grade --fail-under 0.9
    """


app.command("generate-data")(generate_data)
app.command("refine")(refine)
app.command("grade")(grade)
app.command("debug-rollout")(debug_rollout)


def main() -> None:
    """The `refinecli` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        import traceback

        # A defect of ours must not look like a missed quality gate, which is exit code 1.
        traceback.print_exc()
        print("error: this is a defect in refinecli; please report it", file=sys.stderr)
        sys.exit(70)
