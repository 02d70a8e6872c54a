"""A file that `refine` or `grade` wrote, as a Run: one compact Case a datapoint, streamed.

No text is kept: a hundred thousand datapoints with four iterations each take some hundred
megabytes, not the gigabytes that their file has.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

from refinecli.checks import ANSWER_CHECKS
from refinecli.errors import InputError, UsageError
from refinecli.jsonl import canonical, digest, loads
from refinecli.occurrences import Occurrences
from refinecli.report.phrases import convo_of, copied_phrases
from refinecli.strategies import STRATEGIES
from refinecli.streams import Source
from refinecli.types import JSONObject

Key: TypeAlias = tuple[str | int, int]  # a datapoint's id, and how many rows before have it


@dataclass(frozen=True, slots=True)
class Item:
    """What tables need of a rubric item."""

    name: str
    reveal: str
    weight: float
    required: bool
    by_code: bool


@dataclass(frozen=True, slots=True)
class Mark:
    """An item's grade of one response; nothing where it is ungraded."""

    score: float | None = None
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls and tokens, grader calls included."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration without its texts; `decided` where its grades or a selector accepted it or did
    not."""

    parent: int | None
    role: str
    score: float | None
    accepted: bool
    decided: bool
    marks: tuple[Mark, ...]
    characters: int
    spent: Spent
    winner: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One datapoint's way from its first response to the one returned.

    One that was only graded has a single step and is not `refined`. `fresh` and `fresh_marks` are
    what a later `grade` made of the returned response, and `copied` tells whether that one holds a
    long phrase of the rubric which neither the first response nor the prompt has. `prompt` and
    `rubric` are digests: an id alone does not make two datapoints the same.
    """

    key: Key
    group: str | int | None
    items: tuple[Item, ...]
    steps: tuple[Step, ...]
    best: int
    refined: bool
    passed: bool
    spent: Spent
    fresh: float | None = None
    fresh_marks: tuple[Mark, ...] = ()
    copied: bool = False
    prompt: str = ""
    rubric: str = ""

    @property
    def first(self) -> float | None:
        return self.steps[0].score if self.refined else None

    @property
    def final(self) -> float | None:
        return self.steps[self.best].score

    @property
    def fresh_passed(self) -> bool:
        return _passed(self.items, self.fresh_marks)

    @property
    def cluster(self) -> str | int | tuple[str, str | int]:
        """What varies by itself: its group, or all rows with its id."""
        return self.key[0] if self.group is None else ("group", self.group)


# Strategies without a grader in their loop: it is not by its score that a response is returned.
UNGRADED_LOOPS = tuple(name for name, loop in STRATEGIES.items() if not loop.by_grade)


@dataclass(frozen=True, slots=True)
class Run:
    """One file, read."""

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
    fresh_grader: str  # of a later `grade`
    failures: dict[str, int]  # what those that failed failed by

    @property
    def only_drafts(self) -> bool:
        """Whether all it did was to draw several responses and keep the best."""
        several = any(len(case.steps) > 1 for case in self.cases)
        return several and all(step.parent is None for case in self.cases for step in case.steps)

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
            "calls": self.spent.calls,
            "prompt_tokens": self.spent.prompt_tokens,
            "completion_tokens": self.spent.completion_tokens,
        }


def read_run(path: str, label: str | None = None) -> Run:
    """The run whose output is at `path` (`-` is standard input)."""
    source = Source(path)
    gathered = _Gathered()
    for number, line in source.read():
        _add(gathered, line, f"{source.name}:{number}", number)
    if not gathered.cases and not gathered.counts["failed"]:
        raise UsageError(
            f"{source.name}: no datapoint in it was refined or graded",
            "report reads what `refinecli refine` or `refinecli grade` wrote",
        )
    day = _day(source.path, label)
    counts = gathered.counts
    return Run(
        file=source.name,
        label=label or (source.path.name if source.path else "stdin"),
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
    )


def responses(run: Run, chosen: Callable[[Case], int]) -> Iterator[tuple[Case, str]]:
    """Each datapoint with the text of one of its responses: the file is read once more."""
    cases = iter(run.cases)
    for _, line in Source(run.file).read():
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
    graders: Counter[str] = field(default_factory=Counter)
    fresh_graders: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    spent: Spent = field(default_factory=Spent)
    occurrences: Occurrences = field(default_factory=Occurrences)


def _add(gathered: _Gathered, line: bytes, where: str, number: int) -> None:
    try:
        row = loads(line)
    except ValueError as error:
        raise InputError(f"not JSON: {error}", "is the file whole?", where=where) from None
    if not isinstance(row, dict):
        raise InputError("expected a JSON object", where=where, line=number)
    result, status = _result(row)
    try:
        key = _key(row, gathered.occurrences)  # one that failed has its turn in another run
        if status == "failed":
            gathered.failures[str((row.get("error") or {}).get("type") or "unknown")] += 1
        if result is None:
            gathered.counts[status] += 1
            return
        case = _case(row, result, key)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not a line that refine or grade wrote: {type(error).__name__}: {error}",
            where=where,
            line=number,
        ) from None
    gathered.counts[status] += 1
    gathered.cases.append(case)
    gathered.spent += case.spent
    gathered.strategies[_strategy(result) if case.refined else "grade"] += 1
    models = _models(result)
    gathered.models[canonical(models).decode()] += 1
    gathered.graders[models.get("grader", "")] += 1
    if case.fresh is not None:
        gathered.fresh_graders[_models(row["grading"]).get("grader", "")] += 1
    gathered.settings[str(result.get("settings") or "")] += 1


