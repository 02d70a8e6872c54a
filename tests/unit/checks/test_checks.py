"""Items graded by code: exact scores, and feedback that says what to change."""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from refinecli.checks.base import CheckResult
from refinecli.checks.counted import SentenceCount
from refinecli.checks.kinds import Check
from refinecli.data.rows import read_row
from refinecli.grading.grade import grade
from refinecli.prompts import Prompts
from refinecli.types import Grade
from tests.support.fakes import datapoint, nobody, rubric_item

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


def datapoint_line(item: dict[str, Any]) -> bytes:
    convo = [{"role": "user", "content": "Hi"}]
    return json.dumps({"convo": convo, "rubric_items": [item]}).encode()


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
        ("I don’t.", "don't", {}, True),
        ("I don't.", "don’t", {}, True),
        ("I DON’T.", "don't", {"case": True}, False),
        ("I don’t know.", "don", {}, True),
        ("“Yes,” she said", '"yes"', {}, False),
        ("the “new world” of", '"new world"', {}, True),
        ("I don’t.", "don't", {"match": "text"}, False),
        ("I don’t.", "n’t", {"match": "text"}, True),
    ],
)
def test_match_and_case_are_options(
    text: str, word: str, options: dict[str, Any], there: bool
) -> None:
    assert (result(text, "contains_all", words=[word], **options).score == 1) is there


SAME_WORD = [
    ("a cafe\u0301.", "café"),
    ("a café.", "cafe\u0301"),
    ("CAFE\u0301", "café"),
    ("a \ufb01ne day", "fine"),
    ("a fine day", "\ufb01ne"),
    ("ｈｅｌｌｏ　there", "hello there"),
    ("in １９８４", "1984"),
    ("\uff76\uff9e", "\u30ac"),  # a half-width letter and its sound mark
    ("\U0001d41f\U0001d422ne", "fine"),
    ("\u1112\u1161\u11ab", "한"),  # a syllable, and its three letters
    ("10 \u00b5m", "\u03bcm"),
    ("İstanbul", "I\u0307stanbul"),
    ("cafe\u0301’s", "café's"),
]


@pytest.mark.parametrize("match", ["word", "stem"])
@pytest.mark.parametrize(("text", "word"), SAME_WORD)
def test_a_word_is_found_however_its_letters_are_encoded(text: str, word: str, match: str) -> None:
    assert result(text, "contains_any", words=[word], match=match) == (1.0, "")
    found = result(text, "contains_none", words=[word], match=match)
    assert found.feedback.endswith(f": {word}")  # as it was given


@pytest.mark.parametrize("match", ["word", "stem"])
@pytest.mark.parametrize(
    ("text", "word", "there"),
    [
        ("a cafe\u0301", "cafe", False),
        ("Acme™ is", "Acme", True),
        ("10² is", "102", False),
        ("1½ cups", "11", False),
        ("room ①", "1", False),
        ("m²", "m²", True),
        ("wait…", "wait", True),
        ("a\u00a0b", "a b", True),
        ("a lone \ud800 \ufb01", "fi", True),
    ],
)
def test_other_signs_are_no_letters_whatever_they_stand_for(
    text: str, word: str, there: bool, match: str
) -> None:
    assert (result(text, "contains_any", words=[word], match=match).score == 1) is there


def test_text_is_matched_to_the_letter() -> None:
    for text, word in SAME_WORD[:4]:
        assert result(text, "contains_any", words=[word], match="text").score == 0


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


# ------------------------------------------------------------------ stems


@pytest.mark.parametrize(
    ("text", "word", "there"),
    [
        ("Two dogs ran.", "dog", True),
        ("A dog.", "dogs", True),
        ("RUNNING late", "run", True),
        ("He runs.", "running", True),
        ("It is studied.", "studies", True),
        ("the dog's ball", "dogs", True),
        ("He ran.", "run", False),
        ("dogma", "dog", False),
        ("hot dogs", "hot dog", True),
        ("hot\n  dogs", "hot  dog", True),
        ("hot, dogs", "hot dog", False),
        ("dogs hot", "hot dog", False),
        ("a shot dog", "hot dog", False),
        ("I don’t.", "don't", True),
        ("I do.", "don't", False),
        ("C++ is fun", "C++", True),
        ("C is fun", "C++", False),
        ("well-known facts", "well-known fact", True),
        ("(dogs)", "dog", True),
        ("🐕", "🐕", True),
        ("dog", " ", False),
        ("", "dog", False),
    ],
)
def test_stems_meet_a_word_in_its_other_forms(text: str, word: str, there: bool) -> None:
    assert (result(text, "contains_any", words=[word], match="stem").score == 1) is there


