"""How many steps a schema can take, counted before anything is matched against it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from refinecli.checks.json_schema import _MOST_TRIED, _depth, _shortened, _steps, misfits
from refinecli.checks.kinds import Check

TWO: dict[str, Any] = {"anyOf": [{}, {}]}  # three steps: itself and both alternatives


@pytest.mark.parametrize(
    ("schema", "depth", "steps"),
    [
        ({}, 0, 1),
        ({"type": "object", "minimum": 3}, 5, 1),
        (TWO, 0, 3),
        ({"allOf": [TWO, TWO]}, 0, 7),
        ({"not": TWO}, 0, 4),
        ({"if": {}, "then": TWO, "else": {}}, 0, 6),
        # What is below a value counts only as far as the value goes.
        ({"items": TWO}, 0, 1),
        ({"items": TWO}, 1, 4),
        ({"items": {"items": TWO}}, 1, 2),
        ({"items": {"items": TWO}}, 2, 5),
        ({"additionalProperties": {}, "contains": {}}, 1, 3),
        ({"patternProperties": {"^a": {}, "^b": TWO}}, 1, 5),
        ({"patternProperties": {"^a": {}}}, 0, 1),
        ({"dependentSchemas": {"a": TWO}}, 0, 4),
        # A place has one name, or one number.
        ({"properties": {"a": {}, "b": TWO}}, 1, 4),
        ({"properties": {}}, 1, 1),
        ({"prefixItems": [{}, TWO, {}]}, 1, 4),
        # References lead somewhere within, and to the whole schema if they cannot be followed.
        ({"$ref": "#/$defs/two", "$defs": {"two": TWO}}, 0, 4),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": TWO}}, 0, 4),
        ({"$ref": "#/$defs/a~0b", "$defs": {"a~b": TWO}}, 0, 4),
        ({"$ref": "#/allOf/1", "allOf": [{}, TWO]}, 0, 8),
        ({"$ref": "#/nowhere"}, 0, 2),
        ({"$ref": "#"}, 3, 2),
        ({"items": {"$ref": "#"}}, 3, 7),
    ],
)
def test_steps_are_counted_by_place(schema: dict[str, Any], depth: int, steps: int) -> None:
    assert _steps(json.dumps(schema), depth) == steps


def chained(length: int) -> dict[str, Any]:
    parts = {str(n): {"$ref": f"#/$defs/{n + 1}"} for n in range(length)}
    return {"$ref": "#/$defs/0", "$defs": {**parts, str(length): {}}}


def test_hundreds_of_references_that_lead_to_each_other_are_too_many() -> None:
    assert _steps(json.dumps(chained(50)), 0) == 52
    assert _steps(json.dumps(chained(2_000)), 0) == _MOST_TRIED + 1
    with pytest.raises(TimeoutError, match="alternatives take too many steps"):
        misfits(json.dumps(chained(2_000)), {})


@pytest.mark.parametrize(
    ("value", "depth"), [(7, 0), ([], 0), ([1], 1), ({"a": [1, {"b": 2}]}, 3), ({"a": {}}, 1)]
)
def test_a_value_is_as_deep_as_its_deepest_part(value: object, depth: int) -> None:
    assert _depth(value) == depth


def test_a_long_message_loses_its_middle() -> None:
    assert _shortened("x" * 240) == "x" * 240
    assert _shortened("a" * 81 + "z" * 160) == f"{'a' * 80} … {'z' * 160}"


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf")])
def test_a_number_to_compare_with_is_finite(value: float) -> None:
    kinds: TypeAdapter[Any] = TypeAdapter(Check)
    for check in ({"kind": "equals", "value": value}, {"kind": "number", "value": value}):
        with pytest.raises(ValidationError, match="finite number"):
            kinds.validate_python(check)
