"""What is written: the guide's table names all fields of an output line, and no others."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from refinecli.data.output_lines import Provenance, graded, refined
from refinecli.types import (
    Alternative,
    Choice,
    Failure,
    Grade,
    Iteration,
    Refinement,
    Selection,
    Usage,
)
from tests.support.fakes import datapoint

PAGE = Path(__file__).parents[3] / "refinecli" / "guide" / "data.md"
MADE_WITH = Provenance({"policy": "m"}, "digest", {"policy.system": "Be brief."})
USAGE = Usage(1, 2, 3, 4, 5)
# What stands in the same cells beside fields: the values that some of them take.
VALUES = {
    *("done", "ungraded", "failed", "graded", "skipped"),
    *("policy", "reviser", "critic", "input"),
    *("llm", "check", "empty", "--repeats", "adaptive"),
}
VOTE = Grade(
    *(0, "tone", 1.0, 1.0, True, "llm", "Good.", "<score>1</score>"), juror="strict", repeat=0
)
WHOLE = Grade(
    *(0, "tone", None, None, None, "llm", None, "?"),
    error=Failure("no_score", "there is no score in it"),
    votes=(VOTE,),
    mass=0.9,
    probabilities={"yes": 1.0},
)


LEFT = Alternative(0, 0.004, 100.0)


def a_refinement() -> Refinement:
    iteration = Iteration(
        *(0, None, "policy", "text", None, True, "stop", (WHOLE,), None, USAGE, "Hm."),
        Selection(("new", "new"), ("Better.", "Better.")),
        choice=Choice(0.1, 100.0, None),
    )
    failure = Failure("timeout", "no answer", "reviser")
    return Refinement("failed", "failed", (iteration,), 0, False, failure, USAGE, declined=LEFT)


def listed() -> dict[str, set[str]]:
    """The fields that the guide's second table of results names, by where they are."""
    section = PAGE.read_text("utf-8").split("## What comes out\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", section, re.MULTILINE)
    return {place: set(re.findall("`([^`]+)`", text)) - VALUES for place, text in rows}


def test_the_guide_names_every_field_that_is_written() -> None:
    record: dict[str, Any] = refined({}, a_refinement(), MADE_WITH).record["refinement"]
    (iteration,) = record["iterations"]
    (grade,) = iteration["grades"]
    assert listed() == {
        "refinement": record.keys() | record["declined"].keys(),
        "iterations": iteration.keys() | iteration["selection"].keys() | iteration["choice"].keys(),
        "grades": grade.keys() | grade["votes"][0].keys(),
        "usage": record["usage"].keys(),
    }


def test_what_grade_writes_has_the_same_shapes() -> None:
    record = graded({}, datapoint(), (WHOLE,), USAGE, MADE_WITH).record
    assert record.keys() == {"score", "grading"}
    assert record["grading"].keys() == {
        *("status", "passed", "grades", "usage", "models", "settings", "shaped_by")
    }
    assert record["grading"]["usage"].keys() == listed()["usage"]


def test_passed_stands_in_results_and_graded_iterations_and_is_null_while_open() -> None:
    whole = a_refinement()
    bare = replace(whole.best, grades=())
    made = replace(whole, iterations=(whole.best, bare), passed=None)
    record = refined({}, made, MADE_WITH).record["refinement"]
    assert record["passed"] is None
    assert [iteration.get("passed", "absent") for iteration in record["iterations"]] == [
        None,
        "absent",
    ]
    assert graded({}, datapoint(), (WHOLE,), USAGE, MADE_WITH).record["grading"]["passed"] is None


def test_a_grading_passes_by_the_threshold() -> None:
    half = Grade(0, "tone", 0.5, 0.5, False, "llm")
    for threshold, passed in ((None, False), (0.5, True), (0.6, False)):
        outcome = graded({}, datapoint(), (half,), USAGE, MADE_WITH, threshold)
        assert outcome.passed is passed
        assert outcome.record["grading"]["passed"] is passed
