"""The guide's reference follows the code: options, settings, fields of a rubric item."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from refinecli.checks.kinds import Check
from refinecli.generators import TASKS
from refinecli.prompts import PLACEHOLDERS
from refinecli.refining.strategies import STRATEGIES
from tests.support.reference import GUIDE, generated, without_meaning


@pytest.mark.parametrize("page", ["reference", "data"])
def test_the_reference_is_what_the_code_says(page: str) -> None:
    text = (GUIDE / f"{page}.md").read_text("utf-8")
    assert text == generated(page, text), "run: python -m tests.support.reference --write"
    assert not without_meaning(text), "say what these mean, in the last column of the page"


def test_a_row_without_a_meaning_is_seen() -> None:
    assert without_meaning("| setting | default | meaning |\n| `new` | `1` |  |\n") == ["`new`"]


# ------------------------------------------------------------------ tables written by hand


def rows(page: str, first: str) -> list[list[str]]:
    """The cells of the page's table whose first column is headed so."""
    text = (GUIDE / f"{page}.md").read_text("utf-8")
    table = text.partition(f"| {first} |")[2].partition("\n\n")[0]
    lines = table.splitlines()[2:]
    return [line.strip("|").split(" | ") for line in lines]


def names(cell: str) -> list[str]:
    return re.findall("`([^`]+)`", cell)


def test_the_table_of_strategies_has_all_and_what_each_asks() -> None:
    table = rows("strategies", "strategy")
    asked = {names(row[0])[0]: row[-1].replace("at the end", "").split(",") for row in table}
    found = {name: {role.strip() for role in roles} for name, roles in asked.items()}
    assert found == {name: set(strategy.roles) for name, strategy in STRATEGIES.items()}


def test_the_table_of_checks_has_all_kinds_and_their_options() -> None:
    kinds = {
        get_args(model.model_fields["kind"].annotation)[0]: {
            field.alias or name for name, field in model.model_fields.items() if name != "kind"
        }
        for model in get_args(get_args(Check)[0])
    }
    found: dict[str, set[str]] = {}
    same: set[str] = set()
    for kind, options, _ in rows("checks", "`kind`"):
        given = set(names(options)) - {"word", "text", "stem", "english"}
        same = same if "the same" in options else given
        found |= dict.fromkeys(names(kind), same)
    assert found == kinds


def test_the_table_of_templates_has_all_and_their_placeholders() -> None:
    found: dict[str, set[str]] = {}
    for template, _, given in rows("prompts", "template"):
        placeholders = set(re.findall(r"{{(\w+)}}", given))
        if "as `grader`" in given:
            placeholders = found["grader"]
        found |= dict.fromkeys(names(template), placeholders)
    assert found == {name: set(slots.allowed) for name, slots in PLACEHOLDERS.items()}


def test_the_page_about_data_names_every_task() -> None:
    text = (GUIDE / "data.md").read_text("utf-8")
    assert all(f"`{name}`" in text or f"generate-data {name}" in text for name in TASKS)
