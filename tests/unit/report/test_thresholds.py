"""From where on an alarm is raised, and which cost counts as equal: the thresholds, to the unit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from refinecli.report import fresh_grades
from refinecli.report.alarms import _copied, _failed, _length, _unequal, _ungraded
from refinecli.report.baselines import _best, _cost_per_point, _matching, _Pair, _spent
from refinecli.report.cases import Case, Spent
from refinecli.report.rubric_copying import copied_phrases
from refinecli.report.runs import Run, read_run
from tests.conftest import write_jsonl
from tests.support.report_files import Row, failed_row, row
from tests.unit.report.test_cases import case, refined


def run_of(folder: Path, rows: list[Row]) -> Run:
    return read_run(str(write_jsonl(folder / "run.jsonl", rows)))


def kinds(found: Any) -> list[str]:
    return [kind for kind, _ in found]


@pytest.mark.parametrize(("characters", "alarm"), [(110, False), (111, True)])
def test_answers_may_grow_by_a_tenth(characters: int, alarm: bool) -> None:
    lines = [row(n, [0.0, 1.0], texts=("x" * 100, "x" * characters)) for n in range(20)]
    found = list(_length([replace(case(line), key=(n, 0)) for n, line in enumerate(lines)]))
    assert kinds(found) == ["length"] * alarm
    if alarm:
        assert "1.11 times as long as the first (1.11 to 1.11)" in found[0][1]


@pytest.mark.parametrize(("others", "alarm"), [(99, True), (100, False)])
def test_one_response_in_a_hundred_may_not_copy_the_rubric(others: int, alarm: bool) -> None:
    one = refined(0.0, 1.0)
    cases: list[Case] = [replace(one, copied=True, key=("it", 0)), *[one] * others]
    found = list(_copied(cases))
    assert kinds(found) == ["rubric_copied"] * alarm
    assert not alarm or found[0][1].startswith("1 final response of 100 have")


@pytest.mark.parametrize(("words", "copied"), [(5, False), (6, True)])
def test_six_words_in_a_row_are_a_phrase(words: int, copied: bool) -> None:
    criterion = "Does it say one two three four five six seven?"
    line = {"rubric_items": [{"rubric_str": criterion}], "convo": [], "response": "x"}
    phrase = " ".join(["one", "two", "three", "four", "five", "six", "seven"][:words])
    assert copied_phrases(line, "no", f"So: {phrase.upper()}!") is copied
    assert copied_phrases(line, f"{phrase}", f"So: {phrase}!") is False
    assert copied_phrases(line, "no", "no") is False
    assert copied_phrases({**line, "convo": [{"content": phrase}]}, "no", f"So: {phrase}!") is False
    by_code = {"rubric_items": [{"rubric_str": criterion, "check": {}}]}
    assert copied_phrases(by_code, "no", f"So: {phrase}!") is False


@pytest.mark.parametrize(("missing", "alarm"), [(1, False), (2, True)])
def test_one_datapoint_in_twenty_may_have_no_score(
    tmp_path: Path, missing: int, alarm: bool
) -> None:
    rows = [row(n, [1.0]) for n in range(20 - missing)]
    ungraded = [row(20 + n, [None]) for n in range(missing)]
    figures = {"scored": 20 - missing, "n": 20 - missing, "items": []}
    assert ("ungraded" in kinds(_ungraded(run_of(tmp_path, [*rows, *ungraded]), figures))) is alarm
    failed = run_of(tmp_path, [*rows, *[failed_row(20 + n) for n in range(missing)]])
    found = list(_failed(failed))
    assert kinds(found) == ["failed"] * alarm
    assert not alarm or "2 of 20 datapoints failed before they were done (timeout 2)." in found[0]


@pytest.mark.parametrize(("missing", "alarm"), [(1, False), (2, True)])
def test_one_first_response_or_one_grade_of_an_item_in_twenty_may_be_missing(
    tmp_path: Path, missing: int, alarm: bool
) -> None:
    rows = [row(n, [0.0, 1.0]) for n in range(20 - missing)]
    rows += [row(20 + n, [None, 1.0]) for n in range(missing)]
    item = {"name": "it", "n": 20 - missing, "ungraded": missing}
    found = kinds(_ungraded(run_of(tmp_path, rows), {"scored": 20, "n": 18, "items": [item]}))
    assert found == ["ungraded_first", "ungraded_item"] * alarm
    nobody = {"scored": 20, "n": 18, "items": [{"name": "it", "n": 0, "ungraded": 20}]}
    assert "ungraded_item" not in kinds(_ungraded(run_of(tmp_path, rows), nobody))


@pytest.mark.parametrize(("grades", "alarm"), [(40, False), (39, True)])
def test_one_fresh_grade_in_twenty_may_be_missing(grades: int, alarm: bool) -> None:
    assert bool(fresh_grades.left_out(2, grades)) is alarm


# ------------------------------------------------------------------ equal cost


@pytest.mark.parametrize(
    ("share", "drafts", "enough", "words"),
    [
        (0.95, 4, 4, ""),
        (0.949, 4, 4, "used 95% of the run's tokens: not an equal-cost control. Draw more drafts"),
        (1.5, 5, 4, "regraded with all its drafts, used 150% of the run's tokens: with"),
        (None, 5, 4, "regraded with all its drafts,: with"),
        (0.5, None, None, ""),
    ],
)
def test_what_costs_less_than_95_percent_is_not_an_equal_cost_control(
    share: float | None, drafts: int | None, enough: int | None, words: str
) -> None:
    baseline = {"name": "b", "tokens_ratio": share, "drafts": drafts, "drafts_drawn": 5}
    found = list(_unequal({"baselines": [{**baseline, "drafts_at_equal_cost": enough}]}))
    assert len(found) == bool(words)
    assert not words or words in found[0][1]


def drafted(*scores: float | None) -> Case:
    """A datapoint with drafts, 100 tokens each."""
    return case(row(1, scores, drafts=True))


@pytest.mark.parametrize(
    ("tokens", "drafts"), [(0, 1), (105, 1), (106, 2), (315, 3), (316, 4), (900, 4)]
)
def test_the_fewest_drafts_count_that_cost_as_much(tokens: int, drafts: int) -> None:
    assert _matching([drafted(0.0, 0.5, 1.0, 0.25)], 4, tokens) == drafts


def test_drafts_that_count_have_the_best_score_and_the_cost_of_their_own() -> None:
    one = drafted(0.25, None, 0.5, 1.0)
    assert [_best(one, drafts) for drafts in (1, 2, 3, 4)] == [0.25, 0.25, 0.5, 1.0]
    assert _best(drafted(None, 1.0), 1) is None
    assert [_spent(one, drafts).tokens for drafts in (0, 1, 3, 4, 9)] == [400, 100, 300, 400, 400]


def test_a_point_costs_the_extra_tokens_and_calls_for_a_hundredth() -> None:
    one = refined(0.25, 0.75)  # a first answer of 100 tokens and 2 calls
    pair = _Pair(one, 0.75, 0.75, Spent(12, 1_000, 100))
    assert _cost_per_point([pair], pair.spent) == {"cost_per_point": 20.0, "calls_per_point": 0.2}
    nothing = {"cost_per_point": None, "calls_per_point": None}
    assert _cost_per_point([replace(pair, score=0.25)], pair.spent) == nothing
    assert _cost_per_point([pair], one.steps[0].spent) == nothing
    graded = replace(one, refined=False)
    assert _cost_per_point([replace(pair, case=graded)], pair.spent) == nothing
