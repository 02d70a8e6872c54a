"""The order in which a response's items are asked, so that a provider's prompt cache is used."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from refinecli.errors import CompletionError, RunError
from refinecli.grading.grade import grade
from refinecli.grading.prefix import LONG_ENOUGH, _may_be_long, begin_alike
from refinecli.grading.verdict import GradeOptions, Question
from refinecli.prompts import GRADER, Prompts
from refinecli.types import Completion, Datapoint, Draw, Example, Grade, Message, Usage
from tests.support.fakes import datapoint, score, text_of

LONG = "word " * (LONG_ENOUGH // 5)
ITEMS: list[dict[str, Any]] = [{"rubric_str": f"{letter}?"} for letter in "ABCD"]
CHECK = {"check": {"kind": "words", "max": 9}}


@dataclass
class PrefixCache:
    """A grader in front of which a provider keeps the beginnings of prompts that it has answered;
    `most` requests were in flight at the same time."""

    fails: Exception | None = None
    seen: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    most: int = 0
    _in_flight: int = 0

    async def __call__(
        self, messages: Sequence[Message], draw: Draw, usable: Any = None, wants: Any = None
    ) -> Completion:
        text = "".join(map(text_of, messages))
        self.asked.append(text)
        cached = max((_alike(text, other) for other in self.seen), default=0) // 4
        self._in_flight += 1
        self.most = max(self.most, self._in_flight)
        await asyncio.sleep(0)
        self._in_flight -= 1
        if self.fails and len(self.asked) == 1:
            raise self.fails
        self.seen.append(text)
        usage = Usage(1, len(text) // 4, 5, cached_tokens=cached if cached >= 1024 else 0)
        return Completion(score(1), "stop", usage=usage)


def _alike(one: str, other: str) -> int:
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def graded(
    grader: PrefixCache,
    point: Datapoint,
    response: str,
    prompts: Prompts | None = None,
    options: GradeOptions | None = None,
) -> tuple[tuple[Grade, ...], Usage]:
    options = options or GradeOptions()
    return asyncio.run(grade(point, response, grader, prompts or Prompts(), options))


def test_of_a_long_response_the_first_item_is_asked_before_the_others() -> None:
    grader = PrefixCache()
    grades, usage = graded(grader, datapoint(*ITEMS), LONG)
    assert [g.item for g in grades] == [0, 1, 2, 3]
    assert ["A?" in grader.asked[0], grader.most] == [True, 3]
    # Three of the four prompts are cached but for their criterion.
    assert usage.cached_tokens > 0.7 * usage.prompt_tokens


def test_a_short_response_is_asked_about_all_at_once() -> None:
    grader = PrefixCache()
    _, usage = graded(grader, datapoint(*ITEMS), "A short one.")
    assert (grader.most, usage.cached_tokens) == (4, 0)


def test_a_long_conversation_and_a_long_reference_count_too() -> None:
    for fields in (
        {"convo": [{"role": "user", "content": LONG}]},
        {"reference": LONG},
    ):
        grader = PrefixCache()
        graded(grader, datapoint(*ITEMS, **fields), "A short one.")
        assert grader.most == 3


def test_examples_of_all_items_or_of_one_may_make_a_prompt_long() -> None:
    plain = Question(datapoint(*ITEMS), "A short one.", 0, Prompts(), GradeOptions())
    assert not _may_be_long(plain)
    shared = GradeOptions(examples=(Example("Fine.", 1.0),))
    assert _may_be_long(replace(plain, options=shared))
    own = datapoint({**ITEMS[0], "examples": [{"response": "Fine.", "score": 1}]}, *ITEMS[1:])
    assert _may_be_long(replace(plain, datapoint=own))


def test_prompts_that_begin_with_the_criterion_are_asked_all_at_once() -> None:
    grader = PrefixCache()
    before, _, after = GRADER.partition("{{criterion}}")
    template = "{{criterion}}\n\n" + before + after
    graded(grader, datapoint(*ITEMS), LONG, Prompts(grader=template))
    assert grader.most == 4


def test_checks_do_not_lead() -> None:
    grader = PrefixCache()
    grades, _ = graded(grader, datapoint(CHECK, *ITEMS[:3]), LONG)
    assert [g.grader for g in grades] == ["check", "llm", "llm", "llm"]
    assert grader.most == 2
    grader = PrefixCache()
    graded(grader, datapoint(CHECK, ITEMS[0]), LONG)
    assert grader.most == 1


def test_where_the_first_call_fails_its_item_is_ungraded_and_the_others_follow() -> None:
    grader = PrefixCache(fails=CompletionError("server", "Busy."))
    grades, _ = graded(grader, datapoint(*ITEMS), LONG)
    assert [g.graded for g in grades] == [False, True, True, True]


def test_where_the_first_call_shows_that_all_would_fail_nothing_more_is_sent() -> None:
    grader = PrefixCache(fails=RunError("The key is refused."))
    with pytest.raises(RunError):
        graded(grader, datapoint(*ITEMS), LONG)
    assert len(grader.asked) == 1


def test_prompts_begin_alike_as_far_as_their_texts_are_the_same() -> None:
    one: list[Message] = [
        {"role": "system", "content": "x" * 10},
        {"role": "user", "content": "y" * 10 + "a"},
    ]
    other: list[Message] = [one[0], {"role": "user", "content": "y" * 10 + "b"}]
    assert begin_alike(one, other, 20)
    assert not begin_alike(one, other, 21)
    assert begin_alike(one, one, 21)
    assert not begin_alike(one, one, 22)
    assert not begin_alike(one, [one[0], {"role": "user", "content": "y"}, one[1]], 12)
