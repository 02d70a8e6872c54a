"""The work on one row: refine it or grade its response, and make an output line of that.

For the commands, which have rows of a file, and for Python callers, which have datapoints.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from refinecli.data import output_lines
from refinecli.data.output_lines import Outcome
from refinecli.data.rows import Row
from refinecli.errors import CompletionError
from refinecli.grading.votes import grade_by_votes
from refinecli.refining.rollout import refine
from refinecli.types import Datapoint, Grade, Observer, Refinement, Usage

if TYPE_CHECKING:
    from refinecli.models.engine import Engine
    from refinecli.settings.load import Settings

NO_RESPONSE = "there is no response to grade"
_ONLY_REASONING = "there is no response to grade: it ends inside its reasoning"

OnGrades = Callable[[Row, Sequence[Grade]], None]


# ------------------------------------------------------------------ refine


async def refine_datapoint(
    datapoint: Datapoint, engine: Engine, settings: Settings, observe: Observer | None = None
) -> Refinement:
    """Refine one datapoint; `observe` is handed each iteration once it is done.

    Raises CompletionError where not even a first response could be had.
    """
    return await refine(
        datapoint,
        engine.roles,
        settings.refine,
        settings.prompts,
        observe,
        grading=settings.grade,
        seed=settings.run.seed,
    )


async def refine_row(
    row: Row,
    engine: Engine,
    settings: Settings,
    observe: Observer | None = None,
    on_refinement: Callable[[Refinement], None] | None = None,
) -> Outcome:
    """Refine the row's datapoint."""
    assert row.datapoint is not None
    try:
        refinement = await refine_datapoint(row.datapoint, engine, settings, observe)
    except CompletionError as error:
        return output_lines.failed(row.raw, error, "policy")
    if on_refinement:
        on_refinement(refinement)
    return output_lines.refined(row.raw, refinement, engine.made_with)


# ------------------------------------------------------------------ grade


async def grade_response(
    datapoint: Datapoint, response: str, engine: Engine, settings: Settings, *, repeats: int = 1
) -> tuple[tuple[Grade, ...], Usage]:
    """Grade a response by all who grade, each `repeats` times: a grade for each rubric item."""
    return await grade_by_votes(
        datapoint, response, engine.roles, settings.prompts, settings.grade, repeats=repeats
    )


async def grade_row(
    row: Row,
    engine: Engine,
    settings: Settings,
    *,
    repeats: int = 1,
    on_grades: OnGrades | None = None,
    no_response: str = NO_RESPONSE,
) -> Outcome:
    """Grade the response of the row's datapoint; where it has none, `no_response` says so."""
    datapoint = row.datapoint
    assert datapoint is not None
    if datapoint.response is None:
        if isinstance(row.raw.get("error"), dict):  # why there is none is known already
            kind = str(row.raw["error"].get("type", "failed"))
            return Outcome(row.raw, "failed", failures=(kind,))
        problem = _ONLY_REASONING if row.raw.get("response") else no_response
        return output_lines.failed(row.raw, CompletionError("no_response", problem), "grade")
    grades, usage = await grade_response(
        datapoint, datapoint.response, engine, settings, repeats=repeats
    )
    if on_grades:
        on_grades(row, grades)
    threshold = settings.refine.threshold
    return output_lines.graded(row.raw, datapoint, grades, usage, engine.made_with, threshold)
