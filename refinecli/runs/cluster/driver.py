"""Run the shards of a file as tasks of Ray's, and put their parts together in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from dataclasses import dataclass, field, fields
from functools import partial
from io import StringIO
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from refinecli.data.output_lines import Outcome
from refinecli.data.sinks import Sink
from refinecli.data.sources import in_daemon_thread
from refinecli.errors import BudgetError, RefineError, RunError, UsageError, option
from refinecli.models.budget import Amount
from refinecli.models.engine import budget_of
from refinecli.models.leases import Pace, Starts
from refinecli.models.local.child import processors
from refinecli.models.traffic import Traffic
from refinecli.runs.cluster.directory import Directory, manifest_of
from refinecli.runs.cluster.folder import record_file
from refinecli.runs.cluster.limiter import Beat, Limiter, State
from refinecli.runs.cluster.shard_run import ShardEnd, Whole, run_shard
from refinecli.runs.lifecycle import Started
from refinecli.runs.shards import Part, Shard, parts_in_order
from refinecli.runs.signals import SIGNALS
from refinecli.settings.sections import RayOptions
from refinecli.stats.wording import plural
from refinecli.text.json_text import digest

_LOOK = 0.3  # seconds between looks at the shards
# What a cluster gets to answer; shards, to finish requests in flight, keep their replies and copy
# their caches.
_PATIENCE = 30.0
_STORE = 100 * 1024 * 1024  # bytes for objects: ours are small
_STARTS = 3
_QUIET = 50  # above every level of `logging`


T = TypeVar("T")


class RemoteHandle:
    """The limiter, asked through Ray."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def amount(self, wanted: Amount) -> Amount:
        found: Amount = await self._actor.amount.remote(wanted)
        return found

    async def give_back(self, unused: Amount) -> None:
        await self._actor.give_back.remote(unused)

    async def starts(self, pace: Pace, requests: int, tokens: float, more: float) -> Starts:
        found: Starts = await self._actor.starts.remote(pace, requests, tokens, more)
        return found

    async def beat(self, beat: Beat) -> bool:
        found: bool = await self._actor.beat.remote(beat)
        return found


def _take_signals_back() -> None:
    """Let Python's handlers see signals again: Ray's own would end the process at once."""
    for number in SIGNALS:
        signal.signal(number, signal.getsignal(number))


def _first_sentence(error: Exception) -> str:
    """Return what has happened, of a page that also says how to look into Ray's logs."""
    return (str(error).strip() or repr(error)).splitlines()[0].partition(". ")[0].rstrip(".")


def _connect(address: str) -> None:
    where = urlsplit(address if "://" in address else f"//{address}")
    try:
        if where.hostname and where.port:  # the reason is Python's, where nobody listens
            socket.create_connection((where.hostname, where.port), _PATIENCE).close()
        ray.init(address=address, log_to_driver=False, logging_level=_QUIET)
    except OSError as error:
        raise _cannot_connect(address, error.strerror or str(error)) from None
    except Exception as error:  # of many kinds
        raise _cannot_connect(address, _first_sentence(error)) from None


def _cannot_connect(address: str, why: str) -> UsageError:
    return UsageError(
        f"{option('ray.address', address)}: {why}",
        "see that the cluster runs and this process has its token (RAY_AUTH_TOKEN_PATH)",
    )


def lack_of_cpus(nodes: Iterable[Mapping[str, Any]], wanted: float) -> str:
    """Say that a shard fits on none of a cluster's nodes, as Ray lists them: it waits for one that
    may yet be added; empty where it fits."""
    most = max((one["Resources"].get("CPU", 0.0) for one in nodes if one["Alive"]), default=0.0)
    if most >= wanted:
        return ""
    cpus = option("ray.cpus", f"{wanted:g}")
    return f"{cpus}: no node has as many ({most:g} at most), so shards wait for one that has"


def _start(workers: int) -> None:
    """Start a cluster of one node. Ray gives its parts half a minute, which a busy machine may
    need more than once; its workers would be the last to run there."""
    os.environ.setdefault("RAY_worker_niceness", "0")
    for left in reversed(range(_STARTS)):
        try:
            ray.init(
                address="local",
                num_cpus=workers,
                include_dashboard=False,
                object_store_memory=_STORE,
                log_to_driver=False,
                logging_level=_QUIET,
            )
        except Exception as error:  # of many kinds
            ray.shutdown()
            if not left:
                raise UsageError(f"Ray did not start: {error}", "see /tmp/ray") from None
        else:
            return


