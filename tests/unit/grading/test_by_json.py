"""A verdict as JSON is read however a model wraps it, and nothing else is taken for one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.grading.by_json import read
from refinecli.types import Completion
from tests.support.fakes import rubric_item

OBJECT = '{"reasons": "It is so.", "score": 1}'
# What stands around the object; one line for each way to wrap it.
WRAPPED = [
    "{}",
    "\ufeff{}",
    " \n{}\n",
    "```json\n{}\n```",
    "```JSON\n{}\n```",
    "```\n{}\n```",
    "```json5\r\n{}\r\n```\n",
    "```json {} ```",
    "```{}```",
    "````json\n{}\n````",
    "~~~json\n{}\n~~~",
    "`{}`",
    "\ufeff```json\n{}\n```",
    "<think>Hm.</think>{}",
    "[THINK]Hm.[/THINK]\n```json\n{}\n```",
]


@pytest.mark.parametrize("wrapped", WRAPPED)
def test_a_verdict_is_read_in_any_fence(wrapped: str) -> None:
    found, reasons = read(rubric_item(), Completion(wrapped.replace("{}", OBJECT)))
    assert (found.raw_score, reasons) == (1.0, "It is so.")


@pytest.mark.parametrize(
    ("score", "raw_score"),
    [
        ("1", 1.0),
        ("1.0", 1.0),
        ('"1"', 1.0),
        ('" 0.5 "', 0.5),
        ("0.5", 0.5),
        ('"2"', None),
        ('"1/1"', None),
        ('"one"', None),
        ('"\u0661"', None),
        ("true", None),
        ("null", None),
        ("[1]", None),
        ("NaN", None),
        ("1e999", None),
        ("9" * 400, None),
        ('"' + "9" * 5000 + '"', None),
    ],
)
def test_a_score_may_be_a_number_or_a_text_that_is_one(score: str, raw_score: Any) -> None:
    found, _ = read(rubric_item(), Completion(f'{{"score": {score}}}'))
    assert found.raw_score == raw_score
    assert bool(found.problem) is (raw_score is None)


def test_other_numbers_in_a_verdict_may_be_of_any_size() -> None:
    reply = f'{{"tokens": {"9" * 400}, "cost": 1e999, "score": 1}}'
    assert read(rubric_item(), Completion(reply))[0].raw_score == 1


def test_a_choice_that_is_a_number_stays_a_choice() -> None:
    item = rubric_item(choices=["3", "2", "1"])
    assert read(item, Completion('{"score": "1"}'))[0].raw_score == 2


@pytest.mark.parametrize(
    "text",
    [
        f"It said {OBJECT}",
        f"{OBJECT} {OBJECT}",
        f"```json\n{OBJECT}\n```\nand\n```json\n{OBJECT}\n```",
        f"```json\n{OBJECT}\n``` is what I say",
        f"```a verdict follows\n{OBJECT}\n```",
        "```",
        "```json\n```",
        "",
    ],
)
def test_what_is_more_than_one_object_is_no_verdict(text: str) -> None:
    assert read(rubric_item(), Completion(text))[0].raw_score is None


@given(st.lists(st.sampled_from(["```", "json", "{", "}", "\n", " ", '"score": 1', "~~~", "`"])))
def test_any_reply_gives_a_verdict_or_a_problem(pieces: list[str]) -> None:
    found, _ = read(rubric_item(), Completion("".join(pieces)))
    assert (found.raw_score is None) is bool(found.problem)


@pytest.mark.parametrize("piece", ["\n", " ", "`", "~", "{", "}", "\ufeff", "```json\n"])
def test_a_reply_without_end_is_read_in_linear_time(piece: str) -> None:
    start = time.perf_counter()
    read(rubric_item(), Completion("```json" + piece * 100_000 + "{"))
    assert time.perf_counter() - start < 2
