"""`refinecli refine`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.batch import BatchOptions, check_learning
from refinecli.cli.closing import after_refine, say_results
from refinecli.cli.engine import EngineOptions
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    ShardOption,
    StrategyName,
    note_if_beyond,
    show_note,
    takes,
)
from refinecli.cli.shard import shard_named
from refinecli.errors import UsageError, option
from refinecli.text.urls import clean_of_credentials

if TYPE_CHECKING:
    from refinecli.cli.job import RowCommand
    from refinecli.data.output_lines import Outcome
    from refinecli.data.rows import Row
    from refinecli.display.reporter import Reporter
    from refinecli.models.engine import Engine
    from refinecli.refining.estimates import Estimates
    from refinecli.runs.learning import Learner
    from refinecli.runs.lifecycle import Ended
    from refinecli.runs.plan import Plan
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject, Refinement


@takes(
    data=InputOptions,
    out=OutputOptions,
    models=ModelOptions,
    batch=BatchOptions,
    engine=EngineOptions,
)
def refine(
    ctx: typer.Context,
    data: InputOptions,
    out: OutputOptions,
    models: ModelOptions,
    batch: BatchOptions,
    engine: EngineOptions,
    strategy: StrategyName = None,
    max_iterations: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=0,
            help="Responses at most after the first; 0: draft and grade. "
            "(default: 3; writer-critic: 1)",
        ),
    ] = None,
    drafts: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Drafts to start from. (default: 1; best-of-n: 4)",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(metavar="X", help="The score that passes. (default: every item must pass)"),
    ] = None,
    learned: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Go by what another run's output shows of drafts and rewrites."
        ),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", help="Show each datapoint's turns on stderr, as it is done.")
    ] = False,
    shard: ShardOption = None,
) -> int:
    """Answer each prompt, grade the answer, draft again or rewrite it, and keep the best.

    \b
    refinecli refine example_data/sentences.jsonl -o out.jsonl --show
    refinecli refine in.jsonl -o out.jsonl --model MODEL --grader-model GRADER
    refinecli refine in.jsonl -o out.jsonl --base-url http://localhost:8000/v1
    refinecli refine in.jsonl -o baseline.jsonl --strategy best-of-n --drafts 8
    """
    from refinecli.refining.strategies import roles_of

    settings = models.settings(
        {
            "refine.strategy": strategy,
            "refine.max_iterations": max_iterations,
            "refine.drafts": drafts,
            "refine.threshold": threshold,
            "grade.prefix_lead": False if batch.used else None,
            "ray.shards": engine.shards,
        }
    )
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, roles_of(settings.refine))
    from refinecli.cli.job import needs_input, process
    from refinecli.settings.checks import check_feedback, check_refining

    needs_input(ctx, data)
    for line in settings.ignored:
        show_note(line, quiet=models.quiet)
    check_refining(settings.refine, settings.policy)
    check_feedback(settings.grade, settings.sources)
    note_if_beyond("--threshold", settings.refine.threshold, quiet=models.quiet)
    engine.check(out.output)
    fixed = _learned(learned, settings)
    command = _command(settings, fixed, show, engine.file_of(out).output)
    check_learning(batch, settings, learned=learned is not None)
    command = replace(command, shard=shard_named(shard), batch=batch)
    if engine.used and not models.dry_run:
        from refinecli.cli.cluster import process_on_ray
        from refinecli.runs.cluster.shard_work import refining

        work = partial(refining, settings, fixed)
        return process_on_ray(command, work, data, out, models, [("--show", show)])
    return process(command, data, engine.file_of(out), models)


def _command(
    settings: Settings,
    fixed: Estimates | None,
    show: bool,
    output: str | None,
) -> RowCommand:
    """Return the command that refines each row, which learns from earlier rows if it is to."""
    from refinecli.cli.job import RowCommand
    from refinecli.refining.strategies import roles_of
    from refinecli.runs.ordered_map import Places
    from refinecli.runs.work import refine_row

    places = Places(settings.run.concurrency)

    # Both are loaded only where they are needed: the start of a run is waited for.
    def learner() -> Learner | None:
        if settings.refine.strategy != "adaptive" or not settings.refine.learn:
            return None
        from refinecli.runs.learning import Learner

        return Learner(places.resting, fixed)

    def plan() -> Plan:
        from refinecli.runs.plan import refine_plan

        return refine_plan(settings)

    return RowCommand(
        command="refine",
        roles=roles_of(settings.refine),
        settings=settings,
        shapes={"refine": settings.refine.shaping() | _shaping(settings, fixed)},
        work=lambda engine, reporter: partial(
            partial(_refine_and_show, reporter=reporter) if show else refine_row,
            engine=engine,
            settings=settings,
            learner=learner(),
        ),
        places=places,
        plan=plan,
        close=lambda ended, reporter: _close(ended, reporter, output),
        follow=after_refine,
    )


def _learned(file: str | None, settings: Settings) -> Estimates | None:
    """Return the estimates in another run's output, if it is named."""
    if file is None:
        return None
    from refinecli.runs.learning import learned_from

    options = settings.refine
    if options.strategy != "adaptive" or not options.learn:
        why = f"the strategy {options.strategy}" if options.learn else "refine.learn = false"
        raise UsageError(
            f"{option('learned', clean_of_credentials(file))} means nothing with {why}",
            "leave one of them out",
        )
    return learned_from(file)


