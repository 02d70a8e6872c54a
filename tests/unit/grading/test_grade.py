"""One response against its items: a verdict for each, or the reason why there is none."""

from __future__ import annotations

import asyncio
import threading
from functools import lru_cache
from typing import Any

import pytest

from refinecli.completers import gather
from refinecli.errors import BudgetError, CompletionError, RunError
from refinecli.grading.grade import first_prompt, grade
from refinecli.grading.scoring import response_passed, total_score
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.prompts import grader as prompts_of_graders
from refinecli.types import Completion, Datapoint, Draw, Grade, Usage
from tests.support.fakes import Answer, Call, Scripted, datapoint, nobody, score
from tests.support.fakes import Scripted as Grader

GOOD = score(1, "Good.")


def graded(
    point: Datapoint, grader: Grader, response: str = "A response."
) -> tuple[tuple[Grade, ...], Usage]:
    return asyncio.run(grade(point, response, grader, Prompts()))


def test_each_item_is_one_call_in_the_items_order() -> None:
    point = datapoint({"rubric_str": "A?"}, {"rubric_str": "B?"}, {"rubric_str": "C?"})
    numbers = {"A?": 1, "B?": 0, "C?": 0.5}
    grader = Scripted(lambda call: score(numbers[call.criterion], f"On {call.criterion}"))
    grades, usage = graded(point, grader)
    assert [g.score for g in grades] == [1.0, 0.0, 0.5]
    assert [g.item for g in grades] == [0, 1, 2]
    assert [g.name for g in grades] == ["item-0", "item-1", "item-2"]
    assert [g.feedback for g in grades] == ["On A?", "On B?", "On C?"]
    assert usage == Usage(3, 300, 30)


def test_a_grade_keeps_the_graders_whole_reply() -> None:
    reply = "<think>Hm.</think>Good.\n<score>1</score>"
    (found,), _ = graded(datapoint(), Scripted([reply]))
    assert found.reply == reply
    assert found.feedback == "Good."


def test_items_are_graded_side_by_side() -> None:
    """Each call waits until all have begun: one after the other they would wait for ever."""
    begun: list[str] = []
    everyone = asyncio.Event()

    async def grader(
        messages: Any, draw: Draw, usable: Any = None, wants: Any = None
    ) -> Completion:
        begun.append(draw.role)
        if len(begun) == 3:
            everyone.set()
        await everyone.wait()
        return Completion(GOOD)

    grades, _ = asyncio.run(grade(datapoint({}, {}, {}), "x", grader, Prompts()))
    assert [g.score for g in grades] == [1.0] * 3


def test_the_grader_draws_for_its_datapoint_iteration_and_sample() -> None:
    grader = Scripted([GOOD])
    point = datapoint(id=7).model_copy(update={"occurrence": 3})
    asyncio.run(grade(point, "x", grader, Prompts(), iteration=2, sample=5))
    assert grader.calls[0].draw == Draw(7, 3, "grader", 2, 5)


@pytest.mark.parametrize("response", ["", " ", "\n\t\u00a0\u2028"])
def test_an_empty_response_scores_0_on_every_item_without_a_call(response: str) -> None:
    items: list[dict[str, Any]] = [
        {},
        {"score_range": [1, 5]},
        {"check": {"kind": "contains_none", "words": ["dog"]}},
        {"check": {"kind": "words", "max": 9}},
        {"weight": -1.0},
    ]
    point = datapoint(*items)
    grades, usage = graded(point, nobody(), response)
    assert usage == Usage()
    assert [g.score for g in grades] == [0.0] * 5
    assert [g.raw_score for g in grades] == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert [g.passed for g in grades] == [False] * 5
    assert {g.grader for g in grades} == {"empty"}
    assert total_score(point.rubric_items, grades) == 0


@pytest.mark.parametrize("threshold", [None, 0.0, -1.0])
def test_an_empty_response_never_passes(threshold: float | None) -> None:
    for items in ([{"weight": -1.0, "required": True}, {}], [{"pass_score": 0.0}]):
        point = datapoint(*items)
        grades, _ = graded(point, nobody(), " ")
        assert not response_passed(point, grades, threshold)


# ------------------------------------------------------------------ what could not be read


def test_a_reply_without_a_score_gets_one_more_try_that_says_what_was_wrong() -> None:
    grader = Scripted(["I say 80%: <score>80%</score>", GOOD])
    (found,), usage = graded(datapoint(), grader)
    assert found.score == 1.0
    assert found.reply == GOOD
    assert usage.calls == 2
    first, second = grader.calls
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[2]["role"] == "assistant"
    assert "I say 80%" in str(second.messages[2]["content"])
    assert "'80%' is not a plain number" in second.last
    assert second.draw == first.draw


