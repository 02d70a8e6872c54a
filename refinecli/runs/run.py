"""Run a whole input through one piece of work: rows in, output lines in order, a summary.

Source -> read_row -> ordered_map(work) -> Sink
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from refinecli.data.output_lines import Outcome
from refinecli.data.repeats import Repeats
from refinecli.data.rows import Row, read_row, unreadable_record
from refinecli.data.sinks import Sink
from refinecli.data.sources import Source
from refinecli.errors import InputError, UsageError
from refinecli.runs.ordered_map import Places, ordered_map
from refinecli.stats.wording import plural
from refinecli.text.json_text import dumps
from refinecli.types import Datapoint, JSONObject

if TYPE_CHECKING:
    from refinecli.models.engine import Engine
    from refinecli.runs.lifecycle import Started
    from refinecli.runs.shards import Shard

# Seconds that replies have to come in, and be kept, when the run ends early.
_PATIENCE = 10.0

Work = Callable[[Row], Awaitable[Outcome]]
Reader = Callable[[bytes, int, str, Sequence[JSONObject]], Row]  # `read_row`, or what is like it


class Input(NamedTuple):
    """The rows to work on: the sources in order, the most rows to read from all of them, the rubric
    added to every row, the reader of a line, and further remarks on a datapoint. Of those rows the
    first `skip` are read only so that later ones are numbered as in the whole."""

    source: Source
    rubric: Sequence[JSONObject] = ()
    limit: int | None = None
    reader: Reader = read_row
    more: Sequence[Source] = ()
    remarks: Callable[[Datapoint], tuple[str, ...]] = lambda datapoint: ()
    skip: int = 0

    @property
    def sources(self) -> tuple[Source, ...]:
        return (self.source, *self.more)

    @property
    def rereadable(self) -> bool:
        """True if everything can be read twice."""
        return all(source.rereadable for source in self.sources)

    def all_rows(self) -> Iterator[Row]:
        """Yield all rows, waiting for each; a source that cannot be read again is used up."""
        seen = Repeats()
        lines = ((source, *line) for source in self.sources for line in source.read())
        rows = (self._row(*line, seen) for line in islice(lines, self.limit))
        yield from islice(rows, self.skip, None)

    def _row(self, source: Source, number: int, line: bytes, seen: Repeats) -> Row:
        row = self.reader(line, number, source.name, self.rubric)
        if self.more:
            row = row._replace(file=source.name)
        if row.datapoint is None:
            return row
        datapoint = seen.told_apart(row.datapoint)
        if datapoint is not row.datapoint:
            row = row._replace(datapoint=datapoint)
        remarks = self.remarks(datapoint)
        return row._replace(remarks=remarks) if remarks else row

    async def stream(self) -> AsyncGenerator[Row, None]:
        """Yield all rows as they arrive, numbering those with the same id or conversation."""
        seen = Repeats()
        count = 0
        if self.limit == self.skip:
            return
        for source in self.sources:
            async with aclosing(source.stream()) as lines:
                async for number, line in lines:
                    count += 1
                    row = self._row(source, number, line, seen)
                    if count > self.skip:
                        yield row
                    if count == self.limit:  # not one line more: it may never come
                        return


@dataclass(slots=True)
class Count:
    """The number of rows, of those that cannot be used, and whether a model grades any."""

    rows: int = 0
    bad: int = 0
    asks_grader: bool = False

    def of(self, rows: Iterable[Row], on_error: Callable[[InputError], None]) -> Iterator[Row]:
        """Count the rows as they pass; `on_error` gets what is wrong with each that cannot be
        used."""
        for row in rows:
            self.rows += 1
            if row.error:
                self.bad += 1
                on_error(row.error)
            elif row.datapoint and not self.asks_grader:
                self.asks_grader = any(item.asks_grader for item in row.datapoint.rubric_items)
            yield row


def place_of(
    command: str, rows: Input, sink: Sink | None, shard: Shard | None = None
) -> JSONObject:
    """Return what distinguishes a run from others with the same settings."""
    # As seen from the output: a folder with both may be moved and mounted elsewhere.
    folder = sink.path.parent if sink and sink.path else Path.cwd()
    sources = [
        os.path.relpath(source.path.resolve(), folder)
        if source.path and source.rereadable
        else source.name
        if source.remote
        else "-"
        for source in rows.sources
    ]
    target = sink.target if sink else None
    output = target.key if target else str(sink.path) if sink and sink.path else "-"
    return {
        "command": command,
        "input": sources if rows.more else sources[0],
        "output": output,
        "rubric": list(rows.rubric),
        **({"shard": str(shard)} if shard else {}),
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class WorkOnRows:
    """The body of a job that works on rows and writes a line for each, in order, to the sink where
    there is one.

    A line that could not be read becomes an `error` record; one that an earlier command could not
    read passes through. `places` are those of rows in work, where the work itself has to know
    them. `on_outcome` is called as each line is written, `on_note` once for each
    thing that is worth saying, such as a probable slip. Raises what the work raises, after the
    lines before it were written.
    """

    rows: Input
    total: int | None
    work: Callable[[Engine], Work]
    sink: Sink | None
    on_outcome: Callable[[Outcome], None]
    on_note: Callable[[str], None]
    places: Places | None = None

    async def __call__(self, started: Started) -> None:
        work = self.work(started.engine)
        noted: set[str] = set()

        async def outcome(row: Row) -> Outcome | None:
            for note in row.notes:
                if note not in noted:
                    noted.add(note)
                    self.on_note(f"{row.file or self.rows.source.name}:{row.line}: {note}")
            if (result := await _finished(row, work, started)) is None:
                return None
            started.summary.finished += 1
            return result._replace(line=row.line, file=row.file)

        # Enough rows started to keep every request slot busy; enough waiting in order behind a slow
        # one that it does not hold the others up, and few enough that memory stays bounded.
        concurrency = started.engine.limits.concurrency
        results = ordered_map(
            self.rows.stream(),
            outcome,
            active=self.places or concurrency,
            window=max(256, 8 * concurrency),
            patience=_PATIENCE,
        )
        try:
            async with aclosing(results):
                async for result in results:
                    if started.waves and started.waves.parked:
                        continue
                    assert result is not None
                    if self.sink:
                        await self.sink.write(dumps(result.record))
                    started.summary.add(result)
                    self.on_outcome(result)
        finally:
            if self.sink:
                await self.sink.drain()
        if started.waves:
            started.waves.finish()
        self._check_all_came(started.summary.datapoints)

    def _check_all_came(self, came: int) -> None:
        if self.total is None or came >= self.total:
            return
        name = "the input" if self.rows.more else self.rows.source.name
        raise UsageError(
            f"{name}: {plural(came, 'line')} could be read of the {self.total:,} that it "
            "had at the start",
            "leave the input as it is while a run reads it; run the same command to continue",
        )


async def _finished(row: Row, work: Work, started: Started) -> Outcome | None:
    """Return the row's outcome; None if it waits for a wave."""
    if row.error:
        why = row.error.message
        return Outcome(unreadable_record(row), "failed", failures=("input",), why=why)
    if row.datapoint is None:
        return Outcome(row.raw, "failed", failures=("input",))
    if started.waves:
        from refinecli.models.batch.waves import row_of_a_wave

        with row_of_a_wave() as waiting:
            result = await work(row)
        if waiting.parked:
            started.waves.parked += 1
            return None
    else:
        result = await work(row)
    if result.status != "done":
        started.unsettled(row.datapoint)
    return result
