"""Grade what trainers ask for: each response once, and none scored because a grader failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple, TypeAlias

from refinecli.data.output_lines import Outcome
from refinecli.data.rows import Row
from refinecli.errors import BudgetError, InputError, OutputError, RefineError, RunError
from refinecli.models.traffic import Traffic
from refinecli.reward.outages import PROBE_SECONDS, may_pass
from refinecli.reward.rewards import NotGradedError, reward_of
from refinecli.reward.server.counters import Counters
from refinecli.reward.server.payloads import Asked
from refinecli.reward.server.rows import Rows
from refinecli.reward.sessions import asked_a_model
from refinecli.reward.sharing import Shared
from refinecli.runs.lifecycle import Started
from refinecli.runs.work import grade_row
from refinecli.settings.load import Settings
from refinecli.text.json_text import dumps
from refinecli.types import Grade, JSONObject

Ungraded: TypeAlias = Literal["hold", "error"] | float

# Trainers give a request up after 120 s (slime) or 180 s (OpenRLHF), and send it again. Until then
# a response that stays ungraded is asked about again; then the trainer hears why.
HOLD_SECONDS = 100.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 15.0


class Graded(NamedTuple):
    """An answered row after grading: its output line, and its reward, None where an item has no
    verdict."""

    outcome: Outcome
    reward: float | None
    grades: tuple[Grade, ...]


class Reward(NamedTuple):
    """The reward that a trainer is sent; `why` says it where the response is ungraded."""

    score: float
    graded: Graded
    why: str = ""

    def record(self) -> JSONObject:
        record: JSONObject = {
            "score": self.score,
            "passed": self.graded.outcome.passed,
            "items": {grade.name: grade.score for grade in self.graded.grades},
        }
        return {**record, "ungraded": self.why} if self.why else record


class Service:
    """The work of the server, without HTTP.

    `forget` lets replies be asked for again that were kept although there was no verdict in them.
    `notice` shows when the grader fails for everyone, and when it is back.
    """

    def __init__(
        self,
        started: Started,
        settings: Settings,
        rows: Rows,
        ungraded: Ungraded,
        *,
        has_grader: bool,
        forget: Callable[[], None] = lambda: None,
        notice: Callable[[str], None] = lambda text: None,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    ) -> None:
        self.counters = Counters()
        self.stopping = asyncio.Event()
        self.failure: RefineError | None = None  # that every call meets at present
        self._started, self._engine = started, started.engine
        self._settings = settings
        self._rows = rows
        self._ungraded = ungraded
        self._has_grader = has_grader
        self._forget, self._notice, self._on_outcome = forget, notice, on_outcome
        self._in_trouble = False  # as was last said
        self._to_forget = False
        self._probe_at = 0.0
        self._shared = Shared[Graded](lambda one: one.outcome.status == "done")

    @property
    def traffic(self) -> Traffic:
        return self._engine.limits.traffic

    @property
    def shared(self) -> int:
        """The number of responses that needed no grading, since an equal one had it."""
        return self._shared.shared

    def stop(self) -> None:
        """Answer what is held, and send nothing more: what is in flight finishes."""
        self.stopping.set()
        self._engine.stop(RunError("the server is stopping", type="connection"))

    # -------------------------------------------------------------- requests

    async def line(self, raw: JSONObject) -> JSONObject:
        """Return the line that `grade` writes for a datapoint; one that stays ungraded says so."""
        row = self._rows.read(raw)
        if row.datapoint is None:  # a line that an earlier command could not read
            return row.raw
        graded = await self._graded(row)
        if graded.outcome.status != "done":
            self._count(graded)
        return graded.outcome.record

    async def reward(self, asked: Asked) -> Reward:
        """Return the reward of a response, however often that takes asking; raise NotGradedError
        where the trainer had better ask again."""
        row = self._rows.answered(asked)
        clock = asyncio.get_running_loop().time
        deadline, pause = clock() + HOLD_SECONDS, _FIRST_PAUSE
        while True:
            try:
                graded = await self._graded(row)
            except (RunError, OutputError, BudgetError) as error:
                if not (isinstance(error, RunError) and may_pass(error)):
                    raise
                why = error.message
            else:
                if graded.reward is not None:
                    return Reward(graded.reward, graded)
                why = graded.outcome.why
                if isinstance(self._ungraded, float):
                    self._count(graded)
                    return Reward(self._ungraded, graded, why)
            if self._ungraded == "error" or self.stopping.is_set() or clock() >= deadline:
                raise NotGradedError(f"the response is not graded yet: {why}", "ask again")
            await self._hold(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _hold(self, seconds: float) -> None:
        self.counters.held += 1
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), seconds)
        finally:
            self.counters.held -= 1

    # -------------------------------------------------------------- grading

    async def _graded(self, row: Row) -> Graded:
        self._check_can_grade(row)
        return await self._shared.once(dumps(row.raw), lambda: self._work(row))

    def _check_can_grade(self, row: Row) -> None:
        assert row.datapoint is not None
        asked = [item for item in row.datapoint.rubric_items if item.asks_grader]
        if asked and not self._has_grader:
            raise InputError(
                f"the rubric item {asked[0].name!r} is graded by a model, and the server was "
                "started without one",
                "name a grader as it is started",
            )

    async def _work(self, row: Row) -> Graded:
        self._prepare()
        found: list[Grade] = []

        def note(_: Row, grades: Sequence[Grade]) -> None:
            found.extend(grades)

        try:
            outcome = await grade_row(row, self._engine, self._settings, on_grades=note)
        except (RunError, OutputError) as error:
            self._fails(error)
            raise
        assert row.datapoint is not None
        if self._in_trouble and any(map(asked_a_model, found)):
            self._in_trouble = False
            self._notice("the grader answers again")
        reward = reward_of(row.datapoint.rubric_items, found) if found else None
        graded = Graded(outcome, reward, tuple(found))
        if outcome.status == "done":
            self._count(graded)
        else:
            self._started.unsettled(row.datapoint)
            self._to_forget = True
        return graded

    def _fails(self, error: RefineError) -> None:
        if self.failure is None:
            self.failure = error
            self._probe_at = asyncio.get_running_loop().time() + PROBE_SECONDS
        if not (self._in_trouble or self.stopping.is_set()):
            self._in_trouble = True
            self._notice(f"no response can be graded for now: {error.args[0]}")

    def _prepare(self) -> None:
        """Try again after a failure of every call, once in a while, and ask again for replies
        without a verdict."""
        due = asyncio.get_running_loop().time() >= self._probe_at
        if self.failure and due and not self.stopping.is_set():
            self.failure = None
            self._engine.resume()
        if self._to_forget:
            self._to_forget = False
            self._forget()

    def _count(self, graded: Graded) -> None:
        summary = self._started.summary
        summary.finished += 1
        summary.add(graded.outcome)
        self._on_outcome(graded.outcome)
        self.counters.add(graded.outcome.status, graded.reward, graded.grades)
