"""The adaptive loop: which step it takes, when it stops, and what it remembers."""

from __future__ import annotations

import asyncio
from typing import Any

from refinecli.prompts import Prompts
from refinecli.refining.estimates import Lesson, Lessons
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import Prices, RefineOptions
from refinecli.types import Completion, Refinement, Usage
from tests.support import fakes

_WORDS = ("red", "blue", "green", "gold")


def items() -> list[dict[str, Any]]:
    return [
        {"rubric_str": f"Has {w}", "check": {"kind": "contains_all", "words": [w]}} for w in _WORDS
    ]


def after(*lessons: Lesson) -> Any:
    """The estimates of a row that comes after these."""
    seen = Lessons()
    for lesson in lessons:
        seen.add(lesson)

    async def estimates() -> Any:
        return seen.estimates

    return estimates


DRAFTS_WORK = [Lesson((0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.0))] * 40
REWRITES_WORK = [Lesson((0.25, 0.25), (0.9, 0.8, 1.0))] * 40
REWRITES_HELP = [Lesson((0.25, 0.3), (0.4, 0.4, 0.4))] * 40
NOTHING_WORKS = [Lesson((0.25,) * 6, (0.0,) * 6)] * 200


def run(
    drafts: Any, rewrites: Any = (), *, options: dict[str, Any] | None = None, **more: Any
) -> Refinement:
    fields = more.pop("fields", {})
    point = fakes.datapoint(*items(), **fields)
    roles = fakes.roles(drafts, rewrites, fakes.nobody())
    given = RefineOptions("adaptive", **(options or {}))
    return asyncio.run(refine(point, roles, given, Prompts(), **more))


def kinds(made: Refinement) -> list[tuple[str, int | None]]:
    return [(it.role, it.parent) for it in made.iterations]


def test_where_drafts_did_better_on_earlier_rows_it_drafts() -> None:
    made = run(["red", "blue gold", "red", "green"], estimates=after(*DRAFTS_WORK))
    assert kinds(made) == [("policy", None)] * 4
    assert made.best_iteration == 1
    assert made.stop_reason == "max_iterations"


def test_where_rewrites_did_better_on_earlier_rows_it_rewrites_the_best() -> None:
    made = run(["red"], ["red blue", "red", "red blue green"], estimates=after(*REWRITES_WORK))
    assert kinds(made) == [("policy", None), ("reviser", 0), ("reviser", 1), ("reviser", 1)]
    assert made.best_iteration == 3


def test_a_response_that_passes_ends_it() -> None:
    made = run(["red", "red blue green gold"], estimates=after(*DRAFTS_WORK))
    assert (made.stop_reason, made.passed, len(made.iterations)) == ("passed", True, 2)


def test_where_nothing_promises_anything_it_stops_as_a_plateau() -> None:
    made = run(["red"], estimates=after(*NOTHING_WORKS))
    assert (made.stop_reason, made.status, len(made.iterations)) == ("plateau", "done", 1)


def test_at_temperature_0_it_drafts_once_and_rewrites() -> None:
    made = run(
        ["red"],
        ["red blue"] * 3,
        estimates=after(*DRAFTS_WORK),
        redraws=frozenset(),
        options={"min_gain": 0.0},
    )
    assert {role for role, _ in kinds(made)[1:]} == {"reviser"}


def test_the_first_n_responses_are_drafts_and_at_most_k_more_follow() -> None:
    made = run(
        ["red", "red", "blue", "gold", "green"],
        options={"drafts": 3, "max_iterations": 2},
        estimates=after(*DRAFTS_WORK),
    )
    assert len(made.iterations) == 5
    assert [it.choice is None for it in made.iterations] == [True] * 3 + [False] * 2


def test_a_repeated_text_carries_the_earlier_grades_and_is_not_accepted() -> None:
    made = run(["red", "red", "red", "red"], estimates=after(*DRAFTS_WORK))
    repeated = made.iterations[1]
    assert repeated.grades == made.iterations[0].grades
    assert repeated.grading == Usage()
    assert not repeated.accepted


def test_a_response_that_a_file_brought_is_kept_unless_something_is_better() -> None:
    made = run(
        ["red", "blue", "green"], fields={"response": "red blue"}, estimates=after(*DRAFTS_WORK)
    )
    assert kinds(made)[0] == ("input", None)
    assert made.best.response == "red blue"


