"""One item put to a grader: which ways are tried, with what examples, and what came of it."""

from __future__ import annotations

import asyncio
import threading
from math import log
from typing import Any

import pytest

from refinecli.errors import CompletionError, UnsupportedError
from refinecli.grading import by_json, scoring
from refinecli.grading.verdict import (
    GradeOptions,
    Question,
    first_messages,
    json_messages,
    label_messages,
    most_calls,
    text_messages,
    verdict,
    ways,
)
from refinecli.prompts import Prompts
from refinecli.text import patterns
from refinecli.types import Completion, Draw, Example, FirstTokens, Grade, JSONReply, Usable, Usage
from tests.support.fakes import Answer, Call, Scripted, datapoint, rubric_item, score, text_of

DRAW = Draw("d1", 0, "grader", 0)
IN_WORDS = GradeOptions()
LOGPROBS = GradeOptions(mode="logprobs")
JSON = GradeOptions(format="json")


def question(options: GradeOptions = IN_WORDS, **item: Any) -> Question:
    return Question(datapoint(item), "A response.", 0, Prompts(), options)


def asked(asked: Question, grader: Scripted) -> tuple[Grade, Usage]:
    return asyncio.run(verdict(asked, grader, DRAW))


def likely(**probabilities: float) -> Completion:
    tokens = tuple((token, log(p)) for token, p in probabilities.items())
    return Completion("yes", "stop", usage=Usage(1, 50, 1), first_tokens=tokens)


def without(*wants: type) -> Any:
    """Refuse what an endpoint of some kind does not give; else score 1."""

    def answer(call: Call) -> Answer:
        if call.wants is not None and type(call.wants) in wants:
            return UnsupportedError("not here")
        return score(1, "Fine.")

    return answer


# ------------------------------------------------------------------ probabilities


def test_probabilities_on_the_labels_are_the_verdict() -> None:
    grader = Scripted([likely(yes=0.72, no=0.18, Well=0.1)])
    grade, usage = asked(question(LOGPROBS), grader)
    assert (grade.score, grade.raw_score) == (pytest.approx(0.8), pytest.approx(0.8))
    assert (grade.passed, grade.mass) == (True, pytest.approx(0.9))
    assert grade.probabilities == {"no": pytest.approx(0.18), "yes": pytest.approx(0.72)}
    assert (grade.reply, grade.grader, grade.item) == ("yes", "llm", 0)
    assert usage == Usage(1, 50, 1)
    assert [call.wants for call in grader.calls] == [FirstTokens(20, 4)]


@pytest.mark.parametrize(("needed", "passed"), [(0.8, True), (0.81, False)])
def test_a_pass_must_be_as_likely_as_is_asked(needed: float, passed: bool) -> None:
    options = GradeOptions(mode="logprobs", pass_probability=needed)
    grade, _ = asked(question(options), Scripted([likely(yes=0.8000001, no=0.1999999)]))
    assert grade.passed is passed


def test_where_20_alternatives_are_refused_5_are_asked_for() -> None:
    def answer(call: Call) -> Answer:
        few = isinstance(call.wants, FirstTokens) and call.wants.alternatives == 5
        return likely(yes=1.0) if few else UnsupportedError("too many")

    grader = Scripted(answer)
    grade, _ = asked(question(LOGPROBS), grader)
    assert grade.score == pytest.approx(1.0)
    assert [call.wants for call in grader.calls] == [FirstTokens(20, 4), FirstTokens(5, 4)]


def test_an_endpoint_without_probabilities_is_asked_in_words_with_no_mass() -> None:
    grader = Scripted(without(FirstTokens))
    grade, usage = asked(question(LOGPROBS), grader)
    assert (grade.score, grade.mass, grade.feedback) == (1.0, 0.0, "Fine.")
    assert usage == Usage(1, 100, 10)
    assert len(grader.calls) == 3


def test_where_too_little_is_on_labels_it_is_asked_in_words_and_both_are_paid_for() -> None:
    grader = Scripted([likely(yes=0.5, no=0.39, Well=0.11), score(0.5)])
    grade, usage = asked(question(LOGPROBS), grader)
    assert (grade.score, grade.mass) == (0.5, pytest.approx(0.89))
    assert usage == Usage(2, 150, 11)


def test_an_item_without_labels_is_asked_in_words_at_once() -> None:
    grader = Scripted([score(50)])
    grade, _ = asked(question(LOGPROBS, score_range=[0, 100]), grader)
    assert (grade.raw_score, grade.mass) == (50, None)
    assert [call.wants for call in grader.calls] == [None]


def test_a_call_that_fails_leaves_it_ungraded_with_what_was_spent_and_seen() -> None:
    grader = Scripted([likely(Well=1.0), CompletionError("timeout", "no answer")])
    grade, usage = asked(question(LOGPROBS), grader)
    assert not grade.graded
    assert grade.error is not None
    assert (grade.error.type, grade.error.message, grade.mass) == ("timeout", "no answer", 0.0)
    assert usage == Usage(1, 50, 1)


# ------------------------------------------------------------------ words


def test_a_reply_without_a_score_is_asked_about_once() -> None:
    grader = Scripted(["Well.", score(1)])
    grade, usage = asked(question(), grader)
    assert grade.score == 1.0
    assert usage == Usage(2, 200, 20)
    assert [message["role"] for message in grader.calls[1].messages[-2:]] == ["assistant", "user"]
    assert text_of(grader.calls[1].messages[-2]) == "Well."


def test_two_replies_without_a_score_leave_it_ungraded() -> None:
    grade, usage = asked(question(), Scripted(["Well.", "Hm."]))
    assert grade.error is not None
    assert (grade.error.type, grade.reply, usage) == ("no_score", "Hm.", Usage(2, 200, 20))


