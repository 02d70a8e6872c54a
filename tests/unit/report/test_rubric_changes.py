"""What an edit of a rubric changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from refinecli.report.cases import Case
from refinecli.report.rubric_changes import item_pairs
from refinecli.report.runs import read_run
from tests.conftest import write_jsonl
from tests.support.report_files import Row, graded

Changes = list[tuple[str, str, tuple[str, ...]]]


@pytest.fixture
def changes(tmp_path: Path) -> Callable[..., Changes]:
    def case(items: list[Row]) -> Case:
        rows = [graded(0, {str(n): 1.0 for n in range(len(items))}, items=_named(items))]
        rows[0]["rubric_items"] = items
        return read_run(str(write_jsonl(tmp_path / "run.jsonl", rows))).cases[0]

    def changes(old: list[Row], new: list[Row]) -> Changes:
        pairs = item_pairs(case(old), case(new))
        return [(pair.old_name, pair.name, pair.changes) for pair in pairs]

    return changes


def _named(items: list[Row]) -> list[Row]:
    return [{"name": f"item-{n}", **item} for n, item in enumerate(items)]


def item(text: str, name: str | None = None, **fields: Any) -> Row:
    return {"rubric_str": text, **({"name": name} if name else {}), **fields}


KIND, SHORT, TRUE = item("Is it kind?", "kind"), item("Is it short?", "short"), item("Is it true?")


def test_items_that_stay_the_same_have_no_changes(changes: Callable[..., Changes]) -> None:
    assert changes([KIND, SHORT], [SHORT, KIND]) == [("short", "short", ()), ("kind", "kind", ())]


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (item("Is it very kind?", "kind"), ("edited",)),
        (KIND | {"score_range": [1, 5]}, ("edited",)),
        (KIND | {"check": {"kind": "words", "max": 5}}, ("edited",)),
        (KIND | {"grader_output_format_instruction": "Say <score>"}, ("edited",)),
        (KIND | {"weight": 2}, ("reweighted",)),
        (KIND | {"required": True}, ("reweighted",)),
        (KIND | {"pass_score": 0.5}, ("reweighted",)),
        (KIND | {"weight": 1.0, "note": "ours"}, ()),
        (item("Is it kind?", "gentle"), ("renamed",)),
        (item("Is it kind?", "gentle", weight=2), ("renamed", "reweighted")),
    ],
)
def test_what_changed_of_an_item_is_named(
    changes: Callable[..., Changes], new: Row, change: tuple[str, ...]
) -> None:
    assert changes([KIND, SHORT], [new, SHORT])[0] == ("kind", new["name"], change)


def test_added_and_removed_items_are_named(changes: Callable[..., Changes]) -> None:
    assert changes([KIND], [SHORT]) == [
        ("short", "short", ("added",)),
        ("kind", "kind", ("removed",)),
    ]


def test_items_without_a_name_that_only_moved_are_the_same(
    changes: Callable[..., Changes],
) -> None:
    found = changes([item("Is it kind?"), TRUE], [item("Is it new?"), item("Is it kind?"), TRUE])
    assert found == [
        ("item-0", "item-0", ("added",)),
        ("item-0", "item-1", ()),
        ("item-1", "item-2", ()),
    ]


def test_an_edited_item_without_a_name_is_found_by_its_place(
    changes: Callable[..., Changes],
) -> None:
    found = changes([item("Is it kind?"), TRUE], [item("Is it very kind?"), TRUE])
    assert found == [("item-0", "item-0", ("edited",)), ("item-1", "item-1", ())]
