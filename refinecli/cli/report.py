"""`refinecli report`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.options import takes
from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.gates import Gate, Verdict
    from refinecli.report.runs import Run
    from refinecli.types import JSONObject


@takes()
def report(
    ctx: typer.Context,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN...",
            help="What `refine` or `grade` wrote (.gz, .zst too; - for stdin). The last is the one "
            "reported on; two are compared, old before new; several are a trend, oldest first.",
        ),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Another strategy's output for the same datapoints, such as best-of-n; may be "
            "repeated.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="L",
            help="What to call a RUN, such as 2026-11-01; repeated, one for each in order. "
            "(default: the file's name; its date is then when it was written)",
        ),
    ] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'METRIC>=X'",
            help="Exit 1 unless a figure of --json, by its path, is so; may be repeated. A figure "
            "that is null misses.",
        ),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write all figures as JSON; - for stdout, without text."),
    ] = None,
) -> int:
    """Say what refining gained, how sure that is, and at what cost.

    \b
    refinecli report out.jsonl
    refinecli report out.jsonl --baseline best-of-n.jsonl --json report.json
    refinecli report main.jsonl branch.jsonl --gate 'compared.gain.low>=-0.02'
    """
    from refinecli import gates

    wanted = [_checked(gates.parse(text)) for text in gate or ()]
    names = runs or ["-"]
    labels = label or []
    _check(ctx, names, baseline or [], labels, json, given=bool(runs))
    figures = _figures(names, baseline or [], labels)
    verdicts = [gates.check(one, figures) for one in wanted]
    figures["gates"] = [{"gate": v.gate.text, "value": v.value, "met": v.met} for v in verdicts]
    if json:
        _write_json(figures, json)
    if json != "-":
        _print(figures)
    return _missed(verdicts)


def _checked(gate: Gate) -> Gate:
    """What stands first in the path is known without a look at any file."""
    from refinecli import gates
    from refinecli.report import KEYS

    if gate.metric.split(".")[0] not in KEYS:
        gates.check(gate, dict.fromkeys(KEYS))  # says so, and what is close
    return gate


def _check(
    ctx: typer.Context,
    runs: Sequence[str],
    baselines: Sequence[str],
    labels: Sequence[str],
    json: str | None,
    *,
    given: bool,
) -> None:
    """All that can be wrong before anything is read."""
    from contextlib import redirect_stdout

    if not given and sys.stdin.isatty():
        with redirect_stdout(sys.stderr):
            print(ctx.get_help())
            print("error: no RUN: name a file, or pipe one in")
        raise typer.Exit(2)
    if [*runs, *baselines].count("-") > 1:
        raise UsageError("standard input can be read only once", "name a file for the others")
    if labels and len(labels) != len(runs):
        raise UsageError(
            f"{len(labels)} labels for {len(runs)} files",
            "give --label once for each RUN, in order",
        )
    if json and json != "-" and Path(json).exists():
        for name in (*runs, *baselines):
            if name != "-" and Path(name).exists() and Path(json).samefile(name):
                raise UsageError(f"--json {json}: is one of the files to be read")
    if find_spec("scipy") is None:
        raise UsageError("report needs scipy", "pip install 'refinecli[report]'")


def _figures(names: Sequence[str], baselines: Sequence[str], labels: Sequence[str]) -> JSONObject:
    from refinecli.report.build import build
    from refinecli.report.runs import read_run

    read: list[Run] = [
        read_run(name, labels[place] if labels else None) for place, name in enumerate(names)
    ]
    return build(read, [read_run(name) for name in baselines])


def _write_json(figures: JSONObject, file: str) -> None:
    from refinecli.jsonl import dumps

    data = dumps(figures) + b"\n"
    if file == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise UsageError(f"--json {file}: {error.strerror}") from None


def _print(figures: JSONObject) -> None:
    from rich.console import Console

    from refinecli.report.text import renderables

    console = Console(highlight=False)
    for line in renderables(figures):
        console.print(line, soft_wrap=True)


def _missed(verdicts: Sequence[Verdict]) -> int:
    missed = [verdict for verdict in verdicts if not verdict.met]
    for verdict in missed:
        print(f"error: --gate '{verdict.gate.text}' is missed: {verdict.reason}", file=sys.stderr)
    return 1 if missed else 0
