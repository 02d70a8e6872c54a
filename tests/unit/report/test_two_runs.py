"""Two runs of which nothing was refined are a comparison, and read as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from refinecli.report.figures import build
from refinecli.report.markdown import markdown
from refinecli.report.runs import read_run
from refinecli.report.table import renderables
from refinecli.types import JSONObject
from tests.conftest import write_jsonl
from tests.support.report_files import Row, graded, row

Compared = Callable[..., JSONObject]
ITEMS: tuple[Row, ...] = (
    {"name": "coverage", "rubric_str": "Does it use every word?"},
    {"name": "length", "rubric_str": "Is it short?"},
)


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    def compared(old: Sequence[Row], new: Sequence[Row]) -> JSONObject:
        runs = [("old.jsonl", old), ("new.jsonl", new)]
        return build([read_run(str(write_jsonl(tmp_path / name, rows))) for name, rows in runs])

    return compared


def rows(
    coverage: float,
    length: float,
    words: int = 20,
    n: int = 40,
    items: Sequence[Row] = ITEMS,
    **fields: Any,
) -> list[Row]:
    """Lines of `grade` of which these shares pass, the first of them."""
    return [
        graded(
            at,
            {"coverage": float(at < coverage * n), "length": float(at < length * n)},
            items=items,
            said=f"Reason {at}.",
            response="word " * words + f"of {words}",
            tags=["even" if at % 2 == 0 else "odd"],
            **fields,
        )
        for at in range(n)
    ]


def said(figures: JSONObject) -> str:
    return " ".join(figures["conclusions"])


def shown(figures: JSONObject, width: int = 80) -> str:
    return "\n".join(line.plain for line in renderables(figures, width=width))


def test_single_answers_that_code_grades_name_neither_a_loop_nor_a_grader(
    compared: Compared,
) -> None:
    def answers(model: str, passing: int) -> list[Row]:
        items = [{"check": {"kind": "words", "max": 9}}]
        made = [row(at, [float(at < passing)], items=items) for at in range(30)]
        for line in made:
            line["refinement"]["models"] = {"policy": model, "grader": model}
        return made

    text = shown(compared(answers("base", 10), answers("tuned", 25)))
    assert "old.jsonl: one response, policy base\n" in text
    assert "new.jsonl: one response, policy tuned\n" in text


# ------------------------------------------------------------------ which is better


def test_the_difference_stands_first_and_is_claimed_where_it_is_shown(compared: Compared) -> None:
    figures = compared(rows(0.5, 0.5), rows(0.9, 0.5))
    assert figures["conclusions"][0].startswith(
        "new.jsonl scores higher than old.jsonl: 0.500 → 0.700, +0.200 (95%: "
    )
    assert "16 better, 24 equal, 0 worse" in said(figures)
    assert "50.0% → 50.0% passed: 0 pass that failed before" in said(figures)
    assert "One response each" not in said(figures)


def test_a_lower_score_and_none_that_is_shown_are_called_that(compared: Compared) -> None:
    assert "new.jsonl scores lower than old.jsonl" in said(compared(rows(0.9, 0.5), rows(0.5, 0.5)))
    alike = said(compared(rows(0.5, 0.5), rows(0.55, 0.5)))
    assert "No difference is shown between new.jsonl and old.jsonl" in alike
    assert "would be found four times in five" in alike


def test_few_datapoints_and_other_graders_claim_nothing(compared: Compared) -> None:
    few = said(compared(rows(0, 0, n=8), rows(1, 1, n=8)))
    assert "too few independent ones for an interval" in few
    other = rows(0.9, 0.5)
    for line in other:
        line["grading"]["models"] = {"grader": "another"}
    assert "Other graders: nothing is claimed" in said(compared(rows(0.5, 0.5), other))


def test_drafts_without_rewrites_are_a_comparison_too(compared: Compared) -> None:
    old, new = ([row(n, [float(n % m == 0)]) for n in range(30)] for m in (3, 2))
    figures = compared(old, new)
    assert not figures["compared"]["refined"]
    assert "One response each" not in said(figures)
    assert "favour the run that chose" not in said(figures)


def test_runs_that_refined_keep_their_own_report(compared: Compared) -> None:
    figures = compared(rows(0.5, 0.5), [row(n, [0.0, 1.0], items=ITEMS) for n in range(40)])
    assert figures["compared"]["refined"]
    assert "Loop gain +1.000" in said(figures)
    assert "Iterations" in shown(figures)


# ------------------------------------------------------------------ trades


def test_a_trade_is_said_in_words(compared: Compared) -> None:
    figures = compared(rows(0.4, 0.8, words=25), rows(0.9, 0.5, words=50))
    assert (
        "A trade: coverage rose 0.40 → 0.90 while length fell 0.80 → 0.50 and the words of a "
        "response rose 27 → 52 (1.9 times as many)." in said(figures)
    )


def test_what_only_improves_is_not_a_trade(compared: Compared) -> None:
    assert "A trade" not in said(compared(rows(0.4, 0.5), rows(0.9, 0.8)))
    assert "A trade" not in said(compared(rows(0.4, 0.5), rows(0.9, 0.48)))  # may be chance


def test_a_penalty_that_rises_is_named_as_one(compared: Compared) -> None:
    items = (ITEMS[0], {**ITEMS[1], "weight": -0.5})
    figures = compared(rows(0.4, 0.2, items=items), rows(0.9, 0.6, items=items))
    assert "while length (a penalty) rose 0.20 → 0.60." in said(figures)


def test_a_loop_that_traded_one_item_for_another_says_so(tmp_path: Path) -> None:
    lines = [row(n, [[0.0, 1.0], [1.0, float(n > 20)]], items=ITEMS, best=1) for n in range(40)]
    figures = build([read_run(str(write_jsonl(tmp_path / "out.jsonl", lines)))])
    assert "A trade: coverage rose 0.00 → 1.00 while length fell 1.00 → 0.47." in said(figures)


# ------------------------------------------------------------------ in figures


def test_items_tags_and_length_are_compared(compared: Compared) -> None:
    pair = compared(rows(0.4, 0.8, words=20), rows(0.8, 0.8, words=40))["compared"]
    coverage = pair["items"][0]
    assert [coverage[key] for key in ("name", "n", "old", "new")] == ["coverage", 40, 0.4, 0.8]
    assert (coverage["gain"]["mean"], coverage["now_pass"], coverage["now_fail"]) == (0.4, 16, 0)
    assert [(tag["name"], tag["n"]) for tag in pair["tags"]] == [("even", 20), ("odd", 20)]
    assert pair["tags"][0]["gain"]["mean"] == pytest.approx(0.2)
    assert (pair["length"]["old"], pair["length"]["new"]) == (22, 42)


def test_words_are_counted_in_scripts_without_spaces(compared: Compared) -> None:
    old, new = rows(0.5, 0.5, n=2), rows(0.5, 0.5, n=2)
    for line in new:
        line["response"] = "今天天气很好我们去公园"
    assert compared(old, new)["compared"]["length"]["new"] > 3


def test_what_flipped_is_listed_with_the_graders_reasons(compared: Compared) -> None:
    flips = compared(rows(0.5, 1.0), rows(0.45, 1.0, words=9))["compared"]["flips"]
    assert flips["verdicts"] == {"now_pass": 0, "now_fail": 2}
    (first, _) = flips["listed"]
    assert (first["id"], first["passed"], first["scores"]) == ("dp-18", [True, False], [1.0, 0.5])
    (item,) = first["items"]
    assert (item["item"], item["because"], item["reasons"]) == (
        "coverage",
        "response",
        ["Reason 18.", "Reason 18."],
    )


def test_standard_input_is_compared_without_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import io
    import json
    import sys

    class Stdin:
        buffer = io.BytesIO("".join(json.dumps(r) + "\n" for r in rows(0.2, 0.5)).encode())

    old = read_run(str(write_jsonl(tmp_path / "old.jsonl", rows(0.5, 0.5))))
    monkeypatch.setattr(sys, "stdin", Stdin())
    flips = build([old, read_run("-")])["compared"]["flips"]
    assert flips["listed"][0]["items"][0]["reasons"] == ["Reason 8.", ""]


# ------------------------------------------------------------------ on a terminal


@pytest.mark.parametrize("width", [60, 80, 140, 250])
def test_no_line_is_wider_than_the_terminal(compared: Compared, width: int) -> None:
    items = tuple(item | {"name": item["name"] * 12} for item in ITEMS)
    figures = compared(rows(0.5, 0.9, items=items), rows(0.9, 0.5, words=60, items=items))
    lines = shown(figures, width).split("\n")
    assert max(map(len, lines)) <= width
    names = [line for line in lines if "coveragecoverage" in line]
    assert any(items[0]["name"] in line for line in names) is (width >= 140)


def test_fails_come_before_passes_and_leave_room_for_them(compared: Compared) -> None:
    old, new = rows(0.5, 1.0), rows(0.5, 1.0, words=9)
    for at, line in enumerate(new):  # all twenty of each kind change places
        other = rows(float(at >= 20), 1.0, n=1)[0]
        new[at] = other | {"id": line["id"], "convo": line["convo"]}
    found = re.findall(r"^  dp-\d+ (fails|passes) now", shown(compared(old, new)), re.MULTILINE)
    assert found == ["fails"] * 5 + ["passes"] * 5


# ------------------------------------------------------------------ in a pull request


def test_the_markdown_has_the_claim_the_intervals_and_the_reasons(compared: Compared) -> None:
    text = markdown(compared(rows(0.5, 1.0), rows(0.9, 1.0, words=30)))
    assert text.startswith("<!-- refinecli report -->\n\n### `new.jsonl` against `old.jsonl`\n")
    assert "| `coverage` | 0.500 | 0.900 | +0.400 | +0.250 to +0.550 |" in text
    assert "- `dp-20` passes now, 0.500 → 1.000\n  - `coverage` passes: `Reason 20.`\n" in text
    assert "<details><summary>10 more</summary>\n\n- `dp-26`" in text


def test_a_check_that_passes_now_shows_what_was_wrong(compared: Compared) -> None:
    new = rows(0.9, 1.0, words=30)
    for line in new:
        line["grading"]["grades"][0]["feedback"] = None
    figures = compared(rows(0.5, 1.0), new)
    assert "    coverage passes; before: Reason 20.\n" in shown(figures)
    assert "  - `coverage` passes; before: `Reason 20.`\n" in markdown(figures)


def test_the_markdown_of_two_loops_begins_with_their_difference(compared: Compared) -> None:
    old, new = ([row(n, [0.0, float(n % m == 0)], items=ITEMS) for n in range(30)] for m in (3, 2))
    text = markdown(compared(old, new))
    first, _, rest = text.partition("Of `new.jsonl` itself:")
    assert "- new.jsonl against old.jsonl: +0.167" in first
    assert "Loop gain" not in first
    assert "Loop gain" in rest


HOSTILE = (
    "@octocat `@octocat` ``` </details> <img src=x onerror=y> [a](https://evil.example) | x\n\n"
    "# heading\n- @octocat \\| @octocat"
)


def test_no_text_of_a_model_or_a_file_acts_in_the_markdown(compared: Compared) -> None:
    items = ({"name": HOSTILE, "rubric_str": HOSTILE}, {"name": "length", "rubric_str": "x"})
    edited = ({**items[0], "rubric_str": f"{HOSTILE} ````"}, items[1])
    old, new = rows(0.5, 1.0, items=items), rows(0.9, 0.2, items=edited)
    for line in (*old, *new):
        line |= {"id": f"{line['id']} {HOSTILE}", "tags": [HOSTILE]}
        for one in line["grading"]["grades"]:
            one["feedback"] = HOSTILE
    text = markdown(compared(old, new))
    page = MarkdownIt("gfm-like", {"linkify": False}).render(text)
    acting = re.sub(r"<code.*?</code>", "", page, flags=re.DOTALL)
    assert "octocat" in page
    assert "@octocat" not in acting
    assert not re.search(r"<(?:img|a|h1|h2)\b", page)
    assert page.count("<details>") == page.count("</details>") == text.count("<details>")
    table = [line for line in text.split("\n") if line.startswith("| ")]
    assert {line.count("|") for line in table} == {6}


def test_the_markdown_fits_a_comment_on_github(compared: Compared) -> None:
    old, new = (rows(share, 1.0, n=300, words=9) for share in (0.0, 1.0))
    for line in (*old, *new):
        line["grading"]["grades"][0]["feedback"] = "because " * 500
        line["id"] = line["id"] * 40
    text = markdown(compared(old, new))
    assert len(text) < 65_000
    assert "more datapoints with a flipped verdict not shown" in text


def test_one_run_has_a_markdown_report_too(tmp_path: Path) -> None:
    def report(lines: list[Row]) -> str:
        return markdown(build([read_run(str(write_jsonl(tmp_path / "out.jsonl", lines)))]))

    refined = report([row(n, [0.0, float(n % 2)], items=ITEMS) for n in range(40)])
    assert "| `coverage` | 0.000 | 0.500 | +0.500 | +0.350 to +0.650 |" in refined
    assert "| `coverage` | 0.500 | 0.350 to 0.650 |" in report(rows(0.5, 0.5))
