"""Run a command over rows, such as `refine` and `grade`: check everything, run, report the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refinecli.cli.bad_lines import check_lines, counted
from refinecli.cli.batch import BatchOptions
from refinecli.cli.complaints import as_flags
from refinecli.cli.ending import conclude
from refinecli.cli.file_checks import check_files, check_stdout
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    SeveralInputs,
    rubric_of,
)
from refinecli.cli.run_cache import cache_for, gathered_at
from refinecli.cli.shard import part_of
from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.cli.waves import Pass, WaveRun
    from refinecli.data.output_lines import Outcome
    from refinecli.data.rows import Row
    from refinecli.data.sinks import Sink
    from refinecli.display.reporter import Reporter
    from refinecli.models.batch.waves import Waves
    from refinecli.models.engine import Engine
    from refinecli.models.traffic import Traffic
    from refinecli.runs.lifecycle import Ended, Job
    from refinecli.runs.ordered_map import Places
    from refinecli.runs.plan import Plan
    from refinecli.runs.run import Count, Input, Reader, Work, WorkOnRows
    from refinecli.runs.run_cache import RunCache
    from refinecli.runs.shards import PartOf, Shard
    from refinecli.runs.summary import Summary
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject


@dataclass(frozen=True, eq=False)
class RowCommand:
    """A command that does the same with each row.

    `shapes` are its options that shape results. `complete` adds to the summary of a whole run; then
    `close` reports it, and returns whether a quality gate was missed. `written` gets each line as
    it leaves; `end`, last of all, the exit code and, if the run ended early, the reason. `follow`
    returns the commands to run next, without the program's name. `files`
    are written by the command itself, by the flags that name them. `reader` reads lines that are
    not datapoints yet. A command that `sums_up` writes no lines to a terminal. `places` are those
    of rows in work, where its work has to know them. With a `shard` it works on that part of its
    input; by its `batch` options requests go in waves.
    """

    command: str
    roles: Sequence[str]
    settings: Settings
    work: Callable[[Engine, Reporter], Work]
    plan: Callable[[], Plan]
    close: Callable[[Ended, Reporter], bool]
    shapes: JSONObject = field(default_factory=dict)
    complete: Callable[[Summary], None] = lambda summary: None
    written: Callable[[Outcome], None] = lambda outcome: None
    end: Callable[[int, str, Ended], None] = lambda code, early, ended: None
    follow: Callable[[Ended], Sequence[str]] = lambda ended: ()
    files: Sequence[tuple[str, Path | None]] = ()
    reader: Reader | None = None
    sums_up: bool = False
    places: Places | None = None
    shard: Shard | None = None
    batch: BatchOptions = field(default_factory=BatchOptions)

    def place(self, rows: Input, sink: Sink | None) -> JSONObject:
        """Return what distinguishes its run from others with the same settings."""
        from refinecli.runs.run import place_of

        return place_of(self.command, rows, sink, self.shard)


def needs_input(context: typer.Context, data: InputOptions | SeveralInputs) -> None:
    """Show help and exit 2 on a terminal with nothing to read, where waiting would look like a
    hang."""
    if not data.inputs and sys.stdin.isatty():
        with redirect_stdout(sys.stderr):
            print(context.get_help())
            print("error: no INPUT: name a file, or pipe one in")
        raise typer.Exit(2)


def input_of(
    data: InputOptions | SeveralInputs,
    rubric: Sequence[JSONObject],
    settings: Settings,
    reader: Reader | None = None,
) -> Input:
    """Return the rows to read: standard input if no file is named, and no file twice."""
    from refinecli.data.rows import read_row
    from refinecli.data.sources import Source
    from refinecli.grading.own_templates import lost_penalties
    from refinecli.runs.run import Input

    names = data.inputs
    if len(names) > 1 and "-" in names:
        raise UsageError("- is standard input, which is read alone", "name files only, or only -")
    first, *more = [Source(name, most=settings.run.line_bytes) for name in names or (None,)]
    for at, source in enumerate(more):
        if any(source.is_same_as(one) for one in (first, *more[:at])):
            raise UsageError(f"{source.name}: is named twice", "name each file once")
    remarks = partial(lost_penalties, settings.prompts, settings.grade)
    return Input(first, rubric, data.limit, reader or read_row, more, remarks)


def reporter_of(command: str, options: ModelOptions) -> Reporter:
    """Return the reporter that shows a command on standard error."""
    from refinecli.display.reporter import Reporter

    return Reporter(command, quiet=options.quiet, verbose=options.verbose, spell=as_flags)


def process(
    command: RowCommand,
    data: InputOptions | SeveralInputs,
    out: OutputOptions,
    options: ModelOptions,
) -> int:
    """Check everything that can be wrong, run the command on all rows, and return the exit code."""
    from refinecli.models.engine import check_endpoints
    from refinecli.models.traffic import Traffic

    rows = input_of(data, rubric_of(options), command.settings, command.reader)
    part = None
    if command.shard:
        rows, part = part_of(command.shard, rows, out)
    cache = cache_for(options, out.output)
    check_files(data, out, options, command.files)
    if out.output is None:
        check_stdout(rows)
    try:
        sink = _sink(command, rows, out, cache)
        total = None
        if options.dry_run and _reads_once(command, rows, cache):
            return _dry_run_at_once(command, rows, options)
        if rows.rereadable:
            count = check_lines(rows, options.keep_going)
            total = count.rows
            command = asking(command, count)
        waves = _waves(command, rows, out, options)
        in_files = command.batch.used and not command.batch.submits
        check_endpoints(command.settings, command.roles, offline=options.offline or in_files)
        if waves and command.batch.batch_cancel:
            return waves.cancel()
        if options.dry_run:
            if waves:
                waves.check_owner(command.place(rows, sink), restart=options.restart)
                waves.list_open()
            coming = None if out.force else _coming(rows, total)
            return _dry_run(command, rows, sink, cache, coming, waves)
        run = _Run(command, rows, out, options, total, part)
        passes = run.passes(cache, sink)
        if waves:
            place = command.place(rows, sink)
            return run.conclude(waves.run(passes, place, restart=options.restart))
        return run.conclude(passes(None, Traffic()))
    finally:
        if cache is not None:
            cache.end(2, whole=False, locked=False)


def asking(command: RowCommand, count: Count) -> RowCommand:
    """Return the command without a grader where code or a classifier grades everything."""
    alone = command.roles == ("grader",) and not count.asks_grader
    return replace(command, roles=()) if alone else command


def _waves(
    command: RowCommand, rows: Input, out: OutputOptions, options: ModelOptions
) -> WaveRun | None:
    """Return the waves in which the command's requests go, if they do."""
    command.batch.check()
    if not command.batch.used:
        return None
    from refinecli.cli.waves import WaveRun

    folder = command.batch.folder(out, options)
    if not rows.rereadable:
        raise UsageError("waves take several passes over the input", "name a file as INPUT")
    asked = command.settings.asked(tuple(command.roles))
    waves = WaveRun(command.batch, folder, command.settings, asked, options.quiet)
    waves.check()
    return waves


