"""Rows of one id are told apart by how often it came before, at a few bytes a row."""

from __future__ import annotations

import sys
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.occurrences import Occurrences

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


def test_a_row_takes_24_bytes_at_most() -> None:
    seen = Occurrences()
    for n in range(200_000):
        assert seen.next(n) == 0
        if n > 1000 and n % 9973 == 0:
            assert bytes_of(seen) <= 24 * n
    assert bytes_of(seen) <= 24 * 200_000


def bytes_of(seen: Occurrences) -> int:
    """All that it keeps."""
    return sum(sys.getsizeof(value) for value in vars(seen).values())
