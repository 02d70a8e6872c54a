"""`refinecli report`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.complaints import as_flags
from refinecli.cli.file_checks import only_line_limit
from refinecli.cli.options import ModelOptions, takes
from refinecli.cli.report_outputs import check_apart, check_replaced, say_written, write
from refinecli.errors import UsageError
from refinecli.stats.wording import plural
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from refinecli.report.fresh_run import FreshGrades
    from refinecli.report.runs import Run
    from refinecli.runs.gates import Gate, Verdict
    from refinecli.types import JSONObject


@dataclass(frozen=True)
class RegradeOptions(ModelOptions):
    """The models that regrade, and the ways of asking; the run's file settles the rest."""

    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            rich_help_panel="Run",
            help="Keep the replies to --regrade here. (default: RUN.regrade.cache, which stays)",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            rich_help_panel="Run",
            help="Send seeds derived from this one. (default: 42)",
        ),
    ] = None
    rubric: str | None = field(init=False, default=None)
    keep_going: bool = field(init=False, default=False)
    restart: bool = field(init=False, default=False)


@takes(models=RegradeOptions)
def report(
    ctx: typer.Context,
    models: RegradeOptions,
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RUN",
            help="The output of `refine` or `grade` (.gz, .zst, .parquet too, or - for stdin). The "
            "last is the one reported on; two are compared, old before new. Several are a trend, "
            "oldest first.",
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
    markdown: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write it as a comment for a pull request, with what flipped and why; - for "
            "stdout, without text.",
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write one self-contained page with the figures, and with the datapoints of the "
            "RUN reported on; of two RUNs, both side by side.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Let --json, --markdown and --html replace files that are not reports."
        ),
    ] = False,
    regrade: Annotated[
        bool,
        typer.Option(
            "--regrade",
            help="Have the grader, and the judge if one is set, grade the first and the final "
            "responses of the RUN reported on again, and those of each --baseline: blind, and in "
            "other words. A jury is not asked.",
        ),
    ] = False,
    repeats: Annotated[
        int | None,
        typer.Option(metavar="R", min=1, help="Fresh grades of each response. (default: 3)"),
    ] = None,
) -> int:
    """Say what refining gained or how two runs differ, how sure that is, and at what cost.

    \b
    refinecli report out.jsonl
    refinecli report out.jsonl --baseline best-of-n.jsonl --html report.html
    refinecli report main.jsonl branch.jsonl --gate 'compared.gain.low>=-0.02'
    refinecli report base.jsonl trained.jsonl --markdown comment.md
    refinecli report out.jsonl --regrade --grader-model GRADER
    """
    if find_spec("scipy") is None:
        raise UsageError(
            "report needs scipy",
            "run pip install 'refinecli[report]', or '.[report]' in a checkout",
        )
    if models.show_config:
        return _show_config(models)
    wanted = [_gate(text) for text in gate or ()]
    names = runs or ["-"]
    labels = label or []
    _needs_a_run(ctx, runs)
    outputs = {"--json": json, "--markdown": markdown, "--html": html}
    _check(names, baseline or [], labels, outputs)
    if not force:
        check_replaced(outputs)
    if regrade and "-" in (baseline or ()):
        raise UsageError("--regrade reads each --baseline twice", "name its file")
    if not regrade:
        _check_no_models(models, repeats)
    most = models.settings().run.line_bytes
    read, others = _read(names, labels, most), _read(baseline or [], [], most)
    fresh, figures, code = None, _figures(read, others), 0
    if regrade:
        found = _regraded(read[-1], others, figures, wanted, models, repeats or 3, bool(html))
        if found is None:  # a dry run
            return 0
        fresh, code = found
        figures = _figures(read, others, fresh)
    verdicts = [_verdict_on(one, figures) for one in wanted]
    figures["gates"] = [{"gate": v.gate.text, "value": v.value, "met": v.met} for v in verdicts]
    _write_all(outputs, figures, read, fresh)
    if "-" not in (json, markdown):
        _print(figures)
    if not models.quiet:
        say_written(outputs)
    _report_to_github(read[-1].file, verdicts)
    return max(code, _missed(verdicts, fresh))