def test_feedback_is_what_a_rewrite_was_told_and_null_where_there_was_none() -> None:
    made = run(["red blue"], ["green", "red blue green", "gold"], estimates=after(*REWRITES_HELP))
    told = {it.parent for it in made.iterations if it.parent is not None}
    for it in made.iterations:
        assert (it.feedback is not None) == (it.iteration in told)
    assert "Has gold" in (made.iterations[0].feedback or "")


def test_a_rewrite_is_shown_what_was_tried_from_the_same_response_in_vain() -> None:
    reviser = fakes.Scripted(["none", "nil", "zero"])
    options = {"memory": True, "min_gain": 0.0}
    run(["red blue green"], reviser, options=options, estimates=after(*REWRITES_HELP))
    first, second, third = (call.last for call in reviser.calls)
    assert "tried" not in first
    assert '- none\n  Failed: "Has red"' in second
    assert "- none" in third
    assert "- nil" in third


def test_without_memory_requests_do_not_mention_what_was_tried() -> None:
    reviser = fakes.Scripted(["none", "nil", "zero"])
    run(["red blue green"], reviser, options={"memory": False}, estimates=after(*REWRITES_HELP))
    assert len({call.last for call in reviser.calls}) == 1


def test_what_a_hidden_item_says_is_not_remembered() -> None:
    hidden = [{**item, "reveal": "verdict"} for item in items()]
    point = fakes.datapoint(*hidden)
    reviser = fakes.Scripted(["none", "nil", "zero"])
    roles = fakes.roles(["red blue green"], reviser, fakes.nobody())
    options = RefineOptions("adaptive", memory=True)
    asyncio.run(refine(point, roles, options, Prompts(), estimates=after(*REWRITES_HELP)))
    assert all("Has" not in call.last for call in reviser.calls)


def test_equal_replies_give_equal_choices_and_another_seed_may_give_others() -> None:
    def one(seed: int) -> list[tuple[str, int | None]]:
        drafts = fakes.Scripted(lambda call: f"red {call.draw.sample}")
        rewrites = fakes.Scripted(lambda call: f"red blue {call.draw.iteration}")
        options = {"max_iterations": 12, "min_gain": 0.0}
        return kinds(run(drafts, rewrites, options=options, seed=seed))

    assert one(1) == one(1)
    assert len({tuple(one(seed)) for seed in range(8)}) > 1


def test_a_step_that_costs_more_has_to_promise_more() -> None:
    """Both kinds promise much the same; the price of the reviser decides."""
    lessons = [Lesson((0.0, 0.5, 0.25, 0.75), (0.2, 0.3, 0.0))] * 30

    def chosen(price: float) -> str:
        prices = Prices({"policy": (1, 1), "reviser": (price, price), "grader": (0, 0)})
        made = run(
            ["red", "red a"],
            ["red b"],
            options={"max_iterations": 1},
            estimates=after(*lessons),
            prices=prices,
        )
        return made.iterations[-1].role

    assert (chosen(0.01), chosen(100.0)) == ("reviser", "policy")


def test_a_choice_is_recorded_with_the_best_step_of_the_other_kind() -> None:
    made = run(["red", "blue", "gold", "green"], estimates=after(*DRAFTS_WORK))
    choice = made.iterations[1].choice
    assert choice is not None
    assert choice.instead is not None
    assert choice.instead.parent == 0
    assert choice.gain > choice.instead.gain
    assert choice.cost == 110  # tokens of a draft here, as its first one took


def test_a_failure_after_the_first_response_keeps_the_best() -> None:
    from refinecli.errors import CompletionError

    made = run(["red blue", CompletionError("server", "boom")], estimates=after(*DRAFTS_WORK))
    assert (made.status, made.stop_reason) == ("failed", "failed")
    assert made.error is not None
    assert made.error.stage == "policy"
    assert made.best.response == "red blue"


def test_an_ungraded_first_response_ends_it() -> None:
    point = fakes.datapoint()
    grader = fakes.Scripted(lambda call: "no verdict")
    roles = fakes.roles(["red"], (), grader)
    made = asyncio.run(refine(point, roles, RefineOptions("adaptive"), Prompts()))
    assert (made.status, made.stop_reason) == ("ungraded", "ungraded")


def test_without_token_counts_texts_are_measured_and_no_step_is_free() -> None:
    silent = [Completion(text, "stop", usage=Usage(1)) for text in ("red", "blue", "gold", "green")]
    made = run(silent, estimates=after(*DRAFTS_WORK))
    assert len(made.iterations) == 4
    for it in made.iterations[1:]:
        assert it.choice is not None
        assert it.choice.instead is not None
        assert 0 < it.choice.cost < it.choice.instead.cost
