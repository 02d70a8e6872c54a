"""The first example: what it asks for can be met, and not by repeating what was asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.checks.words import ContainsAll
from refinecli.data.rows import read_row
from refinecli.types import Datapoint, RubricItem

FILE = Path(__file__).parents[3] / "example_data" / "sentences.jsonl"
POINTS = [
    point
    for number, line in enumerate(FILE.read_bytes().splitlines(), 1)
    if (point := read_row(line, number, FILE.name).datapoint)
]


def grade(item: RubricItem, response: str) -> float:
    assert item.check is not None
    return item.check.grade(response).score


def score(point: Datapoint, response: str) -> float:
    positive = sum(max(0, item.weight) for item in point.rubric_items)
    return sum(item.weight * grade(item, response) for item in point.rubric_items) / positive


def words_of(point: Datapoint) -> tuple[str, ...]:
    check = point.rubric_items[0].check
    assert isinstance(check, ContainsAll)
    return check.words


def test_it_is_a_dozen_rows() -> None:
    assert len(POINTS) == 12


@pytest.mark.parametrize("point", POINTS, ids=lambda point: str(point.id))
def test_a_sentence_passes_and_an_echo_or_a_list_does_not(point: Datapoint) -> None:
    one, two, three, four = words_of(point)
    sentence = (
        f"Behind the {one} she kept a {two}, though nobody knew that the {three} had a {four}."
    )
    assert score(point, sentence) == 1
    listed = f"There are {one}, {two}, {three} and {four}, all of them together in one place."
    prompt = str(point.convo[0]["content"])
    criteria = [f"{item.rubric_str} {one}, {two}, {three}, {four}" for item in point.rubric_items]
    for bad in (prompt, listed, f"The {one}, the {two}, and a {three}: {four}", *criteria):
        assert score(point, bad) < 0.5, bad
