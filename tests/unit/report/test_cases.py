"""One datapoint's way, from an output line: what counts, and what no run can have written."""

from __future__ import annotations

from typing import Any

import pytest

from refinecli.report.by_iteration import changed, iterations, kept, selections
from refinecli.report.cases import Case, Mark, Spent, case_of, grader_of, strategy_of
from refinecli.report.conclusions import _difference
from tests.support.report_files import graded_row, row


def case(line: dict[str, Any], **result: Any) -> Case:
    name = "refinement" if isinstance(line.get("refinement"), dict) else "grading"
    return case_of(line, {**line[name], **result}, ("it", 0))


def refined(*scores: Any, **result: Any) -> Case:
    return case(row(1, list(scores)), **result)


def with_first(**fields: Any) -> Case:
    """A datapoint whose first iteration has these fields."""
    line = row(1, [0.5, 1.0])
    first, *others = line["refinement"]["iterations"]
    return case(line, iterations=[{**first, **fields}, *others])


def test_a_refined_datapoint_has_a_first_and_a_final_score() -> None:
    found = refined(0.25, 0.75)
    assert (found.first, found.final, found.best, found.refined) == (0.25, 0.75, 1, True)
    graded = case(graded_row(1, 0.5))
    assert (graded.first, graded.final, graded.best, graded.refined) == (None, 0.5, 0, False)
    assert (graded.steps[0].role, graded.steps[0].accepted) == ("input", True)


@pytest.mark.parametrize("score", [0.0, 1.0, 1 + 1e-6, -1e18])
def test_a_score_may_be_anything_that_a_rubric_gives(score: float) -> None:
    assert with_first(score=score).first == score


@pytest.mark.parametrize("score", [1 + 2e-6, 2, -1.1e18, float("inf")])
def test_a_score_that_no_rubric_gives_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="is not a score"):
        with_first(score=score)


@pytest.mark.parametrize("calls", [-1, 10**15 + 1])
def test_a_number_of_calls_that_cannot_be_is_refused(calls: int) -> None:
    with pytest.raises(ValueError, match=f"{calls} is not a number of calls or tokens"):
        with_first(usage={"calls": calls})


def test_calls_and_tokens_are_counted_and_are_none_where_nothing_says_so() -> None:
    usage = {"calls": 10**15, "prompt_tokens": 2, "completion_tokens": 3}
    assert with_first(usage=usage).steps[0].spent == Spent(10**15, 2, 3)
    assert with_first(usage=None).steps[0].spent == Spent(0, 0, 0)
    assert Spent(1, 2, 3) + Spent(10, 20, 30) == Spent(11, 22, 33)


@pytest.mark.parametrize("parent", [0, 1, -1])
def test_a_response_comes_of_an_earlier_one(parent: int) -> None:
    with pytest.raises(ValueError, match=f"iteration 0 cannot have {parent} as its parent"):
        with_first(parent=parent)


@pytest.mark.parametrize("best", [-1, 2])
def test_the_best_iteration_is_one_of_them(best: int) -> None:
    with pytest.raises(ValueError, match=f"there is no iteration {best}"):
        refined(0.5, 1.0, best_iteration=best)


@pytest.mark.parametrize(
    ("items", "marks", "passed"),
    [
        (({"name": "a"}, {"name": "b"}), [1.0, 1.0], True),
        (({"name": "a"}, {"name": "b"}), [1.0, 0.0], False),
        (({"name": "a", "required": True}, {"name": "b"}), [1.0, 0.0], True),
        (({"name": "a", "required": True}, {"name": "b"}), [0.0, 1.0], False),
    ],
)
def test_a_response_passes_by_its_required_items_or_by_all(
    items: tuple[dict[str, Any], ...], marks: list[float], passed: bool
) -> None:
    line = row(1, [[0.0, 0.0], marks], items=items)
    del line["refinement"]["stop_reason"]
    assert case(line).passed is passed


@pytest.mark.parametrize(
    ("reason", "strategy", "passed"),
    [
        ("passed", "refine", True),
        ("max_iterations", "refine", False),  # by a threshold that is not recorded
        ("failed", "refine", True),
        (None, "refine", True),
        ("max_iterations", "writer-critic", True),  # nobody graded in the loop
    ],
)
def test_an_older_record_passed_if_its_loop_stopped_for_that(
    reason: str | None, strategy: str, passed: bool
) -> None:
    assert case(row(1, [0.0, 1.0]), stop_reason=reason, strategy=strategy).passed is passed


def test_a_record_that_says_whether_it_passed_is_believed() -> None:
    assert refined(0.0, 0.0, passed=True, stop_reason="max_iterations").passed is True
    assert refined(1.0, 1.0, passed=False, stop_reason="passed").passed is False


def test_a_line_without_a_strategy_is_of_the_loop_that_was_there_first() -> None:
    assert strategy_of({}) == "refine"
    assert strategy_of({"strategy": "best-of-n"}) == "best-of-n"


def test_a_jury_is_named_by_its_models() -> None:
    assert grader_of({"grader": "large", "policy": "small"}) == "large"
    jury = {"jury.a": "one", "policy": "small", "jury.b": "two"}
    assert grader_of(jury) == "a jury of one and two"
    assert grader_of({"policy": "small"}) == ""


# ------------------------------------------------------------------ over the iterations


def test_of_nothing_scored_there_is_no_curve() -> None:
    assert iterations([]) == []
    assert iterations([case(graded_row(1, 0.5))]) == []


def test_the_curve_ends_with_the_longest_way() -> None:
    rows = iterations([refined(0.0, 0.5, 1.0), refined(0.5)])
    assert [found["iteration"] for found in rows] == [0, 1, 2]
    assert [found["active"] for found in rows] == [2, 1, 1]
    assert [found["n"] for found in rows] == [2, 2, 2]
    assert [found["score"]["mean"] for found in rows] == [0.25, 0.5, 0.75]
    assert rows[0]["accepted"] is None  # the first is not decided on
    assert rows[0]["fixed"] is None
    assert rows[1]["accepted"]["mean"] == 1.0


def test_what_would_have_been_returned_is_the_last_that_was_accepted() -> None:
    found = refined(0.5, 0.25, 0.75)
    assert found.steps[1].accepted is False
    assert [kept(found, number).score for number in range(4)] == [0.5, 0.5, 0.75, 0.75]


def test_fixed_and_broken_are_changes_of_a_verdict() -> None:
    no, yes, none = Mark(0.0, False), Mark(1.0, True), Mark()
    assert changed([no, no, yes, none], [yes, no, no, yes]) == (1, 1)
    assert changed([yes], [yes]) == (0, 0)


def test_where_nobody_selects_nobody_wins() -> None:
    assert selections([refined(0.0, 1.0)]) is None


# ------------------------------------------------------------------ settings in words


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([None, 0.7], "x (default → 0.7)"),
        (["a", True], "x (a → true)"),
        ([{"digest": "1a2b", "begins": "You are"}, None], "x (You are, digest 1a2b → default)"),
        ([{"digest": "1a2b"}, 1], 'x ({"digest":"1a2b"} → 1)'),
        (["y" * 80, 1], f"x ({'y' * 59}… → 1)"),
    ],
)
def test_a_setting_that_differs_is_shown_with_both_values(values: list[Any], words: str) -> None:
    assert _difference(("x", values)) == words
