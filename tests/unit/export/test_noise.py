"""The default margin: what is hardly noise, where that can be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from refinecli.export.noise import Noise
from tests.support.exports import exported
from tests.support.report_files import graded_row, row


def noisy(number: int, later: float) -> dict[str, Any]:
    """A refined row whose response a later grade gave another score."""
    made = row(number, [0.2, 0.9])
    return made | {"score": later, "grading": graded_row(number, later)["grading"]}


def test_a_later_grade_shows_the_noise(tmp_path: Path) -> None:
    made = exported(tmp_path, "dpo", [noisy(1, 0.8), noisy(2, 1.0)])
    noise = made.made.collected.noise
    assert noise.count == 2
    assert noise.deviation == pytest.approx(0.1 / 2**0.5)
    assert made.made.selection.min_margin == pytest.approx(1.96 * 0.1)
    assert any("standard deviation over 2 responses is 0.071" in f for f in made.made.filters)


def test_repeats_show_the_noise_of_their_median(tmp_path: Path) -> None:
    votes = [{"score": score} for score in (0.2, 0.4, 0.6)]
    run = [graded_row(1, 0.4, response="a"), graded_row(1, 1.0, response="b")]
    run[0]["grading"]["grades"][0]["votes"] = votes
    made = exported(tmp_path, "dpo", run)
    assert made.made.collected.noise.deviation == pytest.approx(0.2 / 3**0.5)
    assert made.made.collected.noise.count == 1


def test_without_either_the_margin_is_any_and_says_so(tmp_path: Path) -> None:
    made = exported(tmp_path, "dpo", [row(1, [0.2, 0.9])])
    assert made.made.selection.min_margin == 0
    assert any("the grader's noise is not known" in phrase for phrase in made.made.filters)


@pytest.mark.parametrize(
    ("grader", "words"),
    [("check", "code graded"), ("classifier", "a classifier graded, which repeats itself")],
)
def test_code_and_classifiers_have_no_noise(tmp_path: Path, grader: str, words: str) -> None:
    run = [row(1, [0.2, 0.9])]
    for iteration in run[0]["refinement"]["iterations"]:
        iteration["grades"][0]["grader"] = grader
    made = exported(tmp_path, "dpo", run)
    assert made.made.collected.noise == Noise(by_classifier=grader == "classifier")
    assert any(words in phrase for phrase in made.made.filters)


def test_a_later_grade_by_another_grader_says_nothing_of_noise(tmp_path: Path) -> None:
    rows = [noisy(1, 0.8), noisy(2, 1.0)]
    for made in rows:
        made["grading"]["models"] = {"grader": "another"}
    assert exported(tmp_path, "dpo", rows).made.collected.noise.deviation is None


def test_jurors_who_differ_are_not_noise(tmp_path: Path) -> None:
    run = [graded_row(1, 0.4, response="a"), graded_row(1, 1.0, response="b")]
    votes = [{"juror": name, "score": score} for name, score in (("x", 0.2), ("y", 0.6))]
    run[0]["grading"]["grades"][0]["votes"] = votes
    assert exported(tmp_path, "dpo", run).made.collected.noise.deviation is None
