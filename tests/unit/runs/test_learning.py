"""Rows learn from earlier rows by their place alone, whatever finishes when."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from refinecli.errors import BudgetError, UsageError
from refinecli.refining.estimates import Estimates, Lesson, Lessons
from refinecli.runs.learning import Learner, learned_from, rows_used
from refinecli.runs.ordered_map import Places, ordered_map


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def lesson(place: int) -> Lesson:
    return Lesson((place / 100, 0.3), (0.1 * (place % 3),))


def test_a_row_uses_the_rows_before_the_largest_power_of_two_up_to_half_its_place() -> None:
    used = {place: rows_used(place) for place in (0, 1, 2, 3, 4, 7, 8, 15, 16, 63, 64, 1000)}
    assert used == {
        0: 0,
        1: 0,
        2: 1,
        3: 1,
        4: 2,
        7: 2,
        8: 4,
        15: 4,
        16: 8,
        63: 16,
        64: 32,
        1000: 256,
    }
    assert all(place / 4 <= rows_used(place) <= place / 2 for place in range(2, 5000))


async def learned(active: int, seed: int, rows: int = 100) -> list[Estimates]:
    """What each row went by, with work that takes as long as it happens to."""
    rng = random.Random(seed)
    places = Places(active)
    learner = Learner(places.resting)

    async def arriving() -> Any:
        for place in range(rows):
            yield place

    async def work(place: int) -> Estimates:
        with learner.row() as row:
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            found = await row.estimates()
            for _ in range(rng.randrange(6)):
                await asyncio.sleep(0)
            row.lesson = lesson(place)
            return found

    return [one async for one in ordered_map(arriving(), work, active=places, window=256)]


@pytest.mark.anyio
async def test_what_rows_go_by_depends_on_neither_order_nor_concurrency() -> None:
    expected = []
    for place in range(100):
        seen = Lessons()
        for earlier in range(rows_used(place)):
            seen.add(lesson(earlier))
        expected.append(seen.estimates)
    for active, seed in ((1, 0), (2, 1), (8, 2), (64, 3), (64, 4)):
        assert await learned(active, seed) == expected


@pytest.mark.anyio
async def test_rows_that_wait_leave_their_places_to_others() -> None:
    """With one place, rows 4 and on wait for row 1, which comes last to its end."""
    begun: list[int] = []
    release = asyncio.Event()
    places = Places(2)
    learner = Learner(places.resting)

    async def arriving() -> Any:
        for place in range(12):
            yield place

    async def work(place: int) -> int:
        with learner.row() as row:
            begun.append(place)
            if len(begun) == 12:
                release.set()
            if place == 1:
                await release.wait()
            await row.estimates()
            return place

    async with asyncio.timeout(5):
        done = [one async for one in ordered_map(arriving(), work, active=places, window=256)]
    assert done == list(range(12))


@pytest.mark.anyio
async def test_a_budget_that_ends_a_row_ends_those_that_wait_for_it() -> None:
    learner = Learner()
    with pytest.raises(BudgetError), learner.row():
        raise BudgetError("spent")
    for _ in range(3):
        with learner.row() as row:
            pass
    assert row.place == 3
    async with asyncio.timeout(5):
        with pytest.raises(BudgetError):
            await row.estimates()


@pytest.mark.anyio
async def test_fixed_estimates_hold_for_every_row() -> None:
    fixed = Lessons().estimates._replace(drafts=Lessons().estimates.rewrites)
    learner = Learner(fixed=fixed)
    for _ in range(5):
        with learner.row() as row:
            assert await row.estimates() == fixed


def test_estimates_are_read_from_another_runs_output(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    steps = [
        {"role": "policy", "parent": None, "score": 0.5},
        {"role": "reviser", "parent": 0, "score": 1.0},
    ]
    import json

    lines = [
        {"refinement": {"status": "done", "iterations": steps}},
        {"refinement": {"status": "failed", "iterations": steps}},
        {"error": {"type": "input"}},
        [1],
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seen = Lessons()
    seen.add(Lesson((0.5,), (1.0,)))
    assert learned_from(file) == seen.estimates


def test_a_file_without_refinements_teaches_nothing_and_says_so(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    file.write_text('{"convo": "x"}\n')
    with pytest.raises(UsageError, match="no refinement"):
        learned_from(file)
