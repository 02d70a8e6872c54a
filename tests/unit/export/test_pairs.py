"""Pairs: which responses are set against each other, and which are too close or too unlike."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.errors import UsageError
from tests.support.exports import exported
from tests.support.report_files import graded_row, row

A, B, C, D = "aaaa", "bbbb", "cccc", "dddd"


@pytest.mark.parametrize(
    ("pairs", "found"),
    [
        ("first-best", [(C, A)]),
        ("best-worst", [(C, B)]),
        ("steps", [(C, A)]),
        ("all", [(A, B), (C, A), (D, A), (C, B), (D, B), (C, D)]),
    ],
)
def test_which_pairs_are_made(tmp_path: Path, pairs: str, found: list[tuple[str, str]]) -> None:
    run = [row(1, [0.4, 0.2, 0.9, 0.5], texts=(A, B, C, D))]  # each a rewrite of the best so far
    made = exported(tmp_path, "dpo", run, pairs=pairs)
    assert made.pairs == found
    assert made.rows[0] == {
        "prompt": [{"role": "user", "content": "Question 1?"}],
        "chosen": [{"role": "assistant", "content": found[0][0]}],
        "rejected": [{"role": "assistant", "content": found[0][1]}],
    }


def test_a_pair_has_a_margin(tmp_path: Path) -> None:
    run = [
        row(1, [0.5, 0.5], texts=(A, B), drafts=True),
        row(2, [0.5, 0.6], texts=(A, B), drafts=True),
        row(3, [0.5, 0.7], texts=(A, B), drafts=True),
        row(4, [0.5], texts=(A,)),
    ]
    made = exported(tmp_path, "reward", run, pairs="best-worst", min_margin=0.2)
    assert [(row["prompt"][0]["content"], round(row["margin"], 6)) for row in made.rows] == [
        ("Question 3?", 0.2)
    ]
    assert made.dropped == {"tie": 1, "margin": 1, "alone": 1}


@pytest.mark.parametrize(
    ("lengths", "ratio", "kept"),
    [
        ((300, 601), None, False),
        ((300, 600), None, True),
        ((10, 200), None, True),  # of short texts length says nothing
        ((10, 201), None, False),
        ((10, 16), 1.5, False),
        ((10, 15), 1.5, True),
    ],
)
def test_a_pair_is_about_equally_long(
    tmp_path: Path, lengths: tuple[int, int], ratio: float | None, kept: bool
) -> None:
    texts = ("x" * lengths[0], "y" * lengths[1])
    run = [
        row(1, [0.0, 1.0], texts=texts, drafts=True),
        row(2, [1.0, 0.0], texts=texts, drafts=True),
        row(3, [0.0, 1.0], texts=(A, B), drafts=True),
    ]
    made = exported(tmp_path, "dpo", run, pairs="best-worst", length_ratio=ratio)
    assert len(made.rows) == (3 if kept else 1)
    assert made.dropped.get("length", 0) == (0 if kept else 2)


def test_the_better_one_may_have_to_reach_a_score_or_be_confirmed(tmp_path: Path) -> None:
    run = [
        row(1, [0.1, 0.5], texts=(A, B), drafts=True),
        row(2, [0.1, 0.9], texts=(A, B), drafts=True),
    ]
    made = exported(tmp_path, "dpo", run, min_score=0.8)
    assert (made.pairs, made.dropped) == ([(B, A)], {"low": 1})
    folder = tmp_path / "confirmed"
    folder.mkdir()
    run[0]["grading"] = graded_row(0, 1.0)["grading"] | {"passed": True}
    made = exported(folder, "dpo", run, confirmed=True, min_margin=0)
    assert [row["prompt"][0]["content"] for row in made.rows] == ["Question 1?"]


def test_responses_of_several_files_are_paired_where_one_grader_graded_both(
    tmp_path: Path,
) -> None:
    small = [graded_row(n, 0.2, response=f"small {n}") for n in (1, 2)]
    large = [graded_row(n, 0.9, response=f"large {n}") for n in (2, 1)]
    large[0]["grading"]["models"] = {"grader": "another"}
    made = exported(tmp_path, "dpo", small, large)
    assert made.pairs == [("large 1", "small 1")]


def test_scores_by_another_rubric_are_not_compared(tmp_path: Path) -> None:
    rows = [
        row(1, [0.1], texts=(A,)),
        row(1, [0.9], texts=(B,), items=({"rubric_str": "Is it short?"},)),
        row(2, [0.0, 1.0], texts=(A, B)),
    ]
    made = exported(tmp_path, "dpo", rows)
    assert [row["prompt"][0]["content"] for row in made.rows] == ["Question 2?"]


def test_of_too_many_pairs_the_widest_go_in(tmp_path: Path) -> None:
    run = [row(1, [0.4, 0.2, 0.9, 0.5], texts=(A, B, C, D), drafts=True)]
    made = exported(tmp_path, "dpo", run, pairs="all", max_per_prompt=2)
    assert made.pairs == [(C, A), (C, B)]
    assert made.dropped == {"over_cap": 4}


def test_the_control_pairs_at_random(tmp_path: Path) -> None:
    run = [row(n, [0.0, 1.0], texts=(A, B), drafts=True) for n in range(60)]
    made = exported(tmp_path, "dpo", run, random=True)
    assert len(made.rows) == 60
    assert 15 <= sum(pair == (B, A) for pair in made.pairs) <= 45


def test_a_rewrite_that_is_worse_is_not_a_tie(tmp_path: Path) -> None:
    made = exported(tmp_path, "dpo", [row(1, [0.5, 0.2, 0.5, 0.9])], pairs="steps")
    assert made.dropped == {"not_better": 1, "tie": 1}


@pytest.mark.parametrize(("second", "comparable"), [("rm 1f", True), ("rm 2e", False)])
def test_scores_of_two_reward_models_are_not_compared(
    tmp_path: Path, second: str, comparable: bool
) -> None:
    run = [graded_row(1, 0.2, response=A), graded_row(1, 0.9, response=B)]
    for made, model in zip(run, ("rm 1f", second), strict=True):
        made["grading"]["grades"][0]["grader"] = "classifier"
        made["grading"]["models"] = {"classifier.rm": model}
    if comparable:
        assert exported(tmp_path, "dpo", run).pairs == [(B, A)]
    else:
        with pytest.raises(UsageError, match="no pair is left"):
            exported(tmp_path, "dpo", run)
