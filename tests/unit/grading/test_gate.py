"""A gate: what a response must pass is asked first, and after a failure nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from refinecli.agreement.labels import judged
from refinecli.data.output_lines import Outcome, Provenance, graded
from refinecli.errors import CompletionError
from refinecli.grading.grade import first_prompt
from refinecli.grading.verdict import GradeOptions
from refinecli.grading.votes import grade_by_votes
from refinecli.prompts import Prompts
from refinecli.types import Datapoint, Grade, Roles, Usage
from tests.support.fakes import Call, Scripted, datapoint, nobody, score

GATE = GradeOptions(gate=True)
SHORT: dict[str, Any] = {"name": "short", "check": {"kind": "words", "max": 3}}
MUST: dict[str, Any] = {"rubric_str": "Must?", "name": "must", "required": True}
NICE: dict[str, Any] = {"rubric_str": "Nice?", "name": "nice"}
FINE: dict[str, Any] = {"rubric_str": "Fine?", "name": "fine"}
ITEMS = [NICE, MUST, FINE, SHORT]


def saying(**verdicts: object) -> Scripted:
    """A grader that gives these verdicts by the item's name; an exception is raised."""

    def answer(call: Call) -> Any:
        said = verdicts[call.criterion.lower().removesuffix("?")]
        return said if isinstance(said, Exception) else score(said)

    return Scripted(answer)


def by(
    grader: Scripted,
    response: str = "A response.",
    *items: dict[str, Any],
    options: GradeOptions = GATE,
    jury: Mapping[str, Scripted] | None = None,
    repeats: int = 1,
) -> tuple[tuple[Grade, ...], Usage, Datapoint]:
    point = datapoint(*items or ITEMS)
    roles = Roles(nobody(), nobody(), grader, nobody(), nobody(), jury=jury or {})
    found = asyncio.run(grade_by_votes(point, response, roles, Prompts(), options, repeats=repeats))
    return *found, point


def line(grades: tuple[Grade, ...], point: Datapoint) -> Outcome:
    return graded({}, point, grades, Usage(), Provenance({}, "digest"))


def asked(grader: Scripted) -> list[str]:
    return [call.criterion for call in grader.calls]


def test_where_a_check_fails_nobody_is_asked() -> None:
    grades, usage, _ = by(nobody(), "One two three four.")
    assert [g.status for g in grades] == ["skipped", "skipped", "skipped", "graded"]
    assert usage == Usage()


def test_where_a_required_item_fails_the_rest_is_not_asked() -> None:
    grader = saying(must=0)
    grades, usage, _ = by(grader)
    assert asked(grader) == ["Must?"]
    assert [g.status for g in grades] == ["skipped", "graded", "skipped", "graded"]
    assert usage.calls == 1


def test_what_passes_is_graded_as_always() -> None:
    with_gate, without = saying(must=1, nice=0, fine=1), saying(must=1, nice=0, fine=1)
    gated, _, _ = by(with_gate)
    usual, _, _ = by(without, options=GradeOptions())
    assert gated == usual
    assert sorted(asked(with_gate)) == sorted(asked(without))
    # The same requests, as the same draws, so that a cache serves both.
    assert all(call in without.calls for call in with_gate.calls)


def test_a_required_item_without_a_verdict_is_no_failure() -> None:
    grades, _, point = by(saying(must=CompletionError("timeout", "Slow."), nice=1, fine=1))
    assert [g.status for g in grades] == ["graded", "ungraded", "graded", "graded"]
    assert line(grades, point).status == "ungraded"


def test_a_penalty_fails_where_the_fault_is_there() -> None:
    rude = {"rubric_str": "Rude?", "weight": -1.0, "required": True}
    grades, _, _ = by(saying(rude=1), "Hm.", NICE, rude)
    assert [g.status for g in grades] == ["skipped", "graded"]
    grades, _, _ = by(saying(rude=0, nice=1), "Hm.", NICE, rude)
    assert [g.status for g in grades] == ["graded", "graded"]