def test_stems_are_of_the_language_that_is_named() -> None:
    options = {"words": ["Katze"], "match": "stem"}
    assert result("Zwei Katzen.", "contains_all", **options, language="german").score == 1
    assert result("Zwei Katzen.", "contains_all", **options).score == 0


def test_stems_work_for_all_three_and_the_feedback_names_the_words_as_they_were_given() -> None:
    words = ["dog", "jumping"]
    assert result("Dogs bark.", "contains_all", words=words, match="stem") == (
        0.5,
        "missing: jumping",
    )
    assert result("Cats.", "contains_any", words=words, match="stem") == (
        0.0,
        "none of these is there, in any form: dog, jumping",
    )
    assert result("He jumps.", "contains_none", words=words, match="stem") == (
        0.5,
        "must not be there, in any form: jumping",
    )


@given(st.lists(st.text(st.characters(categories=["L"]), min_size=1), min_size=1), st.text())
@settings(deadline=None)
def test_a_word_that_is_there_is_there_as_a_stem_too(words: list[str], text: str) -> None:
    text = f"{text} {words[0]} {text}"
    assert words[0] not in result(text, "contains_any", words=[words[0]], match="stem").feedback


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


@pytest.mark.parametrize(
    ("pattern", "text", "count"),
    [
        (",", "a, b, c", 2),
        (r"(?i)\bdog\b", "Dog, dog and dogs", 2),
        (r"(?m)^\s*[-*] ", "Here:\n- a\n- b\n* c", 3),
        (r"\p{Lu}", "Über Ärger, Otto", 3),
        (r"\[[^\]]+\]", "[name] and [address]", 2),
        ("aa", "aaaa", 2),
        ("z", "", 0),
        ("x*", "ab", 3),
    ],
)
def test_a_count_is_how_often_a_pattern_matches(pattern: str, text: str, count: int) -> None:
    assert result(text, "count", pattern=pattern, min=count, max=count) == (1.0, "")
    assert result(text, "count", pattern=pattern, min=count + 1).score == 0
    assert count == 0 or result(text, "count", pattern=pattern, max=count - 1).score == 0


def test_a_count_shows_some_of_what_it_found() -> None:
    assert result("A, B, C", "count", pattern=",", max=0) == (
        0.0,
        '2 matches of , (","), none allowed',
    )
    assert result("One TWO Three", "count", pattern=r"\b[A-Z]+\b", min=2) == (
        0.0,
        '1 match of \\b[A-Z]+\\b ("TWO"), at least 2 wanted',
    )
    assert result("none", "count", pattern="z", min=1) == (0.0, "0 matches of z, at least 1 wanted")
    found = result(f"{'y' * 500} a b c d e f g", "count", pattern=r"\w+", max=2).feedback
    several = f'"{"y" * 39}…", "a", "b", "c", "d"'
    assert found == rf"8 matches of \w+ ({several}), at most 2 allowed"


def test_a_catastrophic_count_leaves_its_item_ungraded() -> None:
    found = verdict("x" * 5000, {"kind": "count", "pattern": "(x+x+)+y|z", "max": 3})
    assert (found.score, found.passed) == (None, None)


# ------------------------------------------------------------------ equals, starts_with, ends_with


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


