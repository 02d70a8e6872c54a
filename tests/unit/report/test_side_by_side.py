"""Two runs side by side: which rows belong together, what flipped and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from refinecli.report.runs import Run, read_run
from refinecli.report.side_by_side import SideBySide, read_rows, reason, side_by_side
from tests.conftest import write_jsonl
from tests.support.report_files import Row, failed_row, graded, graded_row, row

ITEMS: tuple[Row, ...] = (
    {"name": "kind", "rubric_str": "Is it kind?"},
    {"name": "short", "rubric_str": "Is it short?"},
)
Sides = Callable[..., SideBySide]


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., Run]:
    def read(rows: Sequence[Row], name: str) -> Run:
        return read_run(str(write_jsonl(tmp_path / name, rows)))

    return read


@pytest.fixture
def sides(read: Callable[..., Run]) -> Sides:
    def sides(old: Sequence[Row], new: Sequence[Row]) -> SideBySide:
        return side_by_side(read(old, "old.jsonl"), read(new, "new.jsonl"))

    return sides


def test_rows_are_paired_by_id_and_occurrence_in_the_new_order(sides: Sides) -> None:
    old = [graded(0, {"kind": 0.0}), graded(0, {"kind": 1.0}), graded(1, {"kind": 1.0})]
    new = [graded(1, {"kind": 1.0}), graded(0, {"kind": 1.0}), graded(0, {"kind": 1.0})]
    both = sides(old, new)
    assert [pair.key for pair in both.pairs] == [("dp-1", 0), ("dp-0", 0), ("dp-0", 1)]
    assert [pair.flip for pair in both.pairs] == [0, 1, 0]


def test_rows_with_a_result_in_one_run_only_are_listed(sides: Sides) -> None:
    both = sides(
        [graded_row(0, 1.0), graded_row(1, 1.0), failed_row(2)],
        [graded_row(1, 1.0), graded_row(2, 1.0)],
    )
    assert [case.key[0] for case in both.only_old] == ["dp-0"]
    assert [case.key[0] for case in both.only_new] == ["dp-2"]


def test_rows_without_an_id_are_paired_whatever_their_rubrics(sides: Sides) -> None:
    old, new = graded(0, {"kind": 0.0}), graded(0, {"kind": 1.0, "short": 1.0})
    del old["id"], new["id"]
    assert [pair.flip for pair in sides([old], [new]).pairs] == [1]


@pytest.mark.parametrize(
    ("response", "items", "because"),
    [
        ("another", ITEMS, "response"),
        (None, ITEMS, "grader"),
        (None, ({**ITEMS[0], "rubric_str": "Is it very kind?"}, ITEMS[1]), "rubric"),
        ("another", ({**ITEMS[0], "rubric_str": "Is it very kind?"}, ITEMS[1]), "both"),
        (None, ({**ITEMS[0], "pass_score": 0.5}, ITEMS[1]), "rubric"),
        (None, ({**ITEMS[0], "weight": 3}, ITEMS[1]), "grader"),  # its weight flips no verdict
    ],
)
def test_a_flip_says_what_may_have_caused_it(
    sides: Sides, response: str | None, items: Sequence[Row], because: str
) -> None:
    old = graded(0, {"kind": 0.0, "short": 1.0}, items=ITEMS)
    new = graded(0, {"kind": 1.0, "short": 1.0}, items=items)
    (pair,) = sides([old], [new | ({"response": response} if response else {})]).pairs
    (flip,) = pair.flips
    assert (flip.item.name, flip.passes, flip.because) == ("kind", True, because)


def test_whole_flips_come_first_then_the_greatest_differences(sides: Sides) -> None:
    def rows(*scores: tuple[float, float]) -> list[Row]:
        return [graded(n, {"kind": a, "short": b}) for n, (a, b) in enumerate(scores)]

    old = rows((1, 1), (0, 0), (0, 0.5), (1, 1))
    new = rows((1, 1), (1, 0), (1, 1), (0, 0))
    flipped = sides(old, new).flipped
    assert [pair.key[0] for pair in flipped] == ["dp-3", "dp-2", "dp-1"]
    assert [pair.difference for pair in flipped] == [-1.0, 0.75, 0.5]


def test_an_ungraded_item_is_not_a_flip(sides: Sides) -> None:
    (pair,) = sides([graded(0, {"kind": None})], [graded(0, {"kind": 1.0})]).pairs
    assert (pair.flip, pair.flips, pair.difference) == (0, (), None)


def test_the_returned_responses_of_two_refinements_are_compared(sides: Sides) -> None:
    old, new = row(0, [0.0, 0.0]), row(0, [0.0, 1.0])
    (pair,) = sides([old], [new]).pairs
    assert (pair.same_response, pair.flip, len(pair.flips)) == (False, 1, 1)


def test_scores_of_a_later_grade_are_compared_where_both_have_them(sides: Sides) -> None:
    def again(score: float) -> Row:
        return row(0, [0.0]) | {"grading": graded_row(0, score)["grading"], "score": score}

    both = sides([again(0.0)], [again(1.0)])
    assert both.fresh
    assert [(pair.scores, pair.flip) for pair in both.pairs] == [((0.0, 1.0), 1)]


def test_the_graders_words_are_read_from_the_files_again(read: Callable[..., Run]) -> None:
    old = [graded(n, {"kind": 0.0}, said="It is curt.") for n in range(3)]
    new = [graded(n, {"kind": 1.0}, said="It is kind.") for n in range(3)]
    before, after = read(old, "old.jsonl"), read(new, "new.jsonl")
    pair = side_by_side(before, after).pairs[1]
    was, now = read_rows(before, {pair.key}), read_rows(after, {pair.key})
    assert list(was) == list(now) == [("dp-1", 0)]
    (flip,) = pair.flips
    assert reason(was[pair.key], flip.item.old) == "It is curt."
    assert reason(now[pair.key], flip.item.new) == "It is kind."


def test_the_graders_words_are_those_on_the_response_that_is_compared(
    read: Callable[..., Run],
) -> None:
    line = row(0, [0.0, 1.0])
    line["refinement"]["iterations"][1]["grades"][0]["feedback"] = "It is good."
    later = graded_row(0, 1.0)["grading"]
    later["grades"][0]["feedback"] = "It is good again."
    line |= {"grading": later}
    found = read_rows(read([line], "new.jsonl"), {("dp-0", 0)})[("dp-0", 0)]
    assert reason(found, 0) == "It is good."
    assert reason(found, 0, fresh=True) == "It is good again."
    assert reason(found, 5) == reason(found, None) == ""
