"""Carry out one run, from its first request to its exit code.

Whatever a command does with models (refine, grade, write rubrics, roll out once, grade again for a
report), it hands over a Job and gets an Ended back. In between, in this order: the output is
locked, the call cache opened, models are settled, the job's body does the work; then the output is
moved into place, the cache released, and the figures are written.

    ended = carry_out(job, display)     # never raises what a user can fix: `ended` has it
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from refinecli.errors import OutputError, RefineError, UsageError, option
from refinecli.models.traffic import Traffic
from refinecli.runs.signals import Interrupted, execute
from refinecli.runs.summary import Summary
from refinecli.stats.wording import plural
from refinecli.text.json_text import dumps

if TYPE_CHECKING:
    from refinecli.data.sinks import Sink
    from refinecli.models.batch.waves import Waves
    from refinecli.models.engine import Engine
    from refinecli.models.leases import Leases
    from refinecli.models.request_log import RequestLog
    from refinecli.runs.run_cache import RunCache
    from refinecli.runs.shards import PartOf
    from refinecli.settings.load import Settings
    from refinecli.types import Datapoint, JSONObject


class Display(Protocol):
    """The place where a run shows itself while it lasts."""

    def notice(self, text: str) -> None:
        """Show a line that is worth knowing."""

    def detail(self, text: str) -> None:
        """Show a line to those who asked for more."""

    def start(
        self, total: int | None, summary: Summary, traffic: Traffic, *, data_below: bool = False
    ) -> None:
        """Begin to show progress."""

    def stop(self) -> None:
        """Take the progress away."""


class Started(NamedTuple):
    """A run whose models can be asked, as the body of a job gets it. The body counts each result in
    `summary`, and calls `unsettled` for each datapoint that failed or stayed ungraded."""

    engine: Engine
    summary: Summary
    unsettled: Callable[[Datapoint], None]
    waves: Waves | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """The work of a run.

    `place` distinguishes it from other runs with the same settings. `shapes` are a command's
    options that shape results. `total` and `limit` say how many datapoints there are and how many
    are read at most. An existing output may be replaced by another run's only if `forced`.
    `complete` adds to the summary of a whole run before it is written. A `part` of an input is
    described next to the output. With `waves` replies come from files, and nothing is sent;
    `before` is the traffic of earlier passes. With `leases` other processes share its limits.
    """

    settings: Settings
    roles: Sequence[str]
    place: JSONObject
    body: Callable[[Started], Awaitable[None]]
    shapes: JSONObject = field(default_factory=dict)
    sink: Sink | None = None
    forced: bool = False
    cache: RunCache | None = None
    total: int | None = None
    limit: int | None = None
    complete: Callable[[Summary], None] = lambda summary: None
    part: PartOf | None = None
    waves: Waves | None = None
    leases: Leases | None = None
    before: Traffic = field(default_factory=Traffic)
    summary: Path | None = None
    log_requests: Path | None = None


@dataclass(eq=False)
class Ended:
    """The end of a run.

    It is `whole` if everything was done; otherwise `early` gives the reason, and `error` holds it
    if it is an error. `partial` is the file with the finished lines, `kept_in` the cache with
    replies, or the folder of several; `notes` and `complaints` say what became of the cache and of
    the summary's file.
    """

    job: Job
    summary: Summary
    traffic: Traffic
    code: int = 0
    whole: bool = False
    early: str = ""
    error: RefineError | None = None
    partial: Path | None = None
    kept_in: Path | None = None
    notes: list[str] = field(default_factory=list)
    complaints: list[RefineError] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """The number of datapoints that failed or stayed ungraded."""
        return self.summary.failed + self.summary.ungraded

    @property
    def errors_allowed(self) -> float:
        """The number of them that the user allows."""
        return self.job.settings.run.errors_allowed(self.summary.datapoints)

    @property
    def too_many_errors(self) -> bool:
        """True if a whole run has more of them than the user allows."""
        return self.whole and self.bad > self.errors_allowed


def carry_out(job: Job, display: Display) -> Ended:
    """Run the job to its end, whatever that is."""
    return _Run(job, display).go()


class _Run:
    def __init__(self, job: Job, display: Display) -> None:
        self._job = job
        self._display = display
        self._ended = Ended(job, Summary(), Traffic())
        self._locked = False
        self._has_file = False  # that an earlier run with the same settings wrote
        self._repeats = False
        self._answered_before = 0
        self._shaping: JSONObject = {}

    def go(self) -> Ended:
        job, ended = self._job, self._ended
        try:
            self._run()
        finally:
            self._display.stop()
            if job.sink:
                ended.partial = job.sink.close()
        if ended.whole:
            ended.code = 3 if ended.too_many_errors else 0
            if self._repeats and not ended.code and job.sink:
                ended.notes.append(f"{job.sink.name}: was complete already, and is unchanged")
            if not ended.code:
                ended.notes += self._cost_of_no_cache()
            job.complete(ended.summary)
        code = ended.code
        if job.summary and code != 2:
            self._write_summary(job.summary)
        if job.cache:
            self._let_go(job.cache, code)
        if job.sink:
            job.sink.unlock()
        return ended

    def _run(self) -> None:
        """Do the work, and note how it ended."""
        ended = self._ended
        try:
            execute(self._main())
            if self._job.sink:
                self._job.sink.commit(self._note_output)
                if self._job.sink.is_remote:
                    execute(self._job.sink.deliver())
            ended.whole = True
        except BrokenPipeError:
            ended.early = "the reader of standard output went away"
        except Interrupted as interrupted:
            ended.code, ended.early = interrupted.code, str(interrupted)
        except (RefineError, OSError) as error:
            if not isinstance(error, RefineError):
                name = f" {self._job.sink.name}" if self._job.sink else ""
                error = OutputError(f"cannot write{name}: {error.strerror}")
            ended.code, ended.early, ended.error = error.exit_code, error.message, error
            if ended.code == 2 and self._has_begun:
                ended.code = 3  # 2 says that nothing was sent

    @property
    def _has_begun(self) -> bool:
        """True once a request was sent, or a line written from an earlier one."""
        traffic, sink = self._ended.traffic, self._job.sink
        return bool(traffic.sent or traffic.replayed or (sink and sink.lines))

    async def _main(self) -> None:
        from refinecli.models.engine import open_engine

        job, ended, display = self._job, self._ended, self._display
        async with AsyncExitStack() as stack:
            if job.sink:
                await job.sink.open()
            self._locked = True
            calls = job.cache.open() if job.cache else None
            if calls and calls.notice:
                display.notice(calls.notice)
            if job.waves:
                assert calls is not None
                stack.callback(job.waves.close)
                job.waves.open(calls.facts)
            log = stack.enter_context(_request_log(job.log_requests)) if job.log_requests else None
            engine = await stack.enter_async_context(
                open_engine(
                    job.settings,
                    job.roles,
                    job.shapes,
                    display,
                    calls,
                    log,
                    waves=job.waves,
                    leases=job.leases,
                )
            )
            self._shaping = engine.shaping
            if job.cache:
                self._begin(job.cache, engine.shaping)
            ended.traffic = engine.limits.traffic
            ended.traffic.add(job.before)
            gc.freeze()  # so that collections look only at what calls leave behind
            gc.set_threshold(50_000)
            below = job.sink is not None and job.sink.is_stdout and sys.stdout.isatty()
            display.start(job.total, ended.summary, ended.traffic, data_below=below)
            unsettled = calls.runs.unsettled if calls else lambda datapoint: None
            await job.body(Started(engine, ended.summary, unsettled, job.waves))

    def _begin(self, cache: RunCache, shaping: JSONObject) -> None:
        """Continue this run in the cache. An output that a run left unchanged may not be replaced
        by another run, nor made shorter by the run itself."""
        job = self._job
        target = job.sink.target if job.sink else None
        if job.forced or job.sink is None or target is None or not target.exists():
            cache.begin(job.place, shaping)
            return
        name = job.sink.name
        cache.begin(job.place, shaping, replaced=name)
        if not cache.has_written(target, this_run=True):
            raise UsageError(f"{name}: exists already", f"use {option('force')} to replace it")
        check_shortens(target.given, name, job.limit if job.total is None else job.total)
        self._has_file = True

    def _note_output(self, signature: str) -> None:
        if self._job.cache and self._job.cache.calls:
            self._job.cache.calls.runs.wrote(signature)
        if self._has_file and self._job.sink:
            self._repeats = self._job.sink.repeats_the_file()
        if self._job.part and self._job.sink:
            self._describe_part(self._job.part, self._job.sink)
        if self._keeps_no_replies:
            self._answered_before = self._job.sink.answered_before() if self._job.sink else 0

    def _describe_part(self, part: PartOf, sink: Sink) -> None:
        from refinecli.data.part_files import write_part_file

        assert sink.target is not None
        assert sink.partial is not None
        place = self._job.place
        settings = {
            "command": place["command"],
            "rubric": place["rubric"],
            "shaping": self._shaping,
        }
        write_part_file(part.record(settings, sink.partial), sink.target.given)

    @property
    def _keeps_no_replies(self) -> bool:
        """True where a rubric that is edited and tried again pays again for what stayed the
        same."""
        cache = self._job.cache
        return bool(self._job.place.get("rubric")) and (cache is None or cache.is_default)

    def _cost_of_no_cache(self) -> Iterator[str]:
        """Say what a cache would have saved, or would the next time."""
        sent, saved = self._ended.traffic.sent, self._answered_before
        if not (sent and self._keeps_no_replies):
            return
        cache, then = option("cache", "PATH"), "an edited rubric asks only for what changed"
        these = "this call" if sent == 1 else f"these {sent:,} calls"
        if saved:
            some = "this call was" if sent == 1 else f"{saved:,} of {these} were"
            yield (
                f"{some} made for the file that was replaced, too: "
                f"{cache} would have saved them; with it, {then}"
            )
        else:
            yield f"the replies to {these} are not kept: with {cache}, {then}"

    # -------------------------------------------------------------- the end

    def _let_go(self, cache: RunCache, code: int) -> None:
        job, ended = self._job, self._ended
        ended.kept_in = cache.path if cache.holds_replies else None
        if ended.too_many_errors and cache.offline and job.sink:
            cache.remember(job.sink.target)
        limited = job.limit is not None and ended.summary.datapoints >= job.limit
        try:
            note = cache.end(code, whole=ended.whole, locked=self._locked, limited=limited)
        except RefineError as error:  # the results are in place, or reported as unfinished
            ended.complaints.append(error)
        else:
            ended.notes += [note] if note else []

    def _write_summary(self, path: Path) -> None:
        ended = self._ended
        try:
            path.write_bytes(dumps(ended.summary.record(ended.traffic)) + b"\n")
        except OSError as error:
            why = f"{option('summary', path)}: {error.strerror}"
            ended.complaints.append(OutputError(why))
            ended.code = max(ended.code, 3)


def check_shortens(file: str, name: str, coming: int | None) -> None:
    """Raise UsageError if the existing output would have fewer lines after a run that writes
    `coming` lines; None means unknown."""
    from refinecli.data.sources import Source

    if coming is None:
        return
    there = sum(1 for _ in Source(file, most=None).read())
    if coming < there:
        raise UsageError(
            f"{name}: has {plural(there, 'line')}, and this run would write {coming:,}",
            f"use {option('force')} to replace it, or {option('output')} to write to another file",
        )


def _request_log(path: Path) -> RequestLog:
    from refinecli.models.request_log import RequestLog  # with all of HTTP

    return RequestLog(path)
