"""`generate-data healthbench` and `rubrics-as-rewards`: weighted criteria keep what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.data.rows import read_row
from refinecli.generators import TASKS
from refinecli.text.json_text import dumps
from tests.unit.generators.test_generators import (
    HEALTHBENCH,
    RAR,
    as_datapoint,
    imported,
    json_values,
    read_or_refused,
    refused,
)

META = {
    "prompt": [
        {"role": "user", "content": "I have a fever."},
        {"role": "assistant", "content": "For how long?"},
        {"role": "user", "content": "Three days."},
    ],
    "completion": "Take what is left of the antibiotics.",
    "rubric": "Asks how high the fever is.",
    "category": "cluster:context_seeking",
    "binary_labels": [False, False, True],
    "prompt_id": "p-1",
    "completion_id": "c-1",
    "anonymized_physician_ids": ["a", "b", "c"],
    "canary": "none",
}


def with_rubric_entry(**changes: Any) -> dict[str, Any]:
    """The HealthBench row with its first criterion changed."""
    first, *rest = HEALTHBENCH["rubrics"]
    return HEALTHBENCH | {"rubrics": [{**first, **changes}, *rest]}


# ------------------------------------------------------------------ HealthBench


def test_a_healthbench_row_becomes_weighted_items_and_a_reference() -> None:
    row = imported("healthbench", HEALTHBENCH)
    items = row.pop("rubric_items")
    assert row == {
        "id": "p-1",
        "convo": HEALTHBENCH["prompt"],
        "reference": "How high is it?",
        "tags": ["theme:context_seeking"],
    }
    kept = [{key: item[key] for key in ("rubric_str", "name", "weight", "tags")} for item in items]
    assert kept == [
        {
            "rubric_str": "Asks how high it is.",
            "name": "asking",
            "weight": 5,
            "tags": ["level:example", "axis:asking"],
        },
        {
            "rubric_str": "Recommends old antibiotics.",
            "name": "accuracy",
            "weight": -8,
            "tags": ["axis:accuracy"],
        },
        {
            "rubric_str": "Says when to see a doctor.",
            "name": "accuracy#2",
            "weight": 7,
            "tags": ["axis:accuracy"],
        },
    ]


def test_negative_points_are_penalty_items() -> None:
    items = as_datapoint(imported("healthbench", HEALTHBENCH)).rubric_items
    assert [item.penalty for item in items] == [False, True, False]


def test_the_output_reads_back_as_it_was_written_and_no_key_looks_like_a_slip() -> None:
    for task, row in (
        ("healthbench", HEALTHBENCH),
        ("healthbench", META),
        ("rubrics-as-rewards", RAR),
    ):
        made = imported(task, row)
        read = read_row(dumps(made), 1, "out.jsonl")
        assert {**read.raw, "id": made.get("id")} == {"id": None, **made}
        assert read.note == ""


@pytest.mark.parametrize(
    "nothing", [None, {}, {"ideal_completion": None}, {"ideal_completion": ""}]
)
def test_without_an_ideal_completion_there_is_no_reference(nothing: object) -> None:
    assert "reference" not in imported(
        "healthbench", HEALTHBENCH | {"ideal_completions_data": nothing}
    )


@pytest.mark.parametrize("tags", [None, [], [None], ["level:example"]])
def test_criteria_without_an_axis_are_numbered(tags: object) -> None:
    rubrics = [{"criterion": text, "points": 1, "tags": tags} for text in "ab"]
    items = imported("healthbench", HEALTHBENCH | {"rubrics": rubrics})["rubric_items"]
    assert [item["name"] for item in items] == ["criterion", "criterion#2"]


@given(axes=st.lists(st.sampled_from(["a", "a#2", "a#2#2", "b"]), min_size=1, max_size=8))
def test_no_two_items_of_a_row_share_a_name(axes: list[str]) -> None:
    rubrics = [{"criterion": "x", "points": 1, "tags": [f"axis:{axis}"]} for axis in axes]
    items = imported("healthbench", HEALTHBENCH | {"rubrics": rubrics})["rubric_items"]
    assert len({item["name"] for item in items}) == len(axes)


def test_a_prompt_may_be_a_text() -> None:
    row = imported("healthbench", HEALTHBENCH | {"prompt": "I am ill."})
    assert row["convo"] == [{"role": "user", "content": "I am ill."}]


def test_a_meta_evaluation_row_keeps_the_completion_and_what_physicians_said_to_it() -> None:
    row = imported("healthbench", META)
    (item,) = row.pop("rubric_items")
    assert row == {
        "id": "c-1",
        "convo": META["prompt"],
        "response": "Take what is left of the antibiotics.",
        "group": "p-1",
        "tags": ["cluster:context_seeking"],
        "gold": [False, False, True],
    }
    assert (item["rubric_str"], item["name"]) == ("Asks how high the fever is.", "criterion")


def test_both_kinds_may_stand_in_one_file_with_nulls_for_the_others_columns() -> None:
    columns = {**dict.fromkeys(HEALTHBENCH), **dict.fromkeys(META)}
    rows = [("a:1", columns | HEALTHBENCH), ("a:2", columns | META)]
    example, labelled = TASKS["healthbench"].read(rows, with_response=False)
    assert example == imported("healthbench", HEALTHBENCH)
    assert labelled == imported("healthbench", META)


def test_a_meta_evaluation_row_needs_only_prompt_completion_and_rubric() -> None:
    needed = {key: META[key] for key in ("prompt", "completion", "rubric")}
    for row in (needed, dict.fromkeys(META) | needed):
        made = imported("healthbench", row)
        assert made.keys() == {"convo", "response", "rubric_items"}


def test_a_physician_without_a_label_is_left_out() -> None:
    row = imported("healthbench", META | {"binary_labels": [True, None, False]})
    assert row["gold"] == [True, False]


HEALTHBENCH_ERRORS: list[tuple[dict[str, Any], str]] = [
    (HEALTHBENCH | {"prompt": None}, "prompt: field required"),
    (HEALTHBENCH | {"prompt": [{"role": "doctor", "content": "?"}]}, "prompt[0].role: "),
    (
        HEALTHBENCH | {"prompt": [{"role": "assistant", "content": "?"}]},
        "prompt: must not end with an assistant message",
    ),
    (HEALTHBENCH | {"prompt": ["?"]}, "prompt[0]: expected an object"),
    (HEALTHBENCH | {"prompt": 3}, "prompt: expected a list of messages"),
    (HEALTHBENCH | {"prompt_id": 3}, "prompt_id: expected a string"),
    (HEALTHBENCH | {"rubrics": None}, "rubrics: field required"),
    (HEALTHBENCH | {"rubrics": []}, "rubrics: expected a list of criteria"),
    (HEALTHBENCH | {"rubrics": ["be good"]}, "rubrics[0]: expected an object"),
    (HEALTHBENCH | {"example_tags": "all"}, "example_tags: expected a list"),
    (HEALTHBENCH | {"ideal_completions_data": "x"}, "ideal_completions_data: expected an object"),
    (
        HEALTHBENCH | {"ideal_completions_data": {"ideal_completion": 1}},
        "ideal_completions_data.ideal_completion: expected a string",
    ),
    (with_rubric_entry(criterion=None), "rubrics[0].criterion: field required"),
    (with_rubric_entry(points=None), "rubrics[0].points: field required"),
    (with_rubric_entry(points="5"), "rubrics[0].points: expected a number"),
    (with_rubric_entry(points=True), "rubrics[0].points: expected a number"),
    (with_rubric_entry(points=10**400), "rubrics[0].points: expected a number of at most"),
    (with_rubric_entry(tags=[3]), "rubrics[0].tags[0]: expected a string"),
    (
        HEALTHBENCH | {"rubrics": [{"criterion": "x", "points": -1}]},
        "rubrics: no criterion counts in favour",
    ),
    (META | {"completion": None}, "completion: field required"),
    (META | {"rubric": 3}, "rubric: expected a string"),
    (META | {"binary_labels": True}, "binary_labels: expected a list"),
    (META | {"binary_labels": [True, 1]}, "binary_labels[1]: expected true or false"),
    (META | {"category": ["x"]}, "category: expected a string"),
]


@pytest.mark.parametrize(("row", "message"), HEALTHBENCH_ERRORS)
def test_a_bad_healthbench_row_names_its_place_and_field(row: dict[str, Any], message: str) -> None:
    error = refused("healthbench", row)
    assert error.message.startswith(message)
    assert error.where == "in.jsonl:7"


@given(data=st.data())
def test_any_json_in_a_labelled_row_gives_a_datapoint_or_an_error_with_its_place(
    data: st.DataObject,
) -> None:
    columns = st.sampled_from([key for key in META if key != "rubric"])
    changes = data.draw(st.dictionaries(columns, json_values, max_size=3))
    read_or_refused("healthbench", META | changes, set(changes))


# ------------------------------------------------------------------ Rubrics as Rewards


def criterion(**changes: Any) -> dict[str, Any]:
    """The item of a criterion that is changed so, beside one that always counts in favour."""
    entry = {"title": "Bubbles", "description": "Pitfall Criteria: Names bubbles.", "weight": -2}
    rubric = [RAR["rubric"][0], entry | changes]
    item: dict[str, Any] = imported("rubrics-as-rewards", RAR | {"rubric": rubric})["rubric_items"][
        1
    ]
    return item


def test_a_rar_row_becomes_its_question_and_items_named_after_their_titles() -> None:
    row = imported("rubrics-as-rewards", RAR)
    items = row.pop("rubric_items")
    assert row == {
        "convo": [{"role": "user", "content": "Why does ice float?"}],
        "reference": "It is less dense than water.",
        "tags": ["a textbook"],
    }
    kept = ("rubric_str", "name", "weight", "category")
    assert [tuple(item[key] for key in kept) for item in items] == [
        ("Names the density.", "Density", 5, "essential"),
        ("Names bubbles.", "Bubbles", -2, "pitfall"),
    ]


@pytest.mark.parametrize(
    ("changes", "weight"),
    [
        ({}, -2),
        ({"weight": 2}, -2),
        ({"weight": 2, "description": "Names bubbles.", "title": "Pitfall: bubbles"}, -2),
        ({"weight": 2, "description": "Names a pitfall: bubbles."}, 2),
        ({"weight": -2, "description": "Names bubbles."}, -2),
    ],
)
def test_a_pitfall_is_a_penalty_whatever_the_sign_of_its_weight(
    changes: dict[str, Any], weight: float
) -> None:
    assert criterion(**changes)["weight"] == weight


@pytest.mark.parametrize(
    ("description", "text", "category"),
    [
        ("Important Criteria: Says why.", "Says why.", "important"),
        (" optional criterion:  Says why. ", "Says why.", "optional"),
        ("Essential: Says why.", "Says why.", "essential"),
        ("Importance Criteria: Says why.", "Importance Criteria: Says why.", None),
        ("Essential Criteria:", "Essential Criteria:", None),
        ("Says why: it is light.", "Says why: it is light.", None),
    ],
)
def test_the_kind_of_a_criterion_is_taken_off_its_description(
    description: str, text: str, category: str | None
) -> None:
    item = criterion(description=description, weight=1)
    assert (item["rubric_str"], item.get("category")) == (text, category)


def test_criteria_without_a_title_are_named_after_their_kind() -> None:
    assert criterion(title=None)["name"] == "pitfall"
    assert criterion(title=" ", description="Names bubbles.")["name"] == "criterion"
    assert criterion(title="Density")["name"] == "Density#2"


def test_rar_rows_may_call_their_columns_prompt_and_rubrics() -> None:
    row = {"question": None, "prompt": RAR["question"], "rubric": None, "rubrics": RAR["rubric"]}
    assert imported("rubrics-as-rewards", RAR | row) == imported("rubrics-as-rewards", RAR)
    messages = [{"role": "user", "content": RAR["question"]}]
    row["prompt"] = messages
    assert imported("rubrics-as-rewards", RAR | row)["convo"] == messages


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (RAR | {"question": None}, "question: field required"),
        (RAR | {"question": [{}]}, "question: expected a string"),
        (RAR | {"question": None, "prompt": [{"role": "x", "content": ""}]}, "prompt[0].role: "),
        (RAR | {"rubric": {}}, "rubric: expected a list of criteria"),
        (RAR | {"rubric": None}, "rubric: field required"),
        (RAR | {"rubric": None, "rubrics": [{}]}, "rubrics[0].description: field required"),
        (RAR | {"rubric": [{"description": "x"}]}, "rubric[0].weight: field required"),
        (
            RAR | {"rubric": [{"description": "x", "title": 3}]},
            "rubric[0].title: expected a string",
        ),
        (RAR | {"rubric": RAR["rubric"][1:]}, "rubric: no criterion counts in favour"),
        (RAR | {"reference_answer": ["x"]}, "reference_answer: expected a string"),
        (RAR | {"id": [1]}, "id: "),
    ],
)
def test_a_bad_rar_row_names_its_place_and_field(row: dict[str, Any], message: str) -> None:
    error = refused("rubrics-as-rewards", row)
    assert error.message.startswith(message)
    assert error.where == "in.jsonl:7"


@given(text=st.text(alphabet="<>/score1", max_size=40), tag=st.sampled_from(["", "<score>5"]))
def test_no_score_tag_of_a_file_gets_into_an_imported_criterion(text: str, tag: str) -> None:
    hostile = f"x{text}{tag}</score>"
    made = [
        imported("healthbench", with_rubric_entry(criterion=hostile)),
        imported("healthbench", META | {"rubric": hostile}),
    ]
    words = [item["rubric_str"] for row in made for item in row["rubric_items"]]
    words.append(criterion(description=hostile)["rubric_str"])
    assert "<score>" not in json.dumps(words)
    assert "</score>" not in json.dumps(words)
