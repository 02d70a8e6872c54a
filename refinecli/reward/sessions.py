"""Keep connections to models for as long as the event loops that ask them."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refinecli.api import Models, connect, grade
from refinecli.api.arguments import path_in, several
from refinecli.api.given import is_set
from refinecli.errors import RunError, UsageError, option
from refinecli.reward.outages import PROBE_SECONDS, may_pass
from refinecli.reward.samples import Sample
from refinecli.reward.sharing import Shared
from refinecli.settings.load import load
from refinecli.settings.roles import chain
from refinecli.types import Grade, Grading

# A training that took days is worth waiting for: an outage longer than this ends it.
_OUTAGE_SECONDS = 600.0
_CLOSING_SECONDS = 10.0
_MODELS = ("model", "base_url", "grader_model", "grader_base_url")
_log = logging.getLogger("refinecli")


def names_grader(arguments: Mapping[str, Any]) -> bool:
    """Return whether anybody was named to grade, by arguments of `connect`, the environment or a
    file. Without one, a small model for trying things out would set the reward."""
    if any(arguments.get(name) is not None for name in _MODELS):
        return True
    given = arguments.get("settings") or {}
    if any(_names_a_model(key) for key, value in given.items() if value is not None):
        return True
    paths = [path_in(path, "config") for path in several(arguments.get("config") or ())]
    found = load({}, {}, dict(os.environ), [Path(path) for path in paths])
    return bool(found.jury) or any(is_set(role, found) for role in chain("grader"))


def _names_a_model(dotted: object) -> bool:
    role, _, key = str(dotted).rpartition(".")
    graders = role in chain("grader") or role.startswith("jury.")
    return graders and key in ("model", "base_url")


async def _nobody(messages: list[Any]) -> str:
    raise AssertionError("items that need a grader are refused before one is asked")


def _is_whole(grading: Grading) -> bool:
    return all(one.error is None for one in grading.grades)


@dataclass(eq=False)
class Session:
    """The models of one event loop, and the gradings of it: equal ones are made once."""

    models: Models
    answered: bool = False  # by a model that grades
    shared: Shared[Grading] = field(default_factory=lambda: Shared(_is_whole))

    async def grading(self, sample: Sample) -> Grading:
        """Grade the sample's response, waiting while an outage lasts."""
        return await self.shared.once(sample.key, lambda: self._graded(sample))

    async def _graded(self, sample: Sample) -> Grading:
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            try:
                grading = await grade(sample.datapoint, sample.response, self.models)
            except RunError as error:
                # One that nobody ever answered is a slip in the settings, shown at the start.
                patient = self.answered and clock() - began < _OUTAGE_SECONDS
                if not (patient and may_pass(error)):
                    raise
                _log.warning("the reward waits for the grader: %s", error.message)
                await asyncio.sleep(PROBE_SECONDS)
                self.models.resume()
            else:
                self.answered |= any(map(asked_a_model, grading.grades))
                return grading


class Sessions:
    """A session for each event loop that asks: trainers keep one, scripts may run several.

    The settings are read, and what is missing in them is found, when this is made.
    """

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self.has_grader = names_grader(arguments)
        nobody = {} if self.has_grader else {"grader_model": _nobody}
        self._arguments = {**arguments, **nobody}
        self._first: Models | None = connect(**self._arguments)
        self._open: dict[asyncio.AbstractEventLoop, _Kept] = {}

    async def session(self) -> Session:
        """Return the running loop's session."""
        loop = asyncio.get_running_loop()
        if not self._open:
            atexit.register(self._close)
        for other in [one for one in self._open if one.is_closed()]:
            del self._open[other]
        if loop not in self._open:
            models, self._first = self._first or connect(**self._arguments), None
            self._open[loop] = _Kept(models)
        try:
            return await asyncio.shield(self._open[loop].opened)
        except Exception:
            self._open.pop(loop, None)
            raise

    def _close(self) -> None:
        """Close the sessions of loops that still run as the process ends: nobody ends the loop of
        a trainer."""
        for loop, kept in self._open.items():
            if loop.is_running():
                with suppress(TimeoutError, RuntimeError):
                    asyncio.run_coroutine_threadsafe(kept.close(), loop).result(_CLOSING_SECONDS)


class _Kept:
    """A session that is open until it is closed, or until its loop cancels all tasks and ends."""

    def __init__(self, models: Models) -> None:
        self.opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._keeper = asyncio.create_task(self._keep(models))

    async def _keep(self, models: Models) -> None:
        try:
            async with models:
                self.opened.set_result(Session(models))
                await asyncio.Event().wait()
        except Exception as error:
            if self.opened.done():
                raise
            self.opened.set_exception(error)  # whatever it is: many may wait for this

    async def close(self) -> None:
        self._keeper.cancel()
        await asyncio.wait([self._keeper])


def check_items(samples: Sequence[Sample]) -> None:
    """Raise UsageError for the first item that a model would have to grade."""
    for sample in samples:
        for item in sample.datapoint.rubric_items:
            if item.asks_grader:
                raise needs_grader(item.name)


def asked_a_model(grade: Grade) -> bool:
    """Return True for a verdict that somebody was asked for, and gave."""
    return grade.graded and grade.grader not in ("check", "empty")


def needs_grader(name: str) -> UsageError:
    """Return the error for an item that a model grades, where none is named."""
    return UsageError(
        f"the rubric item {name!r} is graded by a model, and no grader is named",
        f"name one: {option('grader_model', '…')}, or model in [grader] of the file that "
        "REFINECLI_CONFIG names; the model local is for trying things out",
    )