def test_an_empty_response_scores_0_on_every_item_as_always() -> None:
    grades, _, point = by(nobody(), " ")
    assert [g.grader for g in grades] == ["empty"] * 4
    assert (line(grades, point).score, line(grades, point).gated) == (0, False)


def test_a_gated_row_is_done_and_not_passed_and_has_no_score() -> None:
    grades, _, point = by(saying(must=0))
    outcome = line(grades, point)
    grading = outcome.record["grading"]
    assert (grading["status"], grading["passed"], outcome.record["score"]) == ("done", False, None)
    assert (outcome.gated, outcome.failures, outcome.why) == (True, (), "")
    skipped = grading["grades"][0]
    assert {skipped[key] for key in ("score", "raw_score", "passed", "reply", "feedback")} == {None}
    assert (skipped["status"], "error" in skipped) == ("skipped", False)


def test_where_no_model_was_asked_none_graded() -> None:
    grades, _, point = by(nobody(), "One two three four.")
    assert not line(grades, point).noisy
    grades, _, point = by(saying(must=0))
    assert line(grades, point).noisy


def test_a_failure_and_a_missing_verdict_leave_the_row_ungraded() -> None:
    other = {**MUST, "rubric_str": "Other?"}
    grades, _, point = by(
        saying(must=0, other=CompletionError("timeout", "Slow.")), "Hm.", MUST, other, NICE
    )
    outcome = line(grades, point)
    assert (outcome.status, outcome.passed, outcome.gated) == ("ungraded", False, False)
    assert outcome.failures == ("timeout",)


def test_a_jury_decides_together_what_is_asked_next() -> None:
    jury = {
        f"jury.{name}": saying(must=must, nice=1, fine=1)
        for name, must in zip("abc", (0, 1, 1), strict=True)
    }
    grades, _, _ = by(nobody(), jury=jury)
    assert [g.status for g in grades] == ["graded"] * 4
    assert all(len(juror.calls) == 3 for juror in jury.values())
    jury = {f"jury.{name}": saying(must=must) for name, must in zip("abc", (0, 0, 1), strict=True)}
    grades, usage, _ = by(nobody(), jury=jury)
    assert [g.status for g in grades] == ["skipped", "graded", "skipped", "graded"]
    assert [len(g.votes) for g in grades] == [0, 3, 0, 0]
    assert usage.calls == 3


def test_repeats_are_combined_before_the_gate() -> None:
    grader = saying(must=0)
    grades, usage, _ = by(grader, repeats=3)
    assert [g.status for g in grades] == ["skipped", "graded", "skipped", "graded"]
    assert usage.calls == 3


def test_with_batches_each_stage_is_a_call() -> None:
    calls: list[int] = []

    def answer(call: Call) -> str:
        calls.append(call.last.count("<criterion"))
        return score(1)

    by(Scripted(answer), options=GradeOptions(gate=True, batch_items=9))
    assert calls[:2] == [1, 2]


def test_the_first_prompt_is_about_a_required_item() -> None:
    messages = first_prompt(datapoint(*ITEMS), Prompts(), GATE)
    assert messages
    assert "Must?" in str(messages[-1])


# ------------------------------------------------------------------ labels


def test_labels_are_compared_with_what_was_graded() -> None:
    grades, _, point = by(saying(must=0))
    raw = {"rubric_items": [{"gold": True}, {"gold": False}, {"gold": True}, {"gold": True}]}
    found = judged(raw, "rubric_items.gold", point, grades)
    assert [one.met for one in found] == [False, True]


@pytest.mark.parametrize(("must", "met"), [(0, False), (1, True)])
def test_of_a_gated_response_the_verdict_is_known_and_the_score_is_not(
    must: int, met: bool
) -> None:
    grades, _, point = by(saying(must=must, nice=1, fine=1))
    (found,) = judged({"gold": True}, "gold", point, grades)
    assert found.met == met
    assert (found.score is None) == (not met)
