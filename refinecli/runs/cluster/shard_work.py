"""Work on a row of `refine` and `grade`, by functions that can be sent to a shard's process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from refinecli.models.engine import Engine
from refinecli.refining.estimates import Estimates
from refinecli.runs.ordered_map import Places
from refinecli.runs.run import Work
from refinecli.runs.work import grade_row, refine_row
from refinecli.settings.load import Settings


class RowWork(NamedTuple):
    """The work on a row once there are models, and the places of rows where it has to know
    them."""

    work: Callable[[Engine], Work]
    places: Places | None = None


def refining(settings: Settings, fixed: Estimates | None) -> RowWork:
    """Return the work that refines a row; `fixed` estimates are another run's."""
    places = Places(settings.run.concurrency)
    learner = None
    if settings.refine.strategy == "adaptive" and settings.refine.learn:
        from refinecli.runs.learning import Learner

        learner = Learner(places.resting, fixed)
    return RowWork(
        lambda engine: partial(refine_row, engine=engine, settings=settings, learner=learner),
        places,
    )


def grading(settings: Settings, repeats: int, no_response: str) -> RowWork:
    """Return the work that grades a row's response."""
    return RowWork(
        lambda engine: partial(
            grade_row, engine=engine, settings=settings, repeats=repeats, no_response=no_response
        )
    )
