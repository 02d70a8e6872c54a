"""The course that `refine` and `grade` share: check everything, run, say how it went, exit code."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refinecli.cli.complaints import as_flags, complain
from refinecli.cli.file_checks import check_files, check_shortens, check_stdout
from refinecli.cli.options import (
    InputOptions,
    ModelOptions,
    OutputOptions,
    SeveralInputs,
)
from refinecli.cli.resume import RunCache, cache_for, continuing
from refinecli.errors import OutputError, RefineError, UsageError
from refinecli.models.traffic import Traffic, traffic_words

if TYPE_CHECKING:
    from refinecli.cli.dry_run import Plan
    from refinecli.data.output_lines import Outcome
    from refinecli.data.sinks import Sink
    from refinecli.display.reporter import Reporter
    from refinecli.models.engine import Engine
    from refinecli.runs.run import Counted, Input, Reader, Work
    from refinecli.runs.summary import Summary
    from refinecli.settings.load import Settings
    from refinecli.types import JSONObject


@dataclass(frozen=True)
class Job:
    """What one command does with each row. `shapes` are its options that shape results; `close` is
    given the figures and says its last words and whether a quality gate was missed. `written` is
    told of each line as it leaves; `end`, last of all, of the exit code and, where the run ended
    early, why. `files` are written by the command itself, by the flags that name them. `reader`
    reads lines that are no datapoints yet."""

    command: str
    roles: Sequence[str]
    settings: Settings
    shapes: JSONObject
    work: Callable[[Engine, Reporter], Work]
    plan: Callable[[], Plan]
    close: Callable[[Summary, Traffic, Reporter], bool]
    written: Callable[[Outcome], None] | None = None
    end: Callable[[int, str, Summary, Traffic], None] | None = None
    files: Sequence[tuple[str, Path | None]] = ()
    reader: Reader | None = None


def needs_input(context: typer.Context, data: InputOptions | SeveralInputs) -> None:
    """With nothing to read, a terminal would seem to hang: show help instead and exit 2."""
    if not data.inputs and sys.stdin.isatty():
        with redirect_stdout(sys.stderr):
            print(context.get_help())
            print("error: no INPUT: name a file, or pipe one in")
        raise typer.Exit(2)


def input_of(
    data: InputOptions | SeveralInputs, rubric: Path | None, reader: Reader | None = None
) -> Input:
    """What a command reads: standard input where no file is named, and no file twice."""
    from refinecli.data.rows import read_row
    from refinecli.data.rubric_file import read_rubric
    from refinecli.data.sources import Source
    from refinecli.runs.run import Input

    names = data.inputs
    if len(names) > 1 and "-" in names:
        raise UsageError("- is standard input, which is read alone", "name files only, or only -")
    first, *more = [Source(name) for name in names or (None,)]
    read: list[Path] = []
    for source in (first, *more):
        if source.path and any(source.path.samefile(path) for path in read):
            raise UsageError(f"{source.name}: is named twice", "name each file once")
        read += [source.path] if source.path else []
    items = read_rubric(rubric) if rubric else ()
    return Input(first, items, data.limit, reader or read_row, more)


def process(
    job: Job, data: InputOptions | SeveralInputs, out: OutputOptions, options: ModelOptions
) -> int:
    """Run the job; returns the exit code."""
    from refinecli.data.sinks import Sink
    from refinecli.display.reporter import Reporter
    from refinecli.models.engine import check_endpoints

    rows = input_of(data, options.rubric, job.reader)
    cache = cache_for(out.output, options)
    check_files(data, out, options, job.files)
    if out.output is None:
        check_stdout(rows)
    try:
        file = Path(out.output or "-").resolve()  # a run knows its file by the name it has there
        ours = cache is not None and cache.has_written(file)
        sink = Sink(
            out.output,
            force=out.force or ours,
            sources=rows.sources,
            continues=cache is not None and cache.belongs_to(file),
        )
        total = None
        if rows.rereadable:
            counted = check_lines(rows, options.keep_going)
            total = counted.rows
            if job.roles == ("grader",) and not counted.asks_grader:
                job = replace(job, roles=())  # code grades it all, and code needs no model
        reporter = Reporter(
            job.command, quiet=options.quiet, verbose=options.verbose, spell=as_flags
        )
        check_endpoints(job.settings, job.roles, offline=options.offline)
        if options.dry_run:
            if ours and not out.force:
                check_shortens(file, sink.name, rows, total)
            return _dry_run(job, rows, _place(job, rows, sink), cache)
        return _Run(job, rows, sink, cache, reporter, options, out.force).go(total)
    finally:
        if cache is not None:
            cache.end(2, whole=False, locked=False)


def _dry_run(job: Job, rows: Input, place: JSONObject, cache: RunCache | None) -> int:
    from refinecli.cli.dry_run import describe, nothing_cached, replayed
    from refinecli.display.reporter import Reporter
    from refinecli.models.engine import open_engine

    if cache is None or not cache.exists:
        return describe(rows.all_rows(), rows.source.name, job.plan(), nothing_cached)
    calls, silent = cache.open(), Reporter(job.command, quiet=True, verbose=False)

    def begin(engine: Engine) -> Work:
        cache.begin(place, engine.shaping)
        return job.work(engine, silent)

    with replayed(
        lambda: open_engine(job.settings, job.roles, job.shapes, silent, calls), begin
    ) as cached:
        return describe(rows.all_rows(), rows.source.name, job.plan(), cached)


def check_lines(rows: Input, keep_going: bool) -> Counted:
    """What is in the rows; lists every line that cannot be used and raises if it may not be."""
    from refinecli.runs.run import count_rows

    counted = count_rows(rows, (lambda error: None) if keep_going else complain)
    if counted.bad and not keep_going:
        raise UsageError(
            f"{counted.bad} of {counted.rows} lines cannot be used; nothing was sent",
            "mend them, or add --keep-going: each becomes an `error` record and the rest goes on",
        )
    return counted


def _place(job: Job, rows: Input, sink: Sink) -> JSONObject:
    """What makes a run another than one with the same settings."""
    # As seen from the output: a folder with both may be moved and mounted elsewhere.
    folder = sink.path.parent if sink.path else Path.cwd()
    sources = [
        os.path.relpath(source.path.resolve(), folder) if source.path and source.rereadable else "-"
        for source in rows.sources
    ]
    return {
        "command": job.command,
        "input": sources if rows.more else sources[0],
        "output": str(sink.path) if sink.path else "-",
        "rubric": list(rows.rubric),
    }


@dataclass
class _Run:
    """One run of a job, from the first request to the exit code."""

    job: Job
    rows: Input
    sink: Sink
    cache: RunCache | None
    reporter: Reporter
    options: ModelOptions
    forced: bool

    def go(self, total: int | None) -> int:
        from refinecli.runs.signals import Interrupted, execute
        from refinecli.runs.summary import Summary

        self.summary, self.traffic, self.locked = Summary(), Traffic(), False
        reporter, whole, early = self.reporter, False, ""
        try:
            execute(self._main(total))
            self.sink.commit(self._note_output)
            whole = True
            code = self._finished()
        except BrokenPipeError:
            code, early = 0, "the reader of standard output went away"
        except Interrupted as interrupted:
            code, early = interrupted.code, str(interrupted)
            reporter.stop()
            print(str(interrupted), file=sys.stderr)
        except (RefineError, OSError) as error:
            reporter.stop()
            if not isinstance(error, RefineError):
                error = OutputError(f"cannot write {self.sink.name}: {error.strerror}")
            complain(error)
            code, early = error.exit_code, error.message
            if code == 2 and (self.traffic.sent or self.traffic.replayed or self.sink.lines):
                code = 3  # 2 says that nothing was sent
        finally:
            reporter.stop()
            kept = self.sink.close()
        code = self._told(code, "" if whole else early)
        self.code = code
        if not whole and code not in (0, 2):
            self._say_what_is_kept(kept)
        if self.cache:
            self._let_go(code, whole)
        self.sink.unlock()
        if self.options.summary and code != 2:
            code = self._summarised(self.options.summary, code)
        return code

    def _summarised(self, path: Path, code: int) -> int:
        """The exit code, once the figures are written, or could not be."""
        try:
            write_summary(path, self.summary, self.traffic)
        except UsageError as error:
            complain(error)
            return code if code > 1 else 3  # 2 says that nothing was sent
        return code

    def _told(self, code: int, early: str) -> int:
        """The exit code, once the command's own files are written, or could not be."""
        try:
            if self.job.end:
                self.job.end(code, early, self.summary, self.traffic)
        except RefineError as error:
            complain(error)
            return code if code > 1 else error.exit_code
        return code

    def _written(self, outcome: Outcome) -> None:
        self.reporter.advance(outcome)
        if self.job.written:
            self.job.written(outcome)

    async def _main(self, total: int | None) -> None:
        from refinecli.models.engine import open_engine
        from refinecli.models.request_log import RequestLog
        from refinecli.runs.run import run

        job, reporter = self.job, self.reporter
        async with AsyncExitStack() as stack:
            await self.sink.open()
            self.locked = True
            calls = self.cache.open() if self.cache else None
            if calls and calls.notice:
                reporter.notice(calls.notice)
            log = None
            if self.options.log_requests:
                log = stack.enter_context(RequestLog(self.options.log_requests))
            engine = await stack.enter_async_context(
                open_engine(job.settings, job.roles, job.shapes, reporter, calls, log)
            )
            if self.cache:
                self._begin(self.cache, engine.shaping, total)
            self.traffic = engine.limits.traffic
            gc.freeze()  # what is there by now stays: only what calls leave is looked through
            gc.set_threshold(50_000)
            below = self.sink.path is None and sys.stdout.isatty()
            reporter.start(total, self.summary, self.traffic, data_below=below)
            await run(
                self.rows,
                job.work(engine, reporter),
                self.sink,
                self.summary,
                concurrency=engine.limits.concurrency,
                on_finished=reporter.finished,
                on_note=reporter.notice,
                on_outcome=self._written,
                on_unsettled=calls.runs.unsettled if calls else None,
            )
            self._check_all_came(total)

    def _check_all_came(self, total: int | None) -> None:
        came = self.summary.datapoints
        if total is not None and came < total:
            name = "the input" if self.rows.more else self.rows.source.name
            raise UsageError(
                f"{name}: {came:,} lines came, of {total:,} that were there when the run began",
                "it was made shorter meanwhile; the same command goes on with what is there then",
            )

    def _begin(self, cache: RunCache, shaping: JSONObject, total: int | None) -> None:
        """Go on with this run. That a run left FILE just as it is is no leave for another to
        replace it, nor for itself to make it shorter."""
        file, name, place = self.sink.path, self.sink.name, _place(self.job, self.rows, self.sink)
        if self.forced or file is None or not file.is_file():
            cache.begin(place, shaping)
            return
        cache.begin(place, shaping, replaced=name)
        if not cache.has_written(file, this_run=True):
            raise UsageError(f"{name}: exists already", "--force replaces it")
        check_shortens(file, name, self.rows, total)

    def _let_go(self, code: int, whole: bool) -> None:
        assert self.cache is not None
        limit = self.rows.limit
        limited = limit is not None and self.summary.datapoints >= limit
        try:
            why = self.cache.end(code, whole=whole, locked=self.locked, limited=limited)
            if why:
                self.reporter.notice(why)
        except RefineError as error:  # the results are in their place, or told to be unfinished
            complain(error)

    def _note_output(self, signature: str) -> None:
        if self.cache and self.cache.calls:
            self.cache.calls.runs.wrote(signature)

    def _finished(self) -> int:
        from refinecli.text.clean import clean

        job, summary = self.job, self.summary
        self.reporter.stop()
        missed = job.close(summary, self.traffic, self.reporter)
        bad = summary.failed + summary.ungraded
        allowed = job.settings.run.errors_allowed(summary.datapoints)
        if bad > allowed:
            kinds = ", ".join(f"{kind} {count}" for kind, count in summary.errors.most_common())
            print(
                f"error: {bad} of {summary.datapoints} datapoints failed or stayed ungraded "
                f"({kinds}); --max-errors allows {allowed:g}",
                file=sys.stderr,
            )
            if summary.first_failure:
                print(f"  the first: {clean(summary.first_failure)}", file=sys.stderr)
            if set(summary.errors) == {"input"}:
                print("  hint: mend those lines; nothing of them was sent", file=sys.stderr)
            elif self.cache and not self.cache.offline:
                hint = "the same command asks again for what failed, and only for that"
                print(f"  hint: {hint}: {continuing(self.rows.source)}", file=sys.stderr)
            elif self.cache:
                hint = "the same command without --offline asks for what is missing"
                print(f"  hint: {hint}", file=sys.stderr)
            if self.cache and self.cache.offline:
                self.cache.remember(self.sink.path)
            return 3
        return 1 if missed else 0

    def _say_what_is_kept(self, partial: Path | None) -> None:
        """After an early end: what is finished, and how to go on from there."""
        lines = [f"so far: {traffic_words(self.traffic, self.summary.seconds)}"]
        lines += ["no datapoint was finished"] if not self.summary.datapoints else []
        if self.summary.datapoints:
            where = partial or self.sink.name
            lines += [f"finished: {self.summary.counts}; their lines are in {where}"]
        if self.cache and self.cache.holds_replies:
            how = ", with as much again to spend" if self.code == 4 else ""
            lines += [f"every reply is kept in {self.cache.path}; this continues{how}:"]
            lines += [f"  {continuing(self.rows.source)}"]
        elif not self.cache and self.traffic.sent:
            lines += ["  hint: with --cache FILE, the same command would continue from here"]
        print("\n".join(lines), file=sys.stderr)


def write_summary(path: Path, summary: Summary, traffic: Traffic) -> None:
    """Write the run's figures."""
    from refinecli.text.json_text import dumps

    try:
        path.write_bytes(dumps(summary.record(traffic)) + b"\n")
    except OSError as error:
        raise UsageError(f"--summary {path}: {error.strerror}") from None
