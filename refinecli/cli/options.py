"""Define options that commands share, and turn errors into exit codes."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from refinecli.cli.completion import complete_settings, complete_strategies
from refinecli.cli.exit_codes import exit_code
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject

_MODEL = "Models"
_RUN = "Run"
_DATA = "Data"


# What is only handed on is not compared (`eq=False`): a quarter of building such a class at start.
@dataclass(frozen=True, eq=False)
class InputOptions:
    """The source of datapoints."""

    input: Annotated[
        str | None,
        typer.Argument(
            metavar="INPUT", help="A JSONL file or URL (.gz, .zst, .parquet too), or - for stdin."
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, rich_help_panel=_DATA, help="Read N datapoints at most."),
    ] = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return () if self.input is None else (self.input,)


@dataclass(frozen=True, eq=False)
class SeveralInputs:
    """The sources of datapoints, for a command that reads one file after the other."""

    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="INPUT",
            help="JSONL files or URLs (.gz, .zst, .parquet too), read one after the other, "
            "or - for stdin.",
        ),
    ] = None
    limit: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            rich_help_panel=_DATA,
            help="Read N datapoints at most, of all files.",
        ),
    ] = None

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(self.files or ())


@dataclass(frozen=True, eq=False)
class OutputOptions:
    """The destination of results."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            rich_help_panel=_DATA,
            help="Where results go, a file or a URL; it appears when it is complete. "
            "(default: stdout)",
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=_DATA, help="Replace FILE if it exists.")
    ] = False


@dataclass(frozen=True, eq=False)
class ModelOptions:
    """The models to ask, and the ways of asking."""

    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MODEL,
            help="The policy's model: a name, `local`, or a .gguf file. (default: local)",
        ),
    ] = None
    base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            rich_help_panel=_MODEL,
            help="Its endpoint, such as http://localhost:8000/v1.",
        ),
    ] = None
    grader_model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_MODEL,
            help="The grader's model. (default: the policy's)",
        ),
    ] = None
    grader_base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", rich_help_panel=_MODEL, help="The grader's endpoint."),
    ] = None
    rubric: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_DATA,
            help="TOML or JSON with rubric items for every datapoint; one with a name replaces the "
            "datapoint's of that name.",
        ),
    ] = None
    config: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_MODEL,
            help="Settings in TOML; see configs/. May be repeated: the later one wins.",
        ),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SECTION.KEY=VALUE",
            rich_help_panel=_MODEL,
            autocompletion=complete_settings,
            help="One setting, such as policy.temperature=0.7 or grade.mode=logprobs; may be "
            "repeated.",
        ),
    ] = None
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config",
            rich_help_panel=_MODEL,
            help="Print every setting and where it comes from, then exit.",
        ),
    ] = False
    concurrency: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=_RUN,
            help="Requests in flight. (default: 64)",
        ),
    ] = None
    max_calls: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            rich_help_panel=_RUN,
            help="Send N requests at most this time, then exit 4.",
        ),
    ] = None
    max_total_tokens: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            rich_help_panel=_RUN,
            help="Use N tokens at most this time, then exit 4.",
        ),
    ] = None
    max_cost: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0,
            rich_help_panel=_RUN,
            help="Spend X at most this time, by the roles' input_price and output_price, "
            "then exit 4.",
        ),
    ] = None
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel=_RUN,
            help="Keep replies here, where other runs may use them too. (default with -o FILE: "
            "FILE.cache, until the run is over)",
        ),
    ] = None
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            rich_help_panel=_RUN,
            help="Continue with other settings than those FILE.cache was started with; fitting "
            "replies are used.",
        ),
    ] = False
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            rich_help_panel=_RUN,
            help="Answer from the call cache only; what is not in it fails.",
        ),
    ] = False
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=_RUN, help="Send seeds derived from this one."),
    ] = None
    max_errors: Annotated[
        str | None,
        typer.Option(
            metavar="N|P%",
            rich_help_panel=_RUN,
            help="Datapoints that may fail or stay ungraded without exit code 3. (default: 0)",
        ),
    ] = None
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going",
            rich_help_panel=_DATA,
            help="Turn a bad line into an `error` record and continue with the rest.",
        ),
    ] = False
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            rich_help_panel=_RUN,
            help="Check everything, show the first prompts and the most calls it can take; "
            "send nothing.",
        ),
    ] = False
    summary: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", rich_help_panel=_RUN, help="Write the run's figures as one JSON object."
        ),
    ] = None
    log_requests: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_RUN,
            help="Append every request and reply, whole, as JSON lines.",
        ),
    ] = None
    quiet: Annotated[
        bool,
        typer.Option("--quiet", "-q", rich_help_panel=_RUN, help="Print only errors on stderr."),
    ] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            rich_help_panel=_RUN,
            help="Print a line per retry and per datapoint.",
        ),
    ] = False

    def settings(self, flags: Mapping[str, object] | None = None) -> "Settings":
        """Settle everything, with these options and a command's own `flags` on top."""
        from refinecli.settings.load import load

        shared = {
            "policy.model": self.model,
            "policy.base_url": self.base_url,
            "grader.model": self.grader_model,
            "grader.base_url": self.grader_base_url,
            "run.concurrency": self.concurrency,
            "run.max_calls": self.max_calls,
            "run.max_total_tokens": self.max_total_tokens,
            "run.max_cost": self.max_cost,
            "run.max_errors": self.max_errors,
            "run.seed": self.seed,
        }
        return load({**shared, **(flags or {})}, self.set or [], paths=self.config or [])