def _sink(
    command: RowCommand, rows: Input, out: OutputOptions, cache: RunCache | None
) -> Sink | None:
    """Return the destination of lines; None if they would fill a terminal and hide what the command
    sums up."""
    from refinecli.data.sinks import Sink
    from refinecli.data.targets import target_of

    if command.sums_up and out.output is None and sys.stdout.isatty():
        return None
    target = target_of(out.output)
    return Sink(
        out.output,
        force=out.force or (cache is not None and target is not None and cache.has_written(target)),
        sources=rows.sources,
        continues=cache is not None and target is not None and cache.belongs_to(target),
        gathered=gathered_at(cache.path, out.output) if cache else None,
    )


def _coming(rows: Input, total: int | None) -> int | None:
    """Return how many lines a run would write at most, if that is known."""
    return rows.limit if total is None else total


@dataclass(frozen=True, eq=False)
class _Run:
    """The run of a command over its rows, in one pass or in several."""

    command: RowCommand
    rows: Input
    out: OutputOptions
    options: ModelOptions
    total: int | None
    part: PartOf | None

    @cached_property
    def reporter(self) -> Reporter:
        """The reporter of the whole run."""
        return reporter_of(self.command.command, self.options)

    def passes(self, cache: RunCache | None, sink: Sink | None) -> Pass:
        """Return the function that runs one more pass."""
        from refinecli.runs.lifecycle import carry_out

        if sink is None:
            replies = f"; replies are kept in {cache.path}" if cache else ""
            self.reporter.notice(f"without -o FILE no grades are kept{replies}")
        prepared = [(cache, sink)]

        def run_pass(waves: Waves | None, before: Traffic) -> Ended:
            first = bool(prepared)
            again = replace(self.options, quiet=True)  # all of it was said in the first pass
            reporter = self.reporter if first else reporter_of(self.command.command, again)
            cache, sink = prepared.pop() if first else self._fresh()
            job = self._job(cache, sink, reporter)
            return carry_out(replace(job, waves=waves, before=before), reporter)

        return run_pass

    def conclude(self, ended: Ended) -> int:
        """Report the end, and return the exit code."""
        command = self.command
        return conclude(
            ended,
            self.reporter,
            close=lambda: command.close(ended, self.reporter),
            end=lambda code, early: command.end(code, early, ended),
            follow=lambda: command.follow(ended),
            piped=self.rows.source.is_stdin,
        )

    def _fresh(self) -> tuple[RunCache | None, Sink | None]:
        cache = cache_for(self.options, self.out.output)
        return cache, _sink(self.command, self.rows, self.out, cache)

    def _job(self, cache: RunCache | None, sink: Sink | None, reporter: Reporter) -> Job:
        from refinecli.runs.lifecycle import Job

        command = self.command
        return Job(
            settings=command.settings,
            roles=command.roles,
            shapes=command.shapes,
            place=command.place(self.rows, sink),
            body=_body(command, self.rows, sink, self.total, reporter),
            sink=sink,
            forced=self.out.force,
            cache=cache,
            total=self.total,
            limit=None if self.part else self.rows.limit,
            complete=command.complete,
            part=self.part,
            summary=self.options.summary,
            log_requests=self.options.log_requests,
        )


