"""Read an output line back into the records that it was made of.

What `output_lines` writes, this reads; a line that another command wrote has no result.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Sequence
from typing import Any, NamedTuple

from refinecli.data.rows import Row
from refinecli.errors import InputError
from refinecli.refining.strategies import STRATEGIES
from refinecli.types import (
    Alternative,
    Choice,
    Datapoint,
    Failure,
    Grade,
    Iteration,
    JSONObject,
    Refinement,
    Selection,
    Usage,
)

# Raised by a line whose fields are not of the kinds that refine and grade write.
_ODD = (AttributeError, IndexError, KeyError, TypeError, ValueError)


class StoredRow(NamedTuple):
    """The contents of one output line: its datapoint, none where it could not be read, and why it
    failed. `refinement` is how its response came about, if `refine` wrote it; `graded` is the
    response as `grade` found it."""

    raw: JSONObject
    datapoint: Datapoint | None
    refinement: Refinement | None = None
    graded: Iteration | None = None
    error: Failure | None = None

    @property
    def models(self) -> dict[str, str]:
        """The models of its results, by role."""
        found: dict[str, str] = {}
        for name in ("refinement", "grading"):
            found |= (self.raw.get(name) or {}).get("models") or {}
        return found

    def shaped_by(self, name: str) -> Any:
        """Return the setting that the row was refined with, None where it was the default."""
        return ((self.raw.get("refinement") or {}).get("shaped_by") or {}).get(name)


def stored_row(row: Row, where: str) -> StoredRow:
    """Return what the line holds; raise InputError if it has odd results."""
    raw = row.raw
    try:
        error = raw.get("error")
        failure = _failure(error) if isinstance(error, dict) else None
        if row.datapoint is None:
            return StoredRow(raw, None, error=failure)
        refinement, grading = raw.get("refinement"), raw.get("grading")
        return StoredRow(
            raw,
            row.datapoint,
            _refinement(refinement, failure) if refinement else None,
            _graded(raw, grading) if grading else None,
            failure,
        )
    except _ODD as odd:
        raise InputError(
            f"not an output line of refine or grade: {type(odd).__name__}: {odd}",
            where=f"{where}:{row.line}",
            line=row.line,
        ) from None


def latest(raw: JSONObject) -> JSONObject | None:
    """Return the line's last result: a grading is later than the refinement next to it."""
    for name in ("grading", "refinement"):
        if isinstance(raw.get(name), dict):
            found: JSONObject = raw[name]
            return found
    return None


def latest_grades(raw: JSONObject) -> Sequence[JSONObject]:
    """Return the grades of the line's response by its last result."""
    result = latest(raw)
    if result is None:
        return ()
    if "iterations" in result:
        result = result["iterations"][result["best_iteration"]]
    grades: Sequence[JSONObject] = result["grades"]
    return grades


def has_failed(raw: JSONObject, item: str | None = None) -> bool:
    """Return whether a line failed, stayed ungraded or did not pass; with an item, whether that
    item's grade did not. A line without a result or an error did not fail: nobody tried."""
    if item is None:
        result = latest(raw)
        if isinstance(raw.get("error"), dict):
            return True
        return result is not None and not (
            result.get("status", "done") == "done" and result.get("passed") is True
        )
    try:
        found = [grade for grade in latest_grades(raw) if grade["name"] == item]
    except _ODD:
        return False
    return any(grade.get("passed") is not True for grade in found)


# ------------------------------------------------------------------ records


def _refinement(record: JSONObject, failure: Failure | None) -> Refinement:
    """Return the record of a refinement; `failure` is that of its line, which says more."""
    strategy = record.get("strategy", "refine")
    if strategy not in STRATEGIES:
        raise ValueError(f"there is no strategy {strategy}")
    declined = record.get("declined")
    best = record["best_iteration"]
    iterations = tuple(map(_iteration, record["iterations"]))
    if not 0 <= best < len(iterations):
        raise ValueError(f"there is no iteration {best}")
    return Refinement(
        status=record["status"],
        stop_reason=record["stop_reason"],
        iterations=iterations,
        best_iteration=best,
        passed=record.get("passed"),
        error=failure if record.get("error") else None,
        usage=_usage(record["usage"]),
        strategy=strategy,
        declined=Alternative(**declined) if declined else None,
    )


def _iteration(record: JSONObject) -> Iteration:
    choice, selection = record.get("choice"), record.get("selection")
    return Iteration(
        iteration=record["iteration"],
        parent=record["parent"],
        role=record["role"],
        response=record["response"],
        score=record["score"],
        accepted=record["accepted"],
        finish_reason=record["finish_reason"],
        grades=tuple(map(_grade, record["grades"])),
        feedback=record["feedback"],
        usage=_usage(record["usage"]),
        reasoning=record.get("reasoning", ""),
        selection=_selection(selection) if selection else None,
        passed=record.get("passed"),
        choice=_choice(choice) if choice else None,
    )


def _graded(raw: JSONObject, grading: JSONObject) -> Iteration:
    return Iteration(
        iteration=0,
        parent=None,
        role="input",
        response=raw.get("response") or "",
        score=raw.get("score"),
        accepted=True,
        finish_reason=None,
        grades=tuple(map(_grade, grading["grades"])),
        feedback=None,
        usage=_usage(grading["usage"]),
        passed=grading.get("passed"),
    )


def _choice(record: JSONObject) -> Choice:
    instead = record.get("instead")
    return Choice(record["gain"], record["cost"], Alternative(**instead) if instead else None)


def _selection(record: JSONObject) -> Selection:
    return Selection(tuple(record["votes"]), tuple(record["reasons"]))


def _grade(record: JSONObject) -> Grade:
    votes, whose = record.get("votes", ()), {key: record[key] for key in ("item", "name", "grader")}
    return Grade(
        item=record["item"],
        name=record["name"],
        grader=record["grader"],
        votes=tuple(_grade({**whose, **vote}) for vote in votes),
        skipped=record.get("status") == "skipped",
        **_verdict(record),
    )


def _verdict(record: JSONObject) -> dict[str, Any]:
    error = record.get("error")
    return {
        "score": record["score"],
        "raw_score": record["raw_score"],
        "passed": record["passed"],
        "feedback": record.get("feedback"),
        "reply": record.get("reply"),
        "error": _failure(error) if error else None,
        "juror": record.get("juror"),
        "repeat": record.get("repeat"),
        "mass": record.get("mass"),
        "probabilities": record.get("probabilities"),
    }


def _usage(record: JSONObject) -> Usage:
    return Usage(**record)


def _failure(record: JSONObject) -> Failure:
    return Failure(
        record.get("type", "failed"), str(record.get("message", "")), record.get("stage", "grader")
    )
