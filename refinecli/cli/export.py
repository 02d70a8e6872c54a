"""`refinecli export`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.bad_lines import BadLines
from refinecli.cli.completion import complete_formats, complete_kinds, complete_pairings
from refinecli.cli.export_lines import lines_on
from refinecli.cli.options import note_if_beyond, takes
from refinecli.errors import UsageError
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from refinecli.export.export import Plan
    from refinecli.export.kinds import Kind
    from refinecli.export.selection import Pairing
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject

_CHOICE = "What goes in"
_OUTPUT = "Output"
_NAMES = ("sft", "dpo", "kto", "reward", "critic", "reviser", "prompts")
_FORMATS = ("trl", "openai", "llamafactory", "verl", "tinker")


@dataclass(frozen=True)
class FilterOptions:
    """The responses that go in."""

    min_score: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=_CHOICE,
            help="Answers that score X or more, of pairs the better one. (default: answers that "
            "passed; of pairs any)",
        ),
    ] = None
    min_margin: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            rich_help_panel=_CHOICE,
            help="How much better the better one of a pair scores. (default: what is hardly the "
            "grader's noise, measured from repeats or a later grade)",
        ),
    ] = None
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            autocompletion=complete_pairings,
            rich_help_panel=_CHOICE,
            help="first-best, best-worst, steps (a rewrite and its original) or all. "
            "(default: first-best)",
        ),
    ] = None
    max_per_prompt: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=_CHOICE,
            help="Examples of one prompt at most, the best ones. (default: all)",
        ),
    ] = None
    max_length_ratio: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            min=1,
            rich_help_panel=_CHOICE,
            help="No pair with one R times as long as the other. (default: 2, where the longer "
            "has over 200 characters)",
        ),
    ] = None
    confirmed: Annotated[
        bool,
        typer.Option(
            "--confirmed",
            rich_help_panel=_CHOICE,
            help="Only rows whose response a later `grade` passed.",
        ),
    ] = False
    random: Annotated[
        bool,
        typer.Option(
            "--random",
            rich_help_panel=_CHOICE,
            help="As many at random instead: the control that says what the selection is worth.",
        ),
    ] = False
    with_system: Annotated[
        bool,
        typer.Option(
            "--with-system",
            rich_help_panel=_CHOICE,
            help="Begin prompts with the `policy.system` that the run was made with.",
        ),
    ] = False


@dataclass(frozen=True)
class FolderOptions:
    """The folder that is written."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            rich_help_panel=_OUTPUT,
            help="Where the files go; the directory appears when it is complete.",
        ),
    ] = None
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=complete_formats,
            rich_help_panel=_OUTPUT,
            show_default=False,
            help=f"One of: {', '.join(_FORMATS)}. (default: trl)",
        ),
    ] = "trl"
    test_share: Annotated[
        float,
        typer.Option(
            metavar="X",
            min=0,
            max=0.9,
            rich_help_panel=_OUTPUT,
            show_default=False,
            help="Share of the prompts, or of their `group`s, in the test file. (default: 0.1)",
        ),
    ] = 0.1
    gpu: Annotated[
        bool,
        typer.Option(
            "--gpu", rich_help_panel=_OUTPUT, help="Write a trl.yaml for a GPU, not for a CPU."
        ),
    ] = False
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            rich_help_panel=_OUTPUT,
            show_default=False,
            help="Settles the split and what is random. (default: 42)",
        ),
    ] = 42
    force: Annotated[
        bool,
        typer.Option(
            "--force", rich_help_panel=_OUTPUT, help="Replace the files of an earlier export."
        ),
    ] = False
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", rich_help_panel=_OUTPUT, help="Say nothing.")
    ] = False


