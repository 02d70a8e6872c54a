"""Read a run's datapoints for the page: one short row each, and the details of those that fit.

The file is read twice, line by line: first for the rows, among which those worth a closer look come
first, then for their details.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from refinecli.data.sources import Source
from refinecli.errors import UsageError
from refinecli.report.html.blocks import Block, pack
from refinecli.report.html.details import detail, regraded
from refinecli.report.html.other_run import OtherRun
from refinecli.report.html.rows import Row, row_of
from refinecli.report.html.text import fields
from refinecli.text.json_text import loads
from refinecli.types import JSONObject

# Bytes of the lines that open to their details. Packed, these take about a fifth: a browser opens
# such a page at once, and most mail servers take it.
_MOST_BYTES = 64_000_000


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run's rows, the details of some in blocks, and a description of those."""

    rows: list[Row]
    blocks: list[Block]
    embedded: str


# From a line's number to its fresh grades by role, as their graders wrote them.
Replies: TypeAlias = Callable[[int], JSONObject]


def no_replies(line: int) -> JSONObject:
    """Return no fresh grades: none were asked for."""
    return {}


def read_run(
    run: Path | str, other: OtherRun | None = None, replies: Replies = no_replies
) -> RunPage:
    """Read the file of a run; of two, the newer one, with the `other` next to it."""
    source = Source(str(run), most=None)  # the report has looked at it
    if not source.rereadable:
        raise UsageError(
            f"{source.name}: a page needs a file that can be read twice", "give a regular file"
        )
    found, sizes = [], []
    for index, line, record, size in _records(source):
        row = row_of(index, record)
        found.append(other.compared(row, line) if other else row)
        sizes.append(size)
    chosen, words = _worth_a_look(found, sizes)
    return RunPage(found, list(pack(_details(source, chosen, other, replies))), words)


def _details(
    source: Source, chosen: Collection[int], other: OtherRun | None, replies: Replies
) -> Iterator[tuple[int, JSONObject]]:
    lines = {line for index, line, _, _ in _records(source) if index in chosen} if other else set()
    before = other.rows(lines) if other else {}
    for index, line, record, _ in _records(source):
        if index in chosen:
            shown = detail(record)
            if other and line in before:
                shown["before"] = other.before(line, before[line], record)
            if again := replies(line):
                shown["regraded"] = regraded(again)
            yield index, shown


def _records(source: Source) -> Iterator[tuple[int, int, JSONObject, int]]:
    """Yield each row's place, its line, its object, and its size."""
    for index, (line, text) in enumerate(source.read()):
        try:
            record = loads(text)
        except ValueError as error:
            record = {"error": {"type": "input", "line": line, "message": str(error)}}
        yield index, line, fields(record), len(text)


# ------------------------------------------------------------------ whose details


def _worth_a_look(
    found: Sequence[Row], sizes: Sequence[int], most: int = _MOST_BYTES
) -> tuple[set[int], str]:
    """Choose the datapoints whose details are in the page, and describe them."""
    if sum(sizes) <= most:
        return {row.place for row in found}, "Each opens to its responses, grades and changes."
    draw = random.Random(0)
    order = sorted(found, key=lambda row: (_interest(row), draw.random()))
    chosen: set[int] = set()
    room = most
    for row in order:
        room -= sizes[row.place]
        if room < 0:
            break
        chosen.add(row.place)
    words = (
        f"All {len(found):,} are in the table. A page has room for so much text: {len(chosen):,} "
        "of them open to their responses, grades and changes. These are first those that went from "
        "failing to passing or back, then those that do not pass, then others, at random."
    )
    return chosen, words


def _interest(row: Row) -> int:
    before = row.before[1] if row.before else row.passed
    if row.outcome in ("fixed", "broken") or before is not row.passed:
        return 0
    return 1 if not row.passed else 2
