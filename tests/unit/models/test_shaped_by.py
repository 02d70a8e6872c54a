"""What is recorded of the settings of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from refinecli.models.engine import open_engine
from refinecli.report.compare import set_apart
from refinecli.settings.load import load
from refinecli.text.json_text import digest
from refinecli.types import JSONObject


class Quiet:
    def notice(self, text: str) -> None: ...
    def detail(self, text: str) -> None: ...


def recorded(
    sets: Sequence[str] = (), roles: Sequence[str] = ("policy", "reviser", "grader"), **more: Any
) -> JSONObject:
    flags = {"policy.model": "m", "policy.base_url": "http://localhost:1/v1"}
    settings = load(flags, sets, {})

    async def made() -> JSONObject:
        async with open_engine(settings, roles, more, Quiet()) as engine:
            return engine.made_with.shaped_by

    return asyncio.run(made())


def test_defaults_are_not_recorded() -> None:
    assert recorded() == {}


def test_what_was_set_is_recorded_by_its_name_and_inherited_values_once() -> None:
    sets = ["policy.system=Be brief.", "policy.temperature=0.5", "grade.mode=verdict"]
    found = recorded([*sets, "run.seed=7", "policy.retries=9"], threshold=0.5)
    assert found == {
        "run.seed": 7,
        "grade.mode": "verdict",
        "threshold": 0.5,
        "policy.system": "Be brief.",
        "policy.temperature": 0.5,
    }


def test_a_long_text_is_its_digest_and_its_beginning() -> None:
    long = "word " * 100
    found = recorded([f"policy.system={long}"])["policy.system"]
    assert found["begins"] == long[:200]
    assert found.keys() == {"digest", "begins"}
    other = recorded([f"policy.system={long}."])["policy.system"]
    assert found["digest"] != other["digest"]


def test_a_secret_in_extra_body_is_recorded_as_its_digest() -> None:
    found = recorded(["policy.extra_body={top_k = 5, meta = {api_key = 'x', token = ['y', 1]}}"])
    given = found["policy.extra_body"]
    assert given == {
        "top_k": 5,
        "meta": {"api_key": digest("x"), "token": [digest("y"), 1]},
    }


def test_no_value_of_a_header_or_a_url_is_recorded() -> None:
    found = recorded(
        ['policy.headers={"X-Team" = "hush-hush"}', "grader.base_url=http://localhost:2/v1?k=hush"]
    )
    assert "hush" not in str(found)
    assert "X-Team" in str(found)


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2, "b": 3}, {"settings": {"a": [1, 2], "b": [None, 3]}}),
    ],
)
def test_two_runs_differ_in_what_only_one_has_or_both_have_otherwise(
    old: JSONObject, new: JSONObject, differ: JSONObject
) -> None:
    assert set_apart(old, new) == differ


def test_options_that_came_later_change_the_digest_only_where_they_are_set() -> None:
    def digest(*sets: str) -> str:
        flags = {"policy.model": "m", "policy.base_url": "http://localhost:1/v1"}
        settings = load(flags, sets, {})

        async def made() -> str:
            async with open_engine(settings, ("policy", "grader"), {}, Quiet()) as engine:
                return engine.made_with.settings

        return asyncio.run(made())

    assert digest() == digest("grade.batch_items=1", "grade.gate=false") == "93ca39aa94bb77f2"
    assert recorded(["grade.gate=true"]) == {"grade.gate": True}
    assert digest("grade.batch_items=4") != digest()
    assert recorded(["grade.batch_items=4"]) == {"grade.batch_items": 4}
