"""What an edited rubric did: to its items, to verdicts and to scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from refinecli.report.figures import build
from refinecli.report.runs import read_run
from refinecli.report.table import renderables
from refinecli.types import JSONObject
from tests.conftest import write_jsonl
from tests.support.report_files import Row, graded, usage

Compared = Callable[..., JSONObject]
KIND: Row = {"name": "kind", "rubric_str": "Is it kind?"}
SHORT: Row = {"name": "short", "rubric_str": "Is it short?"}
EDITED: Row = {"name": "kind", "rubric_str": "Is it very kind?"}


@pytest.fixture
def compared(tmp_path: Path) -> Compared:
    def compared(old: Sequence[Row], new: Sequence[Row]) -> JSONObject:
        runs = [("old.jsonl", old), ("new.jsonl", new)]
        return build([read_run(str(write_jsonl(tmp_path / name, rows))) for name, rows in runs])

    return compared


def rows(items: Sequence[Row], kind: int, short: int = 8, response: str = "") -> list[Row]:
    """Eight lines of `grade`; the first of them pass each item."""
    marks = [("kind", kind), ("short", short), ("third", 0)][: len(items)]
    return [
        graded(
            at,
            {name: float(at < passing) for name, passing in marks},
            items=items,
            **({"response": f"{response} {at}"} if response else {}),
        )
        for at in range(8)
    ]


def said(figures: JSONObject) -> str:
    return " ".join(figures["conclusions"])


def test_an_edited_item_says_its_calls_and_the_verdicts_that_flipped(compared: Compared) -> None:
    figures = compared(rows([KIND, SHORT], 5), rows([EDITED, SHORT], 2))
    assert (
        "1 item changed, 8 calls, 3 verdicts flipped (0 to pass, 3 to fail): kind edited."
        in said(figures)
    )
    assert "By the rubric alone, on 8 datapoints with the same response: -0.188." in said(figures)
    shown = "\n".join(line.plain for line in renderables(figures))
    assert (
        "  kind edited (8 datapoints)\n    was: Is it kind?\n    now: Is it very kind?\n" in shown
    )


def test_a_weight_asks_nobody(compared: Compared) -> None:
    figures = compared(rows([KIND, SHORT], 5), rows([KIND, SHORT | {"weight": 3}], 5))
    assert "1 item changed, 0 calls, 0 verdicts flipped: short weight 1 → 3." in said(figures)
    rubric = figures["compared"]["rubric"]
    assert rubric["same_response"]["alike"]["mean"] == 0
    assert rubric["same_response"]["rest"]["mean"] > 0


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ([KIND | {"name": "gentle"}, SHORT], "gentle renamed from kind"),
        ([KIND], "short removed"),
        ([KIND, SHORT, {"name": "true", "rubric_str": "Is it true?"}], "true added"),
        ([KIND | {"required": True}, SHORT], "kind now required"),
        ([KIND | {"pass_score": 0.5}, SHORT], "kind passes at 1 → 0.5"),
        ([EDITED | {"weight": 2}, SHORT], "kind edited, weight 1 → 2"),
        ([KIND | {"extraction_regex": "(.)"}, SHORT], "kind edited, extraction_regex"),
        ([KIND | {"score_range": [0, 5]}, SHORT], "kind edited, score_range none → [0,5]"),
    ],
)
def test_each_kind_of_change_is_said_in_words(
    compared: Compared, new: list[Row], words: str
) -> None:
    assert f": {words}." in said(compared(rows([KIND, SHORT], 5), rows(new, 5)))


def test_what_the_responses_did_is_set_apart_from_what_the_rubric_did(compared: Compared) -> None:
    new = rows([EDITED, SHORT], 2, short=4, response="another")
    figures = compared(rows([KIND, SHORT], 5), new)
    assert (
        "By the responses, on 8 datapoints with different responses: -0.250 on the items that both "
        "rubrics ask alike; the other -0.188 is owed to the rubric and the responses together."
        in said(figures)
    )


def test_a_grader_that_contradicts_itself_is_not_the_rubrics_doing(compared: Compared) -> None:
    figures = compared(rows([KIND, SHORT], 5), rows([EDITED, SHORT], 2, short=6))
    rubric = figures["compared"]["rubric"]
    assert rubric["same_response"]["rest"]["mean"] == pytest.approx(-0.1875)
    assert "the grader contradicts itself there: -0.125." in said(figures)
    assert rubric["flips"] == {"now_pass": 0, "now_fail": 3}  # of the edited item alone


def test_calls_that_the_records_do_not_say_are_left_out(compared: Compared) -> None:
    again = rows([EDITED, SHORT], 2)
    again[3]["grading"]["usage"] = usage(3, 50)
    figures = compared(rows([KIND, SHORT], 5), again)
    assert figures["compared"]["rubric"]["calls"] is None
    assert "1 item changed, 3 verdicts flipped" in said(figures)


def test_items_that_are_asked_together_are_one_call(compared: Compared) -> None:
    new = rows([EDITED, SHORT | {"rubric_str": "Is it very short?"}], 2)
    for line in new:
        line["grading"]["usage"] = usage(1, 50)
    assert compared(rows([KIND, SHORT], 5), new)["compared"]["rubric"]["calls"] == 8


def test_items_that_code_checks_cost_no_calls(compared: Compared) -> None:
    check = {"name": "kind", "rubric_str": "Short.", "check": {"kind": "words", "max": 9}}
    old, new = (
        rows([check, SHORT], 5),
        rows([check | {"check": {"kind": "words", "max": 5}}, SHORT], 2),
    )
    for line in (*old, *new):
        line["grading"]["usage"] = usage(1, 50)
    assert compared(old, new)["compared"]["rubric"]["calls"] == 0


def test_the_same_rubric_is_not_spoken_of(compared: Compared) -> None:
    figures = compared(rows([KIND, SHORT], 5), rows([KIND, SHORT], 2, response="another"))
    assert figures["compared"]["rubric"] is None
    assert "changed" not in said(figures)


def test_a_response_that_fails_by_what_is_required_alone_says_so(compared: Compared) -> None:
    old, new = rows([KIND | {"required": True}, SHORT], 8, 5), rows([KIND, SHORT], 8, 5)
    for line in old:
        line["grading"]["passed"] = True
    figures = compared(old, new)
    shown = "\n".join(line.plain for line in renderables(figures))
    assert "  dp-5 fails now, 0.500 → 0.500; no item flipped\n" in shown
    assert "kind no longer required" in said(figures)


def test_rubrics_of_each_rows_own_are_counted_in_full_and_listed_in_part(
    compared: Compared,
) -> None:
    def own(text: str) -> list[Row]:
        return [
            graded(
                n,
                {f"{n}-{at}": 1.0 for at in range(20)},
                items=[{"name": f"{n}-{at}", "rubric_str": text} for at in range(20)],
            )
            for n in range(8)
        ]

    rubric = compared(own("Old?"), own("New?"))["compared"]["rubric"]
    assert (rubric["changed"], len(rubric["changes"])) == (160, 100)


def test_many_items_of_one_datapoint_are_cut(compared: Compared) -> None:
    names = [f"item {n}" for n in range(9)]
    figures = compared(
        [graded(0, dict.fromkeys(names, 1.0))], [graded(0, dict.fromkeys(names, 0.0))]
    )
    shown = "\n".join(line.plain for line in renderables(figures))
    assert "    item 4 fails, and only the grader changed\n    and 4 more items" in shown