@takes(chosen=FilterOptions, out=FolderOptions)
def export(
    ctx: typer.Context,
    chosen: FilterOptions,
    out: FolderOptions,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="The output of `refine` or `grade` (.gz, .zst, .parquet too, or - for stdin). Of "
            "several, responses to one prompt are put together.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="KIND",
            autocompletion=complete_kinds,
            help=f"One of: {', '.join(_NAMES)}.",
        ),
    ] = None,
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="The run's settings, for --with-system where it records only how a long system "
            "prompt begins.",
        ),
    ] = None,
    set: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Settings, such as run.max_line_mb=256."),
    ] = None,
) -> int:
    """Turn runs into training data, for supervised tuning, preferences, rewards and RL.

    Every iteration and draft of a run may go in, not only the response that was kept; duplicates,
    ties, and what was ungraded, cut off or empty never do.

    \b
    refinecli export out.jsonl --to sft -o sft
    refinecli export out.jsonl --to sft --random -o control
    refinecli export out.jsonl --to dpo --pairs best-worst -o dpo
    refinecli export a.jsonl b.jsonl --to reward --min-margin 0.2 -o reward
    refinecli export in.jsonl --to prompts -o rl
    """
    from refinecli.export.export import appearing
    from refinecli.export.export import export as write
    from refinecli.runs.signals import Interrupted, raised

    _needs_a_run(ctx, runs)
    bad = BadLines()
    plan, folder = _plan(runs or ["-"], to, chosen, out, _settings(config, set)), out.output
    if folder is None:
        raise UsageError("export needs a directory", "name a new one with -o DIR")
    try:
        with raised(), appearing(folder, force=out.force) as partial:
            made = write(plan, partial, bad)
    except Interrupted as interrupted:
        print(f"{interrupted}: nothing is written", file=sys.stderr)
        return interrupted.code
    finally:
        bad.say_rest()
    for line in [] if out.quiet else lines_on(made, folder, gpu=out.gpu):
        print(as_line(line), file=sys.stderr)
    return 0


def _needs_a_run(ctx: typer.Context, runs: list[str] | None) -> None:
    """Show help and exit 2 on a terminal with nothing to read."""
    if not runs and sys.stdin.isatty():
        with redirect_stdout(sys.stderr):
            print(ctx.get_help())
            print("error: no RUN: name a file, or pipe one in")
        raise typer.Exit(2)
    if (runs or []).count("-") > 1:
        raise UsageError("standard input can be read only once", "name a file for the others")


def _settings(config: list[Path] | None, sets: list[str] | None) -> Settings:
    from refinecli.settings.load import load

    return load({}, sets or [], paths=config or [])


def _plan(
    runs: list[str],
    to: str | None,
    chosen: FilterOptions,
    out: FolderOptions,
    settings: Settings,
) -> Plan:
    from refinecli.export.export import Plan
    from refinecli.export.formats import FORMATS, format_for
    from refinecli.export.kinds import KINDS
    from refinecli.export.selection import Selection

    if to is None or to not in KINDS:
        said = "export needs a kind" if to is None else f"there is no kind {to}"
        raise UsageError(said, f"name one with --to: {', '.join(KINDS)}")
    if out.form not in FORMATS:
        raise UsageError(f"there is no format {out.form}", f"name one of: {', '.join(FORMATS)}")
    kind = KINDS[to]
    _check_fits(kind, chosen, out)
    note_if_beyond("--min-score", chosen.min_score, quiet=out.quiet)
    selection = Selection(
        min_score=chosen.min_score,
        min_margin=chosen.min_margin or 0.0,
        pairs=_pairing(chosen.pairs),
        max_per_prompt=chosen.max_per_prompt,
        length_ratio=chosen.max_length_ratio,
        confirmed=chosen.confirmed,
        random=chosen.random,
        seed=out.seed,
    )
    return Plan(
        runs,
        kind,
        out.form,
        format_for(out.form, to),
        selection,
        default_margin=chosen.min_margin is None and "min_margin" in kind.options,
        test_share=out.test_share,
        with_system=chosen.with_system,
        system=_system(settings) if chosen.with_system else lambda result: "",
        gpu=out.gpu,
        line_bytes=settings.run.line_bytes,
    )


def _pairing(pairs: str | None) -> Pairing:
    from refinecli.export.selection import PAIRINGS

    for one in PAIRINGS:
        if one == (pairs or PAIRINGS[0]):
            return one
    raise UsageError(f"--pairs {pairs}: unknown", f"name one of: {', '.join(PAIRINGS)}")


def _check_fits(kind: Kind, chosen: FilterOptions, out: FolderOptions) -> None:
    """Refuse filters that the kind does not have: they would be silently ignored."""
    given = {
        "min_score": chosen.min_score is not None,
        "min_margin": chosen.min_margin is not None,
        "pairs": chosen.pairs is not None,
        "max_length_ratio": chosen.max_length_ratio is not None,
        "confirmed": chosen.confirmed,
    }
    for name, is_given in given.items():
        if is_given and name not in kind.options:
            raise UsageError(f"--{name.replace('_', '-')} does not go with --to {kind.name}")
    if chosen.random and kind.draw is None:
        raise UsageError(f"--random does not go with --to {kind.name}", "it selects nothing")
    if out.gpu and out.form != "trl":
        raise UsageError("--gpu goes with --format trl", "only that has a trl.yaml")


def _system(settings: Settings) -> Callable[[JSONObject], str]:
    """Return what finds the system prompt of the policy in a result's record."""
    from refinecli.export.system import system_of

    return lambda result: system_of(result, settings.roles["policy"].system or "")
