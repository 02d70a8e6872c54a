"""Files in code: read as the commands read them, and wrong lines named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import refinecli as rc
from refinecli.data.rows import read_row
from refinecli.data.rubric_file import read_rubric
from tests.conftest import datapoint, write_jsonl

RUBRIC = '[[rubric_items]]\nrubric_str = "Is it polite?"\nmine = 1\n'


def test_datapoints_are_those_of_the_commands(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(), datapoint(), datapoint(id="x")])
    (tmp_path / "rubric.toml").write_text(RUBRIC)
    items = read_rubric(tmp_path / "rubric.toml", pytest.fail)
    expected = read_row(path.read_bytes().split(b"\n")[0], 1, "in.jsonl", items).datapoint
    first, second, third = rc.read_datapoints(path, rubric=tmp_path / "rubric.toml")
    assert first == expected
    assert (second.id, second.occurrence, third.convo_occurrence) == (first.id, 1, 2)
    assert len(list(rc.read_datapoints(str(path), limit=2))) == 2


def test_a_rubric_may_be_items(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    rubric: list[str | rc.RubricItem | dict[str, Any]]
    rubric = ["Is it short?", rc.RubricItem("Rude?", weight=-1), {"rubric_str": "Is the answer 4?"}]
    (point,) = rc.read_datapoints(path, rubric=rubric)
    items = [(item.rubric_str, item.name, item.weight) for item in point.rubric_items]
    assert items == [
        ("Is the answer 4?", "item-0", 1),
        ("Is it short?", "item-1", 1),
        ("Rude?", "item-2", -1),
    ]


def test_the_items_of_a_file_are_named_by_their_place_in_a_datapoint(tmp_path: Path) -> None:
    (tmp_path / "rubric.toml").write_text(RUBRIC)
    rubric = rc.load_rubric(tmp_path / "rubric.toml")
    assert rubric == [rc.RubricItem("Is it polite?")]
    point = rc.Datapoint("Hi!", ["Is it short?", *rubric])
    assert [item.name for item in point.rubric_items] == ["item-0", "item-1"]


def test_a_line_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(), {"convo": "Hi!"}])
    points = rc.read_datapoints(path)
    next(points)
    with pytest.raises(rc.InputError, match=r"in.jsonl:2: rubric_items: field required") as caught:
        next(points)
    assert caught.value.line == 2


def test_a_file_that_cannot_be_read_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(rc.UsageError, match=r"nowhere.jsonl: No such file"):
        rc.read_datapoints(tmp_path / "nowhere.jsonl")
    with pytest.raises(rc.UsageError, match="path: must be a path, not None"):
        rc.load_rubric(None)  # type: ignore[arg-type]
    with pytest.raises(rc.UsageError, match=r"rubric=.*nowhere.toml: No such file"):
        rc.load_rubric("nowhere.toml")
