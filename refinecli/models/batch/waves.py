"""Answer from results that came by files, and write down what is missing, for the next wave.

A run passes over its rows without sending anything. A row that misses a reply is *parked*: its
requests are written into the wave, its line is not. Once no row can continue, the wave is complete
and the run ends; the same command, run when the results are there, continues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from refinecli.data.repeats import Occurrences
from refinecli.errors import CompletionError, UsageError, WaveError, option
from refinecli.grading.estimate import CHARACTERS_PER_TOKEN
from refinecli.models.batch.wave_files import (
    Answered,
    NewWave,
    custom_id,
    files_of,
    latest_wave,
    names_of,
)
from refinecli.models.budget import Amount
from refinecli.models.http import Reply
from refinecli.models.retries import RetryableError
from refinecli.prompts import message_text
from refinecli.stats.wording import plural
from refinecli.types import Completion

if TYPE_CHECKING:
    from refinecli.models.attempt import Sender
    from refinecli.models.cache.store import Facts
    from refinecli.models.request import Request

# Turns of the event loop in which calls that are made side by side have all begun.
_TURNS = 8


class ParkedError(CompletionError):
    """A call whose reply is not there yet."""

    def __init__(self) -> None:
        super().__init__("offline", "it waits for the next wave")


@dataclass(slots=True)
class ParkedRow:
    """A row as its calls see it: parked once one of them has nothing to return."""

    parked: bool = False
    _storing: int = 0  # replies of the row that came, and are being written to disk
    _stored: asyncio.Event = field(default_factory=asyncio.Event)

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Note that a reply is being written, for as long as the block lasts."""
        self._storing += 1
        self._stored.clear()
        try:
            yield
        finally:
            self._storing -= 1
            if not self._storing:
                self._stored.set()

    async def settled(self) -> None:
        """Return once all calls have begun that do not depend on one that is parked: those that
        follow a reply begin when that is on disk."""
        turns = 0
        while turns < _TURNS:
            if self._storing:
                await self._stored.wait()
                turns = 0
            await asyncio.sleep(0)
            turns += 1


_ROW: ContextVar[ParkedRow | None] = ContextVar("row", default=None)


@contextmanager
def row_of_a_wave() -> Iterator[ParkedRow]:
    """Note, for as long as the block lasts, whether a call within it was parked."""
    row = ParkedRow()
    token = _ROW.set(row)
    try:
        yield row
    finally:
        _ROW.reset(token)