def _write_all(
    outputs: Mapping[str, str | None],
    figures: JSONObject,
    runs: Sequence[Run],
    fresh: FreshGrades | None,
) -> None:
    from refinecli.report.markdown import markdown
    from refinecli.text.json_text import dumps

    if file := outputs["--json"]:
        write("--json", file, dumps(figures) + b"\n")
    if file := outputs["--markdown"]:
        write("--markdown", file, markdown(figures).encode("utf-8"))
    if file := outputs["--html"]:
        _write_html(Path(file), figures, runs, fresh)


def _report_to_github(run: str, verdicts: Sequence[Verdict]) -> None:
    """Annotate the step that this runs in, as `grade` does."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return
    from refinecli.ci.github import report_gates
    from refinecli.ci.junit import GateCase

    gates = [GateCase(f"--gate '{one.gate.text}'", one.reason) for one in verdicts]
    report_gates(os.environ, "report", run, gates)


def _regraded(
    run: Run,
    others: Sequence[Run],
    figures: JSONObject,
    wanted: Sequence[Gate],
    models: RegradeOptions,
    repeats: int,
    keeps_replies: bool,
) -> tuple[FreshGrades, int] | None:
    """Grade the run and its baselines again; return what came of it, with the exit code."""
    from refinecli.cli.regrade import fresh_grades
    from refinecli.report.baselines import kept_responses
    from refinecli.report.fresh_run import FreshGrades

    figures["regrade"] = FreshGrades(repeats).record()
    for one in wanted:  # a slip is found before any call
        _verdict_on(one, figures)
    responses = [kept_responses(run, other) for other in others]
    return fresh_grades(run, repeats, models, responses, keeps_replies=keeps_replies)


def _show_config(models: RegradeOptions) -> int:
    from refinecli.cli.show_config import show_config
    from refinecli.report.fresh_grades import perturbed

    return show_config(perturbed(models.settings()), ("grader", "judge"))


def _check_no_models(models: RegradeOptions, repeats: int | None) -> None:
    """Refuse options about models without --regrade, which alone asks any."""
    given = [
        option.name.replace("_", "-")
        for option in fields(models)
        if getattr(models, option.name) != option.default
        and option.name != "quiet"
        and not (option.name == "set" and only_line_limit(models.set))
    ]
    given += [] if repeats is None else ["repeats"]
    if given:
        raise UsageError(f"--{given[0]}: no model is asked without --regrade", "add --regrade")


def _gate(text: str) -> Gate:
    """Read a gate; the first part of its path can be checked without looking at a file."""
    from refinecli.report import KEYS
    from refinecli.runs.gates import parse

    gate = parse(text)
    if gate.metric.split(".")[0] not in KEYS:
        _verdict_on(gate, dict.fromkeys(KEYS))  # says so, and what is close
    return gate


def _verdict_on(gate: Gate, figures: JSONObject) -> Verdict:
    from refinecli.runs.gates import check

    try:
        return check(gate, figures)
    except UsageError as error:
        raise UsageError(f"--gate {error.args[0]}", error.args[1]) from None


def _needs_a_run(ctx: typer.Context, runs: Sequence[str] | None) -> None:
    """Show help and exit 2 on a terminal with nothing to read, where waiting would look like a
    hang."""
    from contextlib import redirect_stdout

    if not runs and sys.stdin.isatty():
        with redirect_stdout(sys.stderr):
            print(ctx.get_help())
            print("error: no RUN: name a file, or pipe one in")
        raise typer.Exit(2)


def _check(
    runs: Sequence[str],
    baselines: Sequence[str],
    labels: Sequence[str],
    outputs: Mapping[str, str | None],
) -> None:
    """Check everything that can be wrong before anything is read."""
    if [*runs, *baselines].count("-") > 1:
        raise UsageError("standard input can be read only once", "name a file for the others")
    if labels and len(labels) != len(runs):
        raise UsageError(
            f"{plural(len(labels), 'label')} for {plural(len(runs), 'file')}",
            "give --label once for each RUN, in order",
        )
    if outputs["--html"] == "-" or (outputs["--html"] and runs[-1] == "-"):
        raise UsageError(
            "--html needs files to read and to write",
            "name files; the RUN is read twice, which standard input cannot be",
        )
    check_apart(outputs)
    for flag, output in outputs.items():
        for name in (*runs, *baselines):
            if output and _same_file(output, name):
                raise UsageError(f"{flag} {output}: is one of the files to be read")


def _same_file(one: str, other: str) -> bool:
    return Path(one).exists() and Path(other).exists() and Path(one).samefile(other)


def _read(names: Sequence[str], labels: Sequence[str], most: int) -> list[Run]:
    from refinecli.report.runs import read_run

    return [read_run(name, labels[at] if labels else None, most) for at, name in enumerate(names)]


def _figures(
    runs: Sequence[Run], others: Sequence[Run], fresh: FreshGrades | None = None
) -> JSONObject:
    from refinecli.report.figures import build

    if fresh is None:
        return build(runs, others, spell=as_flags)
    figures = build(
        runs, others, fresh.by_role.get("grader"), fresh.by_role.get("judge"), spell=as_flags
    )
    figures["alarms"] += fresh.alarms
    return figures | {"regrade": fresh.record()}


def _write_html(
    path: Path, figures: JSONObject, runs: Sequence[Run], fresh: FreshGrades | None
) -> None:
    from refinecli.report.html.other_run import OtherRun
    from refinecli.report.html.page import write_html

    other = OtherRun.of(*runs) if figures["compared"] else None
    run = runs[-1]
    keys = {case.line: case.key for case in run.cases} if fresh else {}

    def replies(line: int) -> JSONObject:
        return fresh.replies(keys[line]) if fresh and line in keys else {}

    write_html(path, figures, run.given, other=other, replies=replies)


def _print(figures: JSONObject) -> None:
    from rich.console import Console

    from refinecli.report.table import renderables

    class Report(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # the reader has what it wanted: no gate was missed by that

    console = Report(highlight=False)
    width = console.width if console.is_terminal else 80  # a file is read anywhere
    for line in renderables(figures, as_flags, width):
        console.print(line, soft_wrap=True)


# The requirements of figures that are null without them.
_NEEDS = {
    "regrade": "--regrade",
    "regraded_gain": "--regrade",
    "regraded_sign_test": "--regrade",
    "regraded_score": "--regrade",
    "regraded_gain_over_it": "--regrade",
    "optimism": "--regrade",
    "heldout_gain": "--regrade and a [judge]",
    "heldout_score": "--regrade and a [judge]",
    "judge_gap": "--regrade and a [judge]",
    "compared": "two RUNs, both with scores",
    "trend": "several RUNs",
    "fresh_score": "a RUN that `refinecli grade` has graded again",
    "fresh_pass_rate": "a RUN that `refinecli grade` has graded again",
}


def _missed(verdicts: Sequence[Verdict], fresh: FreshGrades | None) -> int:
    done = {"--regrade": fresh, "--regrade and a [judge]": fresh and "judge" in fresh.by_role}
    missed = [verdict for verdict in verdicts if not verdict.met]
    for verdict in missed:
        said = f"error: --gate '{verdict.gate.text}' is missed: {verdict.reason}"
        print(as_line(said), file=sys.stderr)
        parts = verdict.gate.metric.split(".") if verdict.value is None else []
        needs = next((_NEEDS[part] for part in parts if part in _NEEDS), None)
        if needs and not done.get(needs):
            print(f"  hint: give it {needs}", file=sys.stderr)
    return 1 if missed else 0
