"""Turn other projects' criteria into rubric items with names and weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from refinecli.data.rows import read_row
from refinecli.errors import InputError, option
from refinecli.generators.reading import Columns
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject

_LARGEST_WEIGHT = 1e9  # as for rubric items


def weighted_items(
    columns: Columns, name: str, item: Callable[[Columns], JSONObject]
) -> list[JSONObject]:
    """Make each object in the list into an item, with distinct names."""
    entries = columns.row.get(name)
    if not isinstance(entries, list) or not entries:
        problem = "field required" if entries is None else "expected a list of criteria"
        raise columns.fault(name, problem, "give a list of objects, one for each criterion")
    items = []
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise columns.fault(f"{name}[{index}]", "expected an object")
        items.append(item(Columns(columns.where, entry, f"{columns.prefix}{name}[{index}].")))
    if not any(made["weight"] > 0 for made in items):
        raise columns.fault(name, "no criterion counts in favour", "give one a weight above 0")
    for made, unique in zip(items, distinct(made["name"] for made in items), strict=True):
        made["name"] = unique
    return items


def distinct(names: Iterable[str]) -> Iterator[str]:
    """Yield `accuracy`, `accuracy#2`, `accuracy#3` where names repeat."""
    taken = set[str]()
    for name in names:
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}#{number}"
        taken.add(unique)
        yield unique


def weight(columns: Columns, name: str) -> int | float:
    value = columns.row.get(name)
    if value is None:
        raise columns.fault(name, "field required", "give a number, negative for a penalty")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise columns.fault(name, "expected a number")
    if abs(value) > _LARGEST_WEIGHT:
        raise columns.fault(name, "expected a number of at most a billion")
    return value


def labels(columns: Columns, name: str) -> list[str]:
    """Return the texts in a list that may be missing, without its nulls."""
    return entries(columns, name, "a string", lambda value: isinstance(value, str))


def entries(columns: Columns, name: str, kind: str, fits: Callable[[object], bool]) -> list[Any]:
    """Return the entries of a list that may be missing, without its nulls."""
    values = columns.row.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        raise columns.fault(name, "expected a list")
    for index, value in enumerate(values):
        if value is not None and not fits(value):
            raise columns.fault(f"{name}[{index}]", f"expected {kind}")
    return [value for value in values if value is not None]


def with_rubric(
    datapoints: Iterable[JSONObject],
    rubric: Sequence[JSONObject],
    on_note: Callable[[str], None],
) -> Iterator[JSONObject]:
    """Yield the datapoints with these items added, as every command adds those of a rubric file.

    `on_note` is called once with the name of each item that is replaced.
    """
    noted: set[str] = set()
    for number, datapoint in enumerate(datapoints, 1):
        row = read_row(dumps(datapoint), number, "rubric", rubric)
        if row.error is not None:
            message, hint = row.error.args
            raise InputError(f"datapoint {number} with {option('rubric')}: {message}", hint)
        for name in row.replaced:
            if name not in noted:
                noted.add(name)
                on_note(f'datapoint {number}: the rubric replaces the item "{name}"')
        yield row.raw