@dataclass(kw_only=True)
class OnRay:
    """The body of a job whose rows are worked on in shards, elsewhere. The lines of all parts go
    into the sink; or the parts to a `directory`, and its manifest into the sink."""

    whole: Whole
    options: RayOptions
    sink: Sink
    directory: Directory | None
    on_outcome: Callable[[Outcome], None]
    on_notice: Callable[[str], None]

    async def __call__(self, started: Started) -> None:
        count = min(self.options.shards, max(1, self.whole.rows))
        shards = [Shard(index, count) for index in range(1, count + 1)]
        folder = self.whole.folder
        finished = [shard for shard in shards if folder.is_finished(shard)]
        before = sum(len(shard.rows(self.whole.rows)) for shard in finished)
        if len(finished) < count:
            todo = deque(shard for shard in shards if shard not in finished)
            session = _Session(self.whole, self.options, started, before, self.on_notice, todo)
            await session.run()
        parts = await in_daemon_thread(
            parts_in_order, [str(folder.part(shard)) for shard in shards]
        )
        started.summary.finished = self.whole.rows
        for part in parts:
            lines = folder.outcomes(part.shard)
            # In a thread, so that signals get through.
            while batch := await in_daemon_thread(lambda lines=lines: list(islice(lines, 256))):
                for line, outcome in batch:
                    if self.directory is None:
                        await self.sink.write(line)
                    started.summary.add(outcome)
                    self.on_outcome(outcome)
        if self.directory is not None:
            await self._put(self.directory, parts)
        await self.sink.drain()

    async def _put(self, directory: Directory, parts: list[Part]) -> None:
        whole = self.whole
        manifest = manifest_of(parts, whole.source, whole.command, whole.described)
        await in_daemon_thread(directory.put, parts)
        for line in manifest:
            await self.sink.write(line)


