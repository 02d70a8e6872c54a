"""Read a file that `refine` or `grade` wrote as a Run: one compact Case a datapoint, streamed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from refinecli.data.repeats import Occurrences
from refinecli.data.sources import LINE_BYTES, Source
from refinecli.errors import InputError, UsageError
from refinecli.refining.strategies import STRATEGIES
from refinecli.report.cases import Case, Spent, case_of, grader_of, key_of, models_of, strategy_of
from refinecli.text.json_text import canonical, loads
from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class Run:
    """The contents of one output file."""

    file: str
    label: str
    date: str
    strategy: str
    models: dict[str, str]
    settings: str
    datapoints: int
    done: int
    ungraded: int
    failed: int
    skipped: int
    spent: Spent
    cases: tuple[Case, ...]
    grader: str
    fresh_grader: str  # from a later `grade`
    failures: dict[str, int]  # failed datapoints by type of error
    shaped_by: JSONObject = field(default_factory=dict)  # what was set, where it is recorded
    given: str = ""  # `file` as it was given: a URL may hold credentials, which are not shown

    def source(self) -> Source:
        """Return the lines of its file once more, if it is rereadable."""
        return Source(self.given or self.file, most=None)

    @property
    def gated(self) -> int:
        """The number of datapoints that failed before all of their items were asked about."""
        return sum(case.gated for case in self.cases)

    @property
    def only_drafts(self) -> bool:
        """True if it could only draw responses and keep the best, and drew several.

        Its strategy and settings decide: a loop that could have rewritten, and happened not to, is
        not resampling.
        """
        loop = STRATEGIES.get(self.strategy)
        if loop is None or not loop.by_grade:
            return False
        rewrites = "reviser" in loop.roles and self.shaped_by.get("refine.max_iterations") != 0
        return not rewrites and any(len(case.steps) > 1 for case in self.cases)

    def record(self) -> JSONObject:
        return {
            "file": self.file,
            "label": self.label,
            "date": self.date,
            "strategy": self.strategy,
            "models": self.models,
            "settings": self.settings,
            "datapoints": self.datapoints,
            "done": self.done,
            "ungraded": self.ungraded,
            "failed": self.failed,
            "skipped": self.skipped,
            **({"gated": gated} if (gated := self.gated) else {}),
            "calls": self.spent.calls,
            "prompt_tokens": self.spent.prompt_tokens,
            "completion_tokens": self.spent.completion_tokens,
        }


def read_run(path: str, label: str | None = None, most: int | None = LINE_BYTES) -> Run:
    """Read the run whose output is at `path` (`-` is standard input); a line has `most` bytes."""
    source = Source(path, most=most)
    gathered = _Gathered()
    for number, line in source.read():
        _add(gathered, line, f"{source.name}:{number}", number)
    if not gathered.cases and not gathered.counts["failed"]:
        raise UsageError(
            f"{source.name}: it has no refined or graded datapoint",
            "give report the output of `refinecli refine` or `refinecli grade`",
        )
    day = _day(source.path, label)
    named = source.path or (Path(source.remote.path) if source.remote else None)
    counts = gathered.counts
    return Run(
        file=source.name,
        label=label or (named.name if named else "stdin"),
        date=day,
        strategy=_common(gathered.strategies),
        models=loads(_common(gathered.models, "{}").encode()) if len(gathered.models) < 2 else {},
        settings=_common(gathered.settings),
        datapoints=sum(counts.values()) - counts["skipped"],
        done=counts["done"],
        ungraded=counts["ungraded"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        spent=gathered.spent,
        cases=tuple(gathered.cases),
        grader=_common(gathered.graders),
        fresh_grader=_common(gathered.fresh_graders),
        failures=dict(gathered.failures.most_common()),
        shaped_by=loads(_common(gathered.shaped_by, "{}").encode())
        if len(gathered.shaped_by) < 2
        else {},
        given=source.given,
    )


def responses(run: Run, chosen: Callable[[Case], int]) -> Iterator[tuple[Case, str]]:
    """Yield each datapoint with the text of one of its responses, reading the file once more."""
    cases = iter(run.cases)
    for _, line in run.source().read():
        row = loads(line)
        if _result(row)[0] is None:
            continue
        case = next(cases)
        if case.refined:
            yield case, row["refinement"]["iterations"][chosen(case)]["response"]
        else:
            yield case, row.get("response") or ""


# ------------------------------------------------------------------ a file


@dataclass(slots=True)
class _Gathered:
    cases: list[Case] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    strategies: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    settings: Counter[str] = field(default_factory=Counter)
    shaped_by: Counter[str] = field(default_factory=Counter)
    graders: Counter[str] = field(default_factory=Counter)
    fresh_graders: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    spent: Spent = field(default_factory=Spent)
    occurrences: Occurrences = field(default_factory=Occurrences)

    @property
    def worked_on(self) -> int:
        """The number of rows so far that a model could be asked about."""
        unreadable = self.failures["input"] + self.counts["skipped"]
        return sum(self.counts.values()) - unreadable


# Raised by a row whose fields are not of the kinds that refine and grade write.
_ODD = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def _add(gathered: _Gathered, line: bytes, where: str, number: int) -> None:
    try:
        row = loads(line)
    except ValueError as error:
        raise InputError(
            f"not JSON: {error}", "check that the file is complete", where=where
        ) from None
    if not isinstance(row, dict):
        raise InputError("expected a JSON object", where=where, line=number)
    result, status = _result(row)
    try:
        key = key_of(row, gathered.occurrences)  # counted first: in another run it may not fail
        if status == "failed":
            gathered.failures[str((row.get("error") or {}).get("type") or "unknown")] += 1
        if result is None:
            gathered.counts[status] += 1
            return
        case = case_of(row, result, key, gathered.worked_on, number)
    except _ODD as error:
        raise InputError(
            f"not an output line of refine or grade: {type(error).__name__}: {error}",
            where=where,
            line=number,
        ) from None
    gathered.counts[status] += 1
    gathered.cases.append(case)
    gathered.spent += case.spent
    gathered.strategies[strategy_of(result) if case.refined else "grade"] += 1
    models = models_of(result)
    gathered.models[canonical(models).decode()] += 1
    gathered.graders[grader_of(models)] += 1
    if case.fresh is not None:
        gathered.fresh_graders[grader_of(models_of(row["grading"]))] += 1
    gathered.settings[str(result.get("settings") or "")] += 1
    shaped_by = result.get("shaped_by")
    gathered.shaped_by[canonical(shaped_by if isinstance(shaped_by, dict) else {}).decode()] += 1


def _result(row: JSONObject) -> tuple[JSONObject | None, str]:
    """Return a row's refinement or grading, and how it ended."""
    for name in ("refinement", "grading"):
        result = row.get(name)
        if isinstance(result, dict):
            status = str(result.get("status", "done"))
            return result, status if status in ("done", "ungraded", "failed") else "done"
    if isinstance(row.get("error"), dict):
        return None, "failed"
    if isinstance(row.get("score"), int | float):
        return {}, "done"
    return None, "skipped"


def _common(counter: Counter[str], otherwise: str = "") -> str:
    return "mixed" if len(counter) > 1 else next(iter(counter), otherwise)


_DATE = re.compile(r"\d{4}-\d\d(-\d\d)?")


def _day(path: Path | None, label: str | None) -> str:
    """Return the label if it is a date, else the day when the file was written."""
    if label and (found := _DATE.match(label)):
        return found[0]
    if path is None or not path.is_file():
        return date.today().isoformat()
    return datetime.fromtimestamp(path.stat().st_mtime).date().isoformat()