@pytest.mark.parametrize(
    ("value", "text", "options", "right"),
    [
        ("Dear", "Dear Ann", {}, True),
        ("Dear", "\n  dear Ann", {}, True),
        ("Dear", "dear Ann", {"case": True}, False),
        ("Dear", "Dear Ann", {"case": True}, True),
        ("Dear", "Oh Dear", {}, False),
        ("Dear", "Dearest Ann", {}, True),
        ("Dear ", "Dearest Ann", {}, False),
        (" Dear ", "Dear\nAnn", {}, True),
        ("Dear Ann", "Dear  Ann", {}, True),
        ("Don't", "Don’t go", {}, True),
        ("‘Tis", "'tis so", {}, True),
        ('"', "“Yes.”", {}, True),
        ("Dear", '"Dear Ann"', {}, False),
        ("Dear", "**Dear** Ann", {}, False),
        ("**Dear", "**Dear** Ann", {}, True),
        (".*", "Dear", {}, False),
        ("ÄRGER", "Ärger und mehr", {}, True),
        ("Dear Ann", "Dear", {}, False),
    ],
)
def test_a_start_is_taken_as_it_is_but_for_white_space_case_and_the_shape_of_quotes(
    value: str, text: str, options: dict[str, Any], right: bool
) -> None:
    assert (result(text, "starts_with", value=value, **options).score == 1) is right


@pytest.mark.parametrize(
    ("value", "text", "options", "right"),
    [
        ("Is there more?", "Yes.\nis there  more?\n", {}, True),
        ("Is there more?", "Yes. is there more?", {"case": True}, False),
        ("the end", "the end.", {}, False),
        ("the end.", "the end.", {}, True),
        ("end", "weekend", {}, True),
        (" end", "weekend", {}, False),
        ("that's all", "and that’s all", {}, True),
        ('"', "“Yes.”", {}, True),
        ("P.S. Bye", "Bye", {}, False),
    ],
)
def test_an_end_is_taken_as_a_start_is(
    value: str, text: str, options: dict[str, Any], right: bool
) -> None:
    assert (result(text, "ends_with", value=value, **options).score == 1) is right


def test_what_starts_or_ends_otherwise_is_told_how() -> None:
    assert result("  Hello,\nAnn", "starts_with", value="Dear") == (
        0.0,
        "does not start with: Dear; it starts with: Hello, Ann",
    )
    assert result(f"{'x' * 500} so long", "ends_with", value="Bye.") == (
        0.0,
        f"does not end with: Bye.; it ends with: …{'x' * 35} so long",
    )


@given(st.text(), st.text(min_size=1).filter(str.strip), st.booleans())
@settings(deadline=None)
def test_what_is_put_at_an_end_is_found_there(text: str, value: str, case: bool) -> None:
    assert result(f" {value}{text}", "starts_with", value=value.strip(), case=case).score == 1
    assert result(f"{text}{value}\n", "ends_with", value=value.strip(), case=case).score == 1


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
        ("1, 2, 3", 3),
        ("7 and then ١٢", 12),
        ("7 and then １３４", 134),
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
        ("١٢", "the last number is 12"),
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


# ------------------------------------------------------------------ counted units


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
    assert result("one", "words", min=2) == (0.0, "1 word, at least 2 wanted")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("...", 0),
        ("no full stop", 1),
        ("One. Two", 2),
        ("One. two", 2),
        ("Hello world. How are you? Fine!", 3),
        ("What?! Really?!", 2),
        ("Hello!!! Yes.", 2),
        ("Well... I see.", 1),
        ("It costs 3.5 dollars. Version 2.0.1 too.", 2),
        ("Use tools, e.g. a saw, i.e. something sharp.", 1),
        ("Dr. Smith met Mrs. Jones at 5 p.m. on Friday.", 1),
        ("J. K. Rowling wrote it. Yes.", 2),
        ("J.\u00a0K. Rowling wrote it. A.\u3000B.", 2),
        ("I live in the U.S. It is big.", 2),
        ("See example.com/a.b?c=d for more.", 1),
        ('"Stop!" he cried.', 1),
        ('He said "Go away." Then he left.', 2),
        ("A dog (it barked.) ran. Done.", 2),
        ("**Bold.** Next one.", 2),
        ("Fine 😀. Next?", 2),
        ("我喜欢狗。你呢？很好！", 3),
        ("日本語です。はい。", 2),
        ("Привет. Как дела?", 2),
        ("यह है। ठीक है।", 2),
        ("line one\nline two goes on.", 1),
        ("The cat sat.\r\nThe dog ran.", 2),
        ("# Title\n\nSome text.", 2),
        ("- First item\n- Second item\n- Third item", 3),
        ("1. First item.\n2. Second item.", 2),
        ("Dear John,\n\nI am well. Bye.", 3),
    ],
)
def test_a_sentence_is_what_a_reader_takes_for_one(text: str, count: int) -> None:
    assert result(text, "sentences", min=count, max=count) == (1.0, "")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("one", 1),
        ("one\ntwo", 1),
        ("one\n\ntwo", 2),
        ("\n\none\n \t\n\n\ntwo\n\n", 2),
        ("one\r\n\r\ntwo", 2),
        ("# Title\n\ntext", 2),
        ("one\n\n***\n\ntwo\n\n---", 2),
        ("- a\n- b", 1),
        ("我喜欢狗\n\n好", 2),
    ],
)
def test_a_paragraph_is_a_block_between_blank_lines(text: str, count: int) -> None:
    assert result(text, "paragraphs", min=count, max=count) == (1.0, "")


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("abc", 3),
        ("  a b\n", 3),
        ("a\nb", 3),
        ("a\r\nb", 3),
        ("é", 1),
        ("e\u0301", 1),
        ("👩\u200d👩\u200d👧", 1),
        ("🇨🇭!", 2),
        ("狗狗", 2),
    ],
)
def test_a_character_is_what_is_seen_as_one(text: str, count: int) -> None:
    assert result(text, "characters", min=count, max=count) == (1.0, "")


