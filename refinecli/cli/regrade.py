"""`report --regrade`: asks for fresh grades, and keeps every reply beside the run's file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import typer

from refinecli.cli.complaints import as_flags, complain
from refinecli.cli.dry_run import CHARACTERS_PER_TOKEN, print_prompt
from refinecli.cli.file_checks import check_files
from refinecli.cli.job import write_summary
from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions
from refinecli.cli.resume import RunCache, cache_for, continuing
from refinecli.data.output_lines import Outcome
from refinecli.data.sources import Source
from refinecli.display.reporter import Reporter
from refinecli.errors import RefineError, UsageError
from refinecli.models.engine import Engine, check_endpoints, open_engine
from refinecli.models.local.server import find_weights
from refinecli.models.request_log import RequestLog
from refinecli.models.traffic import Traffic, traffic_words
from refinecli.report.cases import Key, grader_of
from refinecli.report.fresh_grades import (
    Regraded,
    Unsent,
    alarms,
    count_pairs,
    left_out,
    pairs,
    perturbed,
    regrade,
)
from refinecli.report.gains import Regrade
from refinecli.report.runs import Run
from refinecli.runs.run import Input
from refinecli.runs.signals import Interrupted, execute
from refinecli.runs.summary import Summary
from refinecli.settings.load import Settings
from refinecli.types import Completer, JSONObject

_ROLES = ("grader", "judge")


@dataclass
class FreshGrades:
    """The fresh grades of a run, by role and datapoint; `too_many` were left without a score."""

    repeats: int
    by_role: dict[str, dict[Key, Regrade]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    alarms: list[JSONObject] = field(default_factory=list)
    grades: int = 0
    ungraded: int = 0
    too_many: bool = False

    def record(self) -> JSONObject:
        """How the fresh grades came about."""
        return {
            "repeats": self.repeats,
            "models": dict(self.models),
            "grades": self.grades,
            "ungraded": self.ungraded,
        }


def fresh_grades(
    run: Run, repeats: int, options: ModelOptions, others: Sequence[Mapping[Key, str]] = ()
) -> FreshGrades | None:
    """The last of the files named, graded afresh, and with it the responses of baselines; None
    after a dry run.

    An early end has said what was kept and how to go on when it comes out as typer.Exit.
    """
    path = Path(run.file)
    if not path.is_file():
        raise UsageError("--regrade reads the run twice", "name its file")
    if not count_pairs(run):
        raise UsageError(
            f"{run.file}: no datapoint has a score of its first and of its final response",
            "--regrade compares the two in what `refinecli refine` wrote",
        )
    rows = Input(Source(str(path)))
    settings = perturbed(options.settings())
    roles = [role.name for role in settings.roles if role.name in _ROLES]
    own = options.cache is None
    options = replace(options, cache=options.cache or path.with_name(f"{path.name}.regrade.cache"))
    check_files(InputOptions(input=str(path)), OutputOptions(), options)
    cache = cache_for(None, options)
    assert cache is not None
    asks = any(not item.by_code for case in run.cases for item in case.items)
    if asks:
        _check_grader_is_named(settings, run)
        check_endpoints(settings, roles, offline=options.offline)
    bad = next((row.error for row in rows.all_rows() if row.error), None)
    if bad:
        raise bad
    asked = roles if asks else []
    job = _Regrading(run, rows, others, repeats, settings, asked, cache, own, options)
    if options.dry_run:
        job.dry_run()
        return None
    return job.go()


def _check_grader_is_named(settings: Settings, run: Run) -> None:
    """The local model is nobody's choice where another one graded the run."""
    named = {f"{role}.{key}" for role in ("policy", "grader") for key in ("model", "base_url")}
    before = grader_of(run.models)
    if not before or named & settings.sources.keys() or settings.grader.weights is None:
        return
    try:
        local = find_weights(settings.grader.weights, to_run=False).stem
    except UsageError:
        local = ""
    if before != local:
        raise UsageError(
            f"--regrade: {run.file} was graded by {before}, and no grader is named",
            f"--grader-model {run.models.get('grader', 'NAME')}, with --grader-base-url or the "
            "--config that the run had",
        )


