"""The parts of a whole."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from refinecli.runs.shards import Shard


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_parts_cover_each_row_once_and_differ_by_one_row_at_most(total: int, count: int) -> None:
    parts = [Shard(index, count).rows(total) for index in range(1, count + 1)]
    assert [row for part in parts for row in part] == list(range(total))
    sizes = {len(part) for part in parts}
    assert max(sizes) - min(sizes) <= 1
