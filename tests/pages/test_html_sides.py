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
from tests.support.report_files import Row, row
from tests.support.report_pages import READY, Browser, in_browser

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
def test_what_the_other_run_does_not_have_says_so(two: Callable[..., Browser]) -> None:
    seen = two("#dp-9")
    note = "It is not in old.jsonl, or has another conversation there."
    assert note in seen.texts("#dialog .note")
    assert seen.complaints() == []
