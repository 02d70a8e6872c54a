"""Records build themselves in code as in a line; a wrong argument is named by its field."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest

from refinecli.data.rows import read_row
from refinecli.errors import InputError
from refinecli.types import (
    Datapoint,
    DatapointFields,
    Example,
    ExampleFields,
    ItemFields,
    RubricItem,
    Usage,
)

CONVO = [{"role": "user", "content": "What is 2 + 2?"}]
CHECK = {"kind": "contains_all", "words": ["4"]}


def from_line(**fields: Any) -> Datapoint:
    row = read_row(json.dumps(fields).encode(), 1, "in.jsonl")
    assert row.datapoint is not None, row.error
    return row.datapoint


def test_a_text_is_the_users_message_and_a_text_is_an_item() -> None:
    point = Datapoint("What is 2 + 2?", ["Is the answer 4?"])
    assert point == from_line(convo=CONVO, rubric_items=[{"rubric_str": "Is the answer 4?"}])


@pytest.mark.parametrize(
    "fields",
    [
        {"weight": 2, "required": True},
        {"weight": -1.5, "name": "rude"},
        {"score_range": [1, 5], "pass_score": 0.6},
        {"choices": ["bad", "good"], "examples": [{"response": "5", "score": "bad"}]},
        {"choices": ["none", "much"], "weight": -1},
        {"check": CHECK},
        {"check": {"kind": "equals", "value": "4"}, "rubric_str": None},
        {"examples": [{"convo": CONVO, "response": "4", "score": 1}]},
        {"extraction_regex": "Score: ([0-9])", "grader_output_format_instruction": "Score: N"},
        {"weight": None, "reveal": "verdict"},
    ],
    ids=str,
)
def test_an_item_in_code_is_the_item_of_a_line(fields: dict[str, Any]) -> None:
    given = {"rubric_str": "Is it 4?", **fields}
    plain = {"rubric_str": "Is it polite?"}
    line = from_line(convo=CONVO, rubric_items=[plain, given])
    assert Datapoint("What is 2 + 2?", ["Is it polite?", RubricItem(**given)]) == line
    assert Datapoint("What is 2 + 2?", [RubricItem("Is it polite?"), given]) == line


def test_lists_in_code_may_be_tuples() -> None:
    item = RubricItem("How?", choices=("bad", "good"), examples=(Example("5", "bad"),))
    listed = RubricItem("How?", choices=["bad", "good"], examples=[Example("5", "bad")])
    assert item == listed
    assert "bad; good" in item.grader_output_format_instruction
    assert Datapoint(tuple(CONVO), (item,)) == Datapoint(CONVO, [item])  # type: ignore[arg-type]


def test_an_item_without_a_name_is_named_by_its_place_wherever_it_is_put() -> None:
    item = RubricItem("Is it polite?")
    assert item.name == "item-0"
    second = Datapoint("Hi!", ["Is it short?", item]).rubric_items[1]
    assert second.name == "item-1"
    assert Datapoint("Hi!", [second]).rubric_items[0].name == "item-0"
    named = RubricItem("Is it polite?", name="polite")
    assert Datapoint("Hi!", ["Is it short?", named]).rubric_items[1].name == "polite"


def test_a_number_written_as_a_float_gives_the_same_id_as_the_whole_number() -> None:
    ids = {Datapoint("Hi!", [RubricItem("Kind?", weight=w)]).id for w in (2, 2.0)}
    assert len(ids) == 1


def test_a_given_id_stays_and_records_can_be_copied_and_pickled() -> None:
    point = Datapoint("Hi!", ["Is it kind?"], id=7, response="Hello!", tags=["a"], group="g")
    assert (point.id, point.response, point.tags, point.group) == (7, "Hello!", ["a"], "g")
    assert copy.deepcopy(point) == pickle.loads(pickle.dumps(point)) == point
    with pytest.raises(Exception, match="frozen"):
        point.id = 8  # type: ignore[misc]


def test_the_keywords_of_a_record_are_its_fields() -> None:
    for model, fields, positional in (
        (RubricItem, ItemFields, {"rubric_str"}),
        (Example, ExampleFields, {"response", "score"}),
        (Datapoint, DatapointFields, {"convo", "rubric_items"}),
    ):
        assert set(fields.__annotations__) | positional == set(model.model_fields)


WRONG: list[tuple[Callable[[], object], str, str]] = [
    (lambda: RubricItem(), "rubric_str: field required", "the criterion in words"),
    (lambda: RubricItem(5), "rubric_str: must be a string", "criterion"),  # type: ignore[arg-type]
    (lambda: RubricItem(""), "rubric_str", "criterion"),
    (
        lambda: RubricItem("x", wieght=1),  # type: ignore[call-arg]
        "wieght: there is no such field",
        "did you mean weight?",
    ),
    (lambda: RubricItem("x", zzz=1), "zzz: there is no such", "use one of: rubric_str,"),  # type: ignore[call-arg]
    (lambda: RubricItem("x", weight="1"), "weight: must be a number", "negative"),  # type: ignore[arg-type]
    (lambda: RubricItem("x", weight=float("nan")), "weight: ", "negative"),
    (lambda: RubricItem("x", pass_score=2), "pass_score: ", "such as 0.7"),
    (lambda: RubricItem("x", score_range=[3, 1]), "score_range: needs two numbers", "lower"),
    (lambda: RubricItem("x", choices=["one"]), "choices: needs 2 to 20", ""),
    (lambda: RubricItem("x", extraction_regex="("), "extraction_regex: not a regular", ""),
    (lambda: RubricItem("x", check={"kind": "wods"}), "check: unknown kind 'wods'", "checks"),
    (lambda: RubricItem("x", check={"kind": []}), "check: kind must be a string", "checks"),
    (lambda: RubricItem("x", examples=[{"response": "x"}]), "examples[0].score: field", ""),
    (lambda: RubricItem("x", examples=[Example("x", 5)]), "examples: 5", ""),
    (lambda: Example("x"), "score: field required", ""),
    (lambda: Example("x", 1, scoer=2), "scoer: there is no such field", "score"),  # type: ignore[call-arg]
    (lambda: Datapoint("x"), "rubric_items: field required", "a list of objects"),
    (lambda: Datapoint("x", []), "rubric_items: must not be empty", "a list of objects"),
    (lambda: Datapoint("x", "Is it kind?"), "rubric_items: must be a list", "a list"),
    (lambda: Datapoint("x", ["y", 5]), "rubric_items[1]: must be an object", ""),  # type: ignore[list-item]
    (lambda: Datapoint("x", [""]), "rubric_items[0].rubric_str", "criterion"),
    (lambda: Datapoint("x", [{"check": {"kind": {}}}]), "rubric_items[0].check: kind", ""),
    (lambda: Datapoint("x", [RubricItem("x", weight=-1)]), "rubric_items: no item has", "above 0"),
    (lambda: Datapoint(rubric_items=["x"]), "convo: field required", ""),
    (lambda: Datapoint(5, ["x"]), "convo: must be a list", ""),  # type: ignore[arg-type]
    (lambda: Datapoint([], ["x"]), "convo: must not be empty", ""),
    (
        lambda: Datapoint([{"role": "robot", "content": "x"}], ["x"]),  # type: ignore[typeddict-item]
        "convo[0].role: must be",
        "system, user",
    ),
    (lambda: Datapoint([{"role": "user"}], ["x"]), "convo[0].content: field", "some text"),
    (
        lambda: Datapoint([{"role": "assistant", "content": "x"}], ["x"]),
        "convo: must not end with an assistant message",
        "`response`",
    ),
    (lambda: Datapoint("x", ["x"], respose="y"), "respose: there is no", "response"),  # type: ignore[call-arg]
    (lambda: Datapoint("x", ["x"], response=5), "response: must be a string", ""),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("build", "message", "hint"), WRONG, ids=[case[1] for case in WRONG])
def test_a_wrong_argument_is_our_error_with_the_fields_name(
    build: Callable[[], object], message: str, hint: str
) -> None:
    with pytest.raises(InputError) as caught:
        build()
    assert caught.value.message.startswith(message)
    assert hint in caught.value.hint
    assert "pydantic" not in str(caught.value)


def test_what_no_json_can_hold_is_refused_by_name() -> None:
    message: Any = {"role": "user", "content": "x", "extra": object()}
    with pytest.raises(InputError, match="convo: cannot be written as JSON"):
        Datapoint([message], ["x"])


def test_usage_adds_up_field_by_field_from_nothing_too() -> None:
    fields = [field.name for field in dataclasses.fields(Usage)]
    ones = [Usage(**{name: 1}) for name in fields]
    assert sum(ones, Usage()) == Usage(**dict.fromkeys(fields, 1))
    for one in ones:
        assert one + Usage() == Usage() + one == one
        assert one + one == Usage(**{name: 2 * value for name, value in asdict(one).items()})