@pytest.mark.parametrize(
    ("kind", "text", "options", "feedback"),
    [
        ("sentences", "One. Two? Three! Four.", {"max": 3}, "4 sentences, at most 3 allowed"),
        ("sentences", "Yes", {"min": 2, "max": 2}, "1 sentence, at least 2 wanted"),
        ("paragraphs", "a\n\nb", {"max": 1}, "2 paragraphs, at most 1 allowed"),
        ("paragraphs", "a", {"min": 3}, "1 paragraph, at least 3 wanted"),
        ("characters", "hello", {"max": 4}, "5 characters, at most 4 allowed"),
        ("characters", "é", {"min": 2}, "1 character, at least 2 wanted"),
    ],
)
def test_other_units_are_told_as_words_are(
    kind: str, text: str, options: dict[str, int], feedback: str
) -> None:
    assert result(text, kind, **options) == (0.0, feedback)


@pytest.mark.parametrize("kind", ["words", "sentences", "paragraphs", "characters"])
@given(text=st.text(st.characters(exclude_categories=())))
@settings(deadline=None)
def test_any_text_can_be_counted(kind: str, text: str) -> None:
    assert result(text, kind, min=len(text) + 1).score == 0
    assert result(text, kind, min=0, max=len(text)).score == 1


@given(
    st.lists(st.sampled_from(["milk", "rain", "trees", "3 fish", "Ärger"]), min_size=1),
    st.sampled_from([".", "!", "?", "?!", ".\n", "!\r\n", "?\n\n"]),
)
@settings(deadline=None)
def test_plain_sentences_and_paragraphs_are_all_counted(words: list[str], end: str) -> None:
    count = len(words)
    text = " ".join(f"The cat likes {word}{end}" for word in words)
    assert result(text, "sentences", min=count, max=count) == (1.0, "")
    assert result("\n\n".join(words), "paragraphs", min=count, max=count) == (1.0, "")


# ------------------------------------------------------------------ json


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


PERSON = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "born": {"type": "string", "format": "date"},
        "pet": {"anyOf": [{"type": "null"}, {"enum": ["cat", "dog"]}]},
    },
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "text", ['{"name": "Ann"}', ' {"name": "Ann", "age": 3, "tags": ["a"], "pet": null}\n']
)
def test_json_that_fits_its_schema_is_right(text: str) -> None:
    assert result(text, "json", schema=PERSON) == (1.0, "")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{}", '"name" is a required property'),
        ('{"name": 1}', 'name: 1 is not of type "string"'),
        ('{"name": "A", "tags": ["a", 2]}', 'tags[1]: 2 is not of type "string"'),
        ('{"name": "A", "born": "soon"}', 'born: "soon" is not a "date"'),
        ('{"name": "A", "size": 1}', "Additional properties are not allowed"),
        (
            '{"name": "A", "pet": "cow"}',
            'pet: fits none of the alternatives (pet: "cow" is not of type "null" / '
            'pet: "cow" is not one of "cat" or "dog")',
        ),
        ("[]", '[] is not of type "object"'),
    ],
)
def test_what_does_not_fit_a_schema_is_named_with_its_place(text: str, wrong: str) -> None:
    found = result(text, "json", schema=PERSON)
    assert found.score == 0
    assert found.feedback.startswith(f"does not fit the schema: {wrong}")


