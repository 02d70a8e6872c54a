"""Show all turns of one datapoint compactly, for `refine --show`."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType

from rich.console import RenderableType
from rich.text import Text

from refinecli.display.boxes import Body, Limit, Section, label
from refinecli.display.choices import chosen
from refinecli.display.marks import colour, mark, notes_of, number, preferred
from refinecli.prompts import message_text
from refinecli.text.clean import one_line
from refinecli.text.word_diff import word_diff
from refinecli.types import Datapoint, Grade, Iteration, Refinement, RubricItem

_LINES = 12  # of a text
_LINES_OF_PROMPT = 4
_NAME = 40  # characters of a name
_ENDS = MappingProxyType({True: "passed", False: "not passed", None: "ungraded"})


def story(datapoint: Datapoint, refinement: Refinement | None, why: str = "") -> RenderableType:
    """Show all turns of a datapoint: the prompt, then each response, of a rewrite its changes, with
    its items' marks and what became of it. Without a refinement, show `why` there is none."""
    name = one_line(str(datapoint.id), _NAME)
    asked = Body([("", _asked(datapoint))], Limit(_LINES_OF_PROMPT))
    parts: list[RenderableType] = [label("prompt"), asked]
    if refinement is None:
        parts += [label("✗ failed", "bold red"), Body([("", why)], Limit(_LINES))]
        return Section(f"{name} · failed", parts, "red")
    for iteration in refinement.iterations:
        parts += [Text(), *_turn(datapoint, refinement, iteration)]
    if refinement.error is not None:
        said = one_line(refinement.error.message, 140)
        parts += [Text(), label(f"✗ {refinement.error.type}: {said}", "bold red")]
    first, best = refinement.initial_score, refinement.best
    scores = number(best.score)
    if len(refinement.iterations) > 1:
        scores = f"{number(first)} → {scores}"
    title = f"{name} · {scores} · {_ENDS[refinement.passed]}"
    return Section(title, parts, "green" if refinement.passed else "yellow")


def _asked(datapoint: Datapoint) -> str:
    """Return the last thing that the user said."""
    said = [message for message in datapoint.convo if message["role"] == "user"]
    return message_text((said or datapoint.convo)[-1])


def _turn(
    datapoint: Datapoint, refinement: Refinement, iteration: Iteration
) -> list[RenderableType]:
    """Show one turn: who wrote it and what became of it, the response, each item's mark."""
    limit = Limit(_LINES)
    title = f"iteration {iteration.iteration} · {iteration.role} · {_fate(iteration)}"
    style = colour(iteration.accepted) if iteration.iteration else "bold"
    parts: list[RenderableType] = [label(title, style)]
    if iteration.choice:
        parts.append(label(chosen(iteration), "dim"))
    parts.append(_response(refinement, iteration, limit))
    parts += _marks(datapoint, iteration)
    if iteration.selection:
        parts.append(label(f"preferred by the selector: {preferred(iteration.selection)}"))
    if iteration.finish_reason not in ("stop", None):
        parts.append(label(f"finish_reason: {iteration.finish_reason}"))
    if iteration.feedback:
        body = Body([("", iteration.feedback)], limit, style="dim")
        parts += [label("feedback:", "dim"), body]
    return parts


def _fate(iteration: Iteration) -> str:
    """Say what became of a response, and its score."""
    kept = "✓ accepted" if iteration.accepted else "✗ not accepted"
    if iteration.iteration == 0:
        kept = "given" if iteration.role == "input" else "first draft"
    elif iteration.parent is None and not iteration.choice:  # drafts are compared with each other
        kept = "✓ best draft so far" if iteration.accepted else "✗ not the best draft"
    if iteration.accepted and iteration.grades and iteration.score is None:
        kept = "? kept, could not be graded"
    score = f"score {number(iteration.score)}" if iteration.grades else "not graded"
    return f"{kept} · {score}"


def _response(refinement: Refinement, iteration: Iteration, limit: Limit) -> RenderableType:
    """Show a draft as it is, and a rewrite by what it changes."""
    if iteration.parent is None:
        return Body([("", iteration.response)], limit)
    old = refinement.iterations[iteration.parent].response
    if old == iteration.response:
        return label("  the same text as before", "dim")
    return Body(word_diff(old, iteration.response, full=False), limit.doubled())


def _marks(datapoint: Datapoint, iteration: Iteration) -> Iterator[Text]:
    """Show each item that did not pass, and why; then those that passed, in one line."""
    passed = []
    for item, grade in zip(datapoint.rubric_items, iteration.grades, strict=False):
        if grade.passed:
            passed.append(f"{one_line(grade.name, _NAME)} {number(grade.score)}")
        else:
            yield _missed(item, grade)
    if passed:
        yield Text.assemble((mark(True), colour(True)), " · ", ", ".join(passed))


def _missed(item: RubricItem, grade: Grade) -> Text:
    notes = f" ({notes_of(item)})" if notes_of(item) else ""
    line = f"{one_line(grade.name, _NAME)} {number(grade.score)}{notes}"
    why = grade.error.message if grade.error else grade.feedback
    return Text.assemble(
        (mark(grade.passed), colour(grade.passed)),
        f" · {line}",
        f": {one_line(why, 140)}" if why else "",
    )
