"""A rollout of the adaptive loop, shown: why each step was chosen, and why it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from refinecli.display.recorded_calls import Call
from refinecli.display.transcript import transcript
from refinecli.display.turn import story
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.estimates import Estimates, Lesson, Lessons
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.types import Completion, Datapoint, Draw, Message, Refinement, Roles, Usage
from tests.support import fakes
from tests.unit.display.test_transcript import console, in_order, printed
from tests.unit.refining.test_adaptive import (
    DRAFTS_WORK,
    NOTHING_WORKS,
    REWRITES_HELP,
    items,
)


def said(text: str) -> Completion:
    return Completion(text, "stop", usage=Usage(1, 100, 10))


def rollout(
    drafts: Sequence[str], rewrites: Sequence[str], lessons: Sequence[Lesson], **options: Any
) -> tuple[Datapoint, Refinement, list[Call]]:
    """An adaptive refinement after rows that showed this, with its calls."""
    point, calls, seen = fakes.datapoint(*items()), list[Call](), Lessons()
    for lesson in lessons:
        seen.add(lesson)

    async def estimates() -> Estimates:
        return seen.estimates

    def writer(texts: Sequence[str]) -> Any:
        left = iter(texts)

        async def complete(
            messages: Sequence[Message], draw: Draw, usable: object = None
        ) -> Completion:
            calls.append(Call(draw, tuple(messages), done := said(next(left))))
            return done

        return complete

    nobody = fakes.nobody()
    roles = Roles(writer(drafts), writer(rewrites), nobody, nobody, nobody)
    given = RefineOptions("adaptive", **options)
    made = asyncio.run(refine(point, roles, given, Prompts(), estimates=estimates))
    return point, made, calls


def shown(point: Datapoint, made: Refinement, calls: list[Call], min_gain: float = 0.02) -> str:
    parts = transcript(point, made, calls, Prompts(), GradeOptions(), full=True, min_gain=min_gain)
    return printed(list(parts), console(200))


def test_each_step_says_what_it_and_the_other_kind_promised() -> None:
    text = shown(*rollout(["red", "blue gold"], [], DRAFTS_WORK, max_iterations=1))
    in_order(
        text,
        "choice (iteration 1)",
        "a fresh draft, expected to add 0.",
        "to the best score for 110 tokens",
        "rather than a rewrite of iteration 0, expected to add 0.",
        "one rollout has no earlier rows",
        "fresh draft (iteration 1)",
        "blue gold",
    )


def test_a_rewrite_shows_which_response_it_rewrites_and_its_own_request() -> None:
    drafts, rewrites = ["red blue green"], ["none", "nil", "zero"]
    point, made, calls = rollout(drafts, rewrites, REWRITES_HELP, memory=True, min_gain=0.0)
    assert [it.parent for it in made.iterations] == [None, 0, 0, 0]
    sections = shown(point, made, calls).split("rewrite request (iteration ")[1:]
    for section in sections:
        assert "the response of iteration 0" in section
    asked = [section.split("response (iteration")[0] for section in sections]
    assert ["- none" in one for one in asked] == [False, True, True]
    assert ["- nil" in one for one in asked] == [False, False, True]


def test_without_its_call_a_rewrite_does_not_show_the_request_of_another() -> None:
    drafts, rewrites = ["red blue green"], ["none", "nil", "zero"]
    point, made, _ = rollout(drafts, rewrites, REWRITES_HELP, memory=True, min_gain=0.0)
    sections = shown(point, made, []).split("rewrite request (iteration ")[1:]
    assert ["(not recorded)" in one for one in sections] == [False, True, True]
    assert "Has gold" in sections[0]


def test_a_step_that_the_draw_favoured_says_so() -> None:
    """The other kind promises more for its cost."""
    point, made, calls = rollout(["red", "blue"], [], DRAFTS_WORK, max_iterations=1)
    assert "by chance" not in shown(point, made, calls)
    taken = made.iterations[1]
    assert taken.choice is not None
    assert taken.choice.instead is not None
    better = replace(taken.choice.instead, gain=0.9, cost=1.0)
    lucky = replace(taken, choice=replace(taken.choice, instead=better))
    swapped = replace(made, iterations=(made.iterations[0], lucky))
    assert "by chance" in shown(point, swapped, calls)


def test_a_plateau_shows_the_threshold_and_what_the_best_step_promised() -> None:
    point, made, calls = rollout(["red"], [], NOTHING_WORKS)
    assert made.declined is not None
    assert 0 <= made.declined.gain < 0.02
    in_order(
        shown(point, made, calls),
        "stopped: no step was expected to add 0.02 (refine.min_gain; plateau)",
        f"expected to add {made.declined.gain:.3f} to the best score for",
    )


def test_other_ends_decline_nothing() -> None:
    point, made, calls = rollout(["red", "red blue green gold"], [], DRAFTS_WORK)
    assert made.declined is None
    text = shown(point, made, calls)
    assert "stopped: the best response passed" in text
    assert "gain: 0.25 → 1" in text
    assert "optimistic" not in text  # code graded it: no grade was lucky


def test_a_turn_calls_a_chosen_draft_what_it_is() -> None:
    point, made, _ = rollout(["red", "blue"], [], DRAFTS_WORK, max_iterations=1)
    text = printed([story(point, made)], console(200))
    in_order(text, "not accepted", "chosen: a fresh draft")
    assert "best draft" not in text