def test_only_the_first_misfits_are_told_and_long_values_are_cut() -> None:
    schema = {"items": {"type": "integer"}}
    found = result(json.dumps(["a", "b", "c", "d", "e"]), "json", schema=schema).feedback
    assert found.count("is not of type") == 3
    assert found.endswith("(and 2 more)")
    assert len(result(json.dumps(["x" * 10_000]), "json", schema=schema).feedback) < 400


def test_with_a_schema_what_is_not_json_still_says_so() -> None:
    assert result("no", "json", schema=PERSON).feedback.startswith("is not JSON: ")


def test_a_schema_may_be_of_an_older_draft_and_refer_to_itself() -> None:
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"tree": {"items": {"$ref": "#/definitions/tree"}, "type": "array"}},
        "$ref": "#/definitions/tree",
    }
    assert result("[[], [[]]]", "json", schema=schema).score == 1
    assert result("[[1]]", "json", schema=schema).score == 0
    assert result("1", "json", schema={"$ref": "#"}).score == 1


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "strin"}, "type: "),
        ({"properties": {"a": {"minimum": "1"}}}, "properties.a.minimum: "),
        ({"pattern": "("}, "pattern: "),
        ({"$ref": "#/nope"}, ""),
        ({"$ref": "http://127.0.0.1:9/schema.json"}, ""),
        ({"$ref": "file:///etc/hostname"}, ""),
        ({"$schema": "http://127.0.0.1:9/schema.json"}, ""),
        ({"const": math.nan}, ""),
        ({"const": datetime.date(2026, 1, 1)}, ""),
        ({"const": "\ud800"}, ""),
    ],
    ids=str,
)
def test_a_schema_that_cannot_be_used_is_refused_and_nothing_is_fetched(
    schema: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValidationError, match="not a JSON Schema: ") as caught:
        CHECK.validate_python({"kind": "json", "schema": schema})
    (error,) = caught.value.errors()
    assert error["loc"] == ("json", "schema")
    assert f"not a JSON Schema: {reason}" in error["msg"]


@pytest.mark.parametrize("depth", [100, 400, 5000])
def test_a_schema_or_a_value_of_any_depth_is_taken_or_refused(depth: int) -> None:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    if depth == 100:
        assert result("[" * 90 + "]" * 90, "json", schema=schema).score == 1
    else:
        with pytest.raises(ValidationError, match="not a JSON Schema: "):
            CHECK.validate_python({"kind": "json", "schema": schema})
    deep = result("[" * depth + "]" * depth, "json", schema={"items": {"$ref": "#"}})
    assert deep.score == (depth < 1024)


@pytest.mark.parametrize("pattern", [r"^(a|a)*\1$", r"^(?:(a|a)*\1)+$"])
def test_a_catastrophic_pattern_in_a_schema_leaves_its_item_ungraded(pattern: str) -> None:
    text = json.dumps({"a": "a" * 50 + "!"})
    for schema in ({"pattern": pattern}, {"anyOf": [{"pattern": pattern}, {"type": "null"}]}):
        check = {"kind": "json", "schema": {"properties": {"a": schema}}}
        assert verdict(text, check).score is None


def doubled(times: int, innermost: dict[str, Any]) -> dict[str, Any]:
    """A schema with so many alternatives in each other, each twice, that is small all the same."""
    parts = {"part0": innermost}
    for n in range(times):
        reference = {"$ref": f"#/$defs/part{n}"}
        parts[f"part{n + 1}"] = {"anyOf": [reference, reference]}
    return {"$defs": parts, "$ref": f"#/$defs/part{times}"}


def test_alternatives_in_alternatives_are_told_up_to_a_bound_and_never_for_ever() -> None:
    def graded(response: str, schema: dict[str, Any]) -> tuple[float | None, str]:
        grade = verdict(response, {"kind": "json", "schema": schema})
        return grade.score, grade.feedback or ""

    integer = {"type": "integer"}
    assert "not of type" in graded('"a"', doubled(6, integer))[1]
    assert graded('"a"', doubled(16, integer)) == (
        0.0,
        "does not fit the schema: in none of its many alternatives",
    )
    assert graded("1", doubled(16, integer))[0] == 1
    assert graded("1", doubled(60, integer))[0] is None
    # Whether it is the pattern that was given up, only the list would tell.
    assert graded('"a"', doubled(16, {"pattern": "b"}))[0] is None


