"""`refinecli debug-rollout`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.ending import conclude
from refinecli.cli.job import reporter_of
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    StrategyName,
    rubric_of,
    show_note,
    takes,
)
from refinecli.cli.run_cache import cache_for
from refinecli.errors import UsageError
from refinecli.stats.wording import plural
from refinecli.text.urls import clean_of_credentials

if TYPE_CHECKING:
    from refinecli.data.rows import Row
    from refinecli.data.sinks import Sink
    from refinecli.display.recorded_calls import Call
    from refinecli.runs.lifecycle import Started
    from refinecli.settings.load import Settings
    from refinecli.types import Refinement

# Used if no INPUT is given: one item that hides the answer, and one that may be shown.
BUILT_IN = {
    "id": "built-in",
    "convo": [
        {"role": "user", "content": "What is 4 + 5?"},
        {"role": "assistant", "content": "9"},
        {"role": "user", "content": "What is 122 + 12?"},
    ],
    "rubric_items": [
        {
            "name": "correct",
            "rubric_str": "Does the chatbot correctly get the answer 134?",
            "reveal": "verdict",
        },
        {
            "name": "explained",
            "rubric_str": "Does the chatbot explain in words how it got its answer?",
            "grader_output_format_instruction": "Please output your score between 1 and 5 wrapped "
            "in <score> ... </score>",
            "pass_score": 0.75,
        },
    ],
}


@takes(data=InputOptions, out=OutputOptions, models=ModelOptions)
def debug_rollout(
    data: InputOptions,
    out: OutputOptions,
    models: ModelOptions,
    index: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Which row, from 0. (default: 0)")
    ] = None,
    id: Annotated[str | None, typer.Option(metavar="ID", help="Which row, by its id.")] = None,
    item: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Ask about this item alone, such as one that was edited."
        ),
    ] = None,
    strategy: StrategyName = None,
    max_iterations: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=0,
            help="Responses at most after the first. (default: as configured, or 0; with "
            "--strategy as many as that loop has)",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Cut no text short.")] = False,
    json: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Write the record that `refine` would write; - for stdout, without text.",
        ),
    ] = None,
) -> int:
    """Run one datapoint and show everything: what each model saw, said, and how it was scored.

    \b
    refinecli debug-rollout
    refinecli debug-rollout in.jsonl --index 3 --max-iterations 2
    refinecli debug-rollout in.jsonl --id addition-17 --full --model MODEL
    refinecli debug-rollout out.jsonl --id addition-17 --item item-0
    refinecli debug-rollout --strategy self-refine --max-iterations 1
    refinecli debug-rollout out.jsonl --set grade.mode=logprobs
    """
    from refinecli.models.engine import check_endpoints
    from refinecli.refining.strategies import roles_of

    settings = _settings(models, strategy, max_iterations)
    roles = roles_of(settings.refine)
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, roles)
    for line in settings.ignored:
        show_note(line, quiet=models.quiet)
    row = _checked_row(data, out, models, settings, index=index, id=id, json=json)
    if item is not None:
        row = _about(row, item)
    outputs = _outputs(out, json)
    check_endpoints(settings, roles, offline=models.offline)
    if models.dry_run:
        from refinecli.cli.dry_run import describe, nothing_cached
        from refinecli.runs.plan import refine_plan

        return describe(
            [row], clean_of_credentials(data.input or ""), refine_plan(settings), nothing_cached
        )
    return _run(data, row, settings, outputs, models, full=full)


def _settings(models: ModelOptions, strategy: str | None, max_iterations: int | None) -> Settings:
    """Settle everything: one rollout without rewrites, unless some were asked for. A loop that was
    named is shown as one."""
    flags: dict[str, object] = {
        "refine.strategy": strategy,
        "refine.max_iterations": max_iterations,
    }
    settings = models.settings(flags)
    if strategy is None and "refine.max_iterations" not in settings.sources:
        return models.settings(flags | {"refine.max_iterations": 0})
    return settings


def _checked_row(
    data: InputOptions,
    out: OutputOptions,
    models: ModelOptions,
    settings: Settings,
    *,
    index: int | None,
    id: str | None,
    json: str | None,
) -> Row:
    """Return the row to run, after checking everything that can be wrong."""
    from refinecli.cli.file_checks import check_files
    from refinecli.grading.own_templates import lost_penalties
    from refinecli.settings.checks import check_drafts, check_feedback

    if data.input is None and (index is not None or id is not None or data.limit is not None):
        raise UsageError("--index, --id and --limit choose a row of INPUT, and there is none")
    check_drafts(settings.refine, settings.policy)
    check_feedback(settings.grade, settings.sources)
    record = Path(json) if json not in (None, "-") else None
    check_files(data, out, models, [("--json", record)])
    row = _chosen(data, models, settings.run.line_bytes, index, id)
    assert row.datapoint is not None
    return row._replace(remarks=lost_penalties(settings.prompts, settings.grade, row.datapoint))


def _about(row: Row, name: str) -> Row:
    """Return the row with the items of this name alone."""
    from refinecli.data.names import item_names, meant

    assert row.datapoint is not None
    names = item_names(row.raw)
    places = [at for at, one in enumerate(names) if one == name]
    if not places:
        raise UsageError(
            f"the row {row.datapoint.id} has no item {name}",
            meant(name, names) or f"name one of: {', '.join(names)}",
        )
    items = tuple(row.datapoint.rubric_items[at] for at in places)
    raw_items = [{**row.raw["rubric_items"][at], "name": name} for at in places]
    return row._replace(
        raw={**row.raw, "rubric_items": raw_items},
        datapoint=row.datapoint.model_copy(update={"rubric_items": items}),
    )


@dataclass(frozen=True)
class _Outputs:
    """The destinations of the transcript and the record, None for nowhere; one of them is the run's
    own."""

    text: Sink | None
    record: Sink | None


def _outputs(out: OutputOptions, json: str | None) -> _Outputs:
    from refinecli.data.sinks import Sink

    text = None if json == "-" and out.output is None else Sink(out.output, force=out.force)
    return _Outputs(text, Sink(json, force=out.force) if json else None)


def _chosen(
    data: InputOptions, models: ModelOptions, most: int, index: int | None, id: str | None
) -> Row:
    from refinecli.data.rows import read_row
    from refinecli.data.sources import Source
    from refinecli.runs.run import Input
    from refinecli.text.json_text import dumps

    rubric = rubric_of(models)
    if data.input is None:
        return read_row(dumps(BUILT_IN), 1, "the built-in datapoint", rubric)
    if index is not None and id is not None:
        raise UsageError("--index and --id both choose a row", "give one of them")
    source = Source(data.input, most=most)
    count = 0
    for row in Input(source, rubric, data.limit).all_rows():
        wanted = count == (index or 0) if id is None else _has_id(row, id)
        if wanted and row.error:
            raise row.error
        if wanted and row.datapoint:
            return row
        count += 1
    what = f"no row {index or 0}" if id is None else f"no row with the id {id}"
    raise UsageError(f"{source.name}: {what} among its {plural(count, 'row')}")


def _has_id(row: Row, id: str) -> bool:
    return row.datapoint is not None and str(row.datapoint.id) == id


def _run(
    data: InputOptions,
    row: Row,
    settings: Settings,
    outputs: _Outputs,
    models: ModelOptions,
    *,
    full: bool,
) -> int:
    from refinecli.refining.strategies import roles_of
    from refinecli.runs.lifecycle import Job, carry_out

    reporter = reporter_of("debug-rollout", models)
    for note in row.notes:
        reporter.notice(
            f"{clean_of_credentials(data.input or 'the built-in datapoint')}:{row.line}: {note}"
        )
    job = Job(
        settings=settings,
        roles=roles_of(settings.refine),
        shapes={"refine": settings.refine.shaping()},
        place={"command": "debug-rollout", "row": row.raw.get("id"), "output": "-"},
        body=_Rollout(row, settings, outputs, full),
        sink=outputs.text or outputs.record,
        cache=cache_for(models),
        total=1,
        summary=models.summary,
        log_requests=models.log_requests,
    )
    return conclude(carry_out(job, reporter), reporter, piped=data.input == "-")


@dataclass(frozen=True)
class _Rollout:
    """The body of the job: one datapoint refined, with every call kept."""

    row: Row
    settings: Settings
    outputs: _Outputs
    full: bool
    calls: list[Call] = field(default_factory=list)

    async def __call__(self, started: Started) -> None:
        from refinecli.display.recorder import recorded
        from refinecli.runs.work import refine_row
        from refinecli.text.json_text import dumps

        assert self.row.datapoint is not None
        roles = recorded(started.engine.roles, self.settings, self.calls)
        made: list[Refinement] = []
        outcome = await refine_row(
            self.row,
            started.engine._replace(roles=roles),
            self.settings,
            on_refinement=made.append,
        )
        if outcome.status != "done":
            started.unsettled(self.row.datapoint)
        started.summary.finished += 1
        started.summary.add(outcome)
        text, record = self.outputs.text, self.outputs.record
        if text:
            await text.write(self._transcript(made[0] if made else None, text))
            await text.drain()
        if record:
            if text:
                await record.open()
            await record.write(dumps(outcome.record))
            await record.drain()
            if text:
                record.commit()
                await record.deliver()

    def _transcript(self, refinement: Refinement | None, sink: Sink) -> bytes:
        """Return the transcript for standard output or a file."""
        from refinecli.display.rendering import rendered
        from refinecli.display.transcript import transcript

        settings = self.settings
        assert self.row.datapoint is not None
        parts = transcript(
            self.row.datapoint,
            refinement,
            self.calls,
            settings.prompts,
            settings.grade,
            full=self.full,
            hint=" (--full shows all)",
            threshold=settings.refine.threshold,
            min_gain=settings.refine.min_gain,
        )
        terminal = sink.is_stdout and sys.stdout.isatty()
        return rendered(parts, terminal=terminal).encode()
