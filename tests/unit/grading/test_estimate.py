"""The estimate of what grading sends, before anything is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from refinecli.errors import CompletionError
from refinecli.grading.estimate import Estimate, Sent, estimate
from refinecli.grading.grade import first_prompt, grade
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts, message_text
from tests.support.fakes import Scripted, datapoint, nobody

ITEMS: list[dict[str, Any]] = [
    {"rubric_str": "Is it polite to the reader?", "name": "polite"},
    {"check": {"kind": "words", "max": 99}},
    {"rubric_str": "It is rude.", "name": "rude", "weight": -1.0},
    {"rubric_str": "How long is it?", "name": "length", "choices": ["long", "short"]},
    {"rubric_str": "Anything else?", "extraction_regex": "Score: ([0-9.]+)"},
]
POINT = datapoint(*ITEMS, response="A response of some words. " * 20)


def sent(options: GradeOptions) -> Sent:
    """The calls and characters that are really sent, where every call fails."""
    grader = Scripted(lambda call: CompletionError("timeout", "Slow."))
    asyncio.run(grade(POINT, POINT.response or "", grader, Prompts(), options))
    texts = [message_text(message) for call in grader.calls for message in call.messages]
    return Sent(len(grader.calls), sum(map(len, texts)))


def estimated(options: GradeOptions) -> Estimate:
    first = first_prompt(POINT, Prompts(), options)
    assert first
    return estimate(POINT, first, Prompts(), options)


@pytest.mark.parametrize("mode", ["explain", "verdict"])
@pytest.mark.parametrize("size", [1, 2, 9])
def test_the_estimate_is_close_to_what_is_sent(size: int, mode: Any) -> None:
    found, real = (f(GradeOptions(batch_items=size, mode=mode)) for f in (estimated, sent))
    assert isinstance(found, Estimate)
    assert isinstance(real, Sent)
    assert found.sent.calls == real.calls
    assert found.sent.characters == pytest.approx(real.characters, rel=0.05)
    together = sent(GradeOptions(batch_items=9, mode=mode))
    assert (found.together.calls, found.most) == (2, 3)
    assert found.together.characters == pytest.approx(together.characters, rel=0.05)


def test_estimates_add_up() -> None:
    one, two = Estimate(Sent(3, 30), Sent(1, 20), 3), Estimate(Sent(1, 5), Sent(1, 5), 1)
    assert (one + two) * 2 == Estimate(Sent(8, 70), Sent(4, 50), 3)


def test_where_code_grades_everything_nothing_is_sent() -> None:
    point = datapoint(ITEMS[1])
    assert estimate(point, [], Prompts(), GradeOptions()) == Estimate()
    asyncio.run(grade(point, "x", nobody(), Prompts()))
