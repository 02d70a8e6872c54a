"""The split: by group, else by prompt; seeded, exact, and no prompt on both sides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.exports import Exported, exported
from tests.support.report_files import row


def numbers(made: Exported, side: str) -> set[int]:
    """The questions that are asked on one side."""
    return {int(r["prompt"][0]["content"][9:-1]) for r in made.side(side)}


def split(folder: Path, groups: list[Any], **options: Any) -> tuple[set[int], set[int]]:
    folder.mkdir(exist_ok=True)
    run = [
        row(n, [1.0, 1.0], drafts=True) | ({} if group is None else {"group": group})
        for n, group in enumerate(groups)
    ]
    made = exported(folder, "sft", run, **options)
    train, test = numbers(made, "train"), numbers(made, "test")
    assert not train & test
    assert train | test == set(range(len(groups)))
    return train, test


def test_no_prompt_is_on_both_sides_and_the_share_is_exact(tmp_path: Path) -> None:
    train, test = split(tmp_path, [None] * 40, test_share=0.25)
    assert (len(train), len(test)) == (30, 10)


def test_the_seed_settles_the_split(tmp_path: Path) -> None:
    first, again, other = (
        split(tmp_path / name, [None] * 40, test_share=0.25, seed=seed)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first == again != other


def test_a_group_is_on_one_side(tmp_path: Path) -> None:
    train, test = split(tmp_path, [n % 5 for n in range(40)], test_share=0.2)
    assert not {n % 5 for n in train} & {n % 5 for n in test}
    assert len(test) == 8


def test_there_is_something_on_each_side_where_that_can_be(tmp_path: Path) -> None:
    assert [len(side) for side in split(tmp_path / "two", [None] * 2, test_share=0.1)] == [1, 1]
    assert [len(side) for side in split(tmp_path / "one", [None], test_share=0.9)] == [1, 0]
    assert [len(side) for side in split(tmp_path / "no", [None] * 9, test_share=0)] == [9, 0]


def test_groups_that_share_a_prompt_are_on_one_side(tmp_path: Path) -> None:
    groups = ("a", "b", "c", "d", "e", "f")
    run = [row(10 * n + i, [1.0], group=g) for n, g in enumerate(groups) for i in range(3)]
    run += [row(0, [1.0], texts=("again",), group=group) for group in groups[1:3]]
    for seed in range(12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = exported(folder, "sft", run, test_share=0.4, seed=seed)
        test = {number // 10 for number in numbers(made, "test")}
        assert test.isdisjoint(number // 10 for number in numbers(made, "train"))
        assert test >= {0, 1, 2} or test.isdisjoint({0, 1, 2})