@dataclass
class _Regrading:
    """One course of regrading, from the first request to the last word."""

    run: Run
    rows: Input
    others: Sequence[Mapping[Key, str]]  # of each baseline
    repeats: int
    settings: Settings
    roles: Sequence[str]  # none where code grades all
    cache: RunCache
    own_cache: bool
    options: ModelOptions

    def __post_init__(self) -> None:
        self.summary = Summary()
        self.traffic = Traffic()
        self.found = FreshGrades(self.repeats)
        self.reporter = Reporter(
            "regrade",
            quiet=self.options.quiet,
            verbose=self.options.verbose,
            spell=as_flags,
        )

    def go(self) -> FreshGrades:
        code = 0
        try:
            execute(self._main())
            self.reporter.stop()
            code = self._finished()
        except Interrupted as interrupted:
            self.reporter.stop()
            print(str(interrupted), file=sys.stderr)
            code = interrupted.code
        except RefineError as error:
            self.reporter.stop()
            complain(error)
            code = error.exit_code
        finally:
            self.reporter.stop()
            kept = self._let_go()
        if self.options.summary and code != 2:
            write_summary(self.options.summary, self.summary, self.traffic)
        if code and not self.found.too_many:
            self._say_what_is_kept(code, kept)
            raise typer.Exit(code)
        return self.found

    async def _main(self) -> None:

        async with AsyncExitStack() as stack:
            completers: dict[str, Completer] = {}
            if self.roles:
                engine = await self._open(stack)
                completers = _completers(engine, self.roles)
                self.traffic = engine.limits.traffic
                self.found.models = engine.made_with.models
                self.found.alarms = alarms(self.run, self.found.models)
                for alarm in self.found.alarms:
                    self.reporter.notice(f"warning: {alarm['message']}")
            total = count_pairs(self.run)
            self.reporter.start(total, self.summary, self.traffic)
            await self._ask(completers)

    async def _open(self, stack: AsyncExitStack) -> Engine:
        """Whom to ask, through the cache."""
        calls = self.cache.open()
        if calls.notice:
            self.reporter.notice(calls.notice)
        log = None
        if self.options.log_requests and not self.options.dry_run:
            log = stack.enter_context(RequestLog(self.options.log_requests))
        engine = await stack.enter_async_context(
            open_engine(self.settings, self.roles, {}, self.reporter, calls, log)
        )
        place: JSONObject = {"command": "report", "input": Path(self.run.file).name}
        self.cache.begin(place, engine.shaping)
        return engine

    async def _ask(self, completers: Mapping[str, Completer]) -> None:

        results = regrade(
            pairs(self.rows, self.run, self.others),
            completers or {"grader": Unsent()},
            self.settings.prompts,
            self.repeats,
            concurrency=self.settings.run.concurrency,
        )
        async with aclosing(results):
            async for result in results:
                self._take(result)

    def _take(self, result: Regraded) -> None:

        key, reporter = result.pair.key, self.reporter
        for role, one in result.by_role.items():
            self.found.by_role.setdefault(role, {})[key] = one
            reporter.detail(f"{key[0]}: {role}: first {_told(one.first)}, final {_told(one.final)}")
        self.found.grades += result.grades
        self.found.ungraded += len(result.failures)
        kinds = () if result.whole else tuple(dict.fromkeys(result.failures))
        self.summary.add(Outcome({}, "done" if result.whole else "ungraded", failures=kinds))
        if not result.whole and self.cache.calls:
            self.cache.calls.runs.unsettled(result.pair.datapoint)
        reporter.finished()

    def _finished(self) -> int:
        summary, reporter, found = self.summary, self.reporter, self.found
        reporter.notice(
            f"regrade: {summary.counts}; {traffic_words(self.traffic, summary.seconds)}"
        )
        if found.ungraded:
            left = f"{found.ungraded:,} of {found.grades:,} grades"
            reporter.notice(f"{left} have no score; means are over the repeats that have one")
        found.alarms += left_out(found.ungraded, found.grades)
        if self.own_cache and self.traffic.sent:
            reporter.notice(f"the replies are kept in {self.cache.path}: another report is free")
        allowed = self.settings.run.errors_allowed(summary.datapoints)
        if summary.ungraded <= allowed:
            return 0
        kinds = ", ".join(f"{kind} {count}" for kind, count in summary.errors.most_common())
        print(
            f"error: {summary.ungraded} of {summary.datapoints} datapoints could not be graded "
            f"afresh ({kinds}); --max-errors allows {allowed:g}",
            file=sys.stderr,
        )
        hint = "the same command asks again for what failed, and only for that"
        if self.cache.offline:
            hint = "the same command without --offline asks for what is missing"
        print(f"  hint: {hint}", file=sys.stderr)
        found.too_many = True
        return 3

    def _let_go(self) -> bool:
        """Close the cache; whether it holds any reply. One of ours that holds none goes."""
        calls, kept = self.cache.calls, self.cache.holds_replies
        try:
            if calls and self.own_cache and not kept and not self.cache.offline:
                calls.remove()
                self.cache.calls = None
            # Not even a finished run is over: what was ungraded in it must not be paid for again.
            self.cache.end(3, whole=self.found.too_many, locked=False)
        except RefineError as error:
            complain(error)
        return kept

    def _say_what_is_kept(self, code: int, kept: bool) -> None:

        if code == 2:
            return
        lines = [f"so far: {traffic_words(self.traffic, self.summary.seconds)}"]
        if kept:
            how = ", with as much again to spend" if code == 4 else ""
            lines += [f"every reply is kept in {self.cache.path}; this continues{how}:"]
            lines += [f"  {continuing(self.rows.source)}"]
        print("\n".join(lines), file=sys.stderr)

    # -------------------------------------------------------------- nothing sent

    def dry_run(self) -> None:
        """Say what would be sent, beside what the cache knows."""
        self.reporter = Reporter("regrade", quiet=True, verbose=False)
        unsent = {role: Unsent() for role in self.roles}
        try:
            execute(self._counted(unsent))
        finally:
            self.cache.end(2, whole=False, locked=False)
        for role, one in unsent.items():
            print_prompt(role, list(one.first))
        calls = 2 * sum(one.missing for one in unsent.values())
        tokens = sum(one.characters for one in unsent.values()) // CHARACTERS_PER_TOKEN
        replayed = self.traffic.replayed
        known = f", beside {replayed:,} that are in the call cache" if replayed else ""
        print(
            f"dry run: {self.summary.datapoints:,} datapoints, {self.repeats} repeats; at most "
            f"{calls:,} calls{known}, unless some are retried or refused; about {tokens:,} prompt "
            f"tokens (characters ÷ {CHARACTERS_PER_TOKEN}, replies not counted). Nothing was sent.",
            file=sys.stderr,
        )

    async def _counted(self, unsent: Mapping[str, Unsent]) -> None:
        async with AsyncExitStack() as stack:
            if self.roles and self.cache.exists:
                self.cache.open()
                with suppress(UsageError):  # it may not know which model an endpoint serves
                    engine = await self._open(stack)
                    self.traffic = engine.limits.traffic
                    for role, completer in _completers(engine, self.roles).items():
                        unsent[role].inner = completer
            await self._ask(unsent)


def _completers(engine: Engine, roles: Sequence[str]) -> dict[str, Completer]:
    return {role: getattr(engine.roles, role) for role in roles}


def _told(score: float | None) -> str:
    return "ungraded" if score is None else f"{score:.3g}"
