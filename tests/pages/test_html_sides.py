"""Two runs side by side in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from refinecli.report.figures import build
from refinecli.report.html.other_run import OtherRun
from refinecli.report.html.page import write_html
from refinecli.report.runs import read_run
from tests.conftest import write_jsonl
from tests.support.report_files import Row, grade, graded_row, row
from tests.support.report_pages import READY, Browser, in_browser, report_of

ITEMS = ({"name": "kind"}, {"name": "brief"})
OPEN = "document.getElementById('dialog').open"


def one(number: int, kind: float, brief: float, text: str = "I will see to it.") -> Row:
    return row(number, [[kind, brief]], items=ITEMS, texts=[text])


OLD = [one(n, 1.0, 0.5) for n in range(8)]
NEW = [
    *(one(0, 1.0, 0.5), one(1, 1.0, 0.75), one(2, 1.0, 1.0, "I will see to it today.")),
    *(one(3, 0.0, 0.5), one(4, 1.0, 0.25), one(9, 1.0, 1.0)),
]


@pytest.fixture
def two(chromium: Browser, tmp_path: Path) -> Callable[..., Browser]:
    def open_page(fragment: str = "") -> Browser:
        runs = [
            read_run(str(write_jsonl(tmp_path / f"{name}.jsonl", rows)))
            for name, rows in (("old", OLD), ("new", NEW))
        ]
        path = tmp_path / "page.html"
        write_html(path, build(runs), tmp_path / "new.jsonl", other=OtherRun.of(*runs))
        chromium.open(path, fragment)
        chromium.wait(READY)
        return chromium

    return open_page


def ids(seen: Browser) -> list[str]:
    return seen.texts("#rows .c-id bdi")


@in_browser
def test_flipped_datapoints_come_first_then_the_largest_changes(
    two: Callable[..., Browser],
) -> None:
    seen = two()
    assert ids(seen) == ["dp-2", "dp-3", "dp-4", "dp-1", "dp-0", "dp-9"]
    assert seen.texts("#rows .c-shift")[0] == "✗→✓ passes now"
    assert seen.texts("#rows .c-old") == ["0.750"] * 5 + ["–"]
    assert seen.texts("#heads .c-old") == ["Before"]
    seen.click("[data-filter=up]")
    assert ids(seen) == ["dp-2", "dp-1"]
    seen.click("[data-filter=now_pass]")
    assert ids(seen) == ["dp-2"]


@in_browser
def test_a_datapoint_shows_both_responses_and_their_grades_flipped_ones_first(
    two: Callable[..., Browser],
) -> None:
    seen = two("#dp-2")
    assert seen.texts(".half bdi") == ["old.jsonl", "new.jsonl"]
    assert seen.texts(".half .text") == ["I will see to it.", "I will see to it today."]
    assert seen.texts(".half ins") == [" today"]
    assert seen.texts(".half del") == []
    assert seen.texts(".both tbody th bdi") == ["brief", "kind"]
    assert seen.texts(".both .flipped .mark") == ["✗", "✓"]
    assert seen.texts(".both .flipped small") == ["flipped: another response"]
    left, right = seen.run(
        "return [...document.querySelectorAll('.half')].map((one) => one.getBoundingClientRect().x)"
    )
    assert left < right


@in_browser
def test_a_response_that_both_runs_have_is_shown_once(two: Callable[..., Browser]) -> None:
    seen = two("#dp-3")
    assert seen.texts(".sides .text") == ["I will see to it."]
    assert seen.texts(".sides .tag") == ["the same response in both"]
    note = "flipped: the same response and item; the grader contradicts itself"
    assert seen.texts(".both .flipped small") == [note]


@in_browser
def test_what_the_other_run_does_not_have_says_so(two: Callable[..., Browser]) -> None:
    seen = two("#dp-9")
    note = "It is not in old.jsonl, or has another conversation there."
    assert note in seen.texts("#dialog .note")
    assert seen.complaints() == []


# ------------------------------------------------------------------ graded again


@in_browser
def test_the_replies_of_the_regrader_and_of_the_judge_are_shown(
    chromium: Browser, tmp_path: Path
) -> None:
    def given(role: str, score: float) -> list[list[Row]]:
        return [
            [grade(0, "way-0", score) | {"reply": f"{role} says {score} <b>{repeat}</b>"}]
            for repeat in (1, 2)
        ]

    replies = {
        role: {"scores": [0.0, last], "first": given(role, 0.0), "final": given(role, last)}
        for role, last in (("grader", 1.0), ("judge", 0.5))
    }
    run = write_jsonl(tmp_path / "out.jsonl", [row(0, [0.0, 1.0])])
    page = tmp_path / "page.html"
    write_html(page, report_of(20), run, replies=lambda line: replies if line == 1 else {})
    chromium.open(page, "#dp-0")
    chromium.wait(READY)
    assert chromium.texts(".regraded h3") == [
        "Regradedfirst 0.000, final 1.000",
        "Graded by the held-out judgefirst 0.000, final 0.500",
    ]
    assert chromium.texts(".regraded:last-child tbody .mark") == ["✗"] * 4
    assert chromium.texts(".regraded:last-child details .text") == [
        *("judge says 0.0 <b>1</b>", "judge says 0.0 <b>2</b>"),
        *("judge says 0.5 <b>1</b>", "judge says 0.5 <b>2</b>"),
    ]


@in_browser
def test_a_later_grade_stands_below_the_loops_own(chromium: Browser, tmp_path: Path) -> None:
    later = graded_row(0, 0.0)["grading"]
    later["grades"][0] |= {"reply": "It is not kind.", "feedback": "Be kind."}
    rows = [row(0, [0.0, 1.0]) | {"grading": later, "score": 0.0}]
    write_html(tmp_path / "page.html", report_of(20), write_jsonl(tmp_path / "out.jsonl", rows))
    chromium.open(tmp_path / "page.html", "#dp-0")
    chromium.wait(READY)
    last = chromium.texts("#dialog .iteration:last-child")[0]
    assert last.startswith("Graded laterscore 0.000")
    assert "Be kind." in last
    assert "It is not kind." in last
