"""The rows of a page: a datapoint's outcome, and whose details are worth a look."""

from __future__ import annotations

from typing import Any

import pytest

from refinecli.report.html.run import Row, _outcome, _row, _worth_a_look
from tests.support.report_files import failed_row, graded_row, row


def outcome(record: dict[str, Any]) -> str:
    found = _row(0, record)
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
    found = _row(4, record)
    assert found[:3] == (4, "0", "Question 1?")
    assert (found.group, found.tags, found.first, found.final) == ("g", "x, y", 0.1235, 0.75)
    assert (found.stopped, found.iterations, found.tokens) == ("max_iterations", 2, 200)
    assert found.detailed is False


def test_without_an_id_a_row_is_named_by_its_line() -> None:
    assert _row(4, {}).id == "line 5"
    assert _row(4, {"error": {"type": "input", "line": 9}}).id == "line 9"
    assert _row(4, {"error": {"type": "input"}}).stopped == "input"


def test_a_prompt_that_begins_with_white_space_is_shown_by_its_words() -> None:
    text = "\n" * 470 + "What is 2 + 2?"
    assert _row(0, {"convo": [{"role": "user", "content": text}]}).prompt.startswith("What is")
    long = _row(0, {"convo": [{"role": "user", "content": "x" * 500}]}).prompt
    assert (len(long), long[-1]) == (120, "…")
    assert _row(0, {}).prompt == ""


# ------------------------------------------------------------------ whose details


def found(count: int, outcome: Any = "same", *, first: int = 0) -> list[Row]:
    """Rows with this outcome, the first of which score worst."""
    places = range(first, first + count)
    return [Row(n, "", "", "", "", 0.0, n / 1000, outcome, "", 1, 0) for n in places]


def test_up_to_two_hundred_all_open() -> None:
    chosen, words = _worth_a_look(found(200))
    assert chosen == set(range(200))
    assert words.startswith("Each opens")
    assert len(_worth_a_look(found(201))[0]) == 100


def test_beyond_that_the_worst_and_as_many_at_random_open() -> None:
    chosen, words = _worth_a_look(found(500))
    assert set(range(50)) <= chosen
    assert len(chosen) == 100
    assert "100 of them open" in words
    assert "0 that went from failing to passing or back, the 50 datapoints that scored" in words
    assert words.endswith("and 50 drawn at random.")
    assert _worth_a_look(found(500))[0] == chosen


def test_of_those_that_flipped_a_hundred_and_fifty_open() -> None:
    few = [*found(300), *found(150, "fixed", first=300)]
    chosen, words = _worth_a_look(few)
    assert set(range(300, 450)) <= chosen
    assert "changes: 150 that went" in words
    many = [*found(300), *found(151, "broken", first=300)]
    chosen, words = _worth_a_look(many)
    assert len(chosen & set(range(300, 451))) in range(150, 152)  # one may be drawn at random
    assert "changes: 150 of the 151 that went" in words


def test_what_has_no_score_is_not_among_the_worst() -> None:
    unscored = [one._replace(final=None) for one in found(300)]
    assert "the 0 datapoints that scored worst" in _worth_a_look(unscored)[1]
