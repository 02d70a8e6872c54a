"""Labels are found where the path leads, read for what they are, and held to the right grade."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from refinecli.agreement.judged import Judged, Label
from refinecli.agreement.labels import gold, judged
from refinecli.data.rows import read_row
from refinecli.errors import InputError
from refinecli.grading.scoring import item_passed
from refinecli.text.json_text import dumps
from refinecli.types import Datapoint, Grade, JSONObject
from tests.conftest import datapoint, item

ONE_TO_FIVE: dict[str, Any] = {"score_range": [1, 5], "pass_score": 0.75}


def read(**fields: Any) -> tuple[JSONObject, Datapoint]:
    row = read_row(dumps(datapoint(response="four", **fields)), 1, "in.jsonl")
    assert row.datapoint is not None, row.error
    return row.raw, row.datapoint


def labels(path: str, **fields: Any) -> list[tuple[Label, ...]]:
    raw, one = read(**fields)
    return gold(raw, path, one)


def graded(one: Datapoint, *shares: float | None) -> tuple[Grade, ...]:
    """Grades by their normalised scores; None is ungraded."""
    return tuple(
        Grade(
            n,
            item.name,
            share,
            None if share is None else item.score_range[0] + share,
            None if share is None else item_passed(item, share),
            "llm",
        )
        for n, (item, share) in enumerate(zip(one.rubric_items, shares, strict=True))
    )


def compared(path: str, *shares: float | None, **fields: Any) -> list[Judged]:
    raw, one = read(**fields)
    return judged(raw, path, one, graded(one, *shares))


@pytest.mark.parametrize(
    ("value", "met"),
    [
        (True, True),
        (False, False),
        ("true", True),
        (" Yes ", True),
        ("FAIL", False),
        ("no", False),
        (1, True),
        (0, False),
        ("1", True),
    ],
)
def test_a_verdict_may_be_spelt_in_many_ways(value: Any, met: bool) -> None:
    (found,) = labels("gold", gold=value)
    assert [label.met for label in found] == [met]


def test_a_number_is_a_score_on_the_items_scale() -> None:
    (found,) = labels("gold", gold=4, rubric_items=[item(**ONE_TO_FIVE)])
    assert found == (Label(met=True, score=4.0),)
    (found,) = labels("gold", gold="3", rubric_items=[item(**ONE_TO_FIVE)])
    assert found == (Label(met=False, score=3.0),)


def test_a_list_holds_several_raters() -> None:
    assert labels("gold", gold=[True, None, "no"]) == [(Label(met=True), Label(met=False))]
    (found,) = labels(
        "by.rater", by=[{"rater": 4}, {"rater": 5}], rubric_items=[item(**ONE_TO_FIVE)]
    )
    assert [label.score for label in found] == [4, 5]
    (found,) = labels("by.1.rater", by=[{"rater": 0}, {"rater": 1}])
    assert [label.score for label in found] == [1]


def test_items_have_their_own_labels() -> None:
    items = [item("A?", gold=True), item("B?"), item("C?", gold=[False, True])]
    assert labels("rubric_items.gold", rubric_items=items) == [
        (Label(met=True),),
        (),
        (Label(met=False), Label(met=True)),
    ]


def test_items_of_a_rubric_file_have_no_labels() -> None:
    line = dumps(datapoint(rubric_items=[item(gold=True)]))
    row = read_row(line, 1, "in.jsonl", [item("Is it kind?")])
    assert row.datapoint is not None
    assert gold(row.raw, "rubric_items.gold", row.datapoint) == [(Label(met=True),), ()]


def test_a_response_with_several_items_has_labels_from_0_to_1() -> None:
    items = [item("A?"), item("B?", **ONE_TO_FIVE)]
    for value, met in ((0, False), (1, True), (0.5, None), ("0.25", None)):
        assert labels("gold", gold=value, rubric_items=items) == [(Label(met, float(value)),)]
    with pytest.raises(InputError, match=r"gold: 1.5 is outside 0 to 1, the score of several"):
        labels("gold", gold=1.5, rubric_items=items)
    with pytest.raises(InputError, match=r"gold: -1 is outside 0 to 1"):
        labels("gold", gold=-1, rubric_items=items)


def test_a_label_may_miss_the_ends_of_its_scale_by_the_dust_of_floats() -> None:
    one = [item(**ONE_TO_FIVE)]
    (found,) = labels("gold", gold=[0.1 + 0.2 + 0.7 - 5e-10, 5 + 5e-10], rubric_items=one)
    assert [label.met for label in found] == [False, True]
    with pytest.raises(InputError):
        labels("gold", gold=5 + 1e-8, rubric_items=one)


def test_a_label_may_be_one_of_the_items_choices() -> None:
    one = [item(choices=["poor", "fair", "good"], pass_score=0.5)]
    (found,) = labels("gold", gold=["good", "fair", "poor"], rubric_items=one)
    assert found == (Label(True, 2.0), Label(True, 1.0), Label(False, 0.0))


@pytest.mark.parametrize(
    ("tags", "read"), [("x", ("x",)), (["x", "y"], ("x", "y")), ([], ()), (None, ())]
)
def test_tags_are_one_or_several(tags: object, read: tuple[str, ...]) -> None:
    for path in ("gold", "rubric_items.gold"):
        (found,) = compared(path, 1.0, gold=True, tags=tags)
        assert found.tags == read


@pytest.mark.parametrize("path", ["gold", "meta.gold", "rubric_items.gold", "id.gold", "by.7"])
def test_where_nothing_stands_there_is_no_label(path: str) -> None:
    assert labels(path, by=[1]) == [()]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("maybe", "'maybe' is not a label"),
        ({"a": 1}, "expected a label, found dict"),
        (6, "6 is outside 1 to 5"),
        (10**400, f"{str(10**400)[:40]} is outside 1 to 5"),
        ("0", "0 is outside 1 to 5"),
        ("nan", "outside"),
    ],
)
def test_what_is_no_label_is_refused(value: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        labels("gold", gold=value, rubric_items=[item(**ONE_TO_FIVE)])
    assert said in str(caught.value)
    assert "true or false" in caught.value.hint


def test_a_response_is_met_where_it_passes() -> None:
    items = [item("A?"), item("B?")]
    (found,) = compared("gold", 1.0, 0.5, gold=True, rubric_items=items, id=7, tags="x")
    assert (found.met, found.score, found.scale) == (False, 0.75, (0.0, 1.0))
    assert (found.cluster, found.length, found.tags) == (7, 4, ("x",))
    (found,) = compared("gold", 1.0, None, gold=True, rubric_items=items, group="g", tags=["x"])
    assert (found.met, found.score, found.cluster) == (None, None, ("group", "g"))


def test_of_one_item_the_response_has_its_scale() -> None:
    (found,) = compared("gold", 0.75, gold=[3, 4, 4], rubric_items=[item(**ONE_TO_FIVE)])
    assert (found.met, found.score, found.scale) == (True, 4.0, (1.0, 5.0))
    assert (found.gold, found.gold_score) == (True, 4.0)


def test_a_label_of_a_penalty_item_says_whether_the_bad_thing_happens() -> None:
    items = [item("Good?"), item("Rude?", weight=-1, gold=True)]
    happened = compared("rubric_items.gold", 1.0, 1.0, rubric_items=items)[1]
    did_not = compared("rubric_items.gold", 1.0, 0.0, rubric_items=items)[1]
    assert (happened.met, happened.gold) == (True, True)
    assert (did_not.met, did_not.gold) == (False, True)
    numbers = [item("Good?"), item("Rude?", weight=-1, gold=1)]
    assert compared("rubric_items.gold", 1.0, 1.0, rubric_items=numbers)[1].gold is True


def test_repeats_are_votes_and_an_ungraded_one_is_none() -> None:
    raw, one = read(gold=True, rubric_items=[item(gold=True, **ONE_TO_FIVE)])
    votes = tuple(graded(one, share)[0] for share in (1.0, None, 0.5))
    grades = [replace(graded(one, 0.75)[0], votes=votes)]
    for path in ("gold", "rubric_items.gold"):
        (found,) = judged(raw, path, one, grades)
        assert [(vote.met, vote.score) for vote in found.votes] == [(True, 5.0), (False, 3.0)]


def test_a_pass_is_as_likely_as_the_only_item_or_each_item_says() -> None:
    sure = {"no": 0.25, "yes": 0.75}
    raw, one = read(gold=True, rubric_items=[item(gold=True)])
    grades = [replace(graded(one, 1.0)[0], probabilities=sure)]
    for path in ("gold", "rubric_items.gold"):
        (found,) = judged(raw, path, one, grades)
        assert found.likely == 0.75
    raw, two = read(gold=True, rubric_items=[item("A?", gold=True), item("B?")])
    grades = [replace(grade, probabilities=sure) for grade in graded(two, 1.0, 1.0)]
    assert [found.likely for found in judged(raw, "gold", two, grades)] == [None]
    assert [found.likely for found in judged(raw, "rubric_items.gold", two, grades)] == [0.75] * 2
    assert judged(raw, "gold", two, graded(two, 1.0, 1.0))[0].likely is None
