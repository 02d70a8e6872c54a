"""A grader's reply becomes a score that stands in it, or stays ungraded and says why."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refinecli.grading.grade import grade
from refinecli.grading.scoring import explanation, extract, normalised
from refinecli.prompts import Prompts
from refinecli.text.reasoning import split_leading_reasoning, split_reasoning
from refinecli.types import Completion, Grade
from tests.support.fakes import Scripted, datapoint, rubric_item

ONE_TO_FIVE = "Please output your score between 1 and 5 wrapped in <score> ... </score>"
JSON_SCORE = r'"score"\s*:\s*([^,}\s]+)'
CATASTROPHIC = r"<score>((x+x+)+y)</score>"


@dataclass(frozen=True)
class Reply:
    """One row of the table: a number is the raw score, a text a telling piece of the reason."""

    name: str
    text: str
    expected: float | str
    finish_reason: str | None = "stop"
    item: dict[str, Any] = field(default_factory=dict)


def row(
    name: str, text: str, expected: float | str, finish: str | None = "stop", **item: Any
) -> Reply:
    return Reply(name, text, expected, finish, item)


def with_pattern(name: str, pattern: str, text: str, expected: float | str, **item: Any) -> Reply:
    return Reply(name, text, expected, "stop", {"extraction_regex": pattern, **item})


def scale(name: str, text: str, expected: float | str) -> Reply:
    return Reply(name, text, expected, "stop", {"grader_output_format_instruction": ONE_TO_FIVE})


TABLE = [
    # the good
    row("one", "<score>1</score>", 1.0),
    row("zero", "<score>0</score>", 0.0),
    row("decimal", "Nearly. <score>0.75</score>", 0.75),
    row("leading dot", "<score>.5</score>", 0.5),
    row("trailing dot", "<score>1.</score>", 1.0),
    row("plus sign", "<score>+1</score>", 1.0),
    row("leading zeros", "<score>00.50</score>", 0.5),
    row("many digits", "<score>0.33333333333333333333333333333333</score>", 1 / 3),
    row("negative zero", "<score>-0</score>", 0.0),
    row("spaces inside tags", "<score>  0.5 </score>", 0.5),
    row("newline inside tags", "<score>\n0.5\n</score>", 0.5),
    row("no-break space inside tags", "<score>\u00a01\u00a0</score>", 1.0),
    row("text after the score", "<score>1</score> Well done!", 1.0),
    row("on one line with its reason", "It is right, so <score>1</score>.", 1.0),
    row("bold around tags", "**<score>1</score>**", 1.0),
    row("in a code fence", "```\n<score>0.5</score>\n```", 0.5),
    row("other numbers around", "9 of 10 people say 7. <score>0.2</score> 8", 0.2),
    row("finish reason unknown", "<score>1</score>", 1.0, None),
    row("finish reason eos", "<score>1</score>", 1.0, "eos"),
    row("another language", "Die Antwort ist richtig.\n<score>1</score>", 1.0),
    row("another script", "答案是正确的。<score>1</score>", 1.0),
    row("right-to-left", "الإجابة صحيحة <score>1</score>", 1.0),
    row("carriage returns", "Right.\r\n<score>\r\n1\r\n</score>\r\n", 1.0),
    row("a byte order mark", "\ufeff<score>1</score>", 1.0),
    # cut off
    row("cut off in mid-sentence", "The answer is", "cut off", "length"),
    row("cut off inside the tag", "Good. <score>0.", "cut off", "length"),
    row("cut off after a whole score", "<score>1</score> But then", "cut off", "length"),
    row("cut off with nothing", "", "cut off", "length"),
    row("cut off while reasoning", "<think><score>1</score> hm", "cut off", "length"),
    row("the same text whole", "<score>1</score> But then", 1.0),
    # two scores
    row("the last of two", "<score>0</score> No, wait: <score>1</score>", 1.0),
    row("the last of three", "<score>1</score><score>0.5</score><score>0</score>", 0.0),
    row("a first example out of range", "Like <score>7</score>. <score>0.7</score>", 0.7),
    row("the last is no number", "<score>1</score> <score>high</score>", "not a plain number"),
    row("the last is out of range", "<score>1</score> <score>2</score>", "outside 0 to 1"),
    row("the last one is empty", "<score>1</score><score></score>", "not a plain number"),
    # the tag named before the verdict
    row("named in prose", "I give it in <score> tags. <score>1</score>", 1.0),
    row("named twice", "First <score>, then the <score> tag: <score>0.5</score>", 0.5),
    row("named in code", "Between `<score>` and `</score>`:\n<score>0</score>", 0.0),
    row("named after", "<score>1</score> as asked, in <score>.", 1.0),
    row("named, then no verdict", "I use <score> and </score>.", "not a plain number"),
    row("opened twice", "<score><score>1</score>", 1.0),
    # no plain number
    row("nan", "<score>nan</score>", "'nan' is not a plain number"),
    row("NaN", "<score>NaN</score>", "not a plain number"),
    row("inf", "<score>inf</score>", "'inf' is not a plain number"),
    row("-Infinity", "<score>-Infinity</score>", "not a plain number"),
    row("exponent", "<score>1e0</score>", "'1e0' is not a plain number"),
    row("underscore", "<score>0_1</score>", "'0_1' is not a plain number"),
    row("arabic digits", "<score>١</score>", "not a plain number"),
    row("fullwidth digits", "<score>１</score>", "not a plain number"),
    row("superscript", "<score>¹</score>", "not a plain number"),
    row("mathematical digits", "<score>𝟏</score>", "not a plain number"),
    row("per cent", "<score>80%</score>", "'80%' is not a plain number"),
    row("fraction", "<score>0.5/1</score>", "'0.5/1' is not a plain number"),
    row("vulgar fraction", "<score>½</score>", "not a plain number"),
    row("decimal comma", "<score>1,0</score>", "'1,0' is not a plain number"),
    row("bold inside tags", "<score>**1**</score>", "'**1**' is not a plain number"),
    row("hexadecimal", "<score>0x1</score>", "not a plain number"),
    row("two numbers in one", "<score>0 1</score>", "not a plain number"),
    row("two points", "<score>0.5.0</score>", "not a plain number"),
    row("only a point", "<score>.</score>", "not a plain number"),
    row("only a sign", "<score>-</score>", "not a plain number"),
    row("two signs", "<score>--1</score>", "not a plain number"),
    row("a typographic minus", "<score>\u22121</score>", "not a plain number"),
    row("a word", "<score>one</score>", "'one' is not a plain number"),
    row("true", "<score>true</score>", "not a plain number"),
    row("a range", "<score>0-1</score>", "not a plain number"),
    row("about", "<score>~0.5</score>", "not a plain number"),
    row("python code", "<score>__import__('os').abort()</score>", "not a plain number"),
    row("arithmetic", "<score>1-0</score>", "not a plain number"),
    row("our own example", "<score> ... </score>", "'...' is not a plain number"),
    row("a zero-width space in it", "<score>1\u200b</score>", "not a plain number"),
    row("a long text", "<score>" + "blah " * 1000 + "</score>", "not a plain number"),
    # out of range
    row("above", "<score>2</score>", "2 is outside 0 to 1"),
    row("just above", "<score>1.0000001</score>", "outside 0 to 1"),
    row("below", "<score>-0.1</score>", "outside 0 to 1"),
    row("eight of ten", "<score>8</score>", "outside 0 to 1"),
    row("400 digits", f"<score>{'9' * 400}</score>", "outside 0 to 1"),
    # nothing there
    row("empty", "", "empty"),
    row("white space", " \n\t\u00a0 ", "empty"),
    row("no tags", "I would give this a 1.", "nothing in the reply matches"),
    row("refusal", "I'm sorry, I cannot grade this.", "nothing in the reply matches"),
    row("upper case tags", "<SCORE>1</SCORE>", "nothing in the reply matches"),
    row("square brackets", "[score]1[/score]", "nothing in the reply matches"),
    row("never closed", "<score>1", "nothing in the reply matches"),
    row("closed by another tag", "<score>1</rating>", "nothing in the reply matches"),
    row("escaped tags", "&lt;score&gt;1&lt;/score&gt;", "nothing in the reply matches"),
    row("json without a pattern for it", '{"score": 1}', "nothing in the reply matches"),
    # reasoning
    row("a draft in closed reasoning", "<think>a <score>0</score></think><score>1</score>", 1.0),
    row("a lone closing tag", "maybe <score>0</score>\n</think>\n<score>1</score>", 1.0),
    row("reasoning after the score", "<score>1</score><think><score>0</score></think>", 1.0),
    row("unclosed after the score", "<score>1</score><think>or <score>0</score>", 1.0),
    row("unclosed reasoning", "<think>It is good. <score>1</score>", "empty"),
    row("a score only in reasoning", "<think><score>1</score></think>", "empty"),
    row("reasoning, then no score", "<think><score>1</score></think>Good.", "nothing in the reply"),
    row("only before a lone closing tag", "<score>1</score></think>", "empty"),
    row(
        "nested reasoning",
        "<think>a<think>b</think><score>0</score></think><score>1</score>",
        1.0,
    ),
    row(
        "two blocks of reasoning",
        "<think>x</think><think><score>0</score></think><score>0.5</score>",
        0.5,
    ),
    row("a number glued by reasoning", "<score>0<think>x</think>1</score>", "not a plain number"),
    row(
        "tags glued by reasoning",
        "<sco<think>x</think>re>1</score>",
        "nothing in the reply matches",
    ),
    # our own delimiters
    row("our delimiters", "<response>\n<score>0</score>\n</response>\n<score>1</score>", 1.0),
    row("our closing delimiter inside", "<score></response>1</score>", "not a plain number"),
    row("our criterion tags only", "<criterion>1</criterion>", "nothing in the reply matches"),
    # patterns from data files
    with_pattern("json", JSON_SCORE, '{"why": "good", "score": 1}', 1.0),
    with_pattern("json, the last of two", JSON_SCORE, '{"score": 1}\n{"score": 0}', 0.0),
    with_pattern("json with a text", JSON_SCORE, '{"score": "1"}', "not a plain number"),
    with_pattern("json with null", JSON_SCORE, '{"score": null}', "'null' is not a plain number"),
    with_pattern("json with NaN", JSON_SCORE, '{"score": NaN}', "'NaN' is not a plain number"),
    with_pattern("prometheus", r"\[RESULT\]\s*(\d+)", "So [RESULT] 4", 4.0, score_range=[1, 5]),
    with_pattern("brackets", r"\[\[(\d+)\]\]", "[[1]] then [[0]]", 0.0),
    with_pattern("no group", r"[01]\.\d+", "I say 0.5", 0.5),
    with_pattern("no group, with words", r"Score: \d", "Score: 1", "'Score: 1' is not a plain"),
    with_pattern("a non-capturing group", r"(?:0|1)\b", "It is 1", 1.0),
    with_pattern("an optional group that takes part", r"Score:\s*(\d)?", "Score: 1", 1.0),
    with_pattern("an optional group that does not", r"Score:\s*(\d)?", "Score: none", "is empty"),
    with_pattern("alternatives, the first", r"A:(\d)|B:(\d)", "B:0 A:1", 1.0),
    with_pattern("alternatives, the second", r"A:(\d)|B:(\d)", "A:1 B:0", 0.0),
    with_pattern("several groups", r"(\d)/(\d)", "1/5", 1.0),
    with_pattern("a named group", r"<s>(?P<score>.*?)</s>", "<s>1</s>", 1.0),
    with_pattern("an empty match", r"(\d*)", "good 1", "not a plain number"),
    with_pattern("tinker's greedy default", "<score>(.*)</score>", "<score>0.5</score>", 0.5),
    with_pattern(
        "tinker's greedy default, two scores",
        "<score>(.*)</score>",
        "<score>0</score> no, <score>1</score>",
        1.0,
    ),
    with_pattern("a tag of its own, named", "<r>(.*?)</r>", "In <r>: <r>1</r>", 1.0),
    with_pattern("a word, named", r"Score:\s*(.*?)!", "Score: is said so: Score: 1!", 1.0),
    with_pattern("another greedy one, two scores", "S(.*)E", "S0E no, S1E", "not a plain number"),
    with_pattern("catastrophic", CATASTROPHIC, "<score>" + "x" * 5000 + "</score>", "took longer"),
    with_pattern("catastrophic digits", r"((\d+)+)x", "1" * 5000, "nothing in the reply matches"),
    with_pattern("a nested quantifier", r"((\d+)+)x", "1x", 1.0),
    # ranges
    scale("one of five", "<score>1</score>", 1.0),
    scale("five of five", "<score>5</score>", 5.0),
    scale("half points", "<score>3.5</score>", 3.5),
    scale("nought of one to five", "<score>0</score>", "0 is outside 1 to 5"),
    scale("six of five", "<score>6</score>", "6 is outside 1 to 5"),
    scale("four of five as a fraction", "<score>4/5</score>", "not a plain number"),
    row("a given range", "<score>50</score>", 50.0, score_range=[0, 100]),
    row("negative, lowest", "<score>-1</score>", -1.0, score_range=[-1, 1]),
    row("negative, below", "<score>-1.5</score>", "outside -1 to 1", score_range=[-1, 1]),
    row("all negative", "<score>-7</score>", -7.0, score_range=[-10, -5]),
    row("all negative, zero", "<score>0</score>", "outside -10 to -5", score_range=[-10, -5]),
    row(
        "the instruction's negative range",
        "<score>-2</score>",
        -2.0,
        grader_output_format_instruction="Give a score between -2 and 2 in <score></score>",
    ),
    row(
        "the instruction's decimals",
        "<score>0.9</score>",
        "outside 0 to 0.5",
        grader_output_format_instruction="Give a score between 0 and 0.5 in <score></score>.",
    ),
    row(
        "a given range before the instruction's",
        "<score>9</score>",
        9.0,
        score_range=[0, 10],
        grader_output_format_instruction=ONE_TO_FIVE,
    ),
    # penalties are read like all others
    row("a penalty", "<score>1</score>", 1.0, weight=-2),
    row("a penalty out of range", "<score>-1</score>", "outside 0 to 1", weight=-2),
]


@pytest.mark.parametrize("reply", TABLE, ids=lambda reply: reply.name)
def test_a_reply_gives_its_score_or_the_reason_why_there_is_none(reply: Reply) -> None:
    found = extract(rubric_item(**reply.item), Completion(reply.text, reply.finish_reason))
    if isinstance(reply.expected, str):
        assert found.raw_score is None
        assert found.span is None
        assert reply.expected in found.problem
    else:
        assert found.problem == ""
        assert found.raw_score == reply.expected
        assert math.copysign(1, found.raw_score or 0) == math.copysign(1, reply.expected)


def test_the_table_has_no_two_rows_of_one_name() -> None:
    assert len({reply.name for reply in TABLE}) == len(TABLE) >= 70


def graded(item: dict[str, Any], *replies: str) -> Grade:
    """The grade of one response from a grader that gives these replies."""
    items = [item, {"weight": 3}] if item.get("weight", 1) < 0 else [item]
    point = datapoint(*items)
    point = point.model_copy(update={"rubric_items": point.rubric_items[:1]})
    grades, _ = asyncio.run(grade(point, "A response.", Scripted(replies), Prompts()))
    return grades[0]


@pytest.mark.parametrize(
    ("item", "reply", "score", "passed"),
    [
        ({}, "<score>1</score>", 1.0, True),
        ({}, "<score>0.99</score>", 0.99, False),
        ({"pass_score": 0.75}, "<score>0.75</score>", 0.75, True),
        ({"score_range": [1, 5], "pass_score": 0.75}, "<score>4</score>", 0.75, True),
        ({"score_range": [1, 5], "pass_score": 0.75}, "<score>3</score>", 0.5, False),
        (
            {"score_range": [1, 4], "pass_score": 0.6666666666666667},
            "<score>3</score>",
            2 / 3,
            True,
        ),
        ({"score_range": [-1, 1]}, "<score>0</score>", 0.5, False),
        ({"score_range": [-10, -5]}, "<score>-5</score>", 1.0, True),
        ({"weight": -1}, "<score>0</score>", 0.0, True),
        ({"weight": -1}, "<score>0.1</score>", 0.1, False),
        ({"weight": -1, "pass_score": 0.75}, "<score>0.25</score>", 0.25, True),
        ({"weight": -1, "score_range": [1, 5]}, "<score>1</score>", 0.0, True),
        ({"weight": -1, "score_range": [1, 5]}, "<score>5</score>", 1.0, False),
    ],
)
def test_a_raw_score_is_normalised_over_its_range_and_passed_at_its_pass_score(
    item: dict[str, Any], reply: str, score: float, passed: bool
) -> None:
    found = graded(item, reply)
    assert found.score == pytest.approx(score)
    assert found.passed is passed


def test_what_is_not_readable_at_the_second_try_either_is_ungraded_with_its_last_reason() -> None:
    found = graded({}, "no tags here", "<score>80%</score>")
    assert (found.score, found.raw_score, found.passed) == (None, None, None)
    assert found.error is not None
    assert found.error.type == "no_score"
    assert "'80%' is not a plain number" in found.error.message
    assert found.reply == "<score>80%</score>"


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("plain", "", "plain"),
        (" kept as it is \n", "", " kept as it is \n"),
        ("<think>a</think>b", "a", "b"),
        ("<think>\na\n</think>\n\nb", "a", "b"),
        ("a</think>b", "a", "b"),
        ("b<think>a", "a", "b"),
        ("<think>a", "a", ""),
        ("I think> so", "", "I think> so"),
    ],
)
def test_reasoning_is_taken_off(text: str, reasoning: str, answer: str) -> None:
    found = split_reasoning(text)
    assert (found[0], found[1]) == (reasoning, answer)


# ------------------------------------------------------------------ any reply at all

PATTERNS = [
    r"<score>(.*?)</score>",
    "<score>(.*)</score>",
    r"Score:\s*(\d+)",
    r"Score:\s*(\d)?",
    JSON_SCORE,
    r"\[\[(.*?)\]\]",
    r"(\d+)",
    r"-?\d+(?:\.\d+)?",
    r"(\S+)\s*$",
    r"(.*)",
    r"(?:A(\d))|(?:B(.))",
    r"((x+x+)+y)|(\d+)",
    r"(?i)score\W+([\d.]+)",
    "",
    "()",
]
RANGES = [(0, 1), (1, 5), (-1, 1), (-10, -5), (0, 100), (0.25, 0.5), (-1e300, 1e300)]
PIECES = [
    *(
        "<score>",
        "</score>",
        "<think>",
        "</think>",
        "<SCORE>",
        "</response>",
        "Score: ",
        "[[",
        "]]",
    ),
    *('{"score": ', "}", "0", "1", "5", ".", "-", "+", "_", "%", "/", ",", "e", "nan", "inf", "\n"),
    *(" ", "١", "１", "½", "\u2212", "\x00", "\ufeff", "\u2028", "A1", "B2", "x", "1" * 330, "0.5"),
]
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=200)
REPLIES = ANYTHING | st.lists(st.sampled_from(PIECES) | ANYTHING, max_size=20).map("".join)


@pytest.mark.slow
@given(
    text=REPLIES,
    pattern=st.sampled_from(PATTERNS),
    score_range=st.sampled_from(RANGES),
    finish=st.sampled_from(["stop", "length", None]),
)
@example("<score>0<think></think>1</score>", PATTERNS[0], (0, 1), "stop")
@example("<score>\u0661</score>", PATTERNS[0], (0, 1), "stop")
@settings(deadline=None)
def test_no_reply_yields_a_score_that_is_out_of_range_or_does_not_stand_in_it(
    text: str, pattern: str, score_range: tuple[float, float], finish: str | None
) -> None:
    item = rubric_item(extraction_regex=pattern, score_range=list(score_range))
    found = extract(item, Completion(text, finish))
    if found.raw_score is None:
        assert found.problem
        assert found.span is None
        return
    low, high = score_range
    assert low <= found.raw_score <= high
    assert 0 <= normalised(item, found.raw_score) <= 1
    assert finish != "length"
    assert not found.problem
    assert found.span is not None
    begin, end = found.span
    number = split_reasoning(text)[1][begin:end].strip()
    assert number in text
    assert number.isascii()
    assert float(number) == found.raw_score


@given(first=REPLIES, second=REPLIES, score_range=st.sampled_from(RANGES))
@settings(deadline=None)
def test_any_two_replies_give_a_grade_that_is_whole_or_an_error_that_says_why(
    first: str, second: str, score_range: tuple[float, float]
) -> None:
    found = graded({"score_range": list(score_range)}, first, second)
    if found.graded:
        assert found.score is not None
        assert 0 <= found.score <= 1
        assert found.passed is not None
        assert found.reply in (first, second)
    else:
        assert (found.score, found.raw_score, found.passed) == (None, None, None)
        assert found.error is not None
        assert found.error.message


def test_reasoning_that_never_closes_is_read_in_linear_time() -> None:
    # Quadratic, this would run into the time limit of the test.
    found = extract(rubric_item(), Completion("</think>" + "<think>" * 400_000))
    assert found.raw_score is None


@pytest.mark.parametrize(
    ("text", "response"),
    [
        ("<think>Hm.</think>\n134", "134"),
        ("Hm.\n</think>\n\n134", "134"),
        ("<think>Hm, I", ""),
        ("Use the <think> tag to reason.", "Use the <think> tag to reason."),
        ("In HTML, write </think> after it.", "In HTML, write </think> after it."),
        ("a <think>b</think> c", "a <think>b</think> c"),
    ],
)
def test_a_response_may_speak_of_think_tags(text: str, response: str) -> None:
    assert split_leading_reasoning(text)[1] == response


def test_an_explanation_leaves_out_the_verdict_and_the_instruction() -> None:
    item = rubric_item()
    reply = f"It is wrong. {item.grader_output_format_instruction}\n<score>0</score>"
    completion = Completion(reply)
    assert explanation(reply, extract(item, completion), item) == "It is wrong."
