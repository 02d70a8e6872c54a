"""Show one turn compactly, for `refine --show`."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from refinecli.display.boxes import Body, Limit, Section, label
from refinecli.display.choices import chosen
from refinecli.display.marks import colour, mark, notes_of, number, preferred
from refinecli.text.clean import one_line
from refinecli.types import Datapoint, Grade, Iteration, RubricItem

_LINES = 12  # of a text


def iteration_view(datapoint: Datapoint, iteration: Iteration) -> RenderableType:
    """Show one turn: the response, each item's mark, the score, accepted or not."""
    kept = "✓ accepted" if iteration.accepted else "✗ not accepted"
    if iteration.iteration == 0:
        kept = "given" if iteration.role == "input" else "first draft"
    elif iteration.parent is None and not iteration.choice:  # drafts are compared with each other
        kept = "✓ best draft so far" if iteration.accepted else "✗ not the best draft"
    if iteration.accepted and iteration.grades and iteration.score is None:
        kept = "? kept, could not be graded"
    parts: list[RenderableType] = [Body([("", iteration.response)], Limit(_LINES))]
    for item, grade in zip(datapoint.rubric_items, iteration.grades, strict=False):
        parts.append(_item_line(item, grade))
    if iteration.choice:
        parts.append(label(chosen(iteration), "dim"))
    if iteration.selection:
        parts.append(label(f"preferred by the selector: {preferred(iteration.selection)}"))
    score = f"score {number(iteration.score)}" if iteration.grades else "not graded"
    style = colour(iteration.accepted) if iteration.iteration else "bold"
    parts.append(label(f"{kept} · {score}", style))
    if iteration.finish_reason not in ("stop", None):
        parts.append(label(f"finish_reason: {iteration.finish_reason}"))
    if iteration.feedback:
        body = Body([("", iteration.feedback)], Limit(_LINES), style="dim")
        parts += [label("feedback:", "dim"), body]
    title = f"{one_line(str(datapoint.id), 40)} · iteration {iteration.iteration}"
    return Section(f"{title} · {iteration.role}", parts, "cyan")


def _item_line(item: RubricItem, grade: Grade) -> Text:
    notes = f" ({notes_of(item)})" if notes_of(item) else ""
    line = f"{one_line(grade.name, 40)} {number(grade.score)}{notes}"
    why = grade.error.message if grade.error else grade.feedback if not grade.passed else None
    return Text.assemble(
        (mark(grade.passed), colour(grade.passed)),
        f" · {line}",
        f": {one_line(why, 140)}" if why else "",
    )
