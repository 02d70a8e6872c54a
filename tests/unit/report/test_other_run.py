"""Two runs on one page: what a row and a datapoint show of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinecli.report.figures import build
from refinecli.report.html.other_run import OtherRun
from refinecli.report.html.page import write_html
from refinecli.report.runs import read_run
from tests.conftest import write_jsonl
from tests.support.html_pages import HOSTILE, Page
from tests.support.report_files import Row, failed_row, graded_row, row

ITEMS = ({"name": "kind"}, {"name": "brief"})
Compare = Callable[[list[Row], list[Row]], Page]


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Return the page of two runs, the older one first."""

    def page(old: list[Row], new: list[Row]) -> Page:
        runs = [
            read_run(str(write_jsonl(tmp_path / f"{name}.jsonl", rows)))
            for name, rows in (("old", old), ("new", new))
        ]
        path = tmp_path / "page.html"
        write_html(path, build(runs), tmp_path / "new.jsonl", other=OtherRun.of(*runs))
        return Page(path.read_text("utf-8"))

    return page


def one(number: int, scores: list[float | None], text: str = "fine", **fields: Any) -> Row:
    return row(number, [scores], items=ITEMS, texts=[text], **fields)


def test_a_row_has_the_older_runs_score_verdict_and_marks(compare: Compare) -> None:
    old = [one(1, [0.4, 1.0]), one(0, [1.0, 1.0]), failed_row(2)]
    new = [one(0, [1.0, 0.0]), one(1, [1.0, 1.0]), one(2, [1.0, 1.0]), one(3, [1.0, 1.0])]
    page = compare(old, new)
    assert [(point[1], point[-1]) for point in page.points] == [
        ("dp-0", [1.0, True, "pp"]),
        ("dp-1", [0.7, False, "4p"]),
        ("dp-2", None),
        ("dp-3", None),
    ]
    assert page.json("points")["before"] == "old.jsonl"


def test_a_datapoint_has_both_responses_with_their_differences_and_grades(
    compare: Compare,
) -> None:
    page = compare([one(0, [0.0, 1.0], "I will not.")], [one(0, [1.0, 1.0], "I will do it.")])
    before = page.details[0]["before"]
    assert before["scores"] == [0.5, 1.0]
    assert ["deleted", "not"] in before["changes"]
    kind, brief = before["items"]
    assert [grade["verdict"] for grade in kind["grades"]] == ["failed", "passed"]
    assert (kind["because"], brief["because"]) == ("response", None)


def test_an_edited_item_stands_next_to_what_it_was(compare: Compare) -> None:
    new = one(0, [1.0, 0.0])
    new["rubric_items"][1]["rubric_str"] = "Is it under 80 words?"
    old = one(0, [1.0, 1.0])
    page = compare([old], [new])
    brief = page.details[0]["before"]["items"][1]
    assert (brief["edits"], brief["because"]) == (["edited"], "rubric")
    assert "brief: edited in 1 datapoint." in page.words


def test_rows_are_compared_by_the_grades_that_the_figures_compare(compare: Compare) -> None:
    """A later grade of one of the runs alone is not set against the other's own grades."""
    new = row(0, [0.5]) | {"grading": graded_row(0, 1.0)["grading"], "score": 1.0}
    page = compare([row(0, [0.5])], [new])
    (point,) = page.points
    assert (point[6], point[-1][0]) == (0.5, 0.5)


def test_a_run_that_was_a_stream_has_its_scores_but_not_its_texts(tmp_path: Path) -> None:
    old, new = (read_run(str(write_jsonl(tmp_path / name, [one(0, [1.0, 1.0])]))) for name in "ab")
    path = tmp_path / "page.html"
    other = OtherRun.of(replace(old, file="<stdin>", given="-"), new)
    write_html(path, build([old, new]), tmp_path / "b", other=other)
    page = Page(path.read_text("utf-8"))
    assert page.points[0][-1] == [1.0, True, "pp"]
    assert "before" not in page.details[0]


def test_two_files_of_which_nothing_was_refined_read_as_a_comparison(compare: Compare) -> None:
    old = [graded_row(n, float(n % 2)) for n in range(40)]
    new = [graded_row(n, 1.0) for n in range(40)]
    said = compare(old, new).words
    assert "new.jsonl against old.jsonl" in said
    assert "✓ new.jsonl against old.jsonl: better, +0.500" in said
    assert "way-0 40 0.500 1.000 +0.500" in said
    for needless in ("nothing to compare", "Trend", "Iterations", "Gains"):
        assert needless not in said


def test_a_flipped_datapoint_in_the_summary_opens(compare: Compare) -> None:
    page = compare([one(0, [0.0, 1.0])], [one(0, [1.0, 1.0])])
    assert "#dp-0" in [attributes.get("href") for tag, attributes in page.elements if tag == "a"]


@pytest.mark.parametrize("text", HOSTILE)
def test_the_other_runs_text_is_only_text(compare: Compare, text: str) -> None:
    def tags(text: str) -> list[tuple[str, list[str]]]:
        rows = [one(0, [0.0, 1.0], text), one(0, [1.0, 1.0], f"not {text}")]
        for each in rows:
            each |= {"id": text, "tags": [text]}
            each["rubric_items"][0]["name"] = text
        page = compare(rows[:1], rows[1:])
        assert not set(page.text) & set("\x1b\u202e\u2066\u2028\u2029")
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    assert tags(text) == tags("harmless")
