"""A whole input through one piece of work: rows in, output lines in order, a summary.

Source -> read_row -> pool.ordered_map(work) -> Sink
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from refinecli.data.output_lines import Outcome
from refinecli.data.repeats import Occurrences
from refinecli.data.rows import Row, read_row, unreadable_record
from refinecli.data.sinks import Sink
from refinecli.data.sources import Source
from refinecli.errors import InputError
from refinecli.runs.ordered_map import ordered_map
from refinecli.runs.summary import Summary
from refinecli.text.json_text import canonical, dumps
from refinecli.types import Datapoint, JSONObject

# Seconds that replies have to come in, and be kept, when the run ends early.
_PATIENCE = 10.0

Work = Callable[[Row], Awaitable[Outcome]]
Seen = tuple[Occurrences, Occurrences]  # the ids and the conversations of earlier rows
Reader = Callable[[bytes, int, str, Sequence[JSONObject]], Row]  # `read_row`, or what is like it


@dataclass(frozen=True, slots=True)
class Input:
    """The rows to work on: the sources in their order, the most to read of them all, the rubric
    added to every row, and the reader of a line."""

    source: Source
    rubric: Sequence[JSONObject] = ()
    limit: int | None = None
    reader: Reader = read_row
    more: Sequence[Source] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.source, *self.more)

    @property
    def rereadable(self) -> bool:
        """True where all of it can be read twice."""
        return all(source.rereadable for source in self.sources)

    def all_rows(self) -> Iterator[Row]:
        """Yield all rows, waiting for each; a source that cannot be read again is used up."""
        seen = Occurrences(), Occurrences()
        lines = ((source, *line) for source in self.sources for line in source.read())
        for source, number, line in islice(lines, self.limit):
            yield self._row(source, number, line, seen)

    def _row(self, source: Source, number: int, line: bytes, seen: Seen) -> Row:
        row = self.reader(line, number, source.name, self.rubric)
        if self.more:
            row = row._replace(file=source.name)
        datapoint = row.datapoint
        if datapoint is None:
            return row
        ids, convos = seen
        occurrence, same_convo = ids.next(datapoint.id), convos.next(canonical(datapoint.convo))
        if not same_convo and not occurrence:
            return row
        update = {"occurrence": occurrence, "convo_occurrence": same_convo}
        return row._replace(datapoint=datapoint.model_copy(update=update))

    async def stream(self) -> AsyncGenerator[Row, None]:
        """Yield all rows as they arrive; rows with the same id or conversation are told apart."""
        seen = Occurrences(), Occurrences()
        count = 0
        if self.limit == 0:
            return
        for source in self.sources:
            async with aclosing(source.stream()) as lines:
                async for number, line in lines:
                    count += 1
                    yield self._row(source, number, line, seen)
                    if count == self.limit:  # not one line more: it may never come
                        return


class Counted(NamedTuple):
    """The number of rows, of those that cannot be used, and whether a model grades any."""

    rows: int
    bad: int
    asks_grader: bool


def count_rows(source: Input, on_error: Callable[[InputError], None]) -> Counted:
    """Read all rows once, and hand each that cannot be used to `on_error`."""
    rows = bad = 0
    asks_grader = False
    for row in source.all_rows():
        rows += 1
        if row.error:
            bad += 1
            on_error(row.error)
        elif row.datapoint and not asks_grader:
            asks_grader = any(item.check is None for item in row.datapoint.rubric_items)
    return Counted(rows, bad, asks_grader)


async def run(
    source: Input,
    work: Work,
    sink: Sink,
    summary: Summary,
    *,
    concurrency: int,
    on_finished: Callable[[], None],
    on_outcome: Callable[[Outcome], None],
    on_note: Callable[[str], None],
    on_unsettled: Callable[[Datapoint], None] | None = None,
) -> None:
    """Work on every row and write every result, in order.

    A line that could not be read becomes an `error` record; one that an earlier command could not
    read passes through. `on_finished` is called as each row comes to its end, `on_outcome` as each
    is written, in order, `on_note` once for each thing that looks like a slip, and `on_unsettled`
    for each datapoint that failed or stayed ungraded. Raises what the work raises, after the lines
    before it were written.
    """

    noted: set[str] = set()

    async def outcome(row: Row) -> Outcome:
        if row.note and row.note not in noted:
            noted.add(row.note)
            on_note(f"{row.file or source.source.name}:{row.line}: {row.note}")
        result = (await finish(row))._replace(line=row.line, file=row.file)
        on_finished()
        return result

    async def finish(row: Row) -> Outcome:
        if row.error:
            why = row.error.message
            return Outcome(unreadable_record(row), "failed", failures=("input",), why=why)
        if row.datapoint is None:
            return Outcome(row.raw, "failed", failures=("input",))
        result = await work(row)
        if result.status != "done" and on_unsettled:
            on_unsettled(row.datapoint)
        return result

    # Enough rows started to keep every request slot busy; enough waiting in order behind a slow one
    # that it does not hold the others up, and few enough that memory stays bounded.
    results = ordered_map(
        source.stream(),
        outcome,
        active=concurrency,
        window=max(256, 8 * concurrency),
        patience=_PATIENCE,
    )
    try:
        async with aclosing(results):
            async for result in results:
                await sink.write(dumps(result.record))
                summary.add(result)
                on_outcome(result)
    finally:
        await sink.drain()