def test_a_retry_that_fails_leaves_it_ungraded_with_the_first_call_paid_for() -> None:
    grade, usage = asked(question(), Scripted(["Well.", CompletionError("server", "down")]))
    assert grade.error is not None
    assert (grade.error.type, grade.error.message) == ("server", "down")
    assert usage == Usage(1, 100, 10)


# ------------------------------------------------------------------ JSON


def test_json_is_asked_for_by_schema_then_as_any_then_in_words() -> None:
    by_schema = by_json.wanted(rubric_item(), reasons=True)
    grader = Scripted(['{"reasons": " Fine. ", "score": 1}'])
    grade, _ = asked(question(JSON), grader)
    assert (grade.score, grade.feedback) == (1.0, "Fine.")
    assert [call.wants for call in grader.calls] == [by_schema]
    refusing = Scripted(without(JSONReply))
    grade, _ = asked(question(JSON), refusing)
    assert grade.score == 1.0
    assert [call.wants for call in refusing.calls] == [by_schema, JSONReply(), None]


def test_json_that_holds_no_score_is_asked_about_once() -> None:
    grader = Scripted(["1", '{"score": 0}'])
    grade, _ = asked(question(JSON), grader)
    assert (grade.score, grade.feedback) == (0.0, None)
    assert [call.wants for call in grader.calls] == [
        by_json.wanted(rubric_item(), reasons=True)
    ] * 2


def test_an_item_with_a_form_of_its_own_is_not_asked_for_json() -> None:
    own = question(JSON, grader_output_format_instruction="Rate it: <score>N</score>")
    grader = Scripted([score(1)])
    assert asked(own, grader)[0].score == 1.0
    assert [call.wants for call in grader.calls] == [None]


# ------------------------------------------------------------------ what it may cost, what is sent


def test_the_most_calls_are_one_and_its_retry_and_one_for_probabilities() -> None:
    checked = rubric_item(check={"kind": "contains_all", "words": ["x"]})
    assert most_calls(checked, LOGPROBS) == 0
    assert most_calls(rubric_item(), GradeOptions()) == 2
    assert most_calls(rubric_item(), LOGPROBS) == 3
    assert most_calls(rubric_item(score_range=[0, 100]), LOGPROBS) == 2


def test_the_ways_are_tried_in_their_order() -> None:
    every = question(GradeOptions(mode="logprobs", format="json"))
    assert ways(every) == [label_messages(every), json_messages(every), text_messages(every)]
    assert first_messages(every) == label_messages(every)
    assert ways(question()) == [text_messages(question())]


EXAMPLES = (
    Example(response="Bad.", score=0.0, reasons="It is rude."),
    Example(response="Good.", score=1.0, reasons=""),
)


def replies(messages: list[Any]) -> list[str]:
    return [text_of(message) for message in messages if message["role"] == "assistant"]


def test_examples_are_answered_in_the_form_that_is_asked_for() -> None:
    explain = question(GradeOptions(examples=EXAMPLES))
    assert replies(text_messages(explain)) == ["It is rude.\n<score>0</score>", "<score>1</score>"]
    assert replies(json_messages(explain)) == [
        '{"reasons":"It is rude.","score":0.0}',
        '{"reasons":"","score":1.0}',
    ]
    alone = question(GradeOptions(mode="verdict", examples=EXAMPLES))
    assert replies(text_messages(alone)) == ["<score>0</score>", "<score>1</score>"]
    assert replies(json_messages(alone)) == ['{"score":0.0}', '{"score":1.0}']
    assert replies(label_messages(explain)) == ["no", "yes"]


def test_a_label_is_the_nearest_to_an_examples_score() -> None:
    examples = (Example(response="So so.", score=3.6), Example(response="Bad.", score=1.2))
    found = question(GradeOptions(mode="logprobs", examples=examples), score_range=[1, 5])
    assert replies(label_messages(found)) == ["4", "1"]


def test_examples_of_the_items_own_criterion_precede_all_others() -> None:
    own = Example(response="Own.", score=1.0, rubric_str="Is it good?")
    other = Example(response="Other.", score=0.0, rubric_str="Is it long?")
    beyond = Example(response="Beyond.", score=7.0)
    found = question(GradeOptions(examples=(other, own, beyond)))
    assert replies(text_messages(found)) == ["<score>1</score>"]
    found = question(GradeOptions(examples=(other, beyond)))
    assert replies(text_messages(found)) == ["<score>0</score>"]


# ------------------------------------------------------------------ on the event loop


@pytest.mark.parametrize(
    ("characters", "slow", "limits"),
    [(0, False, [0.01]), (0, True, [0.01, 0.2]), (50_000, False, [0.2]), (50_000, True, [0.2])],
)
def test_a_score_that_takes_long_to_find_is_looked_for_in_a_thread(
    characters: int, slow: bool, limits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[float, bool]] = []
    find = patterns.last_match

    def last_match(pattern: str, text: str, seconds: float) -> Any:
        on_loop = threading.current_thread() is threading.main_thread()
        calls.append((seconds, on_loop))
        if slow and on_loop:
            raise TimeoutError
        return find(pattern, text)

    monkeypatch.setattr(scoring, "last_match", last_match)
    reply = Completion("x" * characters + "<score>1</score>", "stop")

    async def grader(
        messages: Any, draw: Draw, usable: Usable | None = None, wants: Any = None
    ) -> Completion:
        assert usable is not None
        found = usable(reply)
        assert found if isinstance(found, bool) else await found
        return reply

    grade, _ = asyncio.run(verdict(question(), grader, DRAW))
    assert grade.score == 1
    assert calls == [(limit, limit < 0.2) for limit in limits]  # and once, though asked about twice
