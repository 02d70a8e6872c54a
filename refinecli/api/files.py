"""Datapoints and rubrics from files, as the commands read them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from refinecli.api.arguments import StrPath, location_in
from refinecli.data.rubric_file import read_rubric
from refinecli.data.sources import Source
from refinecli.errors import InputError
from refinecli.runs.run import Input
from refinecli.types import Datapoint, JSONObject, RubricItem

Rubric: TypeAlias = StrPath | Iterable[str | RubricItem | JSONObject]


def read_datapoints(
    path: StrPath, *, rubric: Rubric | None = None, limit: int | None = None
) -> Iterator[Datapoint]:
    """Yield the datapoints of a JSONL file or URL (.gz, .zst and .parquet too), as the commands do.

    `rubric` is added to every row: a file, or items; one with a name of its own replaces the row's
    item of that name. Raises InputError with the line's number at a line that cannot be used.
    """
    source = Source(location_in(path, "path"))
    notes: list[str] = []
    rows = Input(source, items_of(rubric, notes), limit)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return _datapoints(rows)


def _datapoints(rows: Input) -> Iterator[Datapoint]:
    for row in rows.all_rows():
        if error := row.error:
            message, hint = error.args
            where, line = error.where, error.line
            raise InputError(f"{where}: {message}", hint, where=where, line=line)
        if row.datapoint is not None:
            yield row.datapoint


def items_of(rubric: Rubric | None, notes: list[str]) -> list[JSONObject]:
    """Return a rubric's items as a line has them, and add to `notes` what looks like a slip."""
    if rubric is None:
        return []
    if isinstance(rubric, str | os.PathLike):
        return read_rubric(location_in(rubric, "rubric"), notes.append)
    items = [RubricItem(item) if isinstance(item, str) else item for item in rubric]
    return [item.given() if isinstance(item, RubricItem) else item for item in items]


def load_rubric(path: StrPath) -> list[RubricItem]:
    """Return the items of a rubric file, for the `rubric_items` of datapoints.

    Warns of a key that is nearly one of an item's, which changes nothing.
    """
    known = RubricItem.model_fields
    notes: list[str] = []
    items = read_rubric(location_in(path, "path"), notes.append)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    return [
        RubricItem(**{key: value for key, value in item.items() if key in known}) for item in items
    ]
