"""A file in which responses failed a gate: they have no score, and count as not passed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from refinecli.report.figures import build
from refinecli.report.runs import Run, read_run
from refinecli.report.table import renderables
from tests.conftest import write_jsonl
from tests.support.html_pages import page_of
from tests.support.report_files import Row, grade, graded_row, row

Read = Callable[[Sequence[Row]], Run]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return lambda rows: read_run(str(write_jsonl(tmp_path / f"{len(rows)}.jsonl", rows)))


def gated_row(number: int, **fields: object) -> Row:
    """A line whose required item failed, so that the other was not asked."""
    made = graded_row(number, 1.0, **fields)
    skipped = {**grade(1, "way-1", 1.0), "status": "skipped", "score": None, "raw_score": None}
    items = [*made["rubric_items"], {"rubric_str": "Nice?", "name": "way-1"}]
    grades = [grade(0, "way-0", 0.0), {**skipped, "passed": None}]
    grading = {**made["grading"], "status": "done", "passed": False, "grades": grades}
    return {**made, "score": None, "rubric_items": items, "grading": grading}


def test_scores_are_over_the_others_and_the_pass_rate_over_all(read: Read) -> None:
    run = read([graded_row(0, 1.0), graded_row(1, 1.0), gated_row(2), gated_row(3)])
    assert (run.done, run.ungraded, run.gated) == (4, 0, 2)
    figures = build([run])
    assert (figures["scored"], figures["score"]["mean"]) == (2, 1.0)
    assert figures["pass_rate"]["mean"] == 0.5
    assert figures["runs"][0]["gated"] == 2
    # An item that was not asked is not ungraded, and nobody need look for missing scores.
    assert [item["ungraded"] for item in figures["items"]] == [0, 0]
    assert [alarm["type"] for alarm in figures["alarms"]] == ["gated"]
    text = "\n".join(str(line) for line in renderables(figures))
    assert "4 done, 2 of them gated" in text


def test_a_run_without_a_gate_does_not_speak_of_one(read: Read) -> None:
    assert "gated" not in read([graded_row(0, 1.0)]).record()


def test_flips_count_responses_that_a_gate_failed(read: Read) -> None:
    old = read([graded_row(0, 1.0), graded_row(1, 1.0), graded_row(2, 1.0)])
    new = read([graded_row(0, 1.0), graded_row(1, 1.0), gated_row(2), graded_row(3, 1.0)])
    compared = build([old, new])["compared"]
    assert (compared["n"], compared["now_fail"], compared["now_pass"]) == (2, ["dp-2"], [])


def test_a_later_grade_with_a_gate_counts_in_its_pass_rate(read: Read) -> None:
    passed = {**row(0, [0.5, 1.0]), "grading": graded_row(0, 1.0)["grading"], "score": 1.0}
    gated = gated_row(1)
    failed = {**row(1, [0.5, 1.0]), "grading": gated["grading"], "score": None}
    failed["rubric_items"] = gated["rubric_items"]
    for iteration in failed["refinement"]["iterations"]:
        iteration["grades"].append(grade(1, "way-1", 1.0))
    figures = build([read([passed, failed])])
    assert figures["fresh_pass_rate"]["mean"] == 0.5
    assert figures["fresh_score"]["mean"] == 1.0


def test_the_page_shows_what_was_not_asked(tmp_path: Path) -> None:
    page = page_of(tmp_path, [graded_row(0, 1.0), gated_row(1)])
    assert [point[7] for point in page.points] == ["graded", "gated"]
    (shown,) = page.details[1]["iterations"]
    assert [one["verdict"] for one in shown["grades"]] == ["failed", "skipped"]
