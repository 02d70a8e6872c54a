"""A session with models: connected once, asked to grade and to refine."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from secrets import token_hex
from types import TracebackType
from typing import Any, Self, TypeAlias, TypedDict

from refinecli.api.arguments import StrPath, kind, path_in, several
from refinecli.api.given import ASKED, Given, Model, given, is_set
from refinecli.data.repeats import Repeats
from refinecli.errors import InputError, UsageError, option
from refinecli.grading.scoring import response_passed, total_score
from refinecli.models.cache.store import CallCache
from refinecli.models.engine import Engine, check_endpoints, open_engine
from refinecli.models.traffic import Traffic
from refinecli.runs.ordered_map import ordered_map
from refinecli.runs.run_cache import RunCache, check_named
from refinecli.runs.work import grade_response, refine_datapoint
from refinecli.settings.checks import check_feedback, check_refining, check_repeats
from refinecli.settings.load import Settings
from refinecli.settings.roles import chain
from refinecli.types import Datapoint, Grading, Refinement, Usage

Answered: TypeAlias = Datapoint | tuple[Datapoint, str]

# Seconds that replies in flight may still take after the run has failed.
_PATIENCE = 10.0
_log = logging.getLogger("refinecli")


class ConnectArguments(TypedDict, total=False):
    """The arguments of `connect`, for functions that hand them on."""

    model: Model | None
    base_url: str | None
    grader_model: Model | None
    grader_base_url: str | None
    config: StrPath | Sequence[StrPath]
    settings: Mapping[str, object] | None
    cache: StrPath | None
    offline: bool
    concurrency: int | None
    max_calls: int | None
    max_total_tokens: int | None
    max_cost: float | None
    seed: int | None


def connect(
    model: Model | None = None,
    *,
    base_url: str | None = None,
    grader_model: Model | None = None,
    grader_base_url: str | None = None,
    config: StrPath | Sequence[StrPath] = (),
    settings: Mapping[str, object] | None = None,
    cache: StrPath | None = None,
    offline: bool = False,
    concurrency: int | None = None,
    max_calls: int | None = None,
    max_total_tokens: int | None = None,
    max_cost: float | None = None,
    seed: int | None = None,
) -> Models:
    """Return models to grade and refine with, for `async with` or `await`.

    The arguments are the options of the commands, with the same defaults: without a model, the
    embedded one. `settings` holds everything else that can be set, such as `{"grade.format":
    "json"}`. A model may be an async function too (see `completer`), also as a setting:
    `{"critic.model": function}`. `cache` keeps every reply in a file that commands and later
    sessions may share; `offline` answers from it alone.
    """
    arguments = {
        "policy.model": model,
        "policy.base_url": base_url,
        "grader.model": grader_model,
        "grader.base_url": grader_base_url,
        "run.concurrency": concurrency,
        "run.max_calls": max_calls,
        "run.max_total_tokens": max_total_tokens,
        "run.max_cost": max_cost,
        "run.seed": seed,
    }
    if settings is not None and not isinstance(settings, Mapping):
        raise UsageError("settings: must be a mapping", 'give one such as {"grade.format": "json"}')
    paths = [path_in(path, "config") for path in several(config)]
    found = given(arguments, settings or {}, dict(os.environ), paths)
    return Models(found, _cache(cache, offline=offline), offline=offline)


def _cache(path: StrPath | None, *, offline: bool) -> RunCache | None:
    if path is None:
        if offline:
            raise UsageError(
                f"{option('offline')} answers from a call cache",
                f"name it: {option('cache', 'PATH')}",
            )
        return None
    file = path_in(path, "cache")
    check_named(file)
    return RunCache(file, is_default=False, offline=offline, any_run=offline)


class Models:
    """The models of one session, open within `async with`, or from `await` until `close`.

    They belong to the event loop that they were opened in.
    """

    def __init__(self, given: Given, cache: RunCache | None, *, offline: bool) -> None:
        self._given = given
        self._settings = given.settings()
        self._functions = given.answering(self._settings)
        self._cache = cache
        self._refining: dict[tuple[object, ...], Settings] = {}
        self._stack = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: Engine | None = None
        self._traffic = Traffic()
        check_endpoints(self._settings, self._named_roles(), offline=offline)

    def _named_roles(self) -> list[str]:
        """Return the roles to check before anything is asked: those with a named endpoint or, if no
        endpoint and no function is named, all of them. The others are checked when first asked."""
        asked = [r for r in self._settings.asked(ASKED) if r.name not in self._functions]
        named = [r.name for r in asked if any(is_set(p, self._settings) for p in chain(r.name))]
        return named if named or self._functions else [role.name for role in asked]

    async def __aenter__(self) -> Self:
        if self._engine is not None:  # `async with await rc.connect(…)`
            self._check_loop()
            return self
        if self._loop is not None:
            raise UsageError("models: this session is closed", "connect again for a new session")
        self._loop = asyncio.get_running_loop()
        try:
            calls = self._opened_cache() if self._cache else None
            opening = open_engine(
                self._settings,
                ASKED,
                {},
                _Log(),
                calls,
                functions=self._functions,
                lazily=True,
            )
            self._engine = await self._stack.enter_async_context(opening)
        except BaseException:
            self._loop = None
            await self._stack.aclose()
            raise
        self._traffic = self._engine.limits.traffic
        return self

    def _opened_cache(self) -> CallCache:
        """Open the cache as a run of its own that ends with the session: the next session asks
        again for replies that could not be used."""
        cache = self._cache
        assert cache is not None
        calls = cache.open()
        self._stack.callback(cache.end, 0, whole=True, locked=False)
        cache.begin({"command": "python", "output": "-", "session": token_hex(8)}, {})
        return calls

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def close(self) -> None:
        """Close the connections, the cache and the embedded model."""
        if self._engine is not None:
            self._check_loop()
            self._engine = None
            await self._stack.aclose()

    def resume(self) -> None:
        """Send again after an outage that was raised as a RunError; a budget stays as it is."""
        self._open().resume()

    @property
    def usage(self) -> Usage:
        """The calls sent to models so far, and their tokens."""
        traffic = self._traffic
        return Usage(traffic.sent, traffic.prompt_tokens, traffic.completion_tokens)

    def _open(self) -> Engine:
        if self._engine is None:
            state = "closed" if self._loop else "not connected yet"
            raise UsageError(
                f"models: this session is {state}",
                "use them within `async with rc.connect(…) as models:`, or after "
                "`models = await rc.connect(…)` and before `await models.close()`",
            )
        self._check_loop()
        return self._engine

    def _check_loop(self) -> None:
        if asyncio.get_running_loop() is not self._loop:
            raise UsageError(
                "models: this session was opened in another event loop",
                "connect once in each loop that asks models",
            )

    def _for_refining(self, **options: object) -> Settings:
        """Return the settings with these options of `refine`, checked as the command does it."""
        key = tuple(options.values())
        if key not in self._refining:
            more = {f"refine.{name}": value for name, value in options.items()}
            settings = self._given.settings(more)
            check_refining(settings.refine, settings.policy)
            check_feedback(settings.grade, settings.sources)
            for line in settings.ignored:
                _log.info(line)
            self._refining[key] = settings
        return self._refining[key]


class _Log:
    """Send notices about models to the `refinecli` logger."""

    def notice(self, text: str) -> None:
        _log.info(text)

    def detail(self, text: str) -> None:
        _log.debug(text)


# ------------------------------------------------------------------ grading and refining


async def grade(
    datapoint: Datapoint, response: str, models: Models, *, repeats: int = 1
) -> Grading:
    """Grade a response, item by item, against the datapoint's rubric.

    An item that gets no verdict is ungraded, and so is the response: its score is None, and the
    item's `error` says why. An error that every further call would meet is raised.
    """
    engine = engine_of(models)
    return await _graded(_point(datapoint), response, engine, models._settings, repeats)


async def _graded(
    datapoint: Datapoint, response: str, engine: Engine, settings: Settings, repeats: int
) -> Grading:
    if not isinstance(response, str):
        raise UsageError(f"response: must be a string, not {kind(response)}")
    check_repeats(repeats, settings.graders, settings.grade)
    grades, usage = await grade_response(datapoint, response, engine, settings, repeats=repeats)
    return Grading(
        datapoint=datapoint,
        response=response,
        grades=grades,
        score=total_score(datapoint.rubric_items, grades),
        passed=response_passed(datapoint, grades, settings.refine.threshold),
        usage=usage,
    )


async def grade_all(
    answered: Iterable[Answered] | AsyncIterable[Answered], models: Models, *, repeats: int = 1
) -> AsyncGenerator[Grading, None]:
    """Grade many responses concurrently, and yield each grading in their order.

    `answered` are datapoints that have a `response`, or pairs of a datapoint and a response. They
    are read lazily, so there may be any number.
    """
    engine, settings = engine_of(models), models._settings

    async def work(pair: tuple[Datapoint, str]) -> Grading:
        return await _graded(*pair, engine, settings, repeats)

    concurrency = engine.limits.concurrency
    gradings = ordered_map(
        _pairs(answered),
        work,
        active=concurrency,
        window=max(256, 8 * concurrency),
        patience=_PATIENCE,
    )
    async with aclosing(gradings):
        async for grading in gradings:
            yield grading


async def _pairs(
    answered: Iterable[Answered] | AsyncIterable[Answered],
) -> AsyncGenerator[tuple[Datapoint, str], None]:
    """Yield datapoints with their responses. Number duplicates."""
    repeats = Repeats()
    async for one in _each(answered):
        datapoint, response = one if isinstance(one, tuple) else (one, _point(one).response)
        if response is None:
            raise InputError(
                f"response: the datapoint {datapoint.id!r} has none",
                "build it with response=…, or give pairs of a datapoint and a response",
            )
        yield repeats.told_apart(_point(datapoint)), response


async def _each(
    answered: Iterable[Answered] | AsyncIterable[Answered],
) -> AsyncGenerator[Answered, None]:
    if isinstance(answered, AsyncIterable):
        async for one in answered:
            yield one
    elif isinstance(answered, Iterable):
        for one in answered:
            yield one
    else:
        raise UsageError(f"answered: must be datapoints, not {kind(answered)}")


async def refine(
    datapoint: Datapoint,
    models: Models,
    *,
    strategy: str | None = None,
    max_iterations: int | None = None,
    drafts: int | None = None,
    threshold: float | None = None,
) -> Refinement:
    """Answer the datapoint (unless it has a `response`), grade the answer, draft again or rewrite
    it from what failed, and keep the best.

    The options are those of `refinecli refine`; other settings of the loop are given to `connect`.
    The strategy `adaptive` goes by this datapoint's own tries: it learns from no other call.
    Raise CompletionError if there is not even a first response.
    """
    engine = engine_of(models)
    settings = models._for_refining(
        strategy=strategy, max_iterations=max_iterations, drafts=drafts, threshold=threshold
    )
    return await refine_datapoint(_point(datapoint), engine, settings)


def engine_of(models: Models) -> Engine:
    """Return what asks the models of a session; raise UsageError where it is not open here."""
    return _checked(models)._open()


def _checked(models: Models) -> Models:
    if not isinstance(models, Models):
        raise UsageError(
            f"models: must be what `connect` returns, not {kind(models)}",
            "use `async with rc.connect(model=…) as models:`",
        )
    return models


def _point(datapoint: Datapoint) -> Datapoint:
    if not isinstance(datapoint, Datapoint):
        raise UsageError(
            f"datapoint: must be a Datapoint, not {kind(datapoint)}",
            'build one: rc.Datapoint(convo="…", rubric_items=["…"])',
        )
    return datapoint
