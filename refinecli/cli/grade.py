"""`refinecli grade`."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions, takes
from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.cli.dry_run import Plan
    from refinecli.config import Settings
    from refinecli.endpoints import Engine
    from refinecli.jsonl import Row
    from refinecli.progress import Reporter
    from refinecli.records import Outcome
    from refinecli.run import Work
    from refinecli.summary import Summary
    from refinecli.traffic import Traffic
    from refinecli.types import Datapoint


@takes(data=InputOptions, out=OutputOptions, models=ModelOptions)
def grade(
    ctx: typer.Context,
    data: InputOptions,
    out: OutputOptions,
    models: ModelOptions,
    fail_under: Annotated[
        float | None,
        typer.Option(metavar="X", help="Exit 1 if the mean score is below X, or there is none."),
    ] = None,
) -> int:
    """Grade the `response` of each datapoint, item by item, against its rubric.

    \b
    refinecli grade out.jsonl -o graded.jsonl --summary summary.json
    refinecli grade out.jsonl --rubric configs/rubrics/helpfulness.toml --model gpt-4.1
    refinecli refine in.jsonl | refinecli grade --fail-under 0.9 > graded.jsonl
    """
    from refinecli.cli.job import Job, needs_input, process

    if fail_under is not None and not isfinite(fail_under):
        raise UsageError(f"--fail-under {fail_under}: not a number", "such as 0.9")
    settings = models.settings()
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, ("grader",))
    needs_input(ctx, data)
    job = Job(
        command="grade",
        roles=("grader",),
        settings=settings,
        shapes={},
        work=lambda engine, reporter: _work(engine, settings),
        plan=lambda: _plan(settings),
        close=lambda summary, traffic, reporter: _close(summary, traffic, reporter, fail_under),
    )
    return process(job, data, out, models)


def _plan(settings: Settings) -> Plan:
    """What `--dry-run` says of grading."""
    from refinecli.cli.dry_run import Plan
    from refinecli.cli.refine import first_prompts

    return Plan(lambda dp: [p for p in first_prompts(settings, dp) if p[0] == "grader"], _calls)


def _calls(datapoint: Datapoint) -> int:
    if datapoint.response is None:
        return 0
    return 2 * sum(item.check is None for item in datapoint.rubric_items)


def _work(engine: Engine, settings: Settings) -> Work:
    from refinecli import records
    from refinecli.errors import CompletionError
    from refinecli.grade import grade as grade_response

    async def work(row: Row) -> Outcome:
        datapoint = row.datapoint
        assert datapoint is not None
        if datapoint.response is None:
            if isinstance(row.raw.get("error"), dict):  # why there is none is known already
                kind = str(row.raw["error"].get("type", "failed"))
                return records.Outcome(row.raw, "failed", failures=(kind,))
            error = CompletionError(
                "no_response",
                "there is no response to grade; `refinecli refine --max-iterations 0` makes one",
            )
            return records.failed(row.raw, error, "grade")
        grades, usage = await grade_response(
            datapoint, datapoint.response, engine.roles.grader, settings.prompts
        )
        return records.graded(row.raw, datapoint, grades, usage, engine.made_with)

    return work


def _close(
    summary: Summary, traffic: Traffic, reporter: Reporter, fail_under: float | None
) -> bool:
    from refinecli.traffic import traffic_words

    score, passed = summary.score.value, summary.passed.value
    reporter.notice(f"grade: {summary.counts}; {traffic_words(traffic, summary.seconds)}")
    if score is not None and passed is not None:
        reporter.notice(f"score: {score:.3f} of 1; {passed:.1%} passed")
    if fail_under is None:
        return False
    if score is not None and score >= fail_under - 1e-9:  # a mean of floats
        return False
    import sys

    told = "there is no score" if score is None else f"score {score:.4g}"
    print(f"error: {told}: --fail-under {fail_under:g} is missed", file=sys.stderr)
    return True
