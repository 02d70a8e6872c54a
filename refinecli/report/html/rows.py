"""Turn a line of a run's file into a row of the page's table.

The file may be foreign: whatever is missing or has another shape is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

from refinecli.prompts import message_text
from refinecli.report.html.details import conversation
from refinecli.report.html.text import fields, rows
from refinecli.text.clean import one_line
from refinecli.types import JSONObject

_PROMPT = 120  # characters of a row's prompt
_NAME = 80  # of an item's name, an id
_TAG = 60

Outcome: TypeAlias = Literal[
    "fixed", "broken", "better", "worse", "same", "ungraded", "failed", "graded", "gated"
]


class Row(NamedTuple):
    """A datapoint in the table. `marks` has a sign for each of its `items`: `p` passed, `0` to `9`
    failed with that number of tenths, `u` ungraded, `s` skipped, `-` unknown. `before` is what the
    older of two runs has: the score, whether it passed, and a sign for each of `items`."""

    place: int
    id: str
    prompt: str
    group: str
    tags: tuple[str, ...]
    first: float | None
    final: float | None
    outcome: Outcome
    stopped: str
    iterations: int
    tokens: int
    passed: bool | None = None
    items: tuple[str, ...] = ()
    marks: str = ""
    before: tuple[float | None, bool | None, str] | None = None


def row_of(index: int, record: JSONObject) -> Row:
    refinement = fields(record.get("refinement"))
    made = refinement or fields(record.get("grading"))
    iterations = rows(refinement.get("iterations"))
    first, final = rounded(refinement.get("initial_score")), rounded(record.get("score"))
    usage = fields(made.get("usage"))
    tokens = [usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
    convo = conversation(record)
    error = fields(record.get("error"))
    line = error.get("line")
    given_id = record.get("id")
    items = rows(record.get("rubric_items"))
    outcome = _outcome(record, first, final)
    return Row(
        place=index,
        id=datapoint_name(given_id if given_id is not None else f"line {line or index + 1}"),
        prompt=one_line(message_text(convo[-1])[: 4 * _PROMPT], _PROMPT) if convo else "",
        group=one_line(str(record["group"]), _TAG) if record.get("group") is not None else "",
        tags=_tags(record.get("tags")),
        first=first,
        final=final,
        outcome=outcome,
        stopped=one_line(str(error.get("type") or refinement.get("stop_reason") or ""), 40),
        iterations=len(iterations),
        tokens=sum(n for n in tokens if isinstance(n, int)),
        passed=None if outcome == "failed" else _passed(record),
        items=_names(tuple(str(item.get("name") or f"item-{n}") for n, item in enumerate(items))),
        marks=_marks(items, _final_grades(record)),
    )


def rounded(value: object) -> float | None:
    """Return a score with as many digits as a page needs."""
    return round(value, 4) if isinstance(value, int | float) else None


def _tags(value: object) -> tuple[str, ...]:
    parts = value if isinstance(value, list) else [value]
    return tuple(one_line(str(part), _TAG) for part in parts if part is not None)


@lru_cache(maxsize=4096)  # thousands of datapoints share a rubric
def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(item_name, names))


def item_name(name: object) -> str:
    """Return an item's name as the page has it."""
    return one_line(str(name), _NAME)


def datapoint_name(name: object) -> str:
    """Return a datapoint's id as the page has it."""
    return one_line(str(name), _NAME)


# ------------------------------------------------------------------ how it ended


def _outcome(record: JSONObject, first: float | None, final: float | None) -> Outcome:
    refinement = fields(record.get("refinement"))
    made = refinement or fields(record.get("grading"))
    status = made.get("status")
    if record.get("error") or status == "failed":
        return "failed"
    if final is None and status == "done" and _skipped(made):
        return "gated"
    if status == "ungraded" or final is None:
        return "ungraded"
    if first is None:
        return "graded"
    before, after = _passed_before_and_after(record)
    if before is not None and after is not None and before != after:
        return "fixed" if after else "broken"
    return "same" if first == final else "better" if final > first else "worse"


def _skipped(graded: JSONObject) -> bool:
    return any(grade.get("status") == "skipped" for grade in rows(graded.get("grades")))


def _passed_before_and_after(record: JSONObject) -> tuple[bool | None, bool | None]:
    """Return whether the first and the returned response passed; None where that is unknown.

    Older records do not say so, nor the threshold, only whether a loop stopped at a pass.
    """
    refinement = fields(record.get("refinement"))
    iterations = rows(refinement.get("iterations"))
    best = _best(record)
    if not iterations or not best:
        return None, None
    if "passed" in iterations[0] and "passed" in best:
        return iterations[0]["passed"], best["passed"]
    required = _required(record)
    before, after = (_all_passed(i, required) for i in (iterations[0], best))
    if refinement.get("stop_reason") == "passed":
        return best is iterations[0] or before, True
    return before, after


def _best(record: JSONObject) -> JSONObject:
    """Return the iteration that was returned; empty where there is none."""
    refinement = fields(record.get("refinement"))
    number = refinement.get("best_iteration")
    return next((i for i in rows(refinement.get("iterations")) if i.get("iteration") == number), {})


def _required(record: JSONObject) -> list[bool]:
    return [item.get("required") is True for item in rows(record.get("rubric_items"))]


def _all_passed(iteration: JSONObject, required: Sequence[bool]) -> bool | None:
    grades = rows(iteration.get("grades"))
    if any(required) and len(required) == len(grades):
        grades = [grade for grade, counts in zip(grades, required, strict=True) if counts]
    verdicts = [grade.get("passed") for grade in grades]
    return None if None in verdicts or not verdicts else all(verdicts)


def _passed(record: JSONObject) -> bool | None:
    """Return whether the returned response passes by its latest grades."""
    for name in ("grading", "refinement"):
        made = fields(record.get(name))
        if not made:
            continue
        if isinstance(stated := made.get("passed"), bool):
            return stated
        if _skipped(made):
            return False
        return (
            _all_passed(made, _required(record))
            if name == "grading"
            else _passed_before_and_after(record)[1]
        )
    return None


# ------------------------------------------------------------------ its items


def _final_grades(record: JSONObject) -> list[JSONObject]:
    """Return the grades of the returned response, those of a later `grade` if there are any."""
    later = rows(fields(record.get("grading")).get("grades"))
    return later or rows(_best(record).get("grades"))


def _marks(items: Sequence[JSONObject], grades: Sequence[JSONObject]) -> str:
    signs = ["-"] * len(items)
    for grade in grades:
        place = grade.get("item")
        if isinstance(place, int) and 0 <= place < len(signs):
            signs[place] = _sign(grade, items[place])
    return "".join(signs)


def _sign(grade: JSONObject, item: JSONObject) -> str:
    weight = item.get("weight")
    return sign(
        grade.get("passed"),
        grade.get("score"),
        skipped=grade.get("status") == "skipped",
        penalty=isinstance(weight, int | float) and weight < 0,
    )


def sign(passed: object, score: object, *, skipped: bool, penalty: bool) -> str:
    """Return the sign of a grade; a penalty that applies in full fails in full."""
    if passed is None:
        return "s" if skipped else "u"
    if passed:
        return "p"
    if not isinstance(score, int | float):
        return "0"
    return str(max(0, min(9, int(10 * (1 - score if penalty else score)))))


def failures(found: Iterable[Row]) -> Counter[str]:
    """Count, for each item, the datapoints whose returned response fails it."""
    return Counter(
        name
        for row in found
        for name in {n for n, sign in zip(row.items, row.marks, strict=True) if sign.isdigit()}
    )
