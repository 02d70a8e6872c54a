"""A verdict as JSON is read however a model wraps it, and nothing else is taken for one."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.grading.by_json import answer, instruction, read, takes_json, wanted
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
    start = time.process_time()
    read(rubric_item(), Completion("```json" + piece * 100_000 + "{"))
    assert time.process_time() - start < 2


# ------------------------------------------------------------------ how it is asked for

CHOICES: dict[str, Any] = {"choices": ["poor", "fair", "good"]}


def test_the_schema_holds_the_score_after_the_reasons_if_any() -> None:
    assert wanted(rubric_item(), reasons=True).schema == {
        "type": "object",
        "properties": {"reasons": {"type": "string"}, "score": {"type": "number"}},
        "required": ["reasons", "score"],
        "additionalProperties": False,
    }
    assert wanted(rubric_item(**CHOICES), reasons=False).schema == {
        "type": "object",
        "properties": {"score": {"type": "string", "enum": ["poor", "fair", "good"]}},
        "required": ["score"],
        "additionalProperties": False,
    }


def test_the_instruction_shows_the_object_and_says_what_a_score_may_be() -> None:
    assert instruction(rubric_item(score_range=[0, 2.5]), reasons=False) == (
        'Reply with one JSON object and nothing else: {"score": …}, where the score is a number '
        "from 0 to 2.5."
    )
    assert instruction(rubric_item(**CHOICES), reasons=True) == (
        'Reply with one JSON object and nothing else: {"reasons": "what you say first", '
        '"score": …}, where the score is one of "poor", "fair", "good".'
    )


def test_an_example_is_answered_with_or_without_reasons() -> None:
    assert answer("fair", None) == '{"score":"fair"}'
    assert answer(0.5, "") == '{"reasons":"","score":0.5}'


def test_an_item_with_a_regex_or_an_instruction_of_its_own_keeps_to_it() -> None:
    assert takes_json(rubric_item())
    assert takes_json(rubric_item(score_range=[1, 5]))
    assert takes_json(rubric_item(**CHOICES))
    assert not takes_json(rubric_item(grader_output_format_instruction="Say <score>N</score>."))
    assert not takes_json(rubric_item(extraction_regex=r"Rating: (\d)"))
    own: dict[str, Any] = {"grader_output_format_instruction": "Zero words, then a name."}
    assert not takes_json(rubric_item(**CHOICES, **own))


# ------------------------------------------------------------------ reasons and problems


@pytest.mark.parametrize(
    ("reply", "reasons"),
    [
        ('{"score": 1, "reasons": " So so. "}', "So so."),
        ('{"score": 1, "reasons": "It says <think>."}', "It says <think>."),
        ('{"score": 1, "reasons": ["a"]}', ""),
        ('{"score": 7, "reasons": "Great."}', "Great."),
    ],
)
def test_reasons_are_a_text_and_kept_though_the_score_is_out_of_range(
    reply: str, reasons: str
) -> None:
    assert read(rubric_item(), Completion(reply))[1] == reasons


def test_nought_has_no_sign() -> None:
    assert str(read(rubric_item(), Completion('{"score": -0.0}'))[0].raw_score) == "0.0"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        ("Well.", "not one JSON object"),
        ("[1]", "JSON object with a score"),
        ('{"grade": 1}', "JSON object with a score"),
        ('{"score": true}', "'True' is"),
        ('{"score": [1]}', r"'\[1\]' is"),
        ('{"score": 7}', "'7' is not a number from 0 to 1"),
        (f'{{"score": "{"x" * 100}"}}', f"^'{'x' * 80}' is not a number from 0 to 1"),
    ],
)
def test_what_is_not_such_an_object_says_why(reply: str, problem: str) -> None:
    found, _ = read(rubric_item(), Completion(reply))
    assert found.raw_score is None
    assert re.search(problem, found.problem)


def test_a_reply_that_was_cut_off_has_no_score_whatever_it_holds() -> None:
    found, _ = read(rubric_item(), Completion('{"score": 1}', "length"))
    assert found.raw_score is None
    assert "cut off" in found.problem


def test_a_choice_is_read_by_its_name() -> None:
    assert read(rubric_item(**CHOICES), Completion('{"score": "fair"}'))[0].raw_score == 1
    none, _ = read(rubric_item(**CHOICES), Completion('{"score": "none"}'))
    assert none.problem == '\'none\' is not one of "poor", "fair", "good"'
