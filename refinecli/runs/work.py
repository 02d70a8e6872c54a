"""The work on one row: refine it or grade its response, and make an output line of that.

For the commands, which have rows of a file, and for Python callers, which have datapoints.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from refinecli.data import output_lines
from refinecli.data.output_lines import Outcome
from refinecli.data.rows import Row
from refinecli.errors import CompletionError
from refinecli.grading.votes import grade_by_votes
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import WRITERS, Prices
from refinecli.types import Datapoint, Grade, Refinement, Usage

if TYPE_CHECKING:
    from refinecli.models.engine import Engine
    from refinecli.refining.estimates import Estimates
    from refinecli.runs.learning import Learner
    from refinecli.settings.load import Settings

NO_RESPONSE = "there is no response to grade"
_ONLY_REASONING = "there is no response to grade: it ends inside its reasoning"

_NO_PRICES = Prices()
OnGrades = Callable[[Row, Sequence[Grade]], None]
_Price: TypeAlias = tuple[float | None, float | None]  # of a role's tokens in and out


# ------------------------------------------------------------------ refine


async def refine_datapoint(
    datapoint: Datapoint,
    engine: Engine,
    settings: Settings,
    estimates: Callable[[], Awaitable[Estimates]] | None = None,
) -> Refinement:
    """Refine one datapoint; `estimates` say what earlier rows have shown.

    Raises CompletionError where not even a first response could be had.
    """
    redraws, prices = WRITERS, _NO_PRICES
    if settings.refine.strategy == "adaptive":  # the only one that asks, and this is for each row
        redraws = frozenset(role for role in WRITERS if settings.roles[role].temperature != 0)
        prices = prices_of(settings)
    return await refine(
        datapoint,
        engine.roles,
        settings.refine,
        settings.prompts,
        grading=settings.grade,
        seed=settings.run.seed,
        redraws=redraws,
        prices=prices,
        estimates=estimates,
    )


def prices_of(settings: Settings) -> Prices:
    """Return the prices of the roles that an adaptive loop asks, of a jury their mean; none unless
    all of them have some. What is all for nothing, such as the embedded model, counts by tokens."""
    policy, reviser = settings.roles["policy"], settings.roles["reviser"]
    return _prices(
        (policy.input_price, policy.output_price),
        (reviser.input_price, reviser.output_price),
        *[(role.input_price, role.output_price) for role in settings.graders],
    )


@lru_cache(maxsize=1)  # asked for by each row
def _prices(policy: _Price, reviser: _Price, *graders: _Price) -> Prices:
    groups = {"policy": [policy], "reviser": [reviser], "grader": list(graders)}
    by_role = {
        name: (price, out_price)
        for name, asked in groups.items()
        if (price := _mean([into for into, _ in asked])) is not None
        and (out_price := _mean([out for _, out in asked])) is not None
    }
    known = len(by_role) == len(groups) and any(map(any, by_role.values()))
    return Prices(by_role) if known else Prices()


def _mean(prices: Sequence[float | None]) -> float | None:
    known = [price for price in prices if price is not None]
    return sum(known) / len(known) if len(known) == len(prices) else None


async def refine_row(
    row: Row,
    engine: Engine,
    settings: Settings,
    on_refinement: Callable[[Refinement], None] | None = None,
    learner: Learner | None = None,
) -> Outcome:
    """Refine the row's datapoint. What it shows, if it is done, is a lesson to the `learner`."""
    assert row.datapoint is not None
    with learner.row() if learner else nullcontext() as learning:
        estimates = learning.estimates if learning else None
        try:
            refinement = await refine_datapoint(row.datapoint, engine, settings, estimates)
        except CompletionError as error:
            return output_lines.failed(row.raw, error, "policy")
        if learning and refinement.status == "done" and not engine.failed_once(row.datapoint):
            learning.learn(refinement.iterations)
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
