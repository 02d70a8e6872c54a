"""`refinecli debug-rollout`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.complaints import as_flags, complain
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    StrategyName,
    takes,
)
from refinecli.cli.resume import cache_for
from refinecli.errors import CompletionError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from refinecli.data.rows import Row
    from refinecli.data.sinks import Sink
    from refinecli.display.recorded_calls import Call
    from refinecli.display.reporter import Reporter
    from refinecli.settings.load import Settings
    from refinecli.types import (
        Completer,
        Completion,
        Datapoint,
        Draw,
        Message,
        Refinement,
        Usable,
        Wants,
    )

# Shown where no INPUT is given: one item that hides the answer, and one that may be told.
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
    id: Annotated[str | None, typer.Option(help="Which row, by its id.")] = None,
    strategy: StrategyName = None,
    max_iterations: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=0,
            help="Rewrites at most. (default: 0; with --strategy as many as that loop has)",
        ),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Cut no text short.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print the record that `refine` would write.")
    ] = False,
) -> int:
    """Run one datapoint and show everything: what each model saw, said, and how it was scored.

    \b
    refinecli debug-rollout
    refinecli debug-rollout in.jsonl --index 3 --max-iterations 2
    refinecli debug-rollout in.jsonl --id addition-17 --full --model gpt-4.1
    refinecli debug-rollout --strategy self-refine --max-iterations 1
    refinecli debug-rollout out.jsonl --set grade.mode=logprobs
    """
    from refinecli.cli.file_checks import check_files
    from refinecli.cli.refine import check_drafts
    from refinecli.data.sinks import Sink
    from refinecli.display.reporter import Reporter
    from refinecli.models.engine import check_endpoints
    from refinecli.refining.strategies import roles_of
    from refinecli.runs.work import refine_options

    if strategy is None and max_iterations is None:
        max_iterations = 0  # one rollout; a loop that was asked for is shown as one
    settings = models.settings(
        {"refine.strategy": strategy, "refine.max_iterations": max_iterations}
    )
    roles = roles_of(refine_options(settings))
    if models.show_config:
        from refinecli.cli.show_config import show_config

        return show_config(settings, roles)
    if data.input is None and (index is not None or id is not None or data.limit is not None):
        raise UsageError("--index, --id and --limit choose a row of INPUT, and there is none")
    check_drafts(settings)
    check_files(data, out, models)
    row = _chosen(data, models, index, id)
    sink = Sink(out.output, force=out.force)
    reporter = Reporter("debug-rollout", quiet=models.quiet, verbose=models.verbose, spell=as_flags)
    check_endpoints(settings, roles, offline=models.offline)
    if row.note and not models.dry_run:
        reporter.notice(f"{data.input}:{row.line}: {row.note}")
    if models.dry_run:
        from refinecli.cli.dry_run import describe, nothing_cached
        from refinecli.cli.refine import refine_plan

        return describe([row], data.input or "", refine_plan(settings), nothing_cached)
    return _rollout(row, settings, sink, reporter, models, full=full, json=json)


def _chosen(data: InputOptions, models: ModelOptions, index: int | None, id: str | None) -> Row:
    from refinecli.data.rows import read_row
    from refinecli.data.rubric_file import read_rubric
    from refinecli.data.sources import Source
    from refinecli.runs.run import Input
    from refinecli.text.json_text import dumps

    rubric = read_rubric(models.rubric) if models.rubric else ()
    if data.input is None:
        return read_row(dumps(BUILT_IN), 1, "the built-in datapoint", rubric)
    if index is not None and id is not None:
        raise UsageError("--index and --id both choose a row", "give one of them")
    source = Source(data.input)
    count = 0
    for row in Input(source, rubric, data.limit).all_rows():
        wanted = count == (index or 0) if id is None else _has_id(row, id)
        if wanted and row.error:
            raise row.error
        if wanted and row.datapoint:
            return row
        count += 1
    what = f"no row {index or 0}" if id is None else f"no row with the id {id}"
    raise UsageError(f"{source.name}: {what} among its {count} rows")


def _has_id(row: Row, id: str) -> bool:
    return row.datapoint is not None and str(row.datapoint.id) == id


class Recorder:
    """A completer that keeps what went through it."""

    def __init__(self, completer: Completer, system: str | None, calls: list[Call]) -> None:
        self._completer = completer
        self._system = system
        self._calls = calls

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        from refinecli.display.recorded_calls import Call
        from refinecli.models.request import with_system

        sent = tuple(with_system(self._system, messages))
        try:
            completion = await self._completer(messages, draw, usable, wants)
        except UnsupportedError:
            raise  # the next way to ask follows, and stderr says what is not sent
        except CompletionError as error:
            self._calls.append(Call(draw, sent, None, error.message, wants))
            raise
        self._calls.append(Call(draw, sent, completion, wants=wants))
        return completion


def _rollout(
    row: Row,
    settings: Settings,
    sink: Sink,
    reporter: Reporter,
    models: ModelOptions,
    *,
    full: bool,
    json: bool,
) -> int:
    from refinecli.cli.job import write_summary
    from refinecli.data import output_lines
    from refinecli.models.engine import open_engine
    from refinecli.models.request_log import RequestLog
    from refinecli.refining.rollout import refine as refine_datapoint
    from refinecli.refining.strategies import roles_of
    from refinecli.runs.signals import Interrupted, execute
    from refinecli.runs.summary import Summary
    from refinecli.runs.work import refine_options
    from refinecli.text.json_text import dumps
    from refinecli.types import Roles

    assert row.datapoint is not None
    datapoint = row.datapoint
    options = refine_options(settings)
    shapes = {"refine": settings.refine.model_dump()}
    summary = Summary()
    calls: list[Call] = []
    cache = cache_for(None, models)

    async def main() -> None:
        async with AsyncExitStack() as stack:
            log = None
            if models.log_requests:
                log = stack.enter_context(RequestLog(models.log_requests))
            kept = cache.open() if cache else None
            engine = await stack.enter_async_context(
                open_engine(settings, roles_of(options), shapes, reporter, kept, log)
            )
            if cache:
                place = {"command": "debug-rollout", "row": row.raw.get("id"), "output": "-"}
                cache.begin(place, engine.shaping)
            roles = engine.roles
            recorded = Roles(
                Recorder(roles.policy, settings.policy.system, calls),
                Recorder(roles.reviser, settings.reviser.system, calls),
                Recorder(roles.grader, settings.grader.system, calls),
                Recorder(roles.critic, settings.critic.system, calls),
                Recorder(roles.selector, settings.selector.system, calls),
                jury={
                    juror.name: Recorder(roles.jury[juror.name], juror.system, calls)
                    for juror in settings.jury
                },
                combine=roles.combine,
            )
            refinement = None
            try:
                refinement = await refine_datapoint(datapoint, recorded, options, settings.prompts)
                outcome = output_lines.refined(row.raw, refinement, engine.made_with)
            except CompletionError as error:
                complain(error)
                outcome = output_lines.failed(row.raw, error, "policy")
            summary.add(outcome)
            await sink.open()
            if json:
                text = dumps(outcome.record)
            else:
                text = _transcript(datapoint, refinement, calls, settings, sink, full=full)
            await sink.write(text)
            await sink.drain()
            if models.summary:
                write_summary(models.summary, summary, engine.limits.traffic)

    whole = False
    try:
        execute(main())
        whole = True
        sink.commit()
    except BrokenPipeError:
        return 0
    except Interrupted as interrupted:
        print(str(interrupted), file=sys.stderr)
        return interrupted.code
    finally:
        sink.discard()
        if cache:
            cache.end(0, whole=whole, locked=False)
    bad = summary.failed + summary.ungraded
    return 3 if bad > settings.run.errors_allowed(1) else 0


def _transcript(
    datapoint: Datapoint,
    refinement: Refinement | None,
    calls: list[Call],
    settings: Settings,
    sink: Sink,
    *,
    full: bool,
) -> bytes:
    """The transcript as it will stand on standard output or in the file: colour and panels only
    for a terminal, whose width it takes."""
    from io import StringIO

    from rich.console import Console

    from refinecli.display.transcript import plain, transcript

    terminal = sink.path is None and sys.stdout.isatty()
    here = Console()  # the terminal's own width and colours
    text = StringIO()
    console = Console(
        file=text,
        force_terminal=terminal,
        color_system=here.color_system if terminal else None,  # type: ignore[arg-type]
        width=here.width if terminal else 100,
        no_color=here.no_color,
        legacy_windows=False,
    )
    threshold = settings.refine.threshold
    parts = transcript(
        datapoint,
        refinement,
        calls,
        settings.prompts,
        settings.grading,
        full=full,
        threshold=threshold,
        combine=settings.grade.combine,
    )
    for part in parts:
        console.print(part, soft_wrap=plain(console))
    return text.getvalue().rstrip("\n").encode()