StrategyName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        autocompletion=complete_strategies,
        help="The loop: adaptive, refine, best-of-n, self-refine, rm-gallery or writer-critic. "
        "(default: adaptive)",
    ),
]

ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        rich_help_panel=_DATA,
        help="Work on part I of N of a file; `refinecli merge` puts the parts together.",
    ),
]

Command = Callable[..., int]


@functools.cache  # each group is taken by several commands, and reading its types takes a while
def _parameters(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(f.name, kind, default=f.default, annotation=hints[f.name])
        for f in fields(group)
        if f.init  # a group may leave out what another has
    ]


def takes(**groups: type) -> Callable[[Command], Callable[..., None]]:
    """Give a command the options of these dataclasses, each filled in as one argument.

    The command returns its exit code; a RefineError that it raises is printed and becomes one.
    """

    def wrap(command: Command) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        parameters = [p for name, p in own.items() if name not in groups]
        for group in groups.values():
            parameters += _parameters(group)

        @functools.wraps(command)
        def run(**given: Any) -> None:
            for name, group in groups.items():
                given[name] = group(**{p.name: given.pop(p.name) for p in _parameters(group)})
            raise typer.Exit(exit_code(lambda: command(**given)))

        # Arguments before options, as typer lists them.
        run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        )
        run.__annotations__ = {p.name: p.annotation for p in parameters}
        del run.__wrapped__  # typer would look through it
        return run

    return wrap


def rubric_of(models: ModelOptions, *, quiet: bool = False) -> "list[JSONObject]":
    """Return the items of `--rubric`, and show what looks like a slip in it."""
    from refinecli.data.rubric_file import read_rubric

    if models.rubric is None:
        return []
    return read_rubric(models.rubric, partial(show_note, quiet=quiet or models.quiet))


def show_note(note: str, *, quiet: bool) -> None:

    if not quiet:
        print(as_line(note), file=sys.stderr)


def note_if_beyond(flag: str, score: float | None, *, quiet: bool) -> None:
    """Say so where a score is asked for that none can reach: a percentage, most likely."""
    if score is None or score <= 1 or quiet:
        return
    meant = f"; did you mean {score / 100:g}?" if score <= 100 else ""
    print(
        f"{flag} {str(score).removesuffix('.0')}: scores end at 1, so none reaches it{meant}",
        file=sys.stderr,
    )
