"""Run one shard in a process of the cluster: the ordinary run over a part, with its own cache,
which is copied to where all nodes see it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from refinecli.data.output_lines import Outcome
from refinecli.data.rows import read_row
from refinecli.data.sinks import Sink
from refinecli.data.sources import Source, file_digest, in_daemon_thread
from refinecli.errors import RefineError, UsageError
from refinecli.grading.own_templates import lost_penalties
from refinecli.models.cache.copying import copy_of_moment
from refinecli.models.traffic import Traffic
from refinecli.runs.cluster.folder import (
    Folder,
    cache_file,
    copy_whole,
    counted,
    outcomes_file,
    record_file,
)
from refinecli.runs.cluster.limiter import Beat, RemoteLimiter
from refinecli.runs.cluster.node_folder import node_folder
from refinecli.runs.cluster.shard_work import RowWork
from refinecli.runs.lifecycle import Ended, Job, Started, carry_out
from refinecli.runs.run import Input, WorkOnRows
from refinecli.runs.run_cache import RunCache
from refinecli.runs.shards import PartOf, Shard
from refinecli.runs.summary import Summary
from refinecli.settings.load import Settings
from refinecli.types import JSONObject

_BEAT = 1.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Whole:
    """The run that all shards are of, as it is sent to their processes.

    `described` distinguishes it from other runs. `source` has `rows` rows up to `limit`, and the
    bytes of `digest`. A shard works in the `folder` itself unless it copies there, each time
    after `copies` seconds, from a disk of its own.
    """

    settings: Settings
    roles: Sequence[str]
    shapes: JSONObject
    command: str
    described: JSONObject
    work: Callable[[], RowWork]
    rubric: Sequence[JSONObject]
    source: Path
    digest: str
    rows: int
    limit: int | None
    folder: Folder
    copies: float | None
    restart: bool

    def input_of(self, shard: Shard) -> Input:
        """Return the rows of a shard."""
        places = shard.rows(self.rows)
        remarks = partial(lost_penalties, self.settings.prompts, self.settings.grade)
        source = Source(str(self.source), most=self.settings.run.line_bytes)
        return Input(source, self.rubric, places.stop, read_row, remarks=remarks, skip=places.start)

    def place_of(self, shard: Shard) -> JSONObject:
        """Return what distinguishes the run of a shard from others with the same settings."""
        return {
            "command": self.command,
            "input": os.path.relpath(self.source, self.folder.path),
            "output": self.folder.part(shard).name,
            "rubric": list(self.rubric),
            "shard": str(shard),
        }


class ShardEnd(NamedTuple):
    """The end of a shard: its exit code, where it ran, and the error that ended it."""

    code: int
    host: str
    error: RefineError | None


def run_shard(whole: Whole, shard: Shard, attempt: int, limiter: RemoteLimiter) -> ShardEnd:
    """Run a shard to its end, whatever that is."""
    host = socket.gethostname()
    try:
        _check_node(whole, host)
        with _desk(whole, shard) as part:
            ended = _ShardRun(whole, shard, attempt, limiter, part).go()
            return ShardEnd(ended.code, host, ended.error)
    except RefineError as error:
        return ShardEnd(error.exit_code, host, error)


def _check_node(whole: Whole, host: str) -> None:
    """Raise UsageError where this node does not see the same files."""
    if not whole.folder.is_of(whole.described):
        raise UsageError(
            f"node {host}: {whole.folder.path} is not there, or is another folder",
            "write to a folder that every node sees under the same path",
        )
    try:
        same = file_digest(whole.source) == whole.digest
    except OSError as error:
        raise UsageError(
            f"node {host}: {whole.source}: {error.strerror}",
            "put the input where every node can read it under the same path",
        ) from None
    if not same:
        raise UsageError(
            f"node {host}: {whole.source} is another file, or has changed",
            "give every node the same input, and leave it as it is while the run lasts",
        )


@contextmanager
def _desk(whole: Whole, shard: Shard) -> Iterator[Path]:
    """Provide the file to write the part to: its own, or one on this node's disk, where the copied
    cache is, and from which all is copied at the end."""
    there = whole.folder.part(shard)
    if whole.copies is None:
        yield there
        return
    with node_folder() as folder:
        here = folder / there.name
        if cache_file(there).exists():
            copy_whole(cache_file(there), cache_file(here))
        try:
            yield here
        finally:
            _copy_cache(here, there)
        for file_of in (
            _itself,
            outcomes_file,
            record_file,
        ):  # what makes it a finished part is last
            if record_file(here).exists():
                copy_whole(file_of(here), file_of(there))


def _itself(part: Path) -> Path:
    return part


def _copy_cache(here: Path, there: Path) -> None:
    if not cache_file(here).exists():
        return
    moment = here.with_name(f"{here.name}.copy")
    copy_of_moment(cache_file(here), moment)
    copy_whole(moment, cache_file(there))


class _Notes:
    """A display that keeps what is worth knowing until it is sent."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def notice(self, text: str) -> None:
        self._lines.append(text)

    def detail(self, text: str) -> None:
        pass

    def start(
        self, total: int | None, summary: Summary, traffic: Traffic, *, data_below: bool = False
    ) -> None:
        pass

    def stop(self) -> None:
        pass

    def taken(self) -> tuple[str, ...]:
        """Return the lines since the last time."""
        lines, self._lines = tuple(self._lines), []
        return lines


