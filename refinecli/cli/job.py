"""The course that `refine` and `grade` share: check everything, run, say how it went, exit code."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions, complain
from refinecli.errors import OutputError, RefineError, UsageError

if TYPE_CHECKING:
    from refinecli.cli.dry_run import Plan
    from refinecli.config import Settings
    from refinecli.endpoints import Engine
    from refinecli.progress import Reporter
    from refinecli.run import Input, Work
    from refinecli.streams import Sink
    from refinecli.summary import Summary
    from refinecli.traffic import Traffic
    from refinecli.types import JSONObject


@dataclass(frozen=True)
class Job:
    """What one command does with each row. `shapes` are its options that shape results; `close` is
    given the figures and says its last words and whether a quality gate was missed."""

    command: str
    roles: Sequence[str]
    settings: Settings
    shapes: JSONObject
    work: Callable[[Engine, Reporter], Work]
    plan: Plan
    close: Callable[[Summary, Traffic, Reporter], bool]


def needs_input(context: typer.Context, data: InputOptions) -> None:
    """With nothing to read, a terminal would seem to hang: show help instead and exit 2."""
    if data.input is None and sys.stdin.isatty():
        with redirect_stdout(sys.stderr):
            print(context.get_help())
        raise typer.Exit(2)


def process(job: Job, data: InputOptions, out: OutputOptions, options: ModelOptions) -> int:
    """Run the job; returns the exit code."""
    from refinecli.endpoints import check_endpoints
    from refinecli.jsonl import read_rubric
    from refinecli.progress import Reporter
    from refinecli.run import Input
    from refinecli.streams import Sink, Source

    source = Source(data.input)
    rows = Input(source, read_rubric(options.rubric) if options.rubric else (), data.limit)
    sink = Sink(out.output, force=out.force, source=source)
    total = check_lines(rows, options.keep_going) if source.rereadable else None
    if options.summary:
        check_summary(options.summary, data.input, out.output)
    reporter = Reporter(job.command, quiet=options.quiet, verbose=options.verbose)
    if options.dry_run:
        from refinecli.cli.dry_run import describe

        return describe(rows.all_rows(), job.plan)
    check_endpoints(job.settings, job.roles)
    return _run(job, rows, sink, total, reporter, options)


def check_lines(rows: Input, keep_going: bool) -> int:
    """How many rows there are; lists every line that cannot be used and raises if it may not be."""
    from refinecli.run import count_rows

    total, bad = count_rows(rows, (lambda error: None) if keep_going else complain)
    if bad and not keep_going:
        raise UsageError(
            f"{bad} of {total} lines cannot be used; nothing was sent",
            "mend them, or add --keep-going: each becomes an `error` record and the rest goes on",
        )
    return total


def _run(
    job: Job,
    rows: Input,
    sink: Sink,
    total: int | None,
    reporter: Reporter,
    options: ModelOptions,
) -> int:
    from refinecli.cli.execute import Interrupted, execute
    from refinecli.endpoints import open_engine
    from refinecli.run import run
    from refinecli.summary import Summary

    summary = Summary()
    engines: list[Engine] = []

    async def main() -> None:
        await sink.open()
        async with open_engine(job.settings, job.roles, job.shapes, reporter) as engine:
            engines.append(engine)
            below = sink.path is None and sys.stdout.isatty()
            reporter.start(total, summary, engine.chat.traffic, data_below=below)
            limits = engine.chat.limits
            await run(
                rows,
                job.work(engine, reporter),
                sink,
                summary,
                concurrency=limits.concurrency,
                on_finished=reporter.finished,
                on_note=reporter.notice,
                on_outcome=reporter.advance,
            )

    try:
        execute(main())
        sink.commit()
        code = _finished(job, summary, engines[0].chat.traffic, reporter)
    except BrokenPipeError:
        code = 0  # the reader has what it wanted
    except Interrupted as interrupted:
        code = interrupted.code
        reporter.stop()
        print(str(interrupted), file=sys.stderr)
        _say_what_is_kept(job, sink, rows, summary)
    except (RefineError, OSError) as error:
        reporter.stop()
        if not isinstance(error, RefineError):
            error = OutputError(f"cannot write {sink.name}: {error.strerror}")
        complain(error)
        code = error.exit_code
        if code != 2:
            _say_what_is_kept(job, sink, rows, summary)
    finally:
        reporter.stop()
        sink.close()
    if options.summary and code != 2:
        write_summary(options.summary, summary, engines[0] if engines else None)
    return code


def _finished(job: Job, summary: Summary, traffic: Traffic, reporter: Reporter) -> int:
    reporter.stop()
    missed = job.close(summary, traffic, reporter)
    bad = summary.failed + summary.ungraded
    allowed = job.settings.run.errors_allowed(summary.datapoints)
    if bad > allowed:
        kinds = ", ".join(f"{kind} {count}" for kind, count in summary.errors.most_common())
        print(
            f"error: {bad} of {summary.datapoints} datapoints failed or stayed ungraded ({kinds}); "
            f"--max-errors allows {allowed:g}",
            file=sys.stderr,
        )
        return 3
    return 1 if missed else 0


def _say_what_is_kept(job: Job, sink: Sink, rows: Input, summary: Summary) -> None:
    """After an early end: where the finished lines are, and how to go on from there."""
    kept = sink.close()
    finished = summary.datapoints
    if not finished:
        print("no datapoint was finished; run it again", file=sys.stderr)
        return
    where = kept or sink.name
    print(f"finished so far: {summary.counts}; their lines are in {where}", file=sys.stderr)
    if kept and rows.source.rereadable:
        quoted = [shlex.quote(str(path)) for path in (rows.source.name, kept, sink.name)]
        unpack = {".gz": "zcat", ".zst": "zstdcat"}.get(Path(rows.source.name).suffix, "cat")
        rest = f"{unpack} {quoted[0]} | tail -n +{summary.last_line + 1}"
        end = f"REST{sink.path.suffix}" if sink.path else "REST"
        print(
            f"  hint: only the rest: {rest} | refinecli {job.command} … -o {end}", file=sys.stderr
        )
        print(f"  hint: then: cat {quoted[1]} {end} > {quoted[2]}", file=sys.stderr)


def check_summary(path: Path, *others: str | None) -> None:
    """Find out before anything is paid for that `--summary` could not be written, or would be
    written over the input or the output."""
    if any(other and path.resolve() == Path(other).resolve() for other in others):
        raise UsageError(f"--summary {path}: is the input or the output", "name another file")
    place = path if path.exists() else path.parent
    if path.is_dir() or not os.access(place, os.W_OK):
        reason = "is a directory" if path.is_dir() else "cannot be written"
        raise UsageError(f"--summary {path}: {reason}", "name a file in a folder that exists")


def write_summary(path: Path, summary: Summary, engine: Engine | None) -> None:
    """Write the run's figures; without an engine nothing was sent."""
    from refinecli.jsonl import dumps
    from refinecli.types import Usage

    calls, usage = (engine.chat.limits.sent, engine.chat.usage) if engine else (0, Usage())
    try:
        path.write_bytes(dumps(summary.record(calls, usage)) + b"\n")
    except OSError as error:
        raise UsageError(f"--summary {path}: {error.strerror}") from None