def test_after_two_tries_it_is_ungraded_and_not_0() -> None:
    grader = Scripted(["Hm.", "<score>7</score>"])
    (found,), usage = graded(datapoint(), grader)
    assert (found.score, found.raw_score, found.passed) == (None, None, None)
    assert not found.graded
    assert found.error is not None
    assert (found.error.type, found.error.message) == ("no_score", "7 is outside 0 to 1")
    assert usage.calls == 2


def test_a_verdict_that_was_cut_off_is_asked_for_again() -> None:
    cut = Completion("<score>1</score> because", "length", usage=Usage(1, 5, 5))
    grader = Scripted([cut, score(0)])
    (found,), usage = graded(datapoint(), grader)
    assert found.score == 0.0
    assert usage == Usage(2, 105, 15)
    assert "cut off" in grader.calls[1].last


def test_a_grader_that_is_out_leaves_its_item_ungraded_and_the_others_graded() -> None:
    def answer(call: Call) -> Answer:
        if call.criterion == "B?":
            return CompletionError("timeout", "no answer in 600 s")
        return GOOD

    point = datapoint({"rubric_str": "A?"}, {"rubric_str": "B?"})
    grades, usage = graded(point, Scripted(answer))
    assert grades[0].score == 1.0
    assert grades[1].score is None
    assert grades[1].passed is None
    assert grades[1].feedback is None
    assert grades[1].error is not None
    assert grades[1].error.type == "timeout"
    assert usage.calls == 1
    assert total_score(point.rubric_items, grades) is None
    assert response_passed(point, grades, None) is None
    assert response_passed(point, grades, 0.0) is None


def test_a_grader_that_goes_out_at_the_second_try_leaves_what_the_first_cost() -> None:
    (found,), usage = graded(datapoint(), Scripted(["Hm.", CompletionError("timeout", "gone")]))
    assert found.error is not None
    assert found.error.type == "timeout"
    assert usage.calls == 1


# ------------------------------------------------------------------ errors that end the run


@pytest.mark.parametrize("error", [RunError("key refused"), ValueError("a defect")])
def test_an_error_of_the_whole_run_comes_out_as_itself_and_cancels_the_siblings(
    error: Exception,
) -> None:
    ends: list[str] = []

    async def main() -> None:
        waiting = asyncio.Event()

        async def grader(
            messages: Any, draw: Draw, usable: Any = None, wants: Any = None
        ) -> Completion:
            if "B?" in str(messages[1]["content"]):
                await waiting.wait()
                raise error
            waiting.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise
            raise AssertionError("unreachable")

        point = datapoint({"rubric_str": "A?"}, {"rubric_str": "B?"}, {"rubric_str": "C?"})
        with pytest.raises(type(error)) as caught:
            await grade(point, "x", grader, Prompts())
        assert caught.value is error
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert ends == ["cancelled", "cancelled"]


def test_a_used_up_budget_lets_the_calls_in_flight_finish() -> None:
    ends: list[str] = []

    async def main() -> None:
        raised = asyncio.Event()

        async def grader(
            messages: Any, draw: Draw, usable: Any = None, wants: Any = None
        ) -> Completion:
            if "B?" in str(messages[1]["content"]):
                raised.set()
                raise BudgetError("used up")
            await raised.wait()
            await asyncio.sleep(0)
            ends.append("answered")
            return Completion("<score>1</score>")

        point = datapoint({"rubric_str": "A?"}, {"rubric_str": "B?"}, {"rubric_str": "C?"})
        with pytest.raises(BudgetError):
            await grade(point, "x", grader, Prompts())

    asyncio.run(main())
    assert ends == ["answered", "answered"]


def test_cancelling_a_gather_cancels_all_of_it() -> None:
    ends: list[int] = []

    async def wait(number: int, begun: asyncio.Event) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append(number)

    async def main() -> None:
        begun = [asyncio.Event() for _ in range(3)]
        task = asyncio.ensure_future(gather(wait(n, event) for n, event in enumerate(begun)))
        for event in begun:
            await event.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert sorted(ends) == [0, 1, 2]


# ------------------------------------------------------------------ from grades to a score


def verdict(item: int, score: float | None, passed: bool | None = False) -> Grade:
    return Grade(item, f"item-{item}", score, score, passed, "llm")


@pytest.mark.parametrize(
    ("weights", "scores", "total"),
    [
        ([1], [0.5], 0.5),
        ([1, 1], [1, 0], 0.5),
        ([3, 1], [1, 0], 0.75),
        ([1, -1], [1, 0], 1.0),
        ([1, -1], [1, 1], 0.0),
        ([1, -2], [0.5, 1], -1.5),
        ([1, 0], [1, 0], 1.0),
        ([0.5, 0.5], [1, 1], 1.0),
        ([10, 5, -3], [0.5, 1, 1], 7 / 15),
    ],
)
def test_a_score_is_the_weighted_sum_over_the_positive_weights_unclipped(
    weights: list[float], scores: list[float], total: float
) -> None:
    point = datapoint(*({"weight": weight} for weight in weights))
    grades = [verdict(n, score) for n, score in enumerate(scores)]
    assert total_score(point.rubric_items, grades) == pytest.approx(total)