@dataclass
class _Session:
    """A time with Ray: tasks that run, and those that wait."""

    whole: Whole
    options: RayOptions
    started: Started
    before: int  # rows of parts that were finished already
    on_notice: Callable[[str], None]
    todo: deque[Shard]
    limiter: Any = None
    running: dict[Any, Shard] = field(default_factory=dict)
    attempts: Counter[Shard] = field(default_factory=Counter)
    said: set[str] = field(default_factory=set)
    over: RefineError | None = None  # the budget, which shards that run may still use up
    hosts: dict[int, str] = field(default_factory=dict)
    thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    async def run(self) -> None:
        """Run all shards; raise the error that ended one of them."""
        # Ray prints there what becomes of nodes, in its own words.
        with redirect_stdout(StringIO()):
            await self._run()
        if self.over:
            raise self.over

    async def _run(self) -> None:
        try:
            await self._connect()
            await self._call(self._begin)
            if self.options.address:
                workers = await self._call(lambda: self.workers)
                self.on_notice(f"{plural(len(self.todo), 'shard')}, {workers} at a time")
                if lack := lack_of_cpus(await self._call(ray.nodes), self.options.cpus):
                    self.on_notice(lack)
            _take_signals_back()
            while self.running or (self.todo and not self.over):
                await self._call(self._submit)
                for ref in await self._call(self._done):
                    await self._end(ref)
                await self._look()
        except BaseException:
            await self._stop()
            raise
        finally:
            if self.limiter is not None:
                await self._call(ray.shutdown)
            self.thread.shutdown(wait=False)

    def _call(self, call: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Call Ray in the thread that starts it. Its processes end with that thread, not with the
        process alone."""
        return asyncio.get_running_loop().run_in_executor(self.thread, call, *args)

    async def _connect(self) -> None:
        """Connect to the cluster, or start one here."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        address = self.options.address
        if not address:
            self.on_notice(f"starting Ray here, for {plural(self.workers, 'shard')} at a time")
            await self._call(partial(_start, self.workers))
            return
        self.on_notice(f"connecting to Ray at {address}")
        try:  # Ray itself would try for many minutes, as with a wrong token
            await asyncio.wait_for(self._call(partial(_connect, address)), _PATIENCE)
        except TimeoutError:
            raise _cannot_connect(address, f"no answer in {_PATIENCE:.0f} seconds") from None

    def _begin(self) -> None:
        """Start the limiter next to this process, so that it lives as long."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        actor = ray.remote(Limiter).options(
            name=f"refinecli {digest(str(self.whole.folder.path))}",
            get_if_exists=True,
            num_cpus=0,
            scheduling_strategy=here,
        )
        self.limiter = actor.remote(budget_of(self.whole.settings), self.workers)

    @property
    def workers(self) -> int:
        """The number of shards that run at once."""
        if self.options.workers:
            return self.options.workers
        if not self.options.address:
            return processors()
        return max(1, int(ray.cluster_resources().get("CPU", 1) / self.options.cpus))

    def _submit(self) -> None:
        while self.todo and not self.over and len(self.running) < self.workers:
            shard = self.todo.popleft()
            record_file(self.whole.folder.part(shard)).unlink(missing_ok=True)
            self.attempts[shard] += 1
            task = ray.remote(run_shard).options(
                name=f"shard {shard}",
                num_cpus=self.options.cpus if self.options.address else 1,
                max_retries=0,  # which attempt it is has to be known
            )
            ref = task.remote(self.whole, shard, self.attempts[shard], RemoteHandle(self.limiter))
            self.running[ref] = shard

    def _done(self) -> list[Any]:
        done, _ = ray.wait(list(self.running), num_returns=1, timeout=_LOOK)
        return list(done)

    async def _end(self, ref: Any) -> None:
        shard = self.running.pop(ref)
        try:
            end: ShardEnd = await self._call(partial(ray.get, ref))
        except RayTaskError as error:
            raise RunError(f"shard {shard}: {error.cause!r}", type="local") from error
        except RayError as error:
            self._died(shard, error)
            return
        if isinstance(end.error, BudgetError):
            self.over = end.error
        elif end.error:
            raise end.error
        elif end.code not in (0, 3):  # it was interrupted, and not by us
            self._died(shard, None)

    def _died(self, shard: Shard, error: RayError | None) -> None:
        """Let a shard be run again, from what is left of it; raise RunError if that has not
        helped."""
        where = f" on {self.hosts[shard.index]}" if shard.index in self.hosts else ""
        why = f": {_first_sentence(error)}" if error else ""
        if self.attempts[shard] > self.options.retries:
            raise RunError(
                f"shard {shard} has died {plural(self.attempts[shard], 'time')}, the last "
                f"time{where}{why}",
                "see how much memory it needs; the same command continues",
                type="local",
            )
        self.on_notice(f"shard {shard} has died{where} and is started again{why}")
        self.todo.append(shard)

    async def _look(self) -> None:
        """Show how far all shards are."""
        try:
            state: State = await self._call(
                partial(ray.get, self.limiter.state.remote(), timeout=_PATIENCE)
            )
        except GetTimeoutError:  # it is slow to start or to answer, as on a busy machine
            return
        except RayError as error:
            raise RunError(f"the limiter of the run has died: {error}", type="local") from None
        self.hosts = state.host
        self.started.summary.finished = self.before + state.finished
        traffic = self.started.engine.limits.traffic
        for one in fields(Traffic):
            setattr(traffic, one.name, getattr(state.traffic, one.name))
        for line in state.notices:
            if line not in self.said:
                self.said.add(line)
                self.on_notice(line)

    async def _stop(self) -> None:
        """Let the shards that run end in order."""
        if self.limiter is None:
            return
        try:
            await self._call(partial(ray.get, self.limiter.stop.remote(), timeout=_PATIENCE))
            await self._look()
            # One that nobody has heard of may wait for a node, and has nothing to keep.
            running = [ref for ref, shard in self.running.items() if shard.index in self.hosts]
            await self._call(
                partial(ray.wait, running, num_returns=len(running), timeout=_PATIENCE)
            )
            await self._look()
        except (RayError, RunError, ValueError):
            pass  # what ended the run is worth more