def test_a_schema_that_refers_to_itself_multiplies_with_the_responses_depth() -> None:
    """Each level tries two alternatives that both look at the next one."""
    both = [{"properties": {"next": {"$ref": "#"}, "kind": {"const": kind}}} for kind in "ab"]
    schema = {"anyOf": [*both, {"type": "integer"}]}
    for depth, score in ((3, 0), (12, 0), (100, None)):
        response: Any = "x"
        for _ in range(depth):
            response = {"kind": "a", "next": response}
        point = {"kind": "json", "schema": schema | {"type": ["object", "integer"]}}
        assert verdict(json.dumps(response), point).score == score
    flat = json.dumps([{"kind": "a", "next": n} for n in range(1000)])
    assert result(flat, "json", schema={"items": schema}).score == 1


def test_a_line_with_a_bad_schema_says_where_it_is() -> None:
    row = datapoint_line({"check": {"kind": "json", "schema": {"type": "strin"}}})
    error = read_row(row, 7, "in.jsonl").error
    assert error is not None
    assert (error.where, error.line) == ("in.jsonl:7", 7)
    assert error.message.startswith("rubric_items[0].check.schema: not a JSON Schema: type: ")


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
    {"kind": "contains_all", "words": ["dog"], "match": "stem"},
    {"kind": "regex", "pattern": "a+"},
    {"kind": "equals", "value": "Paris"},
    {"kind": "number", "value": 134},
    {"kind": "words", "min": 3},
    {"kind": "words", "max": 9},
    {"kind": "words", "min": 3, "max": 9},
    {"kind": "sentences", "max": 1},
    {"kind": "paragraphs", "min": 2, "max": 2},
    {"kind": "characters", "max": 280},
    {"kind": "count", "pattern": "[aeiou]", "max": 2},
    {"kind": "starts_with", "value": "Dear"},
    {"kind": "ends_with", "value": "Is there more?"},
    {"kind": "json"},
    {"kind": "json", "schema": {"type": "integer"}},
]


