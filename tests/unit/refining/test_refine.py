"""`refine` for one datapoint: the best is kept, never merely the last, and why is on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.data.output_lines import Provenance, refined
from refinecli.errors import BudgetError, CompletionError, RunError
from refinecli.prompts import Prompts
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.types import Completion, Datapoint, Draw, Refinement, Roles, Usage
from tests.support.fakes import (
    Answer,
    Call,
    Scripted,
    datapoint,
    nobody,
    responses,
    roles,
    score,
    scores,
    without_nonce,
)

TIMEOUT = CompletionError("timeout", "no answer in 600 s")


def run(point: Datapoint, models: Roles, max_iterations: int = 3, **options: Any) -> Refinement:
    chosen = RefineOptions("refine", max_iterations, **options)
    return asyncio.run(refine(point, models, chosen, Prompts()))


def loop(
    numbers: Sequence[float | str | Exception], *, max_iterations: int | None = None
) -> Refinement:
    """The refinement whose responses r0, r1, … get these scores, one after the other."""
    names = [f"r{n}" for n in range(len(numbers))]
    grader = scores(dict(zip(names, numbers, strict=True)))
    rounds = len(numbers) - 1 if max_iterations is None else max_iterations
    return run(datapoint(), roles(names[:1], names[1:], grader), rounds)


# ------------------------------------------------------------------ the best is kept


def test_the_best_is_returned_and_not_the_last() -> None:
    found = loop([0.2, 0.6, 0.4, 0.1])
    assert found.best.response == "r1"
    assert found.best_iteration == 1
    assert [it.accepted for it in found.iterations] == [True, True, False, False]
    assert (found.status, found.stop_reason) == ("done", "max_iterations")


def test_the_first_is_returned_where_nothing_better_comes() -> None:
    found = loop([0.5, 0.4, 0.5, 0.0])
    assert found.best.response == "r0"
    assert found.best.score == found.initial_score == 0.5


def test_equal_is_not_better() -> None:
    found = loop([0.5, 0.5])
    assert found.best_iteration == 0
    assert not found.iterations[1].accepted


def test_each_rewrite_starts_from_the_best_so_far() -> None:
    found = loop([0.2, 0.6, 0.4, 0.7, 0.1])
    assert [it.parent for it in found.iterations] == [None, 0, 1, 1, 3]
    assert [it.role for it in found.iterations] == ["policy", *["reviser"] * 4]
    assert [it.iteration for it in found.iterations] == [0, 1, 2, 3, 4]


def test_the_reviser_is_shown_the_best_response_and_what_its_grader_said() -> None:
    reviser = Scripted(["r1", "r2", "r3"])
    grader = scores({"r0": 0.2, "r1": 0.6, "r2": 0.4, "r3": 0.0})
    run(datapoint(), roles(["r0"], reviser, grader))
    shown = [str(call.messages[-2]["content"]) for call in reviser.calls]
    assert shown == ["r0", "r1", "r1"]
    for call, response in zip(reviser.calls, shown, strict=True):
        assert f"About {response}." in call.last


def test_it_stops_as_soon_as_it_passed() -> None:
    found = loop([0.5, 1.0], max_iterations=9)
    assert (found.status, found.stop_reason, found.passed) == ("done", "passed", True)
    assert len(found.iterations) == 2


def test_a_draft_that_passes_is_not_rewritten() -> None:
    found = run(datapoint(), roles(["r0"], nobody(), scores({"r0": 1})))
    assert (found.stop_reason, found.best.response) == ("passed", "r0")


def test_no_iterations_is_draft_and_grade() -> None:
    found = run(datapoint(), roles(["r0"], nobody(), scores({"r0": 0})), 0)
    assert (found.stop_reason, len(found.iterations), found.best.score) == ("max_iterations", 1, 0)


def test_as_many_rewrites_as_allowed() -> None:
    found = loop([0.1, 0.2, 0.3, 0.4])
    assert (found.stop_reason, found.best.score) == ("max_iterations", 0.4)


def test_a_response_that_came_before_ends_the_loop_ungraded_a_second_time() -> None:
    reviser, grader = Scripted(["r1", "r0", "r2"]), scores({"r0": 0.5, "r1": 0.2})
    found = run(datapoint(), roles(["r0"], reviser, grader))
    assert (found.status, found.stop_reason) == ("done", "repeated")
    assert [call.graded_response for call in grader.calls] == ["r0", "r1"]
    assert [it.score for it in found.iterations] == [0.5, 0.2, 0.5]
    assert [it.accepted for it in found.iterations] == [True, False, False]
    assert found.best_iteration == 0


# ------------------------------------------------------------------ what could not be graded


def test_a_first_response_that_cannot_be_graded_ends_as_ungraded() -> None:
    found = run(datapoint(), roles(["r0"], nobody(), scores({"r0": "high"})))
    assert (found.status, found.stop_reason, found.passed) == ("ungraded", "ungraded", None)
    assert found.initial_score is None
    assert found.best.score is None
    assert found.best.response == "r0"


def test_a_later_round_that_cannot_be_graded_is_a_round_not_accepted() -> None:
    found = loop([0.3, "high", 0.6])
    assert [it.score for it in found.iterations] == [0.3, None, 0.6]
    assert [it.accepted for it in found.iterations] == [True, False, True]
    assert [it.parent for it in found.iterations] == [None, 0, 0]
    assert (found.status, found.best_iteration) == ("done", 2)


def test_an_ungraded_response_never_beats_a_graded_one_not_even_0() -> None:
    found = loop([0.0, "high"])
    assert (found.status, found.best_iteration, found.best.score) == ("done", 0, 0.0)


def test_a_grader_that_is_out_makes_no_0_and_no_feedback() -> None:
    reviser = Scripted(["r1", "r2"])
    grader = scores({"r0": 0.5, "r1": TIMEOUT, "r2": 0.4})
    found = run(datapoint(), roles(["r0"], reviser, grader), 2)
    assert [it.score for it in found.iterations] == [0.5, None, 0.4]
    assert "no answer in 600 s" not in reviser.calls[1].text
    assert "About r0." in reviser.calls[1].last


def test_an_ungraded_repetition_is_graded_again() -> None:
    replies: Iterator[Answer] = iter([score(0.2), TIMEOUT, score(0.7)])
    grader = Scripted(lambda call: next(replies))
    found = run(datapoint(), roles(["r0"], ["r1", "r1"], grader), 2)
    assert [it.score for it in found.iterations] == [0.2, None, 0.7]
    assert found.best_iteration == 2


# ------------------------------------------------------------------ failures


def test_without_a_first_response_there_is_no_refinement() -> None:
    with pytest.raises(CompletionError) as caught:
        run(datapoint(), roles([TIMEOUT], nobody(), nobody()))
    assert caught.value is TIMEOUT


def test_a_failure_in_a_later_round_keeps_the_best_so_far() -> None:
    grader = scores({"r0": 0.2, "r1": 0.6})
    found = run(datapoint(), roles(["r0"], ["r1", TIMEOUT], grader))
    assert (found.status, found.stop_reason) == ("failed", "failed")
    assert found.error is not None
    assert (found.error.type, found.error.message) == ("timeout", "no answer in 600 s")
    assert (found.best.response, found.best.score) == ("r1", 0.6)
    assert responses(found) == ["r0", "r1"]


def test_feedback_that_no_next_iteration_was_given_is_not_on_record() -> None:
    found = run(datapoint(), roles(["r0"], [TIMEOUT], scores({"r0": 0.2})))
    assert found.iterations[-1].feedback is None


def test_a_failure_stands_in_the_record_with_the_best_response() -> None:
    raw = {"id": "d1", "convo": [], "score": 9, "grading": {}, "error": {}, "mine": 1}
    found = run(datapoint(), roles(["r0"], [TIMEOUT], scores({"r0": 0.2})))
    record = refined(raw, found, Provenance({"policy": "m"}, "s")).record
    assert record["refinement"]["status"] == "failed"
    assert record["error"] == {"type": "timeout", "message": TIMEOUT.message, "stage": "reviser"}
    assert (record["response"], record["score"], record["mine"]) == ("r0", 0.2, 1)
    assert "grading" not in record


@pytest.mark.parametrize("error", [RunError("key refused"), BudgetError("used up")])
@pytest.mark.parametrize("who", ["policy", "reviser", "grader"])
def test_an_error_of_the_whole_run_is_raised_whoever_meets_it(error: Exception, who: str) -> None:
    scripts: dict[str, Any] = {"policy": ["r0"], "reviser": ["r1"], "grader": [score(0), score(0)]}
    scripts[who] = [error]
    models = roles(scripts["policy"], scripts["reviser"], Scripted(scripts["grader"]))
    with pytest.raises(type(error)) as caught:
        run(datapoint(), models)
    assert caught.value is error


def test_an_error_of_the_whole_run_cancels_the_other_drafts() -> None:
    ends: list[int] = []

    async def main() -> None:
        waiting = asyncio.Event()

        async def policy(messages: Any, draw: Draw, *_: Any, **__: Any) -> Completion:
            if draw.sample == 1:
                await waiting.wait()
                raise RunError("key refused")
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                ends.append(draw.sample)
            raise AssertionError("unreachable")

        models = Roles(policy, policy, policy, policy, policy)
        with pytest.raises(RunError, match="key refused"):
            await refine(datapoint(), models, RefineOptions("refine", drafts=3), Prompts())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert sorted(ends) == [0, 2]


# ------------------------------------------------------------------ how it starts


def test_a_response_that_exists_already_is_where_it_starts() -> None:
    point = datapoint(response="given")
    found = run(point, roles(nobody(), ["r1"], scores({"given": 0.4, "r1": 0.3})), 1)
    first = found.iterations[0]
    assert (first.role, first.response, first.finish_reason) == ("input", "given", None)
    assert first.usage == Usage(1, 100, 10)
    assert (found.initial_score, found.best.response) == (0.4, "given")


def test_an_empty_response_scores_0_without_a_call_and_is_rewritten() -> None:
    grader, reviser = scores({"r1": 1}), Scripted(["r1"])
    found = run(datapoint(response=""), roles(nobody(), reviser, grader))
    assert found.initial_score == 0.0
    assert found.iterations[0].usage == Usage()
    assert [call.graded_response for call in grader.calls] == ["r1"]
    assert "empty" in reviser.calls[0].last
    assert found.best.response == "r1"


def test_an_empty_rewrite_is_not_accepted() -> None:
    found = run(datapoint(), roles(["r0"], [""], scores({"r0": 0.0})), 1)
    assert (found.best.response, found.iterations[1].score) == ("r0", 0.0)


def test_it_goes_on_from_the_best_of_several_drafts() -> None:
    policy = Scripted(["d0", "d1", "d2"])
    grader = scores({"d0": 0.2, "d1": 0.6, "d2": 0.6, "r3": 0.5})
    reviser = Scripted(["r3"])
    found = run(datapoint(), roles(policy, reviser, grader), 1, drafts=3)
    assert [call.draw for call in policy.calls] == [
        Draw("d1", 0, "policy", 0, sample) for sample in range(3)
    ]
    assert responses(found) == ["d0", "d1", "d2", "r3"]
    assert [it.iteration for it in found.iterations] == [0, 1, 2, 3]
    assert [it.parent for it in found.iterations] == [None, None, None, 1]
    assert [it.accepted for it in found.iterations] == [True, True, False, False]
    assert found.initial_score == 0.2
    assert found.best_iteration == 1
    assert reviser.calls[0].messages[-2]["content"] == "d1"


def test_a_given_response_is_the_first_of_the_drafts() -> None:
    grader = scores({"given": 0.2, "d1": 0.6})
    point = datapoint(response="given")
    found = run(point, roles(Scripted(["d1"]), nobody(), grader), 0, drafts=2)
    assert [it.role for it in found.iterations] == ["input", "policy"]
    assert found.best.response == "d1"


def test_a_graded_draft_is_better_than_an_ungraded_one() -> None:
    grader = scores({"d0": "high", "d1": 0.0, "d2": "low"})
    found = run(datapoint(), roles(["d0", "d1", "d2"], nobody(), grader), 0, drafts=3)
    assert (found.status, found.best.response) == ("done", "d1")
    assert found.initial_score is None


def test_drafts_that_fail_leave_the_others() -> None:
    found = run(datapoint(), roles([TIMEOUT, "d1"], nobody(), scores({"d1": 0.5})), drafts=2)
    assert (found.status, found.stop_reason, found.best.response) == ("failed", "failed", "d1")
    assert found.error is not None
    assert found.error.type == "timeout"


def test_reasoning_is_no_part_of_a_response() -> None:
    draft = Completion("<think>Hm.</think>r0", reasoning="First.")
    found = run(datapoint(), roles([draft], nobody(), scores({"r0": 1})))
    assert found.best.response == "r0"
    assert found.best.reasoning == "First.\nHm."


# ------------------------------------------------------------------ what is on record


def test_the_feedback_of_an_iteration_is_what_the_next_ones_request_said() -> None:
    reviser = Scripted(["r1", "r2", "r3"])
    grader = scores({"r0": 0.2, "r1": "high", "r2": 0.6, "r3": 0.1})
    found = run(datapoint(), roles(["r0"], reviser, grader))
    assert len(reviser.calls) == 3
    for iteration, call in zip(found.iterations, reviser.calls, strict=False):
        assert iteration.feedback == call.last
    assert found.iterations[-1].feedback is None


def test_the_conversation_is_sent_unchanged_and_shared_by_all_calls() -> None:
    convo = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi."}], "name": "Ann"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "What now?"},
    ]
    policy, reviser = Scripted(["r0"]), Scripted(["r1", "r2"])
    grader = scores({"r0": 0, "r1": 0.1, "r2": 0.2})
    run(datapoint(convo=convo), roles(policy, reviser, grader), 2)
    assert policy.calls[0].messages == convo
    for call in reviser.calls:
        assert call.messages[:4] == convo
        assert [message["role"] for message in call.messages[4:]] == ["assistant", "user"]


def test_neither_scores_nor_iterations_nor_earlier_drafts_reach_the_grader() -> None:
    grader = scores({"first": 0.125, "second": 0.25, "third": 0.5})
    run(datapoint(), roles(["first"], ["second", "third"], grader), 2)
    prompts = [
        without_nonce(call.text.replace(call.graded_response, "RESPONSE")) for call in grader.calls
    ]
    assert len(set(prompts)) == 1
    assert "0.125" not in prompts[0]


def test_usage_adds_up() -> None:
    policy = Scripted(["r0"], usage=Usage(1, 10, 1, 5, 2))
    reviser = Scripted(["r1"], usage=Usage(1, 20, 2))
    replies = iter(["no score", score(0.5), score(0.6), "no score", score(0.4), score(0.3)])
    grader = Scripted(lambda call: next(replies), usage=Usage(1, 100, 10))
    found = run(datapoint({}, {}), roles(policy, reviser, grader), 1)
    assert found.iterations[0].usage == Usage(4, 310, 31, 5, 2)
    assert found.iterations[1].usage == Usage(4, 320, 32)
    assert found.usage == Usage(8, 630, 63, 5, 2)


def test_equal_replies_give_equal_records() -> None:
    def record() -> str:
        return json.dumps(refined({}, loop([0.2, 0.6, "high"]), Provenance({}, "")).record)

    assert record() == record()


def test_a_record_holds_every_score_grade_and_reply() -> None:
    found = loop([0.2, 0.6])
    iterations = refined({}, found, Provenance({}, "")).record["refinement"]["iterations"]
    for n, number in enumerate((0.2, 0.6)):
        assert iterations[n]["score"] == number
        (given,) = iterations[n]["grades"]
        assert (given["score"], given["raw_score"], given["passed"]) == (number, number, False)
        assert given["reply"] == score(number, f"About r{n}.")
        assert given["status"] == "graded"


# ------------------------------------------------------------------ what is good enough


def test_a_threshold_is_enough_by_itself() -> None:
    grader = scores({"r0": 0.5, "r1": 0.8})
    found = run(datapoint(), roles(["r0"], ["r1"], grader), threshold=0.8)
    assert (found.stop_reason, found.passed) == ("passed", True)


def test_required_items_are_enough_by_themselves() -> None:
    def grader(call: Call) -> str:
        return score(1 if call.criterion == "A?" else 0)

    point = datapoint({"rubric_str": "A?", "required": True}, {"rubric_str": "B?"})
    found = run(point, roles(["r0"], nobody(), Scripted(grader)))
    assert (found.stop_reason, found.best.score) == ("passed", 0.5)


def test_with_both_each_must_hold() -> None:
    numbers: Mapping[tuple[str, str], float] = {
        ("A?", "r0"): 0.5, ("B?", "r0"): 1,
        ("A?", "r1"): 1, ("B?", "r1"): 0.7,
        ("A?", "r2"): 1, ("B?", "r2"): 0.8,
    }  # fmt: skip
    grader = Scripted(lambda call: score(numbers[call.criterion, call.graded_response]))
    point = datapoint({"rubric_str": "A?", "required": True}, {"rubric_str": "B?"})
    found = run(point, roles(["r0"], ["r1", "r2", "r3"], grader), threshold=0.9)
    assert (found.stop_reason, found.best.response) == ("passed", "r2")


# ------------------------------------------------------------------ any course of scores

SCORES = st.lists(
    st.sampled_from([0, 0.25, 0.5, 0.75, 0.99, 1, "high", TIMEOUT]) | st.floats(0, 1).map(str),
    min_size=1,
    max_size=8,
)


@given(SCORES)
@settings(deadline=None)
def test_whatever_the_scores_the_best_graded_response_comes_out(
    numbers: list[float | str | Exception],
) -> None:
    found = loop(numbers)
    seen = [it.score for it in found.iterations if it.score is not None]
    if found.initial_score is None:
        assert (found.status, len(found.iterations), found.best.score) == ("ungraded", 1, None)
        return
    assert found.status == "done"
    assert found.best.score == max(seen)
    assert found.best.score >= found.initial_score
    assert found.best_iteration == [it.score for it in found.iterations].index(max(seen))
    assert found.passed == (found.stop_reason == "passed") == (max(seen) > 1 - 1e-8)
    best: float = -1
    for iteration in found.iterations:
        accepted = iteration.score is not None and iteration.score > best
        assert iteration.accepted == accepted
        best = iteration.score if accepted and iteration.score is not None else best
    for earlier, later in zip(found.iterations, found.iterations[1:], strict=False):
        assert earlier.feedback
        assert later.parent is not None
        assert found.iterations[later.parent].accepted