class Waves:
    """The waves of one folder, and the one that is being written.

    `open` says which wave's results are of interest, and raises WaveError where none have come.
    """

    def __init__(self, folder: Path, discount: float = 1.0) -> None:
        self.folder = folder
        self.discount = discount  # the share of a price that is paid
        self.parked = 0  # rows
        self.requests = 0  # that wait to be answered
        self._fact = f"waves that are over in {folder.resolve()}"
        self._facts: Facts | None = None
        self._answered: Answered | None = None
        self._new = NewWave(folder, 1)
        self._written = Occurrences()
        self._endpoints: set[tuple[str, str]] = set()

    def open(self, facts: Facts) -> None:
        """Find the latest wave, and what came for it."""
        self._facts = facts
        self._find(facts)

    def _find(self, facts: Facts | None) -> None:
        latest = latest_wave(self.folder)
        found = facts.get(self._fact) if facts else None
        over = found if isinstance(found, int) else 0
        # Where the folder was removed since, no number is used twice.
        self._new = NewWave(self.folder, max(latest, over) + 1)
        if latest > over:
            self._answered = Answered(self.folder, latest)
            if not self._answered.results:
                self.requests = self._answered.requests
                files, strays = files_of(self.folder, latest), self._answered.strays
                raise _waiting(files, self._answered.requests, strays=strays)

    def asks(self, url: str, model: str) -> None:
        """Note an endpoint and a model that the run may ask."""
        self._endpoints.add((url, model))
        self._new.names = names_of(self._endpoints)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Park the row with a call that is parked. One that begins after that may depend on it, so
        it must not be written down."""
        row = _ROW.get() or ParkedRow()
        if row.parked:
            raise ParkedError
        try:
            yield
        except ParkedError:
            row.parked = True
            raise

    async def answer(self, request: Request, sender: Sender) -> Completion:
        """Return the reply that came, or park the call; raises the CompletionError of a request
        that has failed as often as it may."""
        tries = self._answered.tries(request.key) if self._answered else 0
        row = _ROW.get() or ParkedRow()
        try:
            if tries:
                with row.storing():
                    return await sender.take(request, self._came(request, tries))
        except RetryableError as error:
            if tries > sender.role.retries:
                raise sender.endpoint.health.given_up(error) from None
        await self._park(request, sender, tries + 1)
        await row.settled()
        raise ParkedError

    def _came(self, request: Request, tries: int) -> Reply:
        assert self._answered is not None
        result = self._answered.result(request.key)
        if result is None or result.status is None:
            why = result.error if result else "nothing came back"
            raise RetryableError("no_answer", f"wave {self._new.number - 1}, try {tries}: {why}")
        return Reply(result.status, {}, result.body)

    async def _park(self, request: Request, sender: Sender, tries: int) -> None:
        """Write a request down, once, whoever asks."""
        if self._written.next(request.key):
            return
        left = Amount()  # so that the estimate is not all that is left
        wanted = sender.spending.estimate(request.body, request.data, left)
        with await sender.limits.reserve(lambda _: wanted) as reservation:
            reservation.took = wanted
        line = {
            "custom_id": custom_id(self._new.number, tries, request.key),
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": orjson.Fragment(request.data),
        }
        self._new.add(sender.endpoint.url, sender.endpoint.model, orjson.dumps(line))

    def finish(self) -> None:
        """Put the wave into place and raise WaveError, if it has requests; otherwise note that all
        earlier ones are over."""
        if not self.parked:
            if self._facts:
                self._facts.learn(self._fact, self._new.number - 1)
            return
        self._new.finish()
        self.requests = sum(self._new.counts.values())
        raise _waiting(list(self._new.counts), self.requests, self.parked)

    def close(self) -> None:
        """Remove a wave that is not finished."""
        self._new.discard()
        if self._answered:
            self._answered.close()


class WaveAhead(Waves):
    """The wave that a run would write now: counted, and not written."""

    def __init__(self, folder: Path, discount: float = 1.0) -> None:
        super().__init__(folder, discount)
        self.characters = 0  # of prompts
        self.cost = 0.0  # of prompts, and of the longest replies, except `unbounded` ones
        self.unbounded = 0

    def look(self, facts: Facts | None) -> str:
        """Find the latest wave; return what is said of one that nothing came for."""
        if self.folder.is_dir():
            try:
                self._find(facts)
            except WaveError as waiting:
                return waiting.message
        return ""

    @property
    def number(self) -> int:
        """The number of the wave."""
        return self._new.number

    async def _park(self, request: Request, sender: Sender, tries: int) -> None:
        sender.limits.traffic.missing += 1
        if self._written.next(request.key):
            return
        body, role = request.body, sender.role
        characters = sum(len(message_text(message)) for message in body["messages"])
        longest = body.get("max_tokens") or body.get("max_completion_tokens") or 0
        self.requests += 1
        self.characters += characters
        self.unbounded += not longest
        into, out = role.input_price or 0.0, role.output_price or 0.0
        tokens = characters / CHARACTERS_PER_TOKEN
        self.cost += (tokens * into + longest * out) / 1e6 * self.discount


def _waiting(files: list[Path], requests: int, rows: int = 0, strays: int = 0) -> WaveError:
    names = ", ".join(map(str, files))
    results = files[0].with_name(f"{files[0].stem}.results.jsonl")
    datapoints = plural(rows, "datapoint")
    there = "1 result is" if strays == 1 else f"{strays:,} results are"
    waiting = f", without which {datapoints} cannot continue" if rows else ""
    other = f"; {there} there, all for other requests" if strays else ""
    return WaveError(
        f"requests to be answered: {requests:,} in {names}{waiting}{other}",
        f"send them as a provider's batch or through `vllm run-batch`, and put the results into "
        f"{files[0].parent}, such as {results.name}",
    )


def check_models(folder: Path, flag: str, *, local: bool, unnamed: bool) -> None:
    """Raise UsageError where a wave cannot ask the models that are named, or the folder cannot
    be one. `flag` is the option that asks for waves."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{option('batch_files', folder)}: is not a folder", "name a folder")
    if local:
        raise UsageError(
            f"{option(flag)} means nothing to the embedded model",
            f"name the model that will answer: {option('model', 'MODEL')}",
        )
    if unnamed:
        raise UsageError(
            f"{option(flag)} asks no endpoint, so it cannot ask for its model",
            f"name it: {option('model', 'MODEL')}",
        )