def _shaping(settings: Settings, fixed: Estimates | None) -> JSONObject:
    """Return what else shapes an adaptive loop's results: the prices that steps are weighed by, and
    the estimates, with their digits, the same on every machine."""
    from refinecli.runs.work import prices_of

    if settings.refine.strategy != "adaptive":
        return {}
    found: JSONObject = {}
    if by_role := prices_of(settings).by_role:
        found["prices"] = {role: list(prices) for role, prices in by_role.items()}
    if fixed:
        found["learned"] = {
            kind: [float(f"{value:.6g}") for value in belief]
            for kind, belief in fixed._asdict().items()
        }
    return found


async def _refine_and_show(
    row: Row, *, reporter: Reporter, engine: Engine, settings: Settings, learner: Learner | None
) -> Outcome:
    """Refine the row's datapoint, and show its turns together once it is done."""
    from refinecli.display.turn import story
    from refinecli.runs.work import refine_row

    made: list[Refinement] = []
    outcome = await refine_row(row, engine, settings, made.append, learner)
    assert row.datapoint is not None
    reporter.show(story(row.datapoint, made[0] if made else None, outcome.why))
    return outcome


def _close(ended: Ended, reporter: Reporter, output: str | None) -> bool:
    from refinecli.models.traffic import traffic_words
    from refinecli.refining.strategies import STRATEGIES

    summary = ended.summary
    reporter.notice(f"refine: {summary.counts}; {traffic_words(ended.traffic, summary.seconds)}")
    if reporter.is_brief:
        return False
    by_grade = STRATEGIES[ended.job.settings.refine.strategy].by_grade
    score, initial, gain = summary.score.value, summary.initial_score.value, summary.gain.value
    if score is not None and initial is not None:
        now = "at best" if by_grade else "as kept"
        reporter.notice(f"score: {initial:.3f} at first, {score:.3f} {now}, of 1")
    if summary.steps_taken:
        reporter.notice(f"chosen after the first drafts: {summary.steps_taken}")
    if declined := summary.often_declined(ended.job.settings.refine.min_gain):
        reporter.notice(declined)
    for line in summary.notices:
        reporter.notice(line)
    if summary.winners:
        winners = ", ".join(f"{who} {count}" for who, count in summary.winners.most_common())
        reporter.notice(f"preferred by the selector: {winners}")
    if gain and by_grade and summary.noisy:
        name = clean_of_credentials(output or "OUTPUT")
        reporter.notice(
            "that gain is optimistic: the best of several noisy grades is kept. To check it, run "
            f"refinecli report {name} --regrade with this run's models"
        )
    say_results(ended, reporter)
    return False
