"""A template of one's own that leaves out a placeholder says what is lost."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from refinecli.grading.own_templates import lost_code, lost_penalties
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.types import Datapoint, RubricItem

WHOLE = "{{conversation}} <r-{{nonce}}>{{response}} {{criterion}}\n\n{{penalty}}\n\n{{instruction}}"
BARE = "{{response}} {{criterion}} {{instruction}}"
FAULT = RubricItem("It is rude.", name="rude", weight=-1)
Mode = Literal["explain", "verdict", "logprobs"]


def with_items(*items: RubricItem) -> Datapoint:
    return Datapoint(convo="Hi", rubric_items=[RubricItem("Is it polite?"), *items])


@pytest.mark.parametrize(
    ("mode", "own", "named"),
    [
        ("explain", {"grader": BARE}, ["grader"]),
        ("explain", {"verdict": BARE}, []),
        ("verdict", {"grader": BARE, "verdict": BARE}, ["verdict"]),
        ("logprobs", {"grader": BARE, "verdict": BARE}, ["verdict", "grader"]),
        ("explain", {"grader": WHOLE}, []),
        ("explain", {}, []),
    ],
)
def test_the_templates_that_are_used_are_named(
    mode: Mode, own: dict[str, Any], named: list[str]
) -> None:
    prompts, options = Prompts(**own), GradeOptions(mode=mode)
    for warnings in (
        list(lost_code(prompts, options, [])),
        lost_penalties(prompts, options, with_items(FAULT)),
    ):
        assert [line.split()[1] for line in warnings] == [f"prompts.{name}" for name in named]


@pytest.mark.parametrize(
    ("own", "role", "warned"),
    [
        ("Be fair. The tags bear the same code.", "", True),
        ("Be fair.", "The tags bear the same code.", True),
        ("Be fair.", "", False),
        ("", "", False),
    ],
)
def test_without_a_nonce_only_a_system_prompt_that_speaks_of_the_code_is_wrong(
    own: str, role: str, warned: bool
) -> None:
    prompts = Prompts(grader=BARE, grader_system=own)
    assert bool(list(lost_code(prompts, GradeOptions(), [role]))) is warned


def test_only_a_penalty_item_that_a_model_grades_needs_to_be_explained() -> None:
    prompts, options = Prompts(grader=BARE), GradeOptions()
    (warning,) = lost_penalties(prompts, options, with_items(FAULT))
    assert 'such as "rude" describe a fault' in warning
    by_code = RubricItem("It says no.", weight=-1, check={"kind": "contains_any", "words": ["no"]})
    assert lost_penalties(prompts, options, with_items(by_code)) == ()
    assert lost_penalties(prompts, options, with_items()) == ()


def test_the_template_of_several_items_is_named_where_it_is_used() -> None:
    prompts = Prompts(grader_batch="{{response}} {{criteria}} {{instruction}}")
    assert list(lost_code(prompts, GradeOptions(), [])) == []
    (line,) = lost_code(prompts, GradeOptions(batch_items=2), [])
    assert line.startswith("warning: prompts.grader_batch has no {{nonce}}")
    assert line.endswith("or set prompts.grader_batch_system too")
    own = Prompts(grader_batch=prompts.grader_batch, grader_batch_system="Be fair.")
    assert list(lost_code(own, GradeOptions(batch_items=2), [])) == []
