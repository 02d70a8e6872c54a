"""Run `report --regrade`: ask for fresh grades, and keep every reply next to the run's file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from refinecli.cli.dry_run import print_prompt
from refinecli.cli.ending import conclude
from refinecli.cli.file_checks import check_files
from refinecli.cli.job import reporter_of
from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions
from refinecli.cli.run_cache import named_cache
from refinecli.data.sources import Source
from refinecli.errors import UsageError
from refinecli.grading.estimate import CHARACTERS_PER_TOKEN
from refinecli.models.engine import check_endpoints, open_engine
from refinecli.models.local.server import find_weights
from refinecli.models.traffic import Traffic, traffic_words
from refinecli.report.cases import Key, grader_of
from refinecli.report.fresh_grades import Unsent, count_pairs, perturbed
from refinecli.report.fresh_run import FreshGrades, GradeAgain, completers_of
from refinecli.report.runs import Run
from refinecli.runs.lifecycle import Ended, Job, carry_out
from refinecli.runs.run import Input
from refinecli.runs.run_cache import RunCache
from refinecli.runs.signals import execute
from refinecli.settings.load import Settings
from refinecli.stats.wording import plural
from refinecli.types import JSONObject

if TYPE_CHECKING:
    from refinecli.display.reporter import Reporter

_ROLES = ("grader", "judge")


def fresh_grades(
    run: Run,
    repeats: int,
    options: ModelOptions,
    others: Sequence[Mapping[Key, str]] = (),
    *,
    keeps_replies: bool = False,
) -> tuple[FreshGrades, int] | None:
    """Grade the last of the files named again, and with it the responses of baselines. Return the
    grades and the exit code that they call for; None after a dry run.

    A run that ended early has reported what is kept and how to continue, and raises typer.Exit.
    """
    source = run.source()
    _check_run(run, source)
    settings = perturbed(options.settings())
    rows = Input(source)  # the report has read it already
    cache = _cache(source, options)
    data = InputOptions(input=source.given)
    check_files(data, OutputOptions(), replace(options, cache=cache.path))
    roles = []
    if any(not item.by_code for case in run.cases for item in case.items):
        roles = [name for name in settings.roles if name in _ROLES]
        _check_grader_is_named(settings, run)
        check_endpoints(settings, roles, offline=options.offline)
    bad = next((row.error for row in rows.all_rows() if row.error), None)
    if bad:
        raise bad
    dry = options.dry_run
    reporter = reporter_of("regrade", replace(options, quiet=True) if dry else options)
    body = GradeAgain(
        run=run,
        rows=rows,
        others=others,
        settings=settings,
        roles=roles,
        display=reporter,
        found=FreshGrades(repeats, keeps_replies),
    )
    if dry:
        _dry_run(body, cache)
        return None
    return body.found, _graded(body, cache, options, reporter)


def _check_run(run: Run, source: Source) -> None:
    if not source.rereadable:
        raise UsageError("--regrade reads the run twice", "name its file")
    if not count_pairs(run):
        raise UsageError(
            f"{run.file}: no datapoint has a score of its first and of its final response",
            "give --regrade the output of `refinecli refine`, which has both",
        )


def _cache(source: Source, options: ModelOptions) -> RunCache:
    """Return the cache that keeps replies for the next report: next to the run, or where the user
    says."""
    place = options.cache
    if source.path and not place:
        place = source.path.with_name(f"{source.path.name}.regrade.cache")
    if place is None:
        raise UsageError(
            f"--regrade: {source.name}: nothing on this machine would keep the replies",
            "name a local file that does: --cache PATH",
        )
    return replace(named_cache(options, place), stays=True, temporary=options.cache is None)


def _check_grader_is_named(settings: Settings, run: Run) -> None:
    """Refuse the local model by default if another model graded the run: nobody chose it."""
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
            f"use --grader-model {run.models.get('grader', 'NAME')}, with --grader-base-url or the "
            "--config that the run had",
        )


def _graded(body: GradeAgain, cache: RunCache, options: ModelOptions, reporter: Reporter) -> int:
    """Ask for all grades; return the exit code of a whole run."""
    job = Job(
        settings=body.settings,
        roles=body.roles,
        place=_place(body),
        body=body,
        cache=cache if body.roles else None,
        total=count_pairs(body.run),
        summary=options.summary,
        log_requests=options.log_requests,
    )
    ended = carry_out(job, reporter)
    code = conclude(ended, reporter, close=lambda: _close(ended, body, reporter))
    if not ended.whole:
        raise typer.Exit(code)
    return code


def _place(body: GradeAgain) -> JSONObject:
    return {"command": "report", "input": Path(body.run.file).name}


def _close(ended: Ended, body: GradeAgain, reporter: Reporter) -> bool:
    summary, found, cache = ended.summary, body.found, ended.job.cache
    words = traffic_words(ended.traffic, summary.seconds)
    reporter.notice(f"regrade: {summary.counts}; {words}")
    if found.ungraded:
        left = f"{found.ungraded:,} of {plural(found.grades, 'grade')}"
        reporter.notice(f"{left} have no score; means are over the repeats that have one")
    if cache and cache.temporary and ended.traffic.sent:
        reporter.notice(f"the replies are kept in {cache.path}: another report is free")
    return False


# ------------------------------------------------------------------ dry runs


def _dry_run(body: GradeAgain, cache: RunCache) -> None:
    """Say what would be sent, besides what the cache knows."""
    unsent = {role: Unsent() for role in body.roles}
    datapoints = replayed = 0

    async def count() -> None:
        nonlocal datapoints, replayed
        async with AsyncExitStack() as stack:
            traffic = await _replaying(body, cache, unsent, stack)
            async with aclosing(body.results(unsent or {"grader": Unsent()})) as results:
                async for _ in results:
                    datapoints += 1
            replayed = traffic.replayed

    try:
        execute(count())
    finally:
        cache.end(2, whole=False, locked=False)
    for role, one in unsent.items():
        print_prompt(role, list(one.first))
    calls = 2 * sum(one.missing for one in unsent.values())
    tokens = sum(one.characters for one in unsent.values()) // CHARACTERS_PER_TOKEN
    cached_ones = f" ({replayed:,} more are cached)" if replayed else ""
    print(
        f"dry run: {plural(datapoints, 'datapoint')}, {plural(body.found.repeats, 'repeat')}, at "
        f"most {plural(calls, 'call')}{cached_ones}, not counting retries; about {tokens:,} prompt "
        f"tokens (characters ÷ {CHARACTERS_PER_TOKEN}, replies not counted). Nothing was sent.",
        file=sys.stderr,
    )


async def _replaying(
    body: GradeAgain, cache: RunCache, unsent: Mapping[str, Unsent], stack: AsyncExitStack
) -> Traffic:
    """Put the cache, if it exists, behind the stand-ins for the roles."""
    if not (body.roles and cache.exists):
        return Traffic()
    calls = cache.open()
    with suppress(UsageError):  # it may not know which model an endpoint serves
        engine = await stack.enter_async_context(
            open_engine(body.settings, body.roles, {}, body.display, calls)
        )
        cache.begin(_place(body), engine.shaping)
        for role, completer in completers_of(engine, body.roles).items():
            unsent[role].inner = completer
        return engine.limits.traffic
    return Traffic()