class _ShardRun:
    """One try of one shard, which writes to `part`."""

    def __init__(
        self, whole: Whole, shard: Shard, attempt: int, limiter: RemoteLimiter, part: Path
    ) -> None:
        self._whole = whole
        self._shard = shard
        self._attempt = attempt
        self._limiter = limiter
        self._part = part
        self._sink = Sink(str(part), force=True, continues=True)
        self._notes = _Notes()
        self._stack = ExitStack()

    def go(self) -> Ended:
        """Run it; a part with rows to be asked for again keeps them apart in its cache, whatever
        the whole run allows."""
        whole, part = self._whole, self._part
        places = self._shard.rows(whole.rows)
        run = replace(whole.settings.run, max_errors="0")
        job = Job(
            settings=replace(whole.settings, run=run),
            roles=whole.roles,
            shapes=whole.shapes,
            place=whole.place_of(self._shard),
            body=self._body,
            sink=self._sink,
            forced=True,
            cache=RunCache(
                cache_file(part),
                is_default=True,
                stays=True,
                temporary=True,
                restart=whole.restart,
            ),
            total=len(places),
            part=PartOf(self._shard, len(places), whole.limit, whole.digest),
            leases=self._limiter,
        )
        with self._stack:
            return carry_out(job, self._notes)

    async def _body(self, started: Started) -> None:
        """Work on the rows, say how far that is, and copy the cache from time to time; cancel the
        work when nobody wants it any more."""
        unfinished = outcomes_file(self._part).with_suffix(".outcomes-partial")
        outcomes = cast(BinaryIO, self._stack.enter_context(unfinished.open("wb")))
        others: list[Coroutine[Any, Any, None]] = [self._beats(started)]
        if self._whole.copies is not None:
            others.append(self._copies(self._whole.copies))
        work = asyncio.ensure_future(self._rows(outcomes)(started))
        tasks = [asyncio.ensure_future(other) for other in others]
        try:
            await asyncio.wait({work, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            work.cancel()  # which does nothing once it is done
            await work
        finally:
            for task in tasks:
                task.cancel()
            with suppress(Exception):  # the limiter may be gone
                await self._beat(started)
                await self._limiter.give_back(started.engine.limits.unused)
        outcomes.flush()
        unfinished.replace(outcomes_file(self._part))

    def _rows(self, outcomes: BinaryIO) -> WorkOnRows:
        work, places = self._whole.work()

        def on_outcome(outcome: Outcome) -> None:
            outcomes.write(counted(outcome))

        return WorkOnRows(
            rows=self._whole.input_of(self._shard),
            total=len(self._shard.rows(self._whole.rows)),
            work=work,
            sink=self._sink,
            on_outcome=on_outcome,
            on_note=self._notes.notice,
            places=places,
        )

    async def _beats(self, started: Started) -> None:
        """Beat until the answer is no, or nobody answers."""
        while await self._beat(started):  # noqa: ASYNC110 - nothing is waited for
            await asyncio.sleep(_BEAT)

    async def _beat(self, started: Started) -> bool:
        traffic = replace(started.engine.limits.traffic)
        finished = started.summary.finished
        place = self._shard.index, self._attempt, socket.gethostname()
        return await self._limiter.beat(Beat(*place, finished, traffic, self._notes.taken()))

    async def _copies(self, seconds: float) -> None:
        there = self._whole.folder.part(self._shard)
        while True:
            await asyncio.sleep(seconds)
            try:
                await in_daemon_thread(_copy_cache, self._part, there)
            except OSError as error:
                self._notes.notice(f"{cache_file(there)}: cannot be copied: {error.strerror}")
