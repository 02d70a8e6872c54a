"""The rows of a page: a datapoint's outcome, and whose details are worth a look."""

from __future__ import annotations

from typing import Any

import pytest

from refinecli.report.html.rows import Row, _outcome, failures, row_of
from refinecli.report.html.run import _worth_a_look
from tests.support.report_files import failed_row, graded_row, row


def outcome(record: dict[str, Any]) -> str:
    found = row_of(0, record)
    assert found.outcome == _outcome(record, found.first, found.final)
    return found.outcome


def refined(*scores: Any, **fields: Any) -> dict[str, Any]:
    record = row(1, scores, **fields)
    record["refinement"]["stop_reason"] = "max_iterations"
    return record


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (refined(0.0, 1.0), "fixed"),
        (refined(1.0, 0.5, best=1), "broken"),
        (refined(0.25, 0.75), "better"),
        (refined(0.75, 0.25, best=1), "worse"),
        (refined(0.5, 0.5), "same"),
        (refined(None, None), "ungraded"),
        (refined(None, 0.5), "graded"),  # there is nothing to compare with
        (graded_row(1, 0.5), "graded"),
        (graded_row(1, None), "ungraded"),
        (failed_row(1), "failed"),
        (refined(0.0, 1.0) | {"error": {"type": "timeout"}}, "failed"),
    ],
)
def test_an_outcome_is_a_change_of_verdict_or_else_of_score(
    record: dict[str, Any], expected: str
) -> None:
    assert outcome(record) == expected


def test_a_failed_status_is_a_failure_and_skipped_grades_are_gated() -> None:
    failed = graded_row(1, 0.5)
    failed["grading"]["status"] = "failed"
    assert outcome(failed) == "failed"
    gated = graded_row(1, None)
    gated["grading"] |= {"status": "done", "grades": [{"status": "skipped"}]}
    assert outcome(gated) == "gated"
    gated["grading"]["grades"] = [{"status": "graded"}]
    assert outcome(gated) == "ungraded"


REQUIRED = ({"name": "a", "required": True}, {"name": "b"})


def test_required_items_alone_decide_a_change_of_verdict() -> None:
    assert outcome(refined([0.0, 0.0], [1.0, 0.0], items=REQUIRED)) == "fixed"
    assert outcome(refined([1.0, 0.0], [1.0, 1.0], items=REQUIRED)) == "better"


def test_a_loop_that_stopped_at_a_pass_has_passed_whatever_its_items_say() -> None:
    stopped = refined(0.25, 0.75)
    stopped["refinement"]["stop_reason"] = "passed"
    assert outcome(stopped) == "fixed"
    first = refined(0.75)
    first["refinement"]["stop_reason"] = "passed"
    assert outcome(first) == "same"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(True, False, "broken"), (False, True, "fixed"), (True, True, "better")],
)
def test_a_record_that_says_whether_each_passed_is_believed(
    before: bool, after: bool, expected: str
) -> None:
    record = refined(0.25, 0.75)
    for iteration, passed in zip(record["refinement"]["iterations"], (before, after), strict=True):
        iteration["passed"] = passed
    assert outcome(record) == expected


def test_a_row_holds_what_the_table_shows() -> None:
    record = refined(0.123_456, 0.75, group="g", tags=["x", None, "y"]) | {"id": 0}
    found = row_of(4, record)
    assert found[:3] == (4, "0", "Question 1?")
    assert (found.group, found.tags, found.first, found.final) == ("g", ("x", "y"), 0.1235, 0.75)
    assert (found.stopped, found.iterations, found.tokens) == ("max_iterations", 2, 200)


def test_without_an_id_a_row_is_named_by_its_line() -> None:
    assert row_of(4, {}).id == "line 5"
    assert row_of(4, {"error": {"type": "input", "line": 9}}).id == "line 9"
    assert row_of(4, {"error": {"type": "input"}}).stopped == "input"


def test_a_prompt_that_begins_with_white_space_is_shown_by_its_words() -> None:
    text = "\n" * 470 + "What is 2 + 2?"
    assert row_of(0, {"convo": [{"role": "user", "content": text}]}).prompt.startswith("What is")
    long = row_of(0, {"convo": [{"role": "user", "content": "x" * 500}]}).prompt
    assert (len(long), long[-1]) == (120, "…")
    assert row_of(0, {}).prompt == ""


# ------------------------------------------------------------------ its items

ITEMS = ({"name": "a"}, {"name": "b"}, {"name": "c", "weight": -1.0})


def test_each_item_has_a_sign_and_a_partial_score_its_tenths() -> None:
    found = row_of(0, refined([1.0, 0.34, None], items=ITEMS))
    assert (found.items, found.marks) == (("a", "b", "c"), "p3u")
    gated = graded_row(1, None)
    gated["grading"]["grades"] = [{"item": 0, "status": "skipped", "passed": None}]
    assert row_of(0, gated).marks == "s"
    assert row_of(0, failed_row(1)).marks == "-"


def test_a_penalty_that_applies_in_full_fails_in_full() -> None:
    record = refined([1.0, 1.0, 1.0], items=ITEMS)
    record["refinement"]["iterations"][0]["grades"][2]["passed"] = False
    assert row_of(0, record).marks == "pp0"


def test_the_grades_of_a_later_grade_count() -> None:
    record = refined(0.0, 0.5) | {"grading": graded_row(1, 1.0)["grading"], "score": 1.0}
    found = row_of(0, record)
    assert (found.marks, found.passed, found.final) == ("p", True, 1.0)


@pytest.mark.parametrize(
    ("record", "passed"),
    [
        (refined(0.0, 1.0), True),
        (refined(0.0, 0.5), False),
        (refined(None), None),
        (graded_row(1, 0.5), False),
        (failed_row(1), None),
    ],
)
def test_a_row_passes_fails_or_is_open(record: dict[str, Any], passed: bool | None) -> None:
    assert row_of(0, record).passed is passed


def test_failures_are_counted_by_item_a_datapoint_once() -> None:
    twice = ({"name": "a"}, {"name": "a"}, {"name": "b"})
    rows = [refined([0.0, 0.0, 1.0], items=twice), refined([0.5, 1.0, None], items=twice)]
    assert failures(row_of(0, one) for one in rows) == {"a": 2}


# ------------------------------------------------------------------ whose details


def found(count: int, outcome: Any = "same", *, first: int = 0, passed: bool = True) -> list[Row]:
    """Rows with this outcome."""
    places = range(first, first + count)
    return [Row(n, "", "", "", (), 0.0, 1.0, outcome, "", 1, 0, passed) for n in places]


def test_as_long_as_their_lines_fit_all_open() -> None:
    chosen, words = _worth_a_look(found(200), [10] * 200, most=2000)
    assert chosen == set(range(200))
    assert words.startswith("Each opens")


def test_beyond_that_what_flipped_comes_first_then_what_does_not_pass() -> None:
    rows = [*found(70), *found(20, passed=False, first=70), *found(10, "fixed", first=90)]
    chosen, words = _worth_a_look(rows, [10] * 100, most=150)
    assert set(range(90, 100)) < chosen
    assert len(chosen) == 15
    assert chosen <= set(range(70, 100))
    assert "15 of them open" in words
    assert _worth_a_look(rows, [10] * 100, most=150)[0] == chosen
    assert len(_worth_a_look(rows, [10] * 100, most=500)[0] & set(range(70))) == 20
