"""The tasks of `generate-data`: every row they make is a datapoint, and says where it came from."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.checks.counted import WordCount
from refinecli.checks.words import ContainsAll, ContainsAny
from refinecli.cli.generate_imports import Import
from refinecli.data.rows import read_row
from refinecli.data.sources import zstd
from refinecli.errors import InputError, UsageError
from refinecli.generators import TASKS, Task
from refinecli.generators.criteria import with_rubric
from refinecli.generators.keywords import WORDS
from refinecli.generators.reading import read_entries
from refinecli.settings.sections import RunOptions
from refinecli.text.json_text import dumps
from refinecli.types import Datapoint

DATA = Path(__file__).parents[4] / "shared" / "data"
TINKER_KEYS = {"rubric_str", "extraction_regex", "grader_output_format_instruction"}

CONCEPTS = {"concepts": ["dog", "park", "ball"]}
FEEDBACK = {
    "orig_instruction": "Explain tides to a child.",
    "orig_response": "The moon does it.",
    "orig_criteria": "Is the explanation simple and right?",
    **{f"orig_score{n}_description": f"Description number {n}." for n in range(1, 6)},
    "orig_reference_answer": "The moon pulls on the sea.",
    "orig_feedback": "A bit short.",
    "orig_score": "4",
}
BIGGEN = {
    "id": "planning_travel_plan_3",
    "capability": "planning",
    "task": "travel_plan",
    "instance_idx": 3,
    "system_prompt": "You are a travel agent.",
    "input": "Plan four days in Tokyo.",
    "reference_answer": "Day 1: Asakusa.",
    "score_rubric": {
        "criteria": "Is the plan realistic?",
        **{f"score{n}_description": f"Description number {n}." for n in range(1, 6)},
    },
}
IFEVAL = {
    "key": 3256,
    "prompt": "Write a poem about a cat, without commas.",
    "instruction_id_list": ["punctuation:no_comma"],
}
HEALTHBENCH: dict[str, Any] = {
    "prompt": [{"role": "user", "content": "I have had a fever for three days."}],
    "prompt_id": "p-1",
    "rubrics": [
        {
            "criterion": "Asks how high it is.",
            "points": 5,
            "tags": ["level:example", "axis:asking"],
        },
        {"criterion": "Recommends old antibiotics.", "points": -8, "tags": ["axis:accuracy"]},
        {"criterion": "Says when to see a doctor.", "points": 7, "tags": ["axis:accuracy"]},
    ],
    "example_tags": ["theme:context_seeking"],
    "ideal_completions_data": {
        "ideal_completion": "How high is it?",
        "ideal_completions_group": "g",
        "ideal_completions_ref_completions": ["One.", "Two."],
    },
    "canary": "none",
}
RAR: dict[str, Any] = {
    "question": "Why does ice float?",
    "reference_answer": "It is less dense than water.",
    "question_source": "a textbook",
    "rubric": [
        {"title": "Density", "description": "Essential Criteria: Names the density.", "weight": 5},
        {"title": "Bubbles", "description": "Pitfall Criteria: Names bubbles.", "weight": -2},
    ],
    "rubric_list": ["Names the density.", "Names bubbles."],
    "rubric_count": 2,
}
CHAT = {
    "messages": [
        {"role": "system", "content": "You are a librarian."},
        {"role": "user", "content": "Who wrote Emma?"},
    ]
}
ROWS: dict[str, dict[str, Any]] = {
    "keywords": CONCEPTS,
    "prometheus": FEEDBACK,
    "biggen": BIGGEN,
    "ifeval": IFEVAL,
    "healthbench": HEALTHBENCH,
    "rubrics-as-rewards": RAR,
    "chat": CHAT,
}
ITEM = {"rubric_str": "Is it polite?"}  # what `chat` is given by --rubric
SEEDED = [name for name, task in TASKS.items() if task.seeded]
IMPORTING = [name for name, task in TASKS.items() if task.imports]


def generated(task: str, n: int, seed: int = 42) -> list[dict[str, Any]]:
    return list(TASKS[task].generate(n, seed))


def imported(task: str, row: dict[str, Any], with_response: bool = False) -> dict[str, Any]:
    datapoints = TASKS[task].read([("in.jsonl:7", row)], with_response)
    (datapoint,) = with_rubric(datapoints, [ITEM], pytest.fail) if task == "chat" else datapoints
    return datapoint


def refused(task: str, row: dict[str, Any]) -> InputError:
    with pytest.raises(InputError) as caught:
        imported(task, row, with_response=True)
    return caught.value


def as_datapoint(row: dict[str, Any]) -> Datapoint:
    """What the other commands make of the row; its items must also load in tinker-cookbook."""
    read = read_row(dumps(row), 1, "out.jsonl")
    assert read.error is None, read.error
    assert read.datapoint is not None
    assert all(item.keys() >= TINKER_KEYS for item in row["rubric_items"])
    return read.datapoint


def read_or_refused(
    task: str, row: dict[str, Any], suspects: set[str], with_response: bool = False
) -> None:
    """The row makes a datapoint, or an error that names its place and one of these fields."""
    try:
        datapoint, error = imported(task, row, with_response), None
    except InputError as caught:
        datapoint, error = {}, caught
    if error is None:
        as_datapoint(datapoint)
        return
    field = re.split(r"[.\[:]", error.message)[0]
    assert (field in suspects, error.where) == (True, "in.jsonl:7")


def written(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def real(name: str) -> str:
    if not (DATA / name).exists():
        pytest.skip(f"REAL DATA NOT TESTED: {DATA / name} is absent")
    return str(DATA / name)


# ------------------------------------------------------------------ the table


def test_every_task_says_what_file_it_imports() -> None:
    assert all(bool(task.file) == (task.imports or task.asks) for task in TASKS.values())
    assert all(task.seeded or task.imports or task.asks for task in TASKS.values())


def test_a_task_used_the_wrong_way_is_a_usage_error_at_once() -> None:
    with pytest.raises(UsageError, match="prometheus: needs from=FILE"):
        TASKS["prometheus"].generate(1, 42)
    with pytest.raises(UsageError, match="addition: takes no from"):
        TASKS["addition"].read([], with_response=False)


# ------------------------------------------------------------------ seeded tasks


def test_addition_is_tinker_cookbooks_data() -> None:
    rng = random.Random(42)
    sums = [(rng.randint(0, 1000), rng.randint(0, 1000)) for _ in range(10_000 + 1_000)]
    expected = [
        {
            "id": f"addition-{index}",
            "convo": [
                {"role": "user", "content": "What is 4 + 5?"},
                {"role": "assistant", "content": "9"},
                {"role": "user", "content": f"What is {x} + {y}?"},
            ],
            "rubric_items": [
                {
                    "rubric_str": f"Does the chatbot correctly get the answer {x + y}?",
                    "extraction_regex": "<score>(.*?)</score>",
                    "grader_output_format_instruction": (
                        "Please output your score between 0 and 1 wrapped in <score> ... </score>"
                    ),
                    "reveal": "verdict",
                }
            ],
        }
        for index, (x, y) in enumerate(sums)
    ]
    assert generated("addition", 11_000) == expected


def test_the_first_tinker_sums_at_seed_42_are_these() -> None:
    questions = [row["convo"][-1]["content"] for row in generated("addition", 3)]
    assert questions == ["What is 654 + 114?", "What is 25 + 759?", "What is 281 + 250?"]


@pytest.mark.parametrize("task", SEEDED)
def test_every_generated_row_is_a_datapoint_with_an_id_of_its_own(task: str) -> None:
    rows = generated(task, 500)
    assert [as_datapoint(row).id for row in rows] == [f"{task}-{index}" for index in range(500)]


@pytest.mark.parametrize("task", SEEDED)
@given(seed=st.integers(), n=st.integers(0, 30), more=st.integers(0, 30))
def test_fewer_rows_are_the_first_of_more(task: str, seed: int, n: int, more: int) -> None:
    assert generated(task, n, seed) == generated(task, n + more, seed)[:n]


@pytest.mark.parametrize("task", SEEDED)
def test_seeds_differ(task: str) -> None:
    assert generated(task, 5, 1) != generated(task, 5, 2)


def test_the_first_keywords_at_seed_42_are_these() -> None:
    words = [row["rubric_items"][0]["check"]["words"] for row in generated("keywords", 2)]
    assert words == [["bottle", "milk", "fish", "mouse", "tree"], ["blanket", "bell", "window"]]


def test_keywords_draws_three_to_five_distinct_words() -> None:
    drawn = [row["rubric_items"][0]["check"]["words"] for row in generated("keywords", 500)]
    assert {len(words) for words in drawn} == {3, 4, 5}
    assert all(len(set(words)) == len(words) for words in drawn)


def test_the_keyword_list_has_no_inflected_pairs() -> None:
    words = set(WORDS)
    assert len(words) == len(WORDS) >= 300
    assert all(word.isascii() and word.islower() and word.isalpha() for word in words)
    inflected = {word + ending for word in words for ending in ("s", "es", "d", "ed", "ing", "er")}
    assert not inflected & words


@given(seed=st.integers())
def test_the_keywords_prompt_names_all_that_its_checks_measure(seed: int) -> None:
    (row,) = generated("keywords", 1, seed)
    datapoint = as_datapoint(row)
    coverage, length, _ = (item.check for item in datapoint.rubric_items)
    assert isinstance(coverage, ContainsAll)
    assert isinstance(length, WordCount)
    prompt = row["convo"][0]["content"]
    assert coverage.grade(prompt).score == 1
    assert f"{length.min} to {length.max} words" in prompt
    for item in datapoint.rubric_items:
        assert item.rubric_str.split()[0] == "The"


@given(seed=st.integers())
def test_keywords_can_be_met_but_not_by_listing_the_words(seed: int) -> None:
    (row,) = generated("keywords", 1, seed)
    coverage, length, echo = (item.check for item in as_datapoint(row).rubric_items)
    assert isinstance(coverage, ContainsAll)
    assert isinstance(length, WordCount)
    assert isinstance(echo, ContainsAny)
    listing = ", ".join(coverage.words)
    text = " ".join(f"They talked about the {word}." for word in coverage.words)
    assert (coverage.grade(listing).score, length.grade(listing).score) == (1, 0)
    assert (coverage.grade(text).score, length.grade(text).score) == (1, 1)
    assert echo.grade(text).score == 0


@given(seed=st.integers())
def test_an_echo_of_the_keywords_prompt_or_of_its_criteria_does_not_pass(seed: int) -> None:
    (row,) = generated("keywords", 1, seed)
    words = ", ".join(row["rubric_items"][0]["check"]["words"])
    prompt = row["convo"][0]["content"]
    criterion = f"{row['rubric_items'][0]['rubric_str']}: {words}."
    for echo in (prompt, prompt.split(". ")[1], criterion, f"{criterion} And so on and on."):
        assert _score(as_datapoint(row), echo) <= 0.25


def _score(datapoint: Datapoint, response: str) -> float:
    total, positive = 0.0, 0.0
    for item in datapoint.rubric_items:
        assert item.check is not None
        total += item.weight * item.check.grade(response).score
        positive += max(0, item.weight)
    return total / positive


# ------------------------------------------------------------------ importing tasks


@pytest.mark.parametrize("task", IMPORTING)
@pytest.mark.parametrize("with_response", [False, True])
def test_every_imported_row_is_a_datapoint(task: str, with_response: bool) -> None:
    as_datapoint(imported(task, ROWS[task], with_response))


def test_keywords_takes_the_words_from_concepts_and_keeps_the_rest() -> None:
    row = imported("keywords", {"id": 3, "concepts": ["dog", " park "], "source": {"split": "x"}})
    assert (row["id"], row["source"]) == (3, {"split": "x"})
    assert "concepts" not in row
    items = as_datapoint(row).rubric_items
    assert isinstance(items[0].check, ContainsAll)
    assert items[0].check.words == ("dog", "park")
    assert [item.name for item in items] == ["coverage", "length", "echo"]


def test_keywords_names_a_repeated_concept_once() -> None:
    row = imported("keywords", {"concepts": ["dog", "park", "dog"]})
    assert row["rubric_items"][0]["check"]["words"] == ["dog", "park"]


def test_keywords_row_with_a_conversation_of_its_own_gets_the_tasks_one() -> None:
    row = imported("keywords", CONCEPTS | {"prompt": "Old.", "convo": [], "rubric_items": []})
    assert as_datapoint(row).convo[0]["content"].startswith("Write a short text")  # type: ignore[union-attr]


def test_prometheus_row_becomes_its_instruction_and_a_five_point_item() -> None:
    assert imported("prometheus", FEEDBACK | {"id": "f-1"}) == {
        "id": "f-1",
        "convo": [{"role": "user", "content": "Explain tides to a child."}],
        "reference": "The moon pulls on the sea.",
        "orig_score": 4,
        "rubric_items": [
            {
                "rubric_str": (
                    "Is the explanation simple and right?\n\n"
                    "Score 1: Description number 1.\n"
                    "Score 2: Description number 2.\n"
                    "Score 3: Description number 3.\n"
                    "Score 4: Description number 4.\n"
                    "Score 5: Description number 5."
                ),
                "extraction_regex": "<score>(.*?)</score>",
                "grader_output_format_instruction": (
                    "Please output your score between 1 and 5 wrapped in <score> ... </score>"
                ),
                "name": "quality",
                "score_range": [1, 5],
                "pass_score": 0.75,
            }
        ],
    }


def test_biggen_row_keeps_id_system_prompt_and_kind() -> None:
    row = imported("biggen", BIGGEN)
    (item,) = row.pop("rubric_items")
    assert row == {
        "id": "planning_travel_plan_3",
        "convo": [
            {"role": "system", "content": "You are a travel agent."},
            {"role": "user", "content": "Plan four days in Tokyo."},
        ],
        "reference": "Day 1: Asakusa.",
        "group": "planning",
        "tags": ["planning", "travel_plan"],
    }
    assert (item["score_range"], item["pass_score"]) == ([1, 5], 0.75)
    assert item["rubric_str"].startswith("Is the plan realistic?\n\nScore 1: Description number 1.")


@pytest.mark.parametrize(
    ("task", "column"),
    [
        ("prometheus", "orig_response"),
        ("biggen", "response"),
        ("keywords", "response"),
        ("healthbench", "response"),
        ("rubrics-as-rewards", "response"),
        ("chat", "response"),
    ],
)
def test_responses_come_along_only_if_asked_for(task: str, column: str) -> None:
    row = {**ROWS[task], column: "An answer."}
    assert "response" not in imported(task, row)
    assert imported(task, row, with_response=True)["response"] == "An answer."


def test_an_empty_response_is_a_response() -> None:
    row = imported("prometheus", FEEDBACK | {"orig_response": ""}, with_response=True)
    assert as_datapoint(row).response == ""


@pytest.mark.parametrize("task", IMPORTING)
@pytest.mark.parametrize("absent", ["null", "missing"])
def test_optional_columns_may_be_null_or_missing(task: str, absent: str) -> None:
    needed = ("concepts", "orig_instruction", "orig_criteria", "orig_score1_description",
              "orig_score2_description", "orig_score3_description", "orig_score4_description",
              "orig_score5_description", "input", "score_rubric", "prompt",
              "instruction_id_list", "rubrics", "question", "rubric", "messages")  # fmt: skip
    row = {"id": None, "reference": None} if task == "keywords" else {}
    for key, value in ROWS[task].items():
        if key in needed:
            row[key] = value
        elif absent == "null":
            row[key] = None
    datapoint = as_datapoint(imported(task, row, with_response=True))
    assert datapoint.reference is datapoint.response is datapoint.group is datapoint.tags is None


@pytest.mark.parametrize("system_prompt", [None, "", " \n"])
def test_a_blank_system_prompt_is_none(system_prompt: str | None) -> None:
    row = imported("biggen", BIGGEN | {"system_prompt": system_prompt})
    assert [message["role"] for message in row["convo"]] == ["user"]


@pytest.mark.parametrize(
    ("given", "score"), [(4, 4), (4.0, 4), (3.5, 3.5), ("4", 4), (" 4.5 ", 4.5)]
)
def test_orig_score_is_a_number_however_it_is_written(given: object, score: float) -> None:
    assert imported("prometheus", FEEDBACK | {"orig_score": given})["orig_score"] == score


@pytest.mark.parametrize("given", [0, 6, "six", "nan", True, [4], "1e999", 10**400])
def test_an_impossible_orig_score_is_refused(given: object) -> None:
    error = refused("prometheus", FEEDBACK | {"orig_score": given})
    assert (error.message, error.where) == (
        "orig_score: expected a number from 1 to 5",
        "in.jsonl:7",
    )


BAD_ROWS = [
    ("keywords", {}, "concepts: field required"),
    ("keywords", {"concepts": None}, "concepts: field required"),
    ("keywords", {"concepts": []}, "concepts: expected a list of words"),
    ("keywords", {"concepts": "dog"}, "concepts: expected a list of words"),
    ("keywords", {"concepts": ["dog", 4]}, "concepts[1]: expected a word"),
    ("keywords", {"concepts": ["dog", " "]}, "concepts[1]: expected a word"),
    ("keywords", CONCEPTS | {"reference": 4}, "reference: "),
    ("prometheus", FEEDBACK | {"orig_instruction": None}, "orig_instruction: field required"),
    ("prometheus", FEEDBACK | {"orig_criteria": " "}, "orig_criteria: field required"),
    ("prometheus", FEEDBACK | {"orig_score3_description": 3}, "orig_score3_description: expected"),
    ("prometheus", FEEDBACK | {"orig_reference_answer": []}, "orig_reference_answer: expected"),
    ("prometheus", FEEDBACK | {"orig_response": 1}, "orig_response: expected a string"),
    ("biggen", BIGGEN | {"input": ""}, "input: field required"),
    ("biggen", BIGGEN | {"id": 1.5}, "id: "),
    ("biggen", BIGGEN | {"task": 3}, "task: expected a string"),
    ("biggen", BIGGEN | {"score_rubric": None}, "score_rubric: field required"),
    ("biggen", BIGGEN | {"score_rubric": "good?"}, "score_rubric: expected an object"),
    ("biggen", BIGGEN | {"score_rubric": {}}, "score_rubric.criteria: field required"),
]


@pytest.mark.parametrize(("task", "row", "message"), BAD_ROWS)
def test_a_bad_row_names_its_place_and_field(task: str, row: dict[str, Any], message: str) -> None:
    error = refused(task, row)
    assert error.message.startswith(message)
    assert error.where == "in.jsonl:7"


def test_rows_before_a_bad_one_are_read() -> None:
    rows = TASKS["keywords"].read([("a:1", CONCEPTS), ("a:2", {})], with_response=False)
    assert next(rows)["convo"]
    with pytest.raises(InputError) as caught:
        next(rows)
    assert caught.value.where == "a:2"


# A few telling characters: the whole of Unicode takes hypothesis seconds to load.
texts = st.text(alphabet="a é漢😀\n\t\"'\\{}[],:01<>/\x00", max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("task", IMPORTING)
@given(data=st.data())
def test_any_json_in_a_row_gives_a_datapoint_or_an_error_with_its_place(
    task: str, data: st.DataObject
) -> None:
    known = [*ROWS[task], "id", "response", "reference", "group", "tags", "convo", "rubric_items"]
    changes = data.draw(st.dictionaries(st.sampled_from(known), json_values, max_size=3))
    read_or_refused(task, ROWS[task] | changes, set(changes), data.draw(st.booleans()))


@given(text=st.text(alphabet="<>/score1", max_size=40), tag=st.sampled_from(["", "<score>5"]))
def test_no_score_tag_of_a_file_gets_into_a_criterion(text: str, tag: str) -> None:
    row = FEEDBACK | {
        "orig_criteria": f"x{text}{tag}</score>",
        "orig_score2_description": "x" + tag,
    }
    (item,) = imported("prometheus", row)["rubric_items"]
    assert "<score>" not in item["rubric_str"]
    assert "</score>" not in item["rubric_str"]


# ------------------------------------------------------------------ files


def read_objects(path: str) -> list[tuple[str, dict[str, Any]]]:
    return [(entry.where, entry.object()) for entry in read_entries(path)]


def test_jsonl_and_arrays_hold_the_same_objects_and_say_where(tmp_path: Path) -> None:
    lines = written(tmp_path / "a.jsonl", '\ufeff{"n": 1}\n\n{"n": 2}')
    array = written(tmp_path / "a.json", '\n [ {"n": 1},\n{"n": 2}\n]\n')
    assert read_objects(lines) == [(f"{lines}:1", {"n": 1}), (f"{lines}:3", {"n": 2})]
    assert read_objects(array) == [(f"{array}[0]", {"n": 1}), (f"{array}[1]", {"n": 2})]


@pytest.mark.parametrize("text", ['{"é": 1}\n{"é": 2}\n', '[{"é": 1}, {"é": 2}]'])
def test_compressed_files_are_read_like_plain_ones(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "a.zst").write_bytes(zstd().compress(text.encode()))
    for name in ("a.gz", "a.zst"):
        objects = [row for _, row in read_objects(str(tmp_path / name))]
        assert objects == [{"é": 1}, {"é": 2}]


@pytest.mark.parametrize("text", ["", "\n \n", "[]", " [ ]\n"])
def test_a_file_without_objects_has_none(tmp_path: Path, text: str) -> None:
    assert read_objects(written(tmp_path / "a.json", text)) == []


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('{"n": 1}\n{"n": \n', ":2", "not JSON: "),
        ('{"n": 1}\n[2]\n', ":2", "expected a JSON object"),
        ('[{"n": 1}, 2]', "[1]", "expected a JSON object"),
        ('[{"n": 1},\n\n{"n" 2}]', "", "not JSON: "),
        ("question,answer\n", ":1", "not JSON: "),
    ],
)
def test_what_is_no_object_is_refused_at_its_place(
    tmp_path: Path, text: str, place: str, message: str
) -> None:
    path = written(tmp_path / "a.json", text)
    with pytest.raises(InputError) as caught:
        read_objects(path)
    assert caught.value.where == path + place
    assert caught.value.message.startswith(message)
    assert caught.value.hint


IMPORTS = [task for task in TASKS.values() if task.imports]


@pytest.mark.parametrize("task", IMPORTS, ids=lambda task: task.name)
@pytest.mark.parametrize("keep_going", [True, False])
def test_every_import_lists_bad_rows_or_keeps_them_as_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: Task, keep_going: bool
) -> None:
    path = written(tmp_path / "a.jsonl", '{"n": 1}\nno JSON\n')
    run = RunOptions(max_errors="1")
    rows = Import(task, read_entries(path), run, keep_going, with_response=False)
    made = list(rows.datapoints(None))
    assert [row["raw"] for row in made] == (['{"n": 1}', "no JSON"] if keep_going else [])
    assert [row["error"]["line"] for row in made] == ([1, 2] if keep_going else [])
    if keep_going:
        rows.check()
        assert rows.code() == 3
        assert "2 of 2 lines" in capsys.readouterr().err
    else:
        assert f"error: {path}:2: not JSON" in capsys.readouterr().err
        with pytest.raises(UsageError, match="2 of 2 lines cannot be used"):
            rows.check()


def test_an_entry_of_an_array_is_a_record_too(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", '[{"concepts": ["dog"]}, null]')
    rows = Import(TASKS["keywords"], read_entries(path), RunOptions(max_errors="50%"), True, False)
    _, bad = rows.datapoints(None)
    assert (bad["raw"], bad["error"]["line"], rows.code()) == ("null", 2, 0)


def test_the_error_in_an_array_counts_blank_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 5 column"):
        read_objects(written(tmp_path / "a.json", '\n[{"n": 1},\n\n\n{"n" 2}]'))


def test_a_packed_array_may_not_fill_the_memory(tmp_path: Path) -> None:
    text = "[\n" + '{"n": 1},\n' * 1000 + '{"n": 1}]'
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text.encode()))
    with pytest.raises(UsageError, match=r"the array is longer than 0\.005 MB") as caught:
        list(read_entries(str(tmp_path / "a.json.gz"), most=5000))
    assert "run.max_line_mb" in caught.value.hint
    assert len(list(read_entries(written(tmp_path / "a.json", text), most=5000))) == 1001


def test_a_missing_file_is_refused_before_the_first_row(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no\.jsonl: No such file"):
        read_objects(str(tmp_path / "no.jsonl"))


@given(rows=st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=4))
def test_any_objects_are_read_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    lines = written(folder / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    array = written(folder / "a.json", json.dumps(rows, indent=1))
    assert [row for _, row in read_objects(lines)] == rows
    assert [row for _, row in read_objects(array)] == rows


# ------------------------------------------------------------------ real data


def test_all_of_commongen_hard_is_imported() -> None:
    path = real("commongen_hard.jsonl")
    rows = list(TASKS["keywords"].read(read_objects(path), with_response=False))
    assert len(rows) == 100
    for row, (_, source) in zip(rows, read_objects(path), strict=True):
        coverage, length, _ = as_datapoint(row).rubric_items
        assert isinstance(coverage.check, ContainsAll)
        assert isinstance(length.check, WordCount)
        assert list(coverage.check.words) == source["concepts"]
        assert length.check.max == 10 * len(source["concepts"])


def test_all_of_biggen_bench_is_imported() -> None:
    path = real("biggen_bench.jsonl")
    rows = list(TASKS["biggen"].read(read_objects(path), with_response=True))
    assert len(rows) == 382
    for row, (_, source) in zip(rows, read_objects(path), strict=True):
        datapoint = as_datapoint(row)
        (item,) = datapoint.rubric_items
        assert datapoint.id == source["id"]
        assert [message["role"] for message in datapoint.convo] == ["system", "user"]
        assert datapoint.reference == source["reference_answer"]
        assert datapoint.tags == [source["capability"], source["task"]]
        assert [part.split(":")[0] for part in item.rubric_str.split("\n")[2:]] == [
            f"Score {n}" for n in range(1, 6)
        ]
        assert (item.score_range, item.pass_score) == ((1, 5), 0.75)


def test_biggen_columns_renamed_as_the_feedback_collections_import_alike() -> None:
    for _, source in read_objects(real("biggen_bench.jsonl")):
        rubric = {f"orig_{key}": value for key, value in source["score_rubric"].items()}
        row = {"orig_instruction": source["input"], **rubric, "orig_score": "3"}
        ours = imported("prometheus", row)
        assert ours["rubric_items"] == imported("biggen", source)["rubric_items"]


@pytest.mark.parametrize(("task", "n"), [("addition", 20), ("keywords", 12), ("email", 10)])
def test_the_example_data_is_what_our_own_command_makes(task: str, n: int) -> None:
    shipped = Path(__file__).parents[3] / "example_data" / f"{task}.jsonl"
    made = [dumps(row) for row in TASKS[task].generate(n, 42)]
    assert shipped.read_bytes() == b"\n".join([*made, b""])
