"""Show what an output line holds, in the form of a transcript: no call is made for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rich.console import RenderableType

from refinecli.data.stored_rows import StoredRow
from refinecli.display.boxes import Body, Limit, Section, label
from refinecli.display.item_grades import Rollout
from refinecli.display.marks import colour, notes_of, number, tokens, verdict
from refinecli.display.messages import turns
from refinecli.display.recorded_calls import Ledger
from refinecli.display.transcript import LINES, iteration_sections, result_section
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.strategies import RefineOptions
from refinecli.stats.wording import plural
from refinecli.text.clean import one_line
from refinecli.types import Datapoint, Iteration, Refinement

_NAME = 40  # characters of an id


def stored_transcript(
    stored: StoredRow, place: str, *, only: str | None = None, full: bool = False, hint: str = ""
) -> Iterator[RenderableType]:
    """Show a stored line in the order of events: its conversation, each response with its grades,
    the result; of the grades those of the item `only`, where one is named."""
    limit = Limit() if full else Limit(LINES, hint)
    if stored.datapoint is None:
        yield _unreadable(stored, place, limit)
        return
    yield _conversation(stored.datapoint, place, limit)
    if stored.refinement is None and stored.graded is None:
        yield from _untried(stored.datapoint, only, limit)
    if stored.refinement is not None:
        rollout = _rollout(stored, stored.datapoint, stored.refinement, only, limit)
        for iteration in stored.refinement.iterations:
            yield from iteration_sections(rollout, iteration)
        yield result_section(rollout)
    if stored.graded is not None:
        graded = replace(
            _rollout(stored, stored.datapoint, _as_refinement(stored.graded), only, limit),
            when="as graded",
        )
        yield from iteration_sections(graded, stored.graded)
        if stored.refinement is None:
            yield _graded_result(stored.graded)
    if stored.models:
        yield _made_by(stored)
    if stored.error is not None and (stored.refinement is None or not stored.refinement.error):
        yield _failed(stored, limit)


def _rollout(
    stored: StoredRow,
    datapoint: Datapoint,
    refinement: Refinement,
    only: str | None,
    limit: Limit,
) -> Rollout:
    def setting(name: str, default: Any) -> Any:
        value = stored.shaped_by(name)
        return default if value is None else value

    grading = replace(
        GradeOptions(),
        pass_probability=setting("grade.pass_probability", GradeOptions().pass_probability),
        combine=setting("grade.combine", GradeOptions().combine),
    )
    return Rollout(
        datapoint,
        refinement,
        Ledger(()),
        Prompts(),
        grading,
        limit,
        setting("refine.threshold", setting("threshold", None)),
        setting("refine.min_gain", RefineOptions().min_gain),
        stored=True,
        only=only,
    )


def _as_refinement(graded: Iteration) -> Refinement:
    return Refinement("done", "passed", (graded,), 0, graded.passed, usage=graded.usage)


def _conversation(datapoint: Datapoint, place: str, limit: Limit) -> Section:
    parts = turns(datapoint.convo, limit)
    if datapoint.reference is not None:
        parts += [label("reference"), Body([("", datapoint.reference)], limit)]
    return Section(f"{one_line(str(datapoint.id), _NAME)} · {place} · conversation", parts)


def _untried(datapoint: Datapoint, only: str | None, limit: Limit) -> Iterator[Section]:
    """Show a datapoint that nobody refined or graded: its response, if it has one, and its
    rubric."""
    if datapoint.response is not None:
        yield Section("response", [Body([("", datapoint.response)], limit)], "cyan")
    parts: list[RenderableType] = []
    for item in datapoint.rubric_items:
        if only in (None, item.name):
            notes = [f"weight {item.weight:g}", notes_of(item)]
            how = "by code" if item.check else ""
            parts.append(label(" · ".join(filter(None, [item.name, *notes, how]))))
            parts.append(Body([("", item.rubric_str)], limit))
    yield Section("rubric", parts, "magenta")


def _graded_result(graded: Iteration) -> Section:
    parts: list[RenderableType] = [
        label(f"score {number(graded.score)}"),
        label(verdict(graded.passed), colour(graded.passed)),
        label(f"{plural(graded.usage.calls, 'call')} · {tokens(graded.usage)}", "dim"),
    ]
    return Section("result", parts, "green" if graded.passed else "red")


def _made_by(stored: StoredRow) -> RenderableType:
    models = " · ".join(f"{role}: {model}" for role, model in stored.models.items())
    return label(one_line(models, 1000), "dim")


def _failed(stored: StoredRow, limit: Limit) -> Section:
    assert stored.error is not None
    error = stored.error
    parts: list[RenderableType] = [
        label(f"✗ {error.type}, from: {error.stage}", "bold red"),
        Body([("", error.message)], limit),
    ]
    return Section("error", parts, "red")


def _unreadable(stored: StoredRow, place: str, limit: Limit) -> Section:
    """Show a line that an earlier command could not read."""
    message = stored.error.message if stored.error else "it has no conversation"
    raw = stored.raw.get("raw")
    parts: list[RenderableType] = [
        label("✗ an earlier command could not read this line", "bold red"),
        Body([("", message)], limit),
    ]
    if isinstance(raw, str):
        parts += [label("the line"), Body([("", raw)], limit)]
    return Section(f"{place} · error", parts, "red")
