"""`generate-data ifeval`: its checks pass what IFEval's own verifiers pass, and nothing else.

The verifiers are written here once more, from what IFEval's do, in plain string code where that
can be; random responses of telling characters are held against both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.data.rows import read_row
from refinecli.errors import InputError
from refinecli.generators import TASKS
from refinecli.text.json_text import dumps
from refinecli.types import RubricItem
from tests.unit.generators.test_generators import read_objects

REAL = Path(__file__).parents[4] / "shared" / "data" / "ifeval.jsonl"


def made(*instructions: tuple[str, dict[str, Any] | None], **row: Any) -> dict[str, Any]:
    row = {
        "key": 7,
        "prompt": "Write about tides.",
        "instruction_id_list": [name for name, _ in instructions],
        "kwargs": [kwargs for _, kwargs in instructions],
    } | row
    (datapoint,) = TASKS["ifeval"].read([("in.jsonl:7", row)], with_response=True)
    return datapoint


def items(row: dict[str, Any]) -> list[RubricItem]:
    read = read_row(dumps(row), 1, "out.jsonl")
    assert read.datapoint is not None, read.error
    return list(read.datapoint.rubric_items)


def item(name: str, **kwargs: Any) -> RubricItem:
    return items(made((name, kwargs)))[0]


def passes(item: RubricItem, response: str) -> bool:
    """What grading makes of a response that is not empty."""
    assert item.check is not None
    return item.check.grade(response).score >= item.pass_score


# ------------------------------------------------------------------ IFEval's verifiers


def holds(count: int, relation: str, wanted: int) -> bool:
    return count < wanted if relation == "less than" else count >= wanted


def follows_paragraphs(text: str, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in text.split("***")]
    if not all(parts[1:-1]):
        return False
    return len([part for part in parts if part]) == num_paragraphs


def follows_nth(text: str, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    parts = [part.strip() for part in text.split("\n\n")]
    if len([part for part in parts if part]) != num_paragraphs or nth_paragraph > num_paragraphs:
        return False
    paragraph = parts[nth_paragraph - 1]
    if not paragraph:
        return False
    word = paragraph.split()[0].lstrip("'").lstrip('"')
    return re.split("[.,?!'\"]", word)[0].lower() == first_word.lower()


def follows_bullets(text: str, num_bullets: int) -> bool:
    stars = re.findall(r"^\s*\*[^\*].*$", text, flags=re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", text, flags=re.MULTILINE)
    return len(stars) + len(dashes) == num_bullets


def follows_highlights(text: str, num_highlights: int) -> bool:
    found = re.findall(r"\*[^\n\*]*\*", text) + re.findall(r"\*\*[^\n\*]*\*\*", text)
    return len([part for part in found if part.strip("*").strip()]) >= num_highlights


def follows_two(text: str) -> bool:
    parts = [part.strip() for part in text.split("******")]
    given = [part for part in parts if part]
    return all(parts[1:-1]) and len(given) == 2 and given[0] != given[1]


def follows_title(text: str) -> bool:
    titles = re.findall(r"<<[^\n]+>>", text)
    return any(title.lstrip("<").rstrip(">").strip() for title in titles)


def follows_json(text: str) -> bool:
    text = text.strip()
    for opening in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(opening)
    try:
        json.loads(text.removesuffix("```").strip())
    except ValueError:
        return False
    return True


def follows_postscript(text: str, postscript_marker: str) -> bool:
    known = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
    pattern = known.get(postscript_marker) or re.escape(postscript_marker.lower())
    return re.search(pattern, text.lower()) is not None


def follows_end(text: str, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.strip().lower())


def follows_capitals(text: str, capital_relation: str, capital_frequency: int) -> bool:
    count = len([word for word in text.split() if word.isupper()])
    return holds(count, capital_relation, capital_frequency)


# Each with arguments as IFEval has them, what random responses are put together from, and whether
# a response follows the instruction.
Case = tuple[str, dict[str, Any], list[str], Callable[..., bool]]
LINES = ["*", "-", "\n", " ", "a", "\t"]
CASES: list[Case] = [
    ("keywords:existence", {"keywords": ["dog", "Day"]}, ["dog", "DAY", "s", " ", "\n"],
     lambda text, keywords: all(word.lower() in text.lower() for word in keywords)),
    ("keywords:forbidden_words", {"forbidden_words": ["run", "dog"]},
     ["run", "DOG", "s", "_", "-", " ", "'", "\u72d7", "\u2011"],
     lambda text, forbidden_words: not any(
         re.search(rf"\b{word}\b", text, re.IGNORECASE) for word in forbidden_words)),
    *[("keywords:frequency", {"relation": relation, "keyword": "ana", "frequency": n},
       ["an", "ANA", "a", " ", "\n"],
       lambda text, relation, keyword, frequency: holds(
           text.lower().count(keyword), relation, frequency))
      for relation in ("at least", "less than") for n in (1, 3)],
    *[("keywords:letter_frequency", {"let_relation": relation, "letter": letter,
                                     "let_frequency": 2},
       ["k", "K", "#", "\u212a", "x", "\n"],
       lambda text, let_relation, letter, let_frequency: holds(
           text.lower().count(letter.lower()), let_relation, let_frequency))
      for relation in ("at least", "less than") for letter in ("k", "K", "#")],
    *[("keywords:letter_frequency", {"let_relation": "at least", "letter": "i",
                                     "let_frequency": 2},
       ["i", "I", "\u0130", "\u0131", "x"],
       lambda text, let_relation, letter, let_frequency: holds(
           text.lower().count(letter), let_relation, let_frequency))],
    ("punctuation:no_comma", {}, [",", "\uff0c", "a", "\n"], lambda text: "," not in text),
    *[("length_constraints:number_words", {"relation": relation, "num_words": 3},
       ["one", "d'", "-", "_", " ", "\n", "7", "\u00e9", "\u093f", "\u0915"],
       lambda text, relation, num_words: holds(
           len(re.findall(r"\w+", text)), relation, num_words))
      for relation in ("at least", "less than")],
    *[("length_constraints:number_paragraphs", {"num_paragraphs": n},
       ["***", "*", " ", "\n", "a", "\n***\n"], follows_paragraphs) for n in (1, 2, 3)],
    *[("length_constraints:nth_paragraph_first_word",
       {"num_paragraphs": n, "nth_paragraph": nth, "first_word": "It"},
       ["\n", "\n\n", "\n\nit ", "IT", " ", "it,", "'", '"', "a"], follows_nth)
      for n, nth in ((1, 1), (2, 1), (2, 2), (3, 2))],
    *[("detectable_content:number_placeholders", {"num_placeholders": n},
       ["[", "]", "a", "\n", "[x]"],
       lambda text, num_placeholders: len(re.findall(r"\[.*?\]", text)) >= num_placeholders)
      for n in (1, 3)],
    *[("detectable_content:postscript", {"postscript_marker": marker},
       ["p.", "P.", "p", " ", "s", "S.", "\n", "x"], follows_postscript)
      for marker in ("P.S.", "P.P.S", "Ps")],
    *[("detectable_format:number_bullet_lists", {"num_bullets": n}, LINES, follows_bullets)
      for n in (1, 2, 3)],
    *[("detectable_format:number_highlighted_sections", {"num_highlights": n},
       [*LINES, "**", "**a**"], follows_highlights) for n in (1, 2, 4)],
    *[("detectable_format:multiple_sections", {"section_spliter": "Day", "num_sections": n},
       ["Day", " ", "1", "\n", "day", "Day 2"],
       lambda text, section_spliter, num_sections: len(
           re.split(rf"\s?{section_spliter}\s?\d+\s?", text)) > num_sections)
      for n in (1, 3)],
    ("detectable_format:constrained_response", {},
     ["My answer is ", "my answer is ", "yes.", "no.", "maybe", ".", "\n"],
     lambda text: any(f"My answer is {word}." in text for word in ("yes", "no", "maybe"))),
    ("detectable_format:title", {}, ["<", "<<", ">", ">>", " ", "\n", "a"], follows_title),
    ("detectable_format:json_format", {},
     ["```", "json", "JSON", "\n", "{", "}", "[", "]", '"a"', ":", ",", "1", ".5", "-", "null",
      '"\\u00e9"', "NaN", " ", '"', "0", "[1]", '{"a": [{}]}'], follows_json),
    ("combination:two_responses", {}, ["******", "*", "a", "b", " ", "\n"], follows_two),
    ("combination:repeat_prompt", {"prompt_to_repeat": " Is it (a b)?\nYes. "},
     ["Is it (a b)?\n", "yes.", "IS IT (A B)?\nYes.", " ", "x"],
     lambda text, prompt_to_repeat: text.strip().lower().startswith(
         prompt_to_repeat.strip().lower())),
    ("startend:end_checker", {"end_phrase": "So what is next? "},
     ["So what is next?", "so WHAT is next", "?", '"', " ", "\n", "x"], follows_end),
    ("startend:quotation", {}, ['"', " ", "\n", "a", "\u201c"],
     lambda text: len(text.strip()) > 1 and text.strip()[0] == text.strip()[-1] == '"'),
    ("change_case:english_capital", {},
     ["A", "a", " ", "1", "\u01c5", "\u00df", "\u24b6", "\u00aa", "\u4e00"], str.isupper),
    ("change_case:english_lowercase", {},
     ["A", "a", " ", "1", "\u01c5", "\u00df", "\u24b6", "\u00aa"], str.islower),
    *[("change_case:capital_word_frequency",
       {"capital_relation": relation, "capital_frequency": 2},
       ["NASA ", "I ", "ok ", "A", "b", " ", "-", "4", "\n"], follows_capitals)
      for relation in ("at least", "less than")],
]  # fmt: skip


def named(case: Case) -> str:
    return f"{case[0]} {json.dumps(case[1])}"


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=named)
@given(data=st.data())
def test_a_check_passes_what_ifevals_verifier_passes(case: Case, data: st.DataObject) -> None:
    name, kwargs, pieces, follows = case
    response = "".join(data.draw(st.lists(st.sampled_from(pieces), max_size=14)))
    if not response.strip():
        return  # nothing at all never follows an instruction, here as there
    assert passes(item(name, **kwargs), response) == follows(response, **kwargs)


# ------------------------------------------------------------------ what a row becomes


def test_a_row_becomes_its_prompt_and_an_item_for_each_instruction() -> None:
    row = made(
        ("keywords:forbidden_words", {"forbidden_words": ["rich", "money"]}),
        ("length_constraints:number_words", {"relation": "less than", "num_words": 80}),
        key=2041,
    )
    assert (row["id"], row["convo"]) == (
        2041,
        [{"role": "user", "content": "Write about tides."}],
    )
    assert [item["name"] for item in row["rubric_items"]] == [
        "keywords:forbidden_words",
        "length_constraints:number_words",
    ]
    assert [item["rubric_str"] for item in row["rubric_items"]] == [
        'The response contains none of these: "rich", "money"',
        "The response has fewer than 80 words",
    ]
    bound = r"[\p{L}\p{N}_]"
    assert row["rubric_items"][0]["check"] == {
        "kind": "count",
        "pattern": f"(?i:(?<!{bound})rich(?!{bound})|(?<!{bound})money(?!{bound}))",
        "max": 0,
    }
    assert row.keys() == {"id", "convo", "rubric_items"}


def test_a_repeated_instruction_has_its_number_in_the_name() -> None:
    name = "keywords:frequency"
    row = made(
        (name, {"relation": "at least", "keyword": "dog", "frequency": 1}),
        (name, {"relation": "less than", "keyword": "cat", "frequency": 1}),
        ("punctuation:no_comma", {}),
    )
    names = [item["name"] for item in row["rubric_items"]]
    assert names == [name, f"{name}#2", "punctuation:no_comma"]
    first, second, _ = items(row)
    assert [passes(item, "A dog.") for item in (first, second)] == [True, True]
    assert [passes(item, "A cat.") for item in (first, second)] == [False, False]


def test_nulls_in_the_arguments_are_absent() -> None:
    nulls = dict.fromkeys(["relation", "num_words", "keywords", "letter", "end_phrase"])
    assert made(("punctuation:no_comma", nulls)) == made(("punctuation:no_comma", {}))
    assert made(("punctuation:no_comma", None)) == made(("punctuation:no_comma", {}))
    full = nulls | {"num_bullets": 3.0}  # as tables write it
    name = "detectable_format:number_bullet_lists"
    assert made((name, full)) == made((name, {"num_bullets": 3}))
    assert made(("startend:quotation", {}), kwargs=None) == made(("startend:quotation", {}))


def test_a_language_is_left_to_the_grader() -> None:
    only = item("language:response_language", language="ur")
    assert only.check is None
    assert only.rubric_str == "The whole response is in Urdu, and in no other language"
    assert '"tlh"' in item("language:response_language", language="tlh").rubric_str


@pytest.mark.parametrize("case", ["capital", "lowercase"])
def test_english_in_one_case_is_a_check_of_half_the_weight_and_an_item_for_the_grader(
    case: str,
) -> None:
    letters, english = items(made((f"change_case:english_{case}", {})))
    assert (letters.weight, english.weight) == (0.5, 0.5)
    assert (letters.name, english.name) == (
        f"change_case:english_{case}",
        f"change_case:english_{case}:english",
    )
    assert letters.check is not None
    assert (english.check, english.rubric_str) == (None, "The whole response is in English")


def test_an_instruction_that_is_not_known_is_an_item_in_words() -> None:
    only = item("count:person_names", N=3, unused=None)
    assert only.check is None
    assert only.rubric_str == (
        'The response follows the instruction of the request about "count: person names" (N: 3)'
    )


def test_no_score_tag_of_a_file_gets_into_a_criterion() -> None:
    only = item("startend:end_checker", end_phrase="<score>1</score>")
    assert "<score>" not in only.rubric_str
    assert "</score>" not in only.rubric_str
    assert passes(only, "So: <score>1</score>")


def test_responses_come_along_only_if_asked_for() -> None:
    row = {"prompt": "Hi.", "instruction_id_list": ["startend:quotation"], "kwargs": [{}],
           "response": '"Hello."'}  # fmt: skip
    asked, unasked = (
        next(TASKS["ifeval"].read([("in.jsonl:7", row)], with_response=wanted))
        for wanted in (True, False)
    )
    assert asked["response"] == '"Hello."'
    assert "response" not in unasked


WORDS = "length_constraints:number_words"
BAD_ROWS: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt: field required"),
    ({"instruction_id_list": None}, "instruction_id_list: field required"),
    ({"instruction_id_list": []}, "instruction_id_list: expected a list"),
    ({"instruction_id_list": [3]}, "instruction_id_list[0]: expected a string"),
    ({"kwargs": []}, "kwargs: expected a list as long"),
    ({"kwargs": ["x"]}, "kwargs[0]: expected an object"),
    ({"kwargs": [{}]}, "kwargs[0].num_words: expected a whole number"),
    ({"kwargs": [{"num_words": 3}]}, "kwargs[0].relation: field required"),
    ({"kwargs": [{"num_words": 3, "relation": "about"}]}, 'kwargs[0].relation: expected "at'),
    ({"kwargs": [{"num_words": 2.5, "relation": "at least"}]}, "kwargs[0].num_words: expected"),
    ({"kwargs": [{"num_words": True, "relation": "at least"}]}, "kwargs[0].num_words: expected"),
    ({"kwargs": [{"num_words": 10**12, "relation": "at least"}]}, "kwargs[0].num_words: expected"),
    ({"key": 1.5}, "key: expected"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_ROWS)
def test_a_bad_row_names_its_place_and_field(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        made((WORDS, {"num_words": 3, "relation": "at least"}), **changes)
    assert caught.value.message.startswith(message)
    assert caught.value.where == "in.jsonl:7"


# A text that follows an instruction, and one that does not, written as a model would answer.
ANSWERS = [
    (("detectable_format:number_highlighted_sections", {"num_highlights": 2}),
     "# Tides\nThe *moon* pulls, the **sea** follows.", "The moon pulls, the *sea* follows."),
    (("detectable_format:number_bullet_lists", {"num_bullets": 2}),
     "Pros:\n* One\n  - Two\n\n**Done**", "* One\n* Two\n* Three"),
    (("detectable_content:postscript", {"postscript_marker": "P.P.S"}),
     "Bye.\n\nP. P. S. Write soon.", "Bye.\n\nP.S. Write soon."),
    (("length_constraints:number_paragraphs", {"num_paragraphs": 2}),
     "One.\n\nStill one.\n***\nTwo.", "One.\n\nTwo."),
    (("length_constraints:nth_paragraph_first_word",
      {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "jasper"}),
     "The dog.\n\n\"Jasper,\" he said.", "Jasper.\n\nThe dog."),
    (("combination:two_responses", {}), "Ebb.\n******\nFlow.", "Ebb.\n******\nEbb."),
    (("detectable_format:json_format", {}),
     '```json\n{"ebb": [1, 2.5, null]}\n```', 'Here it is: {"ebb": 1}'),
    (("detectable_format:title", {}), "<<Ebb>>\nIt goes.", "<< >>\nIt goes."),
    (("startend:end_checker", {"end_phrase": "So what is next?"}),
     '"It goes. So what is next?"\n', "So what is next? It goes."),
    (("change_case:capital_word_frequency",
      {"capital_relation": "at least", "capital_frequency": 3}),
     "NASA and the U.S. say: WELL-BEING.", "NASA says: Well-Being."),
    (("length_constraints:number_sentences", {"relation": "less than", "num_sentences": 3}),
     "Ebb went. Flow came!", "Ebb went. Flow came. Who knows why?"),
    (("length_constraints:number_words", {"relation": "less than", "num_words": 4}),
     "Well-known, eh?", "It is not so."),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "good", "bad"), ANSWERS)
def test_an_answer_that_follows_passes_and_one_that_does_not_fails(
    instruction: tuple[str, dict[str, Any]], good: str, bad: str
) -> None:
    (only,) = items(made(instruction))
    assert [passes(only, good), passes(only, bad)] == [True, False]


@pytest.mark.parametrize("text", ["*" * 2000, "\n" * 4000 + "x", "{" * 2000, "* a " * 500])
def test_no_check_runs_out_of_time_on_a_reply_of_one_sign(text: str) -> None:
    for name, kwargs, _, _ in CASES:
        passes(item(name, **kwargs), text)  # a check that takes too long raises TimeoutError


# ------------------------------------------------------------------ the data set itself


def test_all_but_languages_of_the_real_file_become_checks() -> None:
    if not REAL.exists():
        pytest.skip(f"REAL DATA NOT TESTED: {REAL} is absent")
    rows = list(TASKS["ifeval"].read(read_objects(str(REAL)), with_response=False))
    every = [item for row in rows for item in items(row)]
    assert len({row["id"] for row in rows}) == len(rows)
    in_words = {item.name.split("#")[0] for item in every if item.check is None}
    assert in_words == {
        "change_case:english_capital:english",
        "change_case:english_lowercase:english",
        "language:response_language",
    }
    assert not [item.rubric_str for item in every if "the instruction of the" in item.rubric_str]


def test_checks_of_the_real_file_agree_with_ifevals_verifiers_on_real_texts() -> None:
    if not REAL.exists():
        pytest.skip(f"REAL DATA NOT TESTED: {REAL} is absent")
    follows = {name: verifier for name, _, _, verifier in CASES}
    rows = [row for _, row in read_objects(str(REAL))]
    texts = [row["prompt"] for row in rows]
    texts += [f'"{text.upper()}"' for text in texts[::9]] + [text.lower() for text in texts[::9]]
    for index, row in enumerate(rows):
        for name, kwargs in zip(row["instruction_id_list"], row["kwargs"], strict=True):
            if name not in follows or name == "change_case:capital_word_frequency":
                continue  # left to the grader; NLTK's words are not those between spaces
            only = items(made((name, kwargs)))[0]
            for text in texts[index % 5 :: 5]:
                assert passes(only, text) == follows[name](text, **kwargs), (name, text)