@pytest.mark.parametrize("check", CHECKS, ids=json.dumps)
def test_a_check_can_be_the_whole_item_and_then_describes_itself(check: dict[str, Any]) -> None:
    point = datapoint({"rubric_str": None, "check": check})
    description = point.rubric_items[0].rubric_str
    assert description.startswith("The ")
    for value in (v for k, v in check.items() if k not in ("kind", "match")):
        for word in value if isinstance(value, list) else [value]:
            assert (word if isinstance(word, str) else json.dumps(word)) in description


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"min": 1}, "at least 1 sentence"),
        ({"max": 1}, "at most 1 sentence"),
        ({"max": 2}, "at most 2 sentences"),
        ({"max": 0}, "no sentences"),
        ({"min": 0, "max": 0}, "no sentences"),
        ({"min": 2, "max": 2}, "exactly 2 sentences"),
        ({"min": 1, "max": 2}, "1 to 2 sentences"),
    ],
)
def test_bounds_are_said_in_words(options: dict[str, int], words: str) -> None:
    check = CHECK.validate_python({"kind": "sentences", **options})
    assert check.describe() == f"The response has {words}"


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
        {"kind": "json", "schema": True},
        {"kind": "json", "schema": []},
        {"kind": "json", "json_schema": {}},
        {"kind": "sentences"},
        {"kind": "characters", "min": 1.5},
        {"kind": "count", "pattern": "a"},
        {"kind": "count", "min": 1},
        {"kind": "count", "pattern": "(", "min": 1},
        {"kind": "starts_with", "value": ""},
        {"kind": "ends_with", "value": " \n"},
        {"kind": "contains_all", "words": ["dog"], "match": "stem", "case": True},
        {"kind": "contains_all", "words": ["dog"], "match": "stem", "language": "klingon"},
        {"kind": "contains_all", "words": ["dog"], "language": "english"},
        {"kind": "contains"},
        {"words": ["dog"]},
    ],
    ids=json.dumps,
)
def test_a_check_that_says_nothing_clear_is_refused(check: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CHECK.validate_python(check)


# ------------------------------------------------------------------ numbers of any size

HUGE = 7 * 10**368


@pytest.mark.parametrize(
    ("response", "check", "score"),
    [
        (str(HUGE), {"kind": "number", "value": HUGE}, 1),
        (str(HUGE + 1), {"kind": "number", "value": HUGE}, 0),
        (str(HUGE + 1), {"kind": "number", "value": HUGE, "tolerance": 1}, 1),
        (f"-{HUGE}", {"kind": "number", "value": -HUGE, "tolerance": HUGE}, 1),
        ("5", {"kind": "number", "value": HUGE, "tolerance": HUGE}, 1),
        ("9" * 5000, {"kind": "number", "value": 9}, 0),
        ("1e999999999999", {"kind": "number", "value": 9}, 0),
        (str(HUGE), {"kind": "equals", "value": HUGE}, 1),
        ("a b", {"kind": "words", "max": HUGE}, 1),
        ("a b", {"kind": "words", "min": HUGE}, 0),
        (f'{{"id": {2**70 + 1}}}', {"schema": {"properties": {"id": {"const": 2**70 + 1}}}}, 1),
        (f'{{"id": {2**70 + 2}}}', {"schema": {"properties": {"id": {"const": 2**70 + 1}}}}, 0),
        (f"[{2**64 + 1}, {2**64 + 2}]", {"schema": {"uniqueItems": True}}, 1),
        (f"[{2**64 + 1}, {2**64 + 1}]", {"schema": {"uniqueItems": True}}, 0),
        (str(HUGE), {"schema": {"type": "integer", "maximum": HUGE}}, 1),
        (str(HUGE + 1), {"schema": {"type": "integer", "maximum": HUGE}}, 0),
        (str(HUGE), {"schema": {"enum": [HUGE]}}, 1),
        (str(2**70 * 3), {"schema": {"multipleOf": 3}}, 1),
        ("9" * 5000, {"schema": {"type": "integer", "minimum": HUGE}}, 1),
        ("9" * 5000, {"schema": {"type": "integer", "maximum": HUGE}}, 0),
        ("1e999", {"schema": {"type": "number"}}, 1),
        ("1e999", {"schema": {"maximum": 3}}, 0),
        ("9" * 5000, {}, 1),
        ("-1e999", {}, 1),
        ("0" * 20 + "1", {}, 0),
        ("[" + "1" * 20, {}, 0),
        ("[" * 3000 + "1" * 20, {}, 0),
    ],
    ids=lambda one: str(one)[:40],
)
def test_numbers_have_no_limit(response: str, check: dict[str, Any], score: int) -> None:
    assert verdict(response, {"kind": "json", **check}).score == score


# ------------------------------------------------------------------ on the event loop


@pytest.mark.parametrize(
    ("characters", "slow", "seconds"),
    [(10, False, [0.01]), (10, True, [0.01, 0.2]), (200_000, False, [0.2]), (200_000, True, [0.2])],
)
def test_a_check_that_takes_long_goes_on_in_a_thread(
    characters: int, slow: bool, seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[float, bool]] = []

    def grade_within(_: SentenceCount, response: str, limit: float) -> CheckResult:
        on_loop = threading.current_thread() is threading.main_thread()
        calls.append((limit, on_loop))
        if slow and on_loop:
            raise TimeoutError
        return CheckResult(1.0, "")

    monkeypatch.setattr(SentenceCount, "grade_within", grade_within)
    assert verdict("x" * characters, {"kind": "sentences", "min": 3}).score == 1
    assert [limit for limit, _ in calls] == seconds
    assert [on_loop for _, on_loop in calls] == [limit < 0.2 for limit in seconds]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["words", "sentences", "paragraphs", "characters"])
@pytest.mark.parametrize(
    "piece", ["A b. ", "e\u0301\u0316", "\n \n", "ก", "。", "<b", "&#", "1,1 ", "🇩🇪"]
)
def test_a_response_of_200000_characters_is_counted_in_a_moment(kind: str, piece: str) -> None:
    start = time.process_time()
    result(piece * (200_000 // len(piece)), kind, min=1)
    assert time.process_time() - start < 3
