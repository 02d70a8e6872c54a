"""Rows of one id are told apart by how often it came before, at a few bytes a row."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.data.repeats import Occurrences
from refinecli.data.rows import Row
from refinecli.data.sources import Source
from refinecli.runs.run import Input
from tests.conftest import datapoint, write_jsonl

IDS = st.integers(-3, 3) | st.sampled_from(["", "a", "b", "1", "-1", "é", "\ud800"]) | st.text()


@given(st.lists(IDS, max_size=200))
@settings(deadline=None)
def test_it_counts_as_a_counter_does(ids: list[str | int]) -> None:
    seen, counter = Occurrences(), Counter[str | int]()
    for id in ids:
        assert seen.next(id) == counter[id]
        counter[id] += 1


def test_a_number_and_its_text_are_two_ids() -> None:
    seen = Occurrences()
    assert [seen.next(id) for id in (1, "1", 1, "1", 2**80, str(2**80))] == [0, 0, 1, 1, 0, 0]


def test_it_still_knows_all_ids_after_it_has_grown() -> None:
    seen = Occurrences()
    assert all(seen.next(f"row-{n}") == 0 for n in range(5000))
    assert all(seen.next(f"row-{n}") == 1 for n in range(5000))
    assert all(seen.next(f"row-{n}") == 2 for n in range(5000))


def test_it_counts_beyond_what_a_byte_holds() -> None:
    seen = Occurrences()
    assert [seen.next("a") for _ in range(600)] == list(range(600))
    assert all(seen.next(n) == 0 for n in range(5000))
    assert [seen.next("a") for _ in range(600)] == list(range(600, 1200))
    assert seen.next("b") == 0


def test_a_row_that_comes_twice_takes_no_more() -> None:
    seen = Occurrences()
    assert all(seen.next(n) == 0 for n in range(50_000))
    before = bytes_of(seen)
    assert all(seen.next(n) == 1 for n in range(50_000))
    assert bytes_of(seen) == before


def test_a_row_takes_24_bytes_at_most() -> None:
    seen = Occurrences()
    for n in range(200_000):
        assert seen.next(n) == 0
        if n > 1000 and n % 9973 == 0:
            assert bytes_of(seen) <= 24 * n
    assert bytes_of(seen) <= 24 * 200_000


# ------------------------------------------------------------------ of rows


def test_rows_with_one_id_and_rows_with_one_conversation_are_counted(tmp_path: Path) -> None:
    hi, bye = [{"role": "user", "content": "Hi."}], [{"role": "user", "content": "Bye."}]
    rows = [
        datapoint(id="a", convo=hi),
        datapoint(id="b", convo=bye),
        datapoint(id="a", convo=bye),
        datapoint(id="c", convo=[{"content": "Hi.", "role": "user", "name": None}]),
        datapoint(id="c", convo="Hi.", response="Hello."),
        {"not": "a datapoint"},
        datapoint(id="a", convo=hi, rubric_items=[{"rubric_str": "Is it kind?"}]),
        datapoint(id="d", convo=[*hi, *hi]),
        datapoint(id="\ud800", convo=[{"role": "user", "content": "\ud800"}]),
        datapoint(id="e", convo=[{"role": "user", "content": "\ud800"}]),
    ]
    expected = [(0, 0), (0, 0), (1, 1), (0, 1), (1, 2), None, (2, 3), (0, 0), (0, 0), (0, 1)]
    source = Input(Source(str(write_jsonl(tmp_path / "in.jsonl", rows))))
    assert counts(list(source.all_rows())) == expected

    async def streamed() -> list[Row]:
        return [row async for row in source.stream()]

    assert counts(asyncio.run(streamed())) == expected


def counts(rows: Sequence[Row]) -> list[tuple[int, int] | None]:
    points = [row.datapoint for row in rows]
    return [(point.occurrence, point.convo_occurrence) if point else None for point in points]


def bytes_of(seen: Occurrences) -> int:
    """All that it keeps."""
    return sum(sys.getsizeof(value) for value in vars(seen).values())
