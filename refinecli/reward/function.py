"""Reward functions for trainers that call one with a batch, such as TRL's."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, Protocol, Unpack, overload

from refinecli.api.files import Rubric, items_of
from refinecli.api.models import ConnectArguments
from refinecli.errors import RefineError, UsageError
from refinecli.reward import trainer_log
from refinecli.reward.rewards import reward_of, shares_of
from refinecli.reward.samples import Sample, read_samples
from refinecli.reward.sessions import Sessions, check_items, needs_grader
from refinecli.reward.trainer_log import LogExtra, LogMetric, TrainerLog
from refinecli.types import Grading, JSONObject


@contextmanager
def hint_as_note() -> Iterator[None]:
    """Add the hint of an error to what a traceback shows: a trainer that stops shows only that."""
    try:
        yield
    except RefineError as error:
        if error.hint:
            error.add_note(f"hint: {error.hint}")
        raise


class RewardFunction(Protocol):
    """A function from a batch of completions to their rewards, None where one is ungraded."""

    __name__: str

    async def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]: ...


@overload
def reward_function(
    *,
    rubric: Rubric | None = None,
    per_item: Literal[False] = False,
    **arguments: Unpack[ConnectArguments],
) -> RewardFunction: ...


@overload
def reward_function(
    *,
    rubric: Rubric | None = None,
    per_item: Literal[True] | Sequence[str],
    **arguments: Unpack[ConnectArguments],
) -> list[RewardFunction]: ...


def reward_function(
    *,
    rubric: Rubric | None = None,
    per_item: bool | Sequence[str] = False,
    **arguments: Unpack[ConnectArguments],
) -> RewardFunction | list[RewardFunction]:
    """Return an async function that rewards completions by their rubrics: a score each, None where
    one is ungraded.

    It takes what TRL hands over: `prompts`, `completions`, and the columns `rubric_items` (a list,
    or that as JSON), `reference` and `id`. `rubric` is added to every row. With `per_item` there is
    a function for each item of `rubric`, or for each item that is named: what it adds to the score.
    All share one grading. The other arguments are those of `connect`.
    """
    notes: list[str] = []
    items = items_of(rubric, notes)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    names = _names(items, per_item)
    grading = _Grading(items, Sessions(arguments))
    if names is None:
        return grading.total()
    return [grading.of_item(name, logs=name == names[0]) for name in names]


def _names(items: Sequence[JSONObject], per_item: bool | Sequence[str]) -> list[str] | None:
    if per_item is False:
        return None
    if per_item is True:
        if not items:
            raise UsageError(
                "per_item: needs the items that all rows have",
                'give a rubric, or their names: per_item=["coverage", "length"]',
            )
        nameless = next((item for item in items if item.get("name") is None), None)
        if nameless is not None:
            raise UsageError(
                f"per_item: the item {nameless.get('rubric_str')!r} has no name",
                "name each item of the rubric",
            )
        return [str(item["name"]) for item in items]
    names = [per_item] if isinstance(per_item, str) else list(per_item)
    if not names or len(set(names)) < len(names):
        raise UsageError("per_item: needs different names", "name each item once")
    return names


class _Grading:
    """The gradings that the functions of one rubric share."""

    def __init__(self, rubric: Sequence[JSONObject], sessions: Sessions) -> None:
        self._rubric = rubric
        self._sessions = sessions
        self._log = TrainerLog()
        asked = [item for item in rubric if not (item.get("check") or item.get("classifier"))]
        if asked and not sessions.has_grader:
            raise needs_grader(str(asked[0].get("name") or asked[0].get("rubric_str")))

    def total(self) -> RewardFunction:
        """Return the function whose rewards are scores."""
        return self._function("rubric", _score, logs=True)

    def of_item(self, name: str, *, logs: bool) -> RewardFunction:
        """Return the function whose rewards are what one item adds to scores; None too where a row
        has no such item. One of the functions `logs` for all."""
        return self._function(name, partial(_share, name=name), logs=logs)

    def _function(
        self, name: str, reward: Callable[[Grading], float | None], *, logs: bool
    ) -> RewardFunction:
        async def rubric(
            prompts: Sequence[Any],
            completions: Sequence[Any],
            *,
            rubric_items: Sequence[Any] | None = None,
            reference: Sequence[Any] | None = None,
            id: Sequence[Any] | None = None,
            log_metric: LogMetric | None = None,
            log_extra: LogExtra | None = None,
            **_: Any,
        ) -> list[float | None]:
            columns = {"rubric_items": rubric_items, "reference": reference, "id": id}
            metric, extra = (log_metric, log_extra) if logs else (None, None)
            with hint_as_note():
                samples = read_samples(prompts, completions, columns, self._rubric)
                gradings = await self._graded(samples, metric, extra)
            return [reward(one) for one in gradings]

        rubric.__name__ = rubric.__qualname__ = name
        return rubric

    async def _graded(
        self, samples: Sequence[Sample], log_metric: LogMetric | None, log_extra: LogExtra | None
    ) -> list[Grading]:
        """Grade the samples and log what came of it."""
        if not self._sessions.has_grader:
            check_items(samples)
        session = await self._sessions.session()
        tasks = [asyncio.create_task(session.grading(sample)) for sample in samples]
        try:
            gradings = await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # where one fails for good, nobody waits for the others
                task.cancel()
        if log_metric is not None:
            self._log.figures(samples, gradings, log_metric)
        if log_extra is not None:
            trainer_log.columns(gradings, log_extra)
        return gradings


def _score(grading: Grading) -> float | None:
    return reward_of(grading.datapoint.rubric_items, grading.grades)


def _share(grading: Grading, name: str) -> float | None:
    shares = shares_of(grading.datapoint.rubric_items, grading.grades)
    return shares.get(name) if shares else None
