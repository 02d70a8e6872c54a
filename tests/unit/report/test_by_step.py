"""What an adaptive loop's steps brought, and its choice over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from refinecli.report.figures import build
from refinecli.report.html.tables import tables
from refinecli.report.runs import Run, read_run
from refinecli.report.table import renderables
from refinecli.types import JSONObject
from tests.conftest import write_jsonl
from tests.support.report_files import Row, failed_row, row

Scores = Sequence[float | Sequence[float | None] | None]


def adaptive(number: int, scores: Scores, kinds: str, **fields: Any) -> Row:
    """A line of the adaptive loop: after the first draft a draft (d) or a rewrite (r) of it."""
    line = row(number, scores, **fields)
    line["refinement"]["strategy"] = "adaptive"
    for kind, made in zip(kinds, line["refinement"]["iterations"][1:], strict=True):
        parent = 0 if kind == "r" else None
        made |= {"parent": parent, "role": "reviser" if kind == "r" else "policy"}
        made["choice"] = {"gain": 0.1, "cost": 100.0, "instead": None}
    return line


def run_of(rows: Sequence[Row], folder: Path) -> Run:
    return read_run(str(write_jsonl(folder / "out.jsonl", rows)))


def steps_of(rows: Sequence[Row], folder: Path) -> JSONObject:
    steps: JSONObject = build([run_of(rows, folder)])["steps"]
    return steps


def test_drafts_and_rewrites_are_counted_with_what_they_added_for_their_tokens(
    tmp_path: Path,
) -> None:
    rows = [
        adaptive(0, [0.2, 0.5, 0.4, 0.9], "drr"),
        adaptive(1, [0.5, 0.25, None], "dr"),
        adaptive(2, [1.0], ""),
    ]
    steps = steps_of(rows, tmp_path)
    assert steps["draft"]["count"] == 2
    assert steps["draft"]["gain"] == pytest.approx(0.3)
    assert steps["draft"]["improved"]["mean"] == 0.5
    assert steps["rewrite"]["gain"] == pytest.approx(0.4)
    assert steps["rewrite"]["tokens"] == 300
    assert steps["rewrite"]["gain_per_1000_tokens"] == pytest.approx(0.4 / 0.3)
    assert steps["rewrite"]["improved"]["mean"] == pytest.approx(1 / 3)


def test_a_kind_that_was_never_chosen_has_no_rate(tmp_path: Path) -> None:
    steps = steps_of([adaptive(0, [0.2, 0.5], "d")], tmp_path)
    nothing = {"count": 0, "gain": 0, "tokens": 0, "gain_per_1000_tokens": None, "improved": None}
    assert steps["rewrite"] == nothing


def test_the_choice_is_shown_by_what_rows_learn_from(tmp_path: Path) -> None:
    """Rows 1-2 learn from none, 3-4 from one, 5-8 from two, 9-16 from four, and so on."""
    rows = [adaptive(n, [0.0, 0.0, 0.0], "dr" if n < 16 else "rr") for n in range(40)]
    found = [
        (one["from"], one["to"], one["learned_from"], one["count"], one["share"]["mean"])
        for one in steps_of(rows, tmp_path)["by_place"]
    ]
    assert found == [
        (1, 16, {"least": 0, "most": 4}, 32, 0.5),  # few steps each, so joined
        (17, 40, {"least": 8, "most": 16}, 48, 1.0),
    ]


def test_a_row_that_failed_has_its_place_and_an_unreadable_line_has_none(tmp_path: Path) -> None:
    bad = failed_row(9) | {"error": {"type": "input", "message": "not JSON", "stage": "input"}}
    lines = [bad, failed_row(0), adaptive(1, [0.0, 0.0], "d")]
    assert [case.place for case in run_of(lines, tmp_path).cases] == [1]


@pytest.mark.parametrize("setting", [{"refine.learn": False}, {"refine.learned": {}}])
def test_rows_that_did_not_learn_from_earlier_ones_are_not_said_to(
    setting: Row, tmp_path: Path
) -> None:
    lines = [adaptive(n, [0.0, 0.0], "d") for n in range(4)]
    for line in lines:
        line["refinement"]["shaped_by"] = setting
    assert steps_of(lines, tmp_path)["by_place"][0]["learned_from"] is None


def test_other_loops_have_no_such_figures(tmp_path: Path) -> None:
    report = build([run_of([row(n, [0.0, 1.0]) for n in range(4)], tmp_path)])
    assert "steps" not in report
    assert "drafts" not in report["iterations"][0]
    assert "Drafts and rewrites" not in "\n".join(map(str, renderables(report)))
    assert "Drafts and rewrites" not in tables(report, {})


def test_an_iteration_of_drafts_and_rewrites_says_how_many_of_each(tmp_path: Path) -> None:
    rows = [
        adaptive(0, [[0.0, 1.0], [1.0, 0.0]], "d", items=({}, {})),
        adaptive(1, [[0.0, 1.0], [1.0, 1.0]], "r", items=({}, {})),
        adaptive(2, [[1.0, 1.0]], "", items=({}, {})),
    ]
    first, second = build([run_of(rows, tmp_path)])["iterations"]
    assert (first["active"], first["drafts"], first["fixed"]) == (3, 3, None)
    assert (second["active"], second["drafts"]) == (2, 1)
    assert (second["fixed"], second["broken"]) == (1, 0)  # the rewrite's; a draft fixes nothing
    assert second["accepted"]["mean"] == 0.5


def test_the_curve_keeps_the_best_of_drafts_and_rewrites(tmp_path: Path) -> None:
    rows = [adaptive(n, [0.2, 0.6, 0.4, 0.8], "drd") for n in range(3)]
    curve = build([run_of(rows, tmp_path)])["iterations"]
    assert [round(one["score"]["mean"], 6) for one in curve] == [0.2, 0.6, 0.6, 0.8]


def test_the_text_and_the_page_show_both_tables(tmp_path: Path) -> None:
    rows = [adaptive(n, [0.2, 0.5, 0.4, 0.6], "drr") for n in range(300)]
    report = build([run_of(rows, tmp_path)])
    lines = [line.plain for line in renderables(report)]
    assert [line for line in lines if len(line) > 80] == []
    cells = [line.split() for line in lines]
    assert ["drafts", "300", "+90.000", "30,000", "+3.000", "100%"] in [line[:6] for line in cells]
    assert ["257-300", "128", "132", "67%"] in [line[:4] for line in cells]
    page = tables(report, {})["Drafts and rewrites"]
    assert '<th scope="row">rewrites</th><td class="number">600</td>' in page
    assert "257–300" in page
