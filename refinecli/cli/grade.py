"""`refinecli grade`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.batch import BatchOptions
from refinecli.cli.closing import after_grade
from refinecli.cli.engine import EngineOptions
from refinecli.cli.grade_gates import check_whole_scores, gates_of
from refinecli.cli.grade_watch import Watch, listeners_of
from refinecli.cli.options import (
    ModelOptions,
    OutputOptions,
    SeveralInputs,
    ShardOption,
    note_if_beyond,
    rubric_of,
    takes,
)
from refinecli.cli.shard import shard_named
from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.cli.gold_labels import Labels
    from refinecli.cli.job import RowCommand
    from refinecli.models.engine import Engine
    from refinecli.runs.plan import Plan
    from refinecli.runs.run import Work
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject


@takes(
    data=SeveralInputs,
    out=OutputOptions,
    models=ModelOptions,
    batch=BatchOptions,
    engine=EngineOptions,
)
def grade(
    ctx: typer.Context,
    data: SeveralInputs,
    out: OutputOptions,
    models: ModelOptions,
    batch: BatchOptions,
    engine: EngineOptions,
    fail_under: Annotated[
        str | None,
        typer.Option(metavar="X", help="Exit 1 if the mean score is below X, or there is none."),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="'METRIC>=X'",
            help="Exit 1 unless a figure of --summary, by its path, is so, such as 'ungraded<=0' "
            "or 'errors.timeout<=3'; may be repeated. A figure that is null misses.",
        ),
    ] = None,
    gold_field: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Report how far the grades agree with labels: `gold`, or `rubric_items.gold` for "
            "one of each item. A label is true or false, yes or no, or a number on the item's "
            "scale; a list holds several raters'.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --gold-field, in mode logprobs: write how likely a pass must be to fit the "
            "labels best, for --config; exit 1 if the probabilities are at chance.",
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="R",
            min=1,
            show_default=False,
            help="Grade each item R times, by each juror of a jury, and take the median; each vote "
            "is kept. (default: 1)",
        ),
    ] = 1,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="The score that passes. (default: every item must pass)"),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write JUnit XML for CI: a test for each datapoint and each gate.",
        ),
    ] = None,
    shard: ShardOption = None,
) -> int:
    """Grade the `response` of each datapoint, item by item, against its rubric.

    \b
    refinecli grade out.jsonl -o graded.jsonl --model GRADER --summary s.json
    refinecli grade out.jsonl --rubric configs/rubrics/helpfulness.toml
    refinecli refine in.jsonl | refinecli grade --fail-under 0.9 > graded.jsonl
    refinecli grade labelled.jsonl --gold-field gold --require 'kappa>=0.6'
    refinecli grade doctors.jsonl lawyers.jsonl --gold-field gold
    refinecli grade a.jsonl --gold-field gold --config g.toml --calibrate t.toml
    refinecli grade out.jsonl --require 'pass_rate>=0.9' --junit junit.xml
    """
    from refinecli.cli.job import RowCommand, needs_input, process
    from refinecli.settings.checks import check_repeats

    labels = _labels(gold_field)
    gates = gates_of(fail_under, require or [], labels)
    settings = models.settings(_flags(threshold, batch, engine))
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, ("grader",))
    engine.check(out.output)
    needs_input(ctx, data)
    note_if_beyond("--fail-under", gates[0].bound if fail_under else None, quiet=models.quiet)
    note_if_beyond("--threshold", settings.refine.threshold, quiet=models.quiet)
    check_repeats(repeats, settings.graders, settings.grade)
    check_whole_scores(gates, gated=settings.grade.gate)
    _check_labels(labels, data, models, settings)
    target = _calibration(settings, labels, calibrate, force=out.force)
    watch = Watch(gates, listeners_of(data.inputs, junit, quiet=models.quiet), labels, target)
    command = RowCommand(
        command="grade",
        roles=("grader",),
        settings=settings,
        shapes=_shapes(settings, repeats),
        work=lambda engine, reporter: _work(engine, settings, repeats, labels),
        plan=lambda: _plan(settings, repeats),
        complete=watch.complete,
        close=watch.close,
        written=watch.written,
        end=watch.end,
        follow=after_grade,
        files=[("--junit", junit), ("--calibrate", calibrate)],
        sums_up=True,
        shard=shard_named(shard),
        batch=batch,
    )
    if engine.used and not models.dry_run:
        return _on_ray(command, repeats, gold_field, data, out, models)
    return process(command, data, engine.file_of(out), models)


def _flags(
    threshold: float | None, batch: BatchOptions, engine: EngineOptions
) -> Mapping[str, object]:
    """Return the settings that flags stand for."""
    return {
        "refine.threshold": threshold,
        "grade.prefix_lead": False if batch.used else None,  # in a wave nothing goes first
        "ray.shards": engine.shards,
    }


def _on_ray(
    command: RowCommand,
    repeats: int,
    gold_field: str | None,
    data: SeveralInputs,
    out: OutputOptions,
    models: ModelOptions,
) -> int:
    from refinecli.cli.cluster import process_on_ray
    from refinecli.runs.cluster.shard_work import grading

    work = partial(grading, command.settings, repeats, _no_response())
    return process_on_ray(command, work, data, out, models, [("--gold-field", gold_field)])


def _plan(settings: Settings, repeats: int) -> Plan:
    from refinecli.runs.plan import grade_plan  # which only a run in advance needs

    return grade_plan(settings, repeats)


def _shapes(settings: Settings, repeats: int) -> JSONObject:
    """Return the options that shape grades, those alone that are given."""
    threshold = settings.refine.threshold
    return {
        **({"repeats": repeats} if repeats > 1 else {}),
        **({} if threshold is None else {"threshold": threshold}),
    }


def _work(engine: Engine, settings: Settings, repeats: int, labels: Labels | None) -> Work:
    from refinecli.runs.work import grade_row

    return partial(
        grade_row,
        engine=engine,
        settings=settings,
        repeats=repeats,
        on_grades=labels.add if labels else None,
        no_response=_no_response(),
    )


def _no_response() -> str:
    from refinecli.runs.work import NO_RESPONSE

    return f"{NO_RESPONSE}; `refinecli refine --max-iterations 0` makes one"


def _labels(path: str | None) -> Labels | None:
    if path is None:
        return None
    from refinecli.cli.gold_labels import Labels

    return Labels(path)


def _calibration(
    settings: Settings, labels: Labels | None, path: Path | None, *, force: bool
) -> tuple[Path, float] | None:
    """Return where a fitted threshold goes, and the one it is to replace; raise UsageError where
    none can be fitted."""
    if path is None:
        return None
    if labels is None:
        raise UsageError("--calibrate needs labels", "name them: --gold-field PATH")
    if settings.grade.mode != "logprobs":
        raise UsageError(
            f"--calibrate means nothing in mode {settings.grade.mode}",
            "use --set grade.mode=logprobs",
        )
    if settings.jury:
        raise UsageError(
            "--calibrate fits the threshold of one grader, and a jury has several",
            "leave the jury out, or --calibrate",
        )
    if path.exists() and not force:
        raise UsageError(f"--calibrate {path} exists", "use --force to overwrite it")
    return path, settings.grade.pass_probability


def _check_labels(
    labels: Labels | None, data: SeveralInputs, models: ModelOptions, settings: Settings
) -> None:
    if labels is None:
        return
    from refinecli.cli.job import input_of

    rows = input_of(data, rubric_of(models, quiet=True), settings)
    labels.files = [source.name for source in rows.sources]
    if rows.rereadable:
        labels.check(rows, models.keep_going)
