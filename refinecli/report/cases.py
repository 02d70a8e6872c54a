"""Turn one datapoint of an output file into a Case: its way from the first response to the one
returned.

No text is kept: a hundred thousand datapoints with four iterations each take some hundred
megabytes, not the gigabytes of their file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, TypeAlias

from refinecli.checks.kinds import ANSWER_CHECKS
from refinecli.data.repeats import Occurrences
from refinecli.refining.strategies import STRATEGIES
from refinecli.report.rubric_copying import convo_of, copied_phrases
from refinecli.text.json_text import canonical, digest
from refinecli.text.words import count_words
from refinecli.types import JSONObject, juror_in

Key: TypeAlias = tuple[str | int, int]  # a datapoint's id, and how many earlier rows have it


@dataclass(frozen=True, slots=True)
class Item:
    """The facts about a rubric item that tables need; `named` by its author, not by its place."""

    name: str
    reveal: str
    weight: float
    required: bool
    by_code: bool
    pass_score: float = 1.0
    named: bool = True


@dataclass(frozen=True, slots=True)
class Mark:
    """An item's grade of one response; empty where it is ungraded, or was `skipped`."""

    score: float | None = None
    passed: bool | None = None
    skipped: bool = False


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
    """One iteration without its texts; `decided` if its grades or a selector settled its
    acceptance, `chosen` if an adaptive loop took it rather than another step."""

    parent: int | None
    role: str
    score: float | None
    accepted: bool
    decided: bool
    marks: tuple[Mark, ...]
    characters: int
    spent: Spent
    winner: str | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One datapoint's way from its first response to the one returned.

    A datapoint that was only graded has a single step and is not `refined`. `fresh` and
    `fresh_marks` are from a later `grade` of the returned response; `copied` says that this
    response has a long phrase of the rubric which is in neither the first response nor the prompt.
    `prompt` and `rubric` are digests: an id alone does not make two datapoints the same. `answer`
    is one of the returned response, which has `words`; `asks` has one for each item, of what its
    grade depends on. `place` is that among the rows that were worked on, from 0, and `line` the
    number of its line.
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
    fresh_passed: bool = False
    copied: bool = False
    prompt: str = ""
    rubric: str = ""
    place: int = 0
    line: int = 0
    answer: int = 0
    words: int = 0
    asks: tuple[int, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def first(self) -> float | None:
        return self.steps[0].score if self.refined else None

    @property
    def final(self) -> float | None:
        return self.steps[self.best].score

    @property
    def gated(self) -> bool:
        """True where the response failed before all of its items were asked about."""
        return any(mark.skipped for mark in self.steps[self.best].marks)

    @property
    def fresh_gated(self) -> bool:
        """True where it did so in a later `grade`."""
        return any(mark.skipped for mark in self.fresh_marks)

    @property
    def cluster(self) -> str | int | tuple[str, str | int]:
        """The unit that varies independently: its group, or all rows with its id."""
        return self.key[0] if self.group is None else ("group", self.group)


# Strategies without a grader in their loop: the response is not returned for its score.
UNGRADED_LOOPS = tuple(name for name, loop in STRATEGIES.items() if not loop.by_grade)


# ------------------------------------------------------------------ from a row


def strategy_of(result: JSONObject) -> str:
    return str(result.get("strategy") or "refine")


def models_of(result: JSONObject) -> dict[str, str]:
    models = result.get("models")
    return {k: str(v) for k, v in models.items()} if isinstance(models, dict) else {}


def grader_of(models: Mapping[str, str]) -> str:
    """Return the grader's model, or the jurors'; empty where code grades everything."""
    jurors = [model for role, model in models.items() if juror_in(role)]
    return f"a jury of {' and '.join(jurors)}" if jurors else models.get("grader", "")


def key_of(row: JSONObject, occurrences: Occurrences) -> Key:
    name = row.get("id")
    if not isinstance(name, str | int):
        name = digest(convo_of(row))  # not of the rubric, which may be edited between two runs
    return name, occurrences.next(name)


def case_of(row: JSONObject, result: JSONObject, key: Key, place: int = 0, line: int = 0) -> Case:
    items = tuple(_item(item, index) for index, item in enumerate(row.get("rubric_items") or ()))
    group = row.get("group")
    refined = isinstance(row.get("refinement"), dict)
    strategy = strategy_of(result)
    grading = row.get("grading")
    later = grading if refined and isinstance(grading, dict) else None
    if refined:
        steps, best = _steps(result, items, by_score=strategy not in UNGRADED_LOOPS)
        first, final = (result["iterations"][at]["response"] for at in (0, best))
    else:
        first = final = row.get("response") or ""
        single = {"score": row.get("score"), "response": final, "accepted": True}
        steps, best = (_step({**single, **result, "role": "input"}, items, True),), 0
    marks, fresh_marks = steps[best].marks, _marks(later, items) if later else ()
    return Case(
        key=key,
        group=group if isinstance(group, str | int) else None,
        items=items,
        steps=steps,
        best=best,
        refined=refined,
        passed=_stated(result, lambda: _stopped_passed(result, strategy, _passed(items, marks))),
        spent=_spent(result.get("usage")),
        fresh=_number(row.get("score")) if later else None,
        fresh_marks=fresh_marks,
        fresh_passed=_stated(later, lambda: _passed(items, fresh_marks)) if later else False,
        copied=copied_phrases(row, first, final),
        prompt=digest(convo_of(row)),
        rubric=digest(row.get("rubric_items") or []),
        place=place,
        line=line,
        answer=_number_of(final),
        words=_words(final),
        asks=_shared_asks(tuple(map(_asked_for, row.get("rubric_items") or ()))),
        tags=_tags(row.get("tags")),
    )


# What an item's grade depends on, besides the response: its weight and what passes do not.
_ASKED = (
    *("rubric_str", "extraction_regex", "grader_output_format_instruction", "score_range"),
    *("choices", "examples", "check"),
)


def _asked_for(item: JSONObject) -> int:
    return _number_of(canonical([item.get(name) for name in _ASKED]))


def _number_of(text: str | bytes) -> int:
    """Return a digest of 64 bits; it takes a quarter of the memory of its hexadecimal digits."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def _tags(tags: object) -> tuple[str, ...]:
    found = tags if isinstance(tags, list) else [tags] if isinstance(tags, str) else []
    return _shared_tags(tuple(str(tag) for tag in found))


def _words(text: str) -> int:
    # Scripts without spaces take a dictionary, ten times as long.
    return len(text.split()) if text.isascii() else count_words(text)


def _steps(
    result: JSONObject, items: Sequence[Item], *, by_score: bool
) -> tuple[tuple[Step, ...], int]:
    """Return the iterations of a refinement, and which of them is returned."""
    steps = tuple(_step(iteration, items, by_score) for iteration in result["iterations"])
    best = int(result["best_iteration"])
    _check_order(steps, best)
    return steps, best


def _check_order(steps: Sequence[Step], best: int) -> None:
    """Check that each response has an earlier parent, and that the best one exists."""
    for number, step in enumerate(steps):
        if step.parent is not None and not 0 <= step.parent < number:
            raise ValueError(f"iteration {number} cannot have {step.parent} as its parent")
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
        1.0 if item.get("pass_score") is None else float(item["pass_score"]),
        item.get("name") is not None,
    )


# Thousands of datapoints share a few items, marks and the like.
_shared_item = lru_cache(maxsize=4096)(Item)
_shared_mark = lru_cache(maxsize=4096)(Mark)
_shared_asks = lru_cache(maxsize=4096)(tuple[int, ...])
_shared_tags = lru_cache(maxsize=4096)(tuple[str, ...])


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
        chosen="choice" in iteration,
    )


def _marks(graded: JSONObject, items: Sequence[Item]) -> tuple[Mark, ...]:
    marks = [Mark()] * len(items)
    for grade in graded.get("grades") or ():
        marks[grade["item"]] = _shared_mark(
            _number(grade.get("score")), grade.get("passed"), grade.get("status") == "skipped"
        )
    return _shared_marks(tuple(marks))


@lru_cache(maxsize=65536)
def _shared_marks(marks: tuple[Mark, ...]) -> tuple[Mark, ...]:
    return marks


def _number(value: object) -> float | None:
    """Return a score; raise ValueError for one that no rubric gives."""
    if not isinstance(value, int | float):
        return None
    if not -_MOST_WEIGHT <= value <= 1 + _ROUNDING:
        raise ValueError(f"{str(value)[:20]} is not a score")
    return float(value)


# An item's weight is at most this, and a score counts in units of the positive weights.
_MOST_WEIGHT = 1e18
_ROUNDING = 1e-6


def _spent(usage: Any) -> Spent:
    usage = usage or {}
    return Spent(
        _count(usage.get("calls")),
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
    )


_MOST_SPENT = 10**15


def _count(value: Any) -> int:
    count = int(value or 0)
    if not 0 <= count <= _MOST_SPENT:
        raise ValueError(f"{str(value)[:20]} is not a number of calls or tokens")
    return count


def _stated(result: JSONObject, derived: Callable[[], bool]) -> bool:
    """Return whether the record says that the response passed; older records do not say."""
    return result["passed"] is True if "passed" in result else derived()


def _stopped_passed(result: JSONObject, strategy: str, by_items: bool) -> bool:
    """Return whether a loop passed; one with grades stops when it does, even by a threshold that is
    not recorded."""
    reason = result.get("stop_reason")
    if reason == "passed":
        return True
    if reason in (None, "failed") or strategy in UNGRADED_LOOPS:
        return by_items
    return False


def _passed(items: Sequence[Item], marks: Sequence[Mark]) -> bool:
    """Return whether every required item passed; with none required, every item."""
    wanted = [mark for item, mark in zip(items, marks, strict=True) if item.required]
    return bool(marks) and all(mark.passed for mark in wanted or marks)