def test_one_ungraded_item_leaves_the_whole_response_without_a_score() -> None:
    point = datapoint({"weight": 100.0}, {"weight": 0.0})
    assert total_score(point.rubric_items, [verdict(0, 1.0), verdict(1, None)]) is None


@pytest.mark.parametrize(
    ("required", "passes", "score", "threshold", "passed"),
    [
        # neither: every item must have passed
        ([False, False], [True, True], 0.9, None, True),
        ([False, False], [True, False], 0.9, None, False),
        # required: those alone
        ([True, False], [True, False], 0.5, None, True),
        ([True, False], [False, True], 0.5, None, False),
        ([True, True], [True, False], 0.5, None, False),
        # threshold: the score alone
        ([False, False], [False, False], 0.8, 0.8, True),
        ([False, False], [True, True], 0.7, 0.8, False),
        ([False, False], [False, False], 0.0, 0.0, True),
        # both
        ([True, False], [True, False], 0.8, 0.8, True),
        ([True, False], [False, True], 0.8, 0.8, False),
        ([True, False], [True, True], 0.7, 0.8, False),
    ],
)
def test_required_items_and_the_threshold_decide_whether_a_response_passed(
    required: list[bool],
    passes: list[bool],
    score: float,
    threshold: float | None,
    passed: bool,
) -> None:
    point = datapoint(*({"required": flag} for flag in required))
    grades = [verdict(n, score, flag) for n, flag in enumerate(passes)]
    assert response_passed(point, grades, threshold) is passed


def unknown(number: int) -> Grade:
    return Grade(number, f"item-{number}", None, None, None, "llm")


@pytest.mark.parametrize(
    ("items", "grades", "threshold", "passed"),
    [
        ([{}, {}], [verdict(0, 0.0, False), unknown(1)], None, False),
        ([{}, {}], [verdict(0, 1.0, True), unknown(1)], None, None),
        ([{}, {}], [unknown(0), unknown(1)], None, None),
        ([{"required": True}, {}], [verdict(0, 0.0, False), unknown(1)], None, False),
        ([{"required": True}, {}], [unknown(0), verdict(1, 0.0, False)], None, None),
        # Ungraded is never a pass, even where only the other item is required.
        ([{"required": True}, {}], [verdict(0, 1.0, True), unknown(1)], None, None),
        # The threshold: 0.5 can still be had, and more than that cannot.
        ([{}, {}], [verdict(0, 0.0, False), unknown(1)], 0.5, None),
        ([{}, {}], [verdict(0, 0.0, False), unknown(1)], 0.6, False),
        ([{}, {"weight": -1}], [verdict(0, 0.5, False), unknown(1)], 0.5, None),
        ([{}, {"weight": -1}], [verdict(0, 0.5, False), unknown(1)], 0.6, False),
    ],
)
def test_a_graded_item_that_decides_makes_a_fail_and_all_else_stays_open(
    items: list[dict[str, Any]], grades: list[Grade], threshold: float | None, passed: bool | None
) -> None:
    assert response_passed(datapoint(*items), grades, threshold) is passed


def test_the_first_prompt_is_about_the_first_item_that_a_model_grades() -> None:
    check = {"check": {"kind": "contains_all", "words": ["x"]}}
    point = datapoint(check, {"rubric_str": "B?"}, {"rubric_str": "C?"}, response="Mine.")
    messages = first_prompt(point, Prompts(), GradeOptions())
    assert messages is not None
    call = Call(messages, Draw("d1", 0, "grader", 0))
    assert (call.criterion, call.graded_response) == ("B?", "Mine.")
    assert first_prompt(datapoint(check), Prompts(), GradeOptions()) is None


@pytest.mark.parametrize(
    ("pattern", "response", "in_thread"),
    [
        ("<score>(.*?)</score>", "short", []),
        (r"Score:\s*(\d+)", "short", []),
        (r"((\d+)+)x", "short", [True]),
        ("<score>(.*?)</score>", "long" * 2_000, [True]),
    ],
)
def test_a_pattern_that_may_take_long_on_a_response_meets_it_in_a_thread(
    pattern: str, response: str, in_thread: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []

    def search(response: str, pattern: str) -> str:
        threads.append(threading.current_thread() is not threading.main_thread())
        return response

    monkeypatch.setattr(prompts_of_graders, "defused", lru_cache(search))
    items = [{"rubric_str": one, "extraction_regex": pattern} for one in ("Brief?", "Kind?")]
    grader = Scripted(lambda call: "<score>1</score>")
    asyncio.run(grade(datapoint(*items), response, grader, Prompts()))
    assert threads == (in_thread or [False])  # once, for all items and prompts