def _body(
    command: RowCommand, rows: Input, sink: Sink | None, total: int | None, reporter: Reporter
) -> WorkOnRows:
    from refinecli.runs.run import WorkOnRows

    def on_outcome(outcome: Outcome) -> None:
        reporter.advance(outcome)
        command.written(outcome)

    return WorkOnRows(
        rows=rows,
        total=total,
        work=lambda engine: command.work(engine, reporter),
        sink=sink,
        on_outcome=on_outcome,
        on_note=reporter.notice,
        places=command.places,
    )


def _reads_once(command: RowCommand, rows: Input, cache: RunCache | None) -> bool:
    """Return True where a dry run can check and describe each row as it reads it. Of a cache or of
    waves more must be known before."""
    return rows.rereadable and not command.batch.used and not (cache and cache.exists)


def _dry_run_at_once(command: RowCommand, rows: Input, options: ModelOptions) -> int:
    """Say what would be sent, all of it, once the rows and the endpoints are checked."""
    from refinecli.cli.dry_run import describe, nothing_cached
    from refinecli.models.engine import check_endpoints
    from refinecli.runs.run import Count

    def checked() -> Iterator[Row]:
        count = Count()
        yield from counted(rows, count, options.keep_going)
        command.batch.check()
        roles = asking(command, count).roles
        check_endpoints(command.settings, roles, offline=options.offline)

    return describe(checked(), rows.source.name, command.plan(), nothing_cached)


def _dry_run(
    command: RowCommand,
    rows: Input,
    sink: Sink | None,
    cache: RunCache | None,
    coming: int | None,
    waves: WaveRun | None,
) -> int:
    """Say what would be sent; `coming` lines would replace those of an existing file."""
    from refinecli.cli.dry_run import describe, nothing_cached, replayed
    from refinecli.display.reporter import Reporter
    from refinecli.models.engine import open_engine
    from refinecli.runs.lifecycle import check_shortens

    if sink and sink.target and cache and cache.has_written(sink.target):
        check_shortens(sink.target.given, sink.name, coming)
    say = partial(describe, rows.all_rows(), rows.source.name, command.plan())
    calls = cache.open() if cache and cache.exists else None
    ahead = waves.ahead(calls.facts if calls else None) if waves else None
    if calls is None and ahead is None:
        return say(nothing_cached)
    silent = Reporter(command.command, quiet=True, verbose=False)

    def begin(engine: Engine) -> Work:
        if cache and calls:
            cache.begin(command.place(rows, sink), engine.shaping)
        work = command.work(engine, silent)
        return ahead.within(work) if ahead else work

    opened = partial(open_engine, command.settings, command.roles, command.shapes, silent, calls)
    with replayed(partial(opened, waves=ahead.wave if ahead else None), begin) as cached:
        return say(cached, ahead)