def _result(row: JSONObject) -> tuple[JSONObject | None, str]:
    """What a row says of itself: its refinement or its grading, and how it ended."""
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


def _strategy(result: JSONObject) -> str:
    return str(result.get("strategy") or "refine")


def _models(result: JSONObject) -> dict[str, str]:
    models = result.get("models")
    return {k: str(v) for k, v in models.items()} if isinstance(models, dict) else {}


_DATE = re.compile(r"\d{4}-\d\d(-\d\d)?")


def _day(path: Path | None, label: str | None) -> str:
    """The label where it is a date, else the day when the file was written."""
    if label and (found := _DATE.match(label)):
        return found[0]
    if path is None or not path.is_file():
        return date.today().isoformat()
    return datetime.fromtimestamp(path.stat().st_mtime).date().isoformat()


# ------------------------------------------------------------------ a datapoint


def _key(row: JSONObject, occurrences: Occurrences) -> Key:
    name = row.get("id")
    if not isinstance(name, str | int):
        name = digest([convo_of(row), len(row.get("rubric_items") or ())])
    return name, occurrences.next(name)


def _case(row: JSONObject, result: JSONObject, key: Key) -> Case:
    items = tuple(_item(item, index) for index, item in enumerate(row.get("rubric_items") or ()))
    group = row.get("group")
    refined = isinstance(row.get("refinement"), dict)
    strategy = _strategy(result)
    grading = row.get("grading")
    again = grading if refined and isinstance(grading, dict) else None
    if refined:
        by_score = strategy not in UNGRADED_LOOPS
        steps = tuple(_step(iteration, items, by_score) for iteration in result["iterations"])
        best = int(result["best_iteration"])
        _check_order(steps, best)
        final = result["iterations"][best]["response"]
        copied = copied_phrases(row, result["iterations"][0]["response"], final)
    else:
        response = row.get("response")
        single = {"score": row.get("score"), "response": response or "", "accepted": True}
        steps = (_step({**single, **result, "role": "input"}, items, True),)
        best, copied = 0, False
    marks = steps[best].marks
    return Case(
        key=key,
        group=group if isinstance(group, str | int) else None,
        items=items,
        steps=steps,
        best=best,
        refined=refined,
        passed=_stopped_passed(result, strategy, _passed(items, marks)),
        spent=_spent(result.get("usage")),
        fresh=_number(row.get("score")) if again else None,
        fresh_marks=_marks(again, items) if again else (),
        copied=copied,
        prompt=digest(convo_of(row)),
        rubric=digest(row.get("rubric_items") or []),
    )


def _check_order(steps: Sequence[Step], best: int) -> None:
    """A response comes of an earlier one, and one of them is returned."""
    for number, step in enumerate(steps):
        if step.parent is not None and not 0 <= step.parent < number:
            raise ValueError(f"iteration {number} cannot come of {step.parent}")
    if not 0 <= best < len(steps):
        raise ValueError(f"there is no iteration {best}")


def _item(item: JSONObject, index: int) -> Item:
    check = item.get("check")
    kind = check.get("kind") if isinstance(check, dict) else None
    reveal = item.get("reveal") or ("verdict" if kind in ANSWER_CHECKS else "full")
    weight = item.get("weight")
    return _shared_item(
        str(item.get("name") or f"item-{index}"),
        str(reveal),
        1.0 if weight is None else float(weight),
        bool(item.get("required")),
        check is not None,
    )


# Thousands of datapoints share a few items, marks and the like.
_shared_item = lru_cache(maxsize=4096)(Item)
_shared_mark = lru_cache(maxsize=4096)(Mark)


def _step(iteration: JSONObject, items: Sequence[Item], by_score: bool) -> Step:
    selection = iteration.get("selection")
    parent = iteration.get("parent")
    return Step(
        parent=None if parent is None else int(parent),
        role=str(iteration.get("role", "policy")),
        score=_number(iteration.get("score")),
        accepted=bool(iteration.get("accepted")),
        decided=bool(selection or (by_score and iteration.get("grades"))),
        marks=_marks(iteration, items),
        characters=len(iteration["response"]),
        spent=_spent(iteration.get("usage")),
        winner=str(selection["winner"]) if selection else None,
    )


def _marks(graded: JSONObject, items: Sequence[Item]) -> tuple[Mark, ...]:
    marks = [Mark()] * len(items)
    for grade in graded.get("grades") or ():
        marks[grade["item"]] = _shared_mark(_number(grade.get("score")), grade.get("passed"))
    return _shared_marks(tuple(marks))


@lru_cache(maxsize=65536)
def _shared_marks(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return marks


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _spent(usage: Any) -> Spent:
    usage = usage or {}
    return Spent(
        int(usage.get("calls") or 0),
        int(usage.get("prompt_tokens") or 0),
        int(usage.get("completion_tokens") or 0),
    )


def _stopped_passed(result: JSONObject, strategy: str, by_items: bool) -> bool:
    """A loop with grades stops as soon as it has passed, by a threshold too that stands nowhere."""
    reason = result.get("stop_reason")
    if reason == "passed":
        return True
    if reason in (None, "failed") or strategy in UNGRADED_LOOPS:
        return by_items
    return False


def _passed(items: Sequence[Item], marks: Sequence[Mark]) -> bool:
    """Every required item passed; with none, every item."""
    wanted = [mark for item, mark in zip(items, marks, strict=True) if item.required]
    return bool(marks) and all(mark.passed for mark in wanted or marks)
