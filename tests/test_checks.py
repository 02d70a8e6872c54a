"""Items graded by code: exact scores, and feedback that says what to change."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from refinecli.checks import Check, CheckResult
from refinecli.grade import grade
from refinecli.prompts import Prompts
from refinecli.types import Grade
from tests.fakes import datapoint, nobody, rubric_item

CHECK: TypeAdapter[Any] = TypeAdapter(Check)


def result(response: str, kind: str, **options: Any) -> CheckResult:
    found = CHECK.validate_python({"kind": kind, **options}).grade(response)
    assert isinstance(found, CheckResult)
    return found


def verdict(response: str, check: dict[str, Any], **item: Any) -> Grade:
    """The grade that a check item gives, without any call."""
    point = datapoint({"check": check, **item})
    grades, usage = asyncio.run(grade(point, response, nobody(), Prompts()))
    assert usage.calls == 0
    return grades[0]


# ------------------------------------------------------------------ words

TEXT = "The dog's ball rolled\nthrough New  York; C++ and naïve Ärger, snake_case, x2."


@pytest.mark.parametrize(
    ("word", "there"),
    [
        ("dog", True),
        ("DOG", True),
        ("do", False),
        ("og", False),
        ("ball", True),
        ("balls", False),
        ("roll", False),
        ("New York", True),
        ("new york", True),
        ("rolled through", True),
        ("York New", False),
        ("C++", True),
        ("c++", True),
        ("C", True),
        ("naïve", True),
        ("na", False),
        ("ärger", True),
        ("rger", False),
        ("snake", False),
        ("snake_case", True),
        ("x", False),
        ("x2", True),
        (".", False),
        ("d.g", False),
        ("dog's", True),
    ],
)
def test_a_word_is_found_at_word_boundaries_whatever_its_case(word: str, there: bool) -> None:
    assert (result(TEXT, "contains_any", words=[word]).score == 1) is there


@pytest.mark.parametrize(
    ("text", "word", "options", "there"),
    [
        ("balls", "ball", {"match": "text"}, True),
        ("BALLS", "ball", {"match": "text"}, True),
        ("BALLS", "ball", {"match": "text", "case": True}, False),
        ("NASA", "nasa", {"case": True}, False),
        ("NASA", "NASA", {"case": True}, True),
        ("NASAs", "NASA", {"case": True}, False),
        ("C++17", "C++", {}, False),
        ("C++17", "C++", {"match": "text"}, True),
        ("我喜欢狗。", "狗", {"match": "text"}, True),
        ("(dog)", "dog", {}, True),
        ("a.b", "a.b", {}, True),
        ("axb", "a.b", {}, False),
        ("50% off", "50%", {}, True),
        ("what [is] this", "[is]", {}, True),
        ("ice\u00a0cream", "ice cream", {}, True),
        ("icecream", "ice cream", {}, False),
        ("🐕", "🐕", {}, True),
    ],
)
def test_match_and_case_are_options(
    text: str, word: str, options: dict[str, Any], there: bool
) -> None:
    assert (result(text, "contains_all", words=[word], **options).score == 1) is there


def test_contains_all_scores_the_share_and_names_what_is_missing() -> None:
    words = ["dog", "ball", "rain", "tree"]
    assert result("A ball in a tree.", "contains_all", words=words) == (0.5, "missing: dog, rain")
    assert result("Nothing.", "contains_all", words=words).score == 0
    assert result("Rain, tree, dog, BALL", "contains_all", words=words) == (1.0, "")


def test_contains_any_needs_one_and_names_all() -> None:
    assert result("A cat.", "contains_any", words=["dog", "cat"]) == (1.0, "")
    found = result("A cow.", "contains_any", words=["dog", "cat"])
    assert found == (0.0, "none of these is there: dog, cat")


def test_contains_none_scores_the_share_that_is_absent_and_names_the_rest() -> None:
    words = ["very", "really", "just", "quite"]
    assert result("It is just very good.", "contains_none", words=words) == (
        0.5,
        "must not be there: very, just",
    )
    assert result("It is good. Veryable.", "contains_none", words=words) == (1.0, "")


def test_thirds_come_out_as_thirds() -> None:
    assert result("a b", "contains_all", words=["a", "b", "c"]).score == pytest.approx(2 / 3)
    assert result("a", "contains_all", words=["a", "b", "c"]).score == pytest.approx(1 / 3)


WORDS = st.lists(st.text(st.characters(categories=["L"]), min_size=1), min_size=1, max_size=6)


@given(WORDS, st.text())
@settings(deadline=None)
def test_word_checks_always_score_from_0_to_1_and_agree(words: list[str], text: str) -> None:
    every = result(text, "contains_all", words=words)
    some = result(text, "contains_any", words=words)
    none = result(text, "contains_none", words=words)
    assert 0 <= every.score <= 1
    assert 0 <= none.score <= 1
    assert every.score + none.score == pytest.approx(1)
    assert (every.score > 1e-12) == (some.score == 1)
    assert bool(every.feedback) == (every.score < 1)


# ------------------------------------------------------------------ patterns


@pytest.mark.parametrize(
    ("pattern", "text", "there"),
    [
        ("b+", "abba", True),
        ("^abba$", "abba", True),
        ("^b", "abba", False),
        ("a.b", "a\nb", True),
        ("(?i)DOG", "dog", True),
        (r"^\d{4}-\d\d$", "2024-01", True),
        (r"\p{Lu}", "é", False),
        (r"\p{Lu}", "É", True),
    ],
)
def test_a_regex_matches_anywhere_and_its_dot_takes_newlines(
    pattern: str, text: str, there: bool
) -> None:
    feedback = "" if there else f"does not match {pattern}"
    assert result(text, "regex", pattern=pattern) == (float(there), feedback)


def test_a_catastrophic_pattern_leaves_its_item_ungraded() -> None:
    found = verdict("x" * 5000, {"kind": "regex", "pattern": "(x+x+)+y|z"})
    assert (found.score, found.passed) == (None, None)
    assert found.error is not None
    assert "too long" in found.error.message


def test_an_ungraded_check_is_still_a_check() -> None:
    found = verdict("x" * 5000, {"kind": "regex", "pattern": "(x+x+)+y|z"})
    assert found.grader == "check"


# ------------------------------------------------------------------ equals


@pytest.mark.parametrize(
    ("value", "text", "right"),
    [
        ("Paris", "Paris", True),
        ("Paris", " Paris\n", True),
        ("Paris", "Paris.", False),
        ("Paris", "paris", False),
        (" Paris ", "Paris", True),
        (134, "134", True),
        (134, "134.0", False),
        (0.5, "0.5", True),
        ("naïve", "naïve", True),
        ("{x}", "{x}", True),
    ],
)
def test_equals_takes_the_whole_response(value: object, text: str, right: bool) -> None:
    feedback = "" if right else f"is not exactly: {value}"
    assert result(text, "equals", value=value) == (float(right), feedback)


# ------------------------------------------------------------------ number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("134", 134),
        ("The sum is 134.", 134),
        ("122 + 12 = 134", 134),
        ("134, not 135 but 134!", 134),
        ("**134**", 134),
        ("$134", 134),
        ("134kg", 134),
        ("134%", 134),
        ("1,234", 1234),
        ("1,234,567.89", 1234567.89),
        ("about 12,345 people", 12345),
        ("-7", -7),
        ("It is -7.", -7),
        ("(\u22127)", -7),
        ("x = -7", -7),
        ("x=-7", -7),
        ("+7", 7),
        ("10-7", 7),
        ("10 - 7", 7),
        ("a-7", 7),
        ("0.5", 0.5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("5.", 5),
        ("1e3", 1000),
        ("1.5e-3", 0.0015),
        ("7 H2O", 7),
        ("7 in version v2", 7),
        ("2/3", 3),
        ("1, 2, 3", 3),
        ("12:30", 30),
        ("7 and then ١٢", 7),
        ("7 and then １３４", 7),
        ("\\boxed{42}", 42),
        ("0", 0),
        ("-0", 0),
    ],
)
def test_the_last_number_is_read_as_people_write_it(text: str, value: float) -> None:
    assert result(text, "number", value=value) == (1.0, "")


@pytest.mark.parametrize(
    ("text", "feedback"),
    [
        ("", "there is no number in it"),
        ("None at all.", "there is no number in it"),
        ("H2O", "there is no number in it"),
        ("١٢", "there is no number in it"),
        ("The answer is 135.", "the last number is 135"),
        ("134, I mean 1,345", "the last number is 1,345"),
        ("-134", "the last number is -134"),
        ("1340", "the last number is 1340"),
        ("134.5", "the last number is 134.5"),
        ("134.00000000000000000000000000000000001", "the last number is 134.00"),
        ("134" + "0" * 5000, "the last number is 134000"),
        ("1e999", "the last number is 1e999"),
    ],
)
def test_a_wrong_number_is_named(text: str, feedback: str) -> None:
    found = result(text, "number", value=134)
    assert found.score == 0
    assert found.feedback.startswith(feedback)


@pytest.mark.parametrize(
    ("text", "value", "tolerance", "right"),
    [
        ("0.3", 0.2, 0.1, True),
        ("0.30000000000000001", 0.2, 0.1, False),
        ("0.1", 0.2, 0.1, True),
        ("1.1", 1, 0.1, True),
        ("1.10000001", 1, 0.1, False),
        ("3.14", 3.14159, 0.01, True),
        ("3.15", 3.14159, 0.001, False),
        ("9007199254740993", 9007199254740993, 0, True),
        ("9007199254740992", 9007199254740993, 0, False),
        ("100000000000000000000000000000000000001", 10**38, 0, False),
        ("100000000000000000000000000000000000001", 10**38, 1, True),
        ("-5", 5, 10, True),
    ],
)
def test_a_tolerance_is_exact(text: str, value: float, tolerance: float, right: bool) -> None:
    found = result(text, "number", value=value, tolerance=tolerance)
    assert (found.score == 1) is right


@given(st.integers(-(10**12), 10**12), st.text(st.characters(categories=["L", "P", "Z"])))
@settings(deadline=None)
def test_a_number_at_the_end_is_found_with_or_without_separators(number: int, text: str) -> None:
    assert result(f"{text} {number}", "number", value=number).score == 1
    assert result(f"{text} {number:,}.", "number", value=number).score == 1


@given(st.text(st.characters(exclude_categories=())))
@settings(deadline=None)
def test_a_number_check_takes_any_text(text: str) -> None:
    assert result(text, "number", value=1).score in (0, 1)


# ------------------------------------------------------------------ words, json


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("one two three", 3),
        ("  one\n\ntwo\tthree ", 3),
        ("well-known fact", 2),
        ("don't stop", 2),
        ("one - two — three", 3),
        ("*** !!!", 0),
        ("🐕 dog", 1),
        ("naïve Ärger", 2),
        ("3 dogs", 2),
        ("- item\n- other", 2),
        ("ice\u00a0cream", 2),
    ],
)
def test_a_word_is_what_stands_between_white_space_and_has_a_letter(text: str, count: int) -> None:
    assert result(text, "words", min=count, max=count) == (1.0, "")
    assert result(text, "words", min=count + 1).score == 0


def test_a_word_count_says_how_many_there_are_and_how_many_are_wanted() -> None:
    assert result("one two", "words", min=3, max=5) == (0.0, "2 words, at least 3 wanted")
    assert result("one two", "words", max=1) == (0.0, "2 words, at most 1 allowed")
    assert result("one two", "words", max=2) == (1.0, "")
    assert result("one two", "words", min=2) == (1.0, "")


@pytest.mark.parametrize(
    "text", ["{}", " [1, 2]\n", '"x"', "null", "1.5", '{"a": {"b": [true]}}', '"\u2028é🐕"']
)
def test_json_is_any_one_value(text: str) -> None:
    assert result(text, "json") == (1.0, "")


@pytest.mark.parametrize(
    "text",
    ["{", "{'a': 1}", "[1,]", "NaN", "{} {}", "Here you are: {}", "True", "\ud800", "[" * 5000],
)
def test_what_is_not_json_says_so(text: str) -> None:
    found = result(text, "json")
    assert found.score == 0
    assert found.feedback.startswith("is not JSON: ")


def test_json_in_a_code_fence_is_told_how_to_get_out() -> None:
    assert "take it out of its code fence" in result("```json\n{}\n```", "json").feedback


# ------------------------------------------------------------------ as an item


def test_a_check_gives_a_grade_without_a_call() -> None:
    found = verdict("A dog.", {"kind": "contains_all", "words": ["dog", "rain"]})
    assert found == Grade(
        0, "item-0", 0.5, 0.5, False, "check", feedback="missing: rain", reply=None, error=None
    )


def test_a_check_that_is_met_has_no_feedback() -> None:
    assert verdict("dog", {"kind": "contains_all", "words": ["dog"]}).feedback is None


@pytest.mark.parametrize(("pass_score", "passed"), [(0.5, True), (0.51, False), (1.0, False)])
def test_a_check_is_passed_at_its_pass_score(pass_score: float, passed: bool) -> None:
    check = {"kind": "contains_all", "words": ["dog", "rain"]}
    assert verdict("A dog.", check, pass_score=pass_score).passed is passed


CHECKS: list[dict[str, Any]] = [
    {"kind": "contains_all", "words": ["dog", "rain"]},
    {"kind": "contains_any", "words": ["dog", "rain"]},
    {"kind": "contains_none", "words": ["dog", "rain"]},
    {"kind": "regex", "pattern": "a+"},
    {"kind": "equals", "value": "Paris"},
    {"kind": "number", "value": 134},
    {"kind": "words", "min": 3},
    {"kind": "words", "max": 9},
    {"kind": "words", "min": 3, "max": 9},
    {"kind": "json"},
]


@pytest.mark.parametrize("check", CHECKS, ids=json.dumps)
def test_a_check_can_be_the_whole_item_and_then_describes_itself(check: dict[str, Any]) -> None:
    point = datapoint({"rubric_str": None, "check": check})
    description = point.rubric_items[0].rubric_str
    assert description.startswith("The ")
    for value in (v for k, v in check.items() if k != "kind"):
        for word in value if isinstance(value, list) else [value]:
            assert str(word) in description


@pytest.mark.parametrize("check", CHECKS, ids=json.dumps)
def test_only_checks_that_hold_the_answer_are_hidden_by_default(check: dict[str, Any]) -> None:
    hidden = check["kind"] in ("equals", "number")
    assert rubric_item(check=check).reveal == ("verdict" if hidden else "full")
    assert rubric_item(check=check, reveal="full").reveal == "full"
    assert rubric_item(check=check, reveal="verdict").reveal == "verdict"


@pytest.mark.parametrize(
    "check",
    [
        {"kind": "contains_all"},
        {"kind": "contains_all", "words": []},
        {"kind": "contains_all", "words": [""]},
        {"kind": "contains_all", "words": "dog"},
        {"kind": "contains_all", "words": ["dog"], "mach": "text"},
        {"kind": "contains_all", "words": ["dog"], "match": "glob"},
        {"kind": "regex", "pattern": "("},
        {"kind": "number", "value": "134"},
        {"kind": "number", "value": True},
        {"kind": "number", "value": 134, "tolerance": -1},
        {"kind": "words"},
        {"kind": "words", "min": 5, "max": 3},
        {"kind": "words", "min": -1},
        {"kind": "json", "schema": {}},
        {"kind": "contains"},
        {"words": ["dog"]},
    ],
    ids=json.dumps,
)
def test_a_check_that_says_nothing_clear_is_refused(check: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CHECK.validate_python(check)
