"""`generate-data prometheus` of judge prompts: they come apart into what they were made from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.generators import TASKS
from tests.unit.generators.test_generators import (
    FEEDBACK,
    as_datapoint,
    imported,
    json_values,
    read_objects,
    read_or_refused,
    real,
    refused,
)

TASK = "###Task Description:\nAn instruction, a response, an answer that gets 5 and a rubric.\n"
DIALOGUE = (
    "Here is a previous dialogue between an assistant and an user. Generate a human preferable "
    "response by the assistant."
)
RUBRIC = "[Is it simple?]\n" + "\n".join(f"Score {n}: Description {n}." for n in range(1, 6))


def prompt(
    instruction: str = "Explain tides.",
    response: str = "The moon does it.",
    reference: str | None = "The moon pulls on the sea.",
    rubric: str = RUBRIC,
) -> str:
    parts = [
        TASK,
        f"###The instruction to evaluate:\n{instruction}\n",
        f"###Response to evaluate:\n{response}\n",
        *([] if reference is None else [f"###Reference Answer (Score 5):\n{reference}\n"]),
        f"###Score Rubrics:\n{rubric}\n",
        "###Feedback: ",
    ]
    return "\n".join(parts)


def row(**parts: Any) -> dict[str, Any]:
    return {
        "idx": 80,
        "response_source": "vicuna",
        "category": "knowledge",
        "instruction": prompt(**parts),
        "gpt4_score": [3, 4, 3],
        "gpt4_feedback": ["Short.", "Fine.", "Short."],
    }


def test_a_judge_prompt_comes_apart() -> None:
    made = imported("prometheus", row())
    (item,) = made.pop("rubric_items")
    assert made == {
        "convo": [{"role": "user", "content": "Explain tides."}],
        "reference": "The moon pulls on the sea.",
        "response": "The moon does it.",
        "group": 80,
        "tags": ["knowledge", "vicuna"],
        "gold": [3, 4, 3],
    }
    assert item["rubric_str"] == RUBRIC.replace("[", "").replace("]\n", "\n\n")
    assert (item["score_range"], item["pass_score"]) == ([1, 5], 0.75)


def test_a_written_out_dialogue_becomes_its_turns() -> None:
    text = (
        f"{DIALOGUE}\nUser: Hi.\nAnd: how are you?\n\nAssistant:Fine.\n\nUser: Why?\n\nAssistant: "
    )
    assert imported("prometheus", row(instruction=text))["convo"] == [
        {"role": "user", "content": "Hi.\nAnd: how are you?"},
        {"role": "assistant", "content": "Fine."},
        {"role": "user", "content": "Why?"},
    ]


@pytest.mark.parametrize(
    "turns",
    [
        "",
        "\nAssistant: ",
        "\nUser: Hi.",
        "\nUser: Hi.\n\nAssistant: Hello.",
        "\nUser: Hi.\n\nUser: Hi?\n\nAssistant: ",
        "\nUser: \n\nAssistant: ",
        "\nSystem: Be nice.\nUser: Hi.\n\nAssistant: ",
    ],
)
def test_a_dialogue_that_takes_no_turns_stays_a_text(turns: str) -> None:
    text = f"{DIALOGUE}{turns}"
    convo = imported("prometheus", row(instruction=text))["convo"]
    assert convo == [{"role": "user", "content": text.strip()}]


# Lines of any kind, among them the prompt's own headings.
hostile = st.lists(
    st.sampled_from(
        ["a", "", "###Score Rubrics:", "###Response to evaluate:", "Score 1: x", "[b]",
         "###The instruction to evaluate:", "###Feedback: ", "###Reference Answer (Score 5):"]
    ),
    max_size=5,
).map("\n".join)  # fmt: skip


@given(response=hostile)
def test_an_answer_may_hold_the_prompts_own_headings(response: str) -> None:
    made = imported("prometheus", row(response=response))
    assert made["response"] == response.strip()
    assert made["reference"] == "The moon pulls on the sea."
    assert made["convo"][0]["content"] == "Explain tides."
    as_datapoint(made)


def test_a_prompt_without_a_reference_answer_has_none() -> None:
    made = imported("prometheus", row(reference=None))
    assert ("reference" in made, made["response"]) == (False, "The moon does it.")


def test_an_empty_answer_is_an_answer() -> None:
    assert imported("prometheus", row(response=""))["response"] == ""


def test_all_but_the_prompt_may_be_null_or_missing() -> None:
    for blank in ({}, dict.fromkeys(row())):
        made = imported("prometheus", blank | {"orig_instruction": None, "instruction": prompt()})
        assert made.keys() == {"convo", "reference", "response", "rubric_items"}
    assert imported("prometheus", row() | {"gpt4_score": [4, None, 5]})["gold"] == [4, 5]


def test_the_columns_that_a_prompt_was_made_from_come_first() -> None:
    both = FEEDBACK | {"instruction": prompt(instruction="Another one.")}
    assert imported("prometheus", both) == imported("prometheus", FEEDBACK)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"instruction": prompt().replace("###Response", "##Response")}, "instruction: some"),
        ({"instruction": prompt(instruction=" ")}, "instruction: some parts"),
        ({"instruction": prompt(rubric="[Is it?]")}, "instruction: its rubric must be"),
        (
            {"instruction": prompt(rubric=RUBRIC.replace("Score 3: ", ""))},
            "instruction: its rubric",
        ),
        ({"instruction": prompt(rubric=RUBRIC + "\nScore 1: x")}, "instruction: its rubric"),
        ({"gpt4_score": 4}, "gpt4_score: expected a list"),
        ({"gpt4_score": [4, "5"]}, "gpt4_score[1]: expected a number from 1 to 5"),
        ({"gpt4_score": [0]}, "gpt4_score[0]: expected a number from 1 to 5"),
        ({"gpt4_score": [True]}, "gpt4_score[0]: expected a number from 1 to 5"),
        ({"idx": 1.5}, "idx: expected"),
        ({"category": 3}, "category: expected a string"),
        ({"id": {}}, "id: "),
    ],
)
def test_a_bad_judge_prompt_names_its_place_and_field(
    changes: dict[str, Any], message: str
) -> None:
    error = refused("prometheus", row() | changes)
    assert error.message.startswith(message)
    assert error.where == "in.jsonl:7"


@given(data=st.data())
def test_any_json_beside_a_judge_prompt_gives_a_datapoint_or_an_error_with_its_place(
    data: st.DataObject,
) -> None:
    columns = st.sampled_from([key for key in row() if key != "instruction"])
    changes = data.draw(st.dictionaries(columns, json_values, max_size=3))
    read_or_refused("prometheus", row() | changes, set(changes))


@pytest.mark.parametrize(("name", "turns"), [("vicuna", 1), ("mt_bench", 3)])
def test_every_real_judge_prompt_comes_apart(name: str, turns: int) -> None:
    rows = list(read_objects(real(f"{name}_eval.jsonl")))
    made = list(TASKS["prometheus"].read(rows, with_response=False))
    assert len(made) == len(rows) == 160
    for datapoint, (_, source) in zip(made, rows, strict=True):
        as_datapoint(datapoint)
        assert datapoint["gold"] == source["gpt4_score"]
        assert len(datapoint["convo"]) == turns
        parts = [message["content"] for message in datapoint["convo"]]
        parts += [datapoint["response"], datapoint["reference"]]
        assert all(part in source["instruction"] and "###" not in part for part in parts)
        # Nothing but headings and framing is left when the parts are taken out again.
        left = source["instruction"]
        for part in sorted(parts, key=len, reverse=True):
            left = left.replace(part, "", 1)
        between = left.partition("###The instruction to evaluate:")[2].partition("###Score Rub")[0]
        assert len(between) < 250
