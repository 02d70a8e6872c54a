"""Show a rollout's whole transcript.

    for part in transcript(datapoint, refinement, calls, prompts, grading, full=False):
        console.print(part, soft_wrap=plain(console))

Nothing here prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from refinecli.display.boxes import (
    Body,
    Columns,
    Limit,
    Section,
    label,
    plain,
    shown,
)
from refinecli.display.choices import kept_request, why_chosen, why_stopped
from refinecli.display.item_grades import GRADER, Rollout, item_section
from refinecli.display.marks import colour, mark, notes_of, number, preferred, tokens, verdict
from refinecli.display.messages import ending, reply, turns
from refinecli.display.recorded_calls import Call, Ledger
from refinecli.grading.scoring import weight_of
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts, message_text
from refinecli.refining.strategies import STRATEGIES
from refinecli.stats.wording import plural
from refinecli.text.clean import clean, one_line
from refinecli.text.word_diff import word_diff
from refinecli.types import Datapoint, Grade, Iteration, Refinement, RubricItem

__all__ = ["Call", "clean", "plain", "shown", "transcript"]

LINES = 30  # of one text, unless it is shown in full
WRITER = "cyan"  # legible on dark and on light backgrounds

_OPTIMISTIC = (
    "In-loop scores are optimistic, since the best of several noisy grades is kept; "
    "a separate `refinecli grade` is not."
)


def transcript(
    datapoint: Datapoint,
    refinement: Refinement | None,
    calls: Sequence[Call],
    prompts: Prompts,
    grading: GradeOptions,
    *,
    full: bool,
    hint: str = "",
    threshold: float | None = None,
    min_gain: float = 0.0,
) -> Iterator[RenderableType]:
    """Show all that happened to one datapoint, in order; without `full`, long texts are cut, with
    `hint` on how to see the rest.

    `refinement` is None where not even a first response could be had: the failed calls remain.
    """
    ledger, limit = Ledger(calls), Limit() if full else Limit(LINES, hint)
    yield _prefix(datapoint, refinement, ledger, limit)
    if refinement is not None:
        rollout = Rollout(
            datapoint, refinement, ledger, prompts, grading, limit, threshold, min_gain
        )
        for iteration in refinement.iterations:
            yield from iteration_sections(rollout, iteration)
    for call in ledger.rest():
        yield _other_call(call, limit)
    if refinement is not None:
        yield result_section(rollout)


# ------------------------------------------------------------------ messages


def _prefix(
    datapoint: Datapoint, refinement: Refinement | None, ledger: Ledger, limit: Limit
) -> Section:
    given = refinement is not None and refinement.iterations[0].role == "input"
    title = f"{one_line(str(datapoint.id), 40)} · " + (
        "conversation" if given else "what the policy sees"
    )
    return Section(title, turns(ledger.first_messages or datapoint.convo, limit))


def _other_call(call: Call, limit: Limit) -> Section:
    """Show a call that is not part of a response: a critic's, a selector's, a failed draft."""
    title = f"{call.draw.role} call (iteration {call.draw.iteration}, sample {call.draw.sample})"
    parts = turns(call.messages, limit)
    if call.completion is None:
        parts += [label("✗ failed", "bold red"), Body([("", call.error)], limit)]
        return Section(f"{title} failed", parts, "red")
    parts.append(label("reply"))
    parts += reply(call.completion.reasoning, [("", call.completion.text)], limit)
    return Section(title, [*parts, ending(call.completion)])


# ------------------------------------------------------------------ one iteration


def iteration_sections(rollout: Rollout, iteration: Iteration) -> Iterator[RenderableType]:
    """Show an iteration in the order of events: a critic's version is graded after it was
    chosen."""
    writer = rollout.ledger.writer(iteration)
    chains: list[list[list[Call]]] = [[] for _ in iteration.grades]
    if not rollout.stored:
        chains = rollout.ledger.graders(
            rollout.datapoint, iteration, writer, rollout.prompts, rollout.grading
        )
    by = STRATEGIES[rollout.refinement.strategy].feedback_by
    if iteration.choice:
        first = not any(it.choice for it in rollout.refinement.iterations[: iteration.iteration])
        why = why_chosen(iteration, alone=first and not rollout.stored)
        yield Section(f"choice (iteration {iteration.iteration})", why, WRITER)
    for role in ("critic", "selector") if by == "selector" else ("critic",):
        yield from _calls_of(rollout, role, iteration)
    if iteration.role == "reviser":
        yield _request(rollout, iteration, writer)
    yield _response(rollout, iteration, writer)
    if iteration.parent is not None:
        yield _diff(rollout, iteration)
    if iteration.role == "critic":
        yield from _selected(rollout, iteration)
    for index, asked in enumerate(chains):
        if rollout.shows(iteration.grades[index]):
            yield item_section(rollout, iteration, index, asked)
    if iteration.grades and rollout.only is None:
        yield _scores(rollout, iteration)
    if iteration.role != "critic":
        yield from _selected(rollout, iteration)


def _calls_of(rollout: Rollout, role: str, iteration: Iteration) -> Iterator[Section]:
    for call in rollout.ledger.of(role, iteration):
        yield _other_call(call, rollout.limit)


def _selected(rollout: Rollout, iteration: Iteration) -> Iterator[Section]:
    """Show a selector's choice between the new response and the old, asked in both orders."""
    yield from _calls_of(rollout, "selector", iteration)
    if iteration.selection is None:
        return
    votes = " and ".join(iteration.selection.votes)
    choice = f"voted {votes}: {preferred(iteration.selection)}"
    title = f"selection (iteration {iteration.iteration})"
    yield Section(title, [label(choice, colour(iteration.accepted))], GRADER)


def _request(rollout: Rollout, iteration: Iteration, writer: Call | None) -> Section:
    kept = kept_request(rollout.refinement, iteration)
    text = message_text(writer.messages[-1]) if writer else kept
    where = f"after the conversation and the response of iteration {iteration.parent}"
    if STRATEGIES[rollout.refinement.strategy].history:
        where = "after the conversation and each response so far, with its feedback"
    parts: list[RenderableType] = [label(where, "dim"), Body([("", text)], rollout.limit)]
    return Section(f"rewrite request (iteration {iteration.iteration})", parts, WRITER)


def _response(rollout: Rollout, iteration: Iteration, writer: Call | None) -> Section:
    parts = reply(iteration.reasoning, [("", iteration.response)], rollout.limit)
    if iteration.role == "input" and not rollout.when:
        parts.append(label("given with the datapoint", "dim"))
    elif writer and writer.completion:
        parts.append(ending(writer.completion))
    elif iteration.finish_reason not in ("stop", None):
        parts.append(label(f"finish_reason: {iteration.finish_reason}"))
    chosen_draft = iteration.choice and iteration.parent is None
    what = "fresh draft" if chosen_draft else "response"
    return Section(f"{what} ({rollout.turn(iteration)})", parts, WRITER)


def _diff(rollout: Rollout, iteration: Iteration) -> Section:
    assert iteration.parent is not None
    old = rollout.refinement.iterations[iteration.parent].response
    title = f"changes from iteration {iteration.parent} to {iteration.iteration}"
    if old == iteration.response:
        return Section(title, [label("none: the same text", "dim")], WRITER)
    pieces = word_diff(old, iteration.response, full=not rollout.limit.lines)
    return Section(title, [Body(pieces, rollout.limit.doubled())], WRITER)


# ------------------------------------------------------------------ scores and result


def _scores(rollout: Rollout, iteration: Iteration) -> Section:
    """Show the items' scores times their weights, the sum, and whether that was good enough."""
    rows = []
    pairs = list(zip(rollout.datapoint.rubric_items, iteration.grades, strict=True))
    for item, grade in pairs:
        part = None if grade.score is None else item.weight * grade.score
        row = [grade.name, number(grade.score), f"{item.weight:g}", number(part)]
        rows.append([*row, mark(grade.passed), notes_of(item)])
    header = ("item", "score", "× weight", "=", "verdict", "")
    passed = iteration.passed
    lines: list[RenderableType] = [label(_sum(iteration.score, pairs))]
    if iteration.score is not None:
        lines.append(label(f"{verdict(passed)} ({_needs(rollout)})", colour(passed)))
    if iteration.iteration:
        lines.append(_accepted(rollout, iteration))
    title = f"scores ({rollout.turn(iteration)})"
    return Section(title, [Columns(header, rows), *lines], GRADER)


def _needs(rollout: Rollout) -> str:
    """Say what a response must do to pass."""
    needs = []
    if any(item.required for item in rollout.datapoint.rubric_items):
        needs.append("every required item")
    if rollout.threshold is not None:
        needs.append(f"a score of at least {rollout.threshold:g}")
    return "needs " + (" and ".join(needs) or "every item")


def _sum(score: float | None, pairs: list[tuple[RubricItem, Grade]]) -> str:
    if score is None:
        missing = sum(not grade.graded for _, grade in pairs)
        return f"score: none, {missing} of {plural(len(pairs), 'item')} ungraded"
    weights = weight_of([item for item, _ in pairs])
    total = sum(item.weight * (grade.score or 0) for item, grade in pairs)
    return f"score: {number(total)} ÷ {weights:g} (positive weights) = {number(score)}"


def _accepted(rollout: Rollout, iteration: Iteration) -> Text:
    """Show whether it is the best so far, with the score of the best before it."""
    earlier = rollout.refinement.iterations[: iteration.iteration]
    before = [it for it in earlier if it.accepted and it.grades]
    best = before[-1]
    step = f"{number(best.score)} (iteration {best.iteration}) → {number(iteration.score)}"
    if not STRATEGIES[rollout.refinement.strategy].by_grade:
        return label(f"kept, whatever its score: {step}")
    if iteration.accepted:
        return label(f"✓ accepted: {step}", "bold green")
    picked = iteration.selection or (iteration.score or 0) > (best.score or 0)
    why = "the selector did not prefer it" if picked else "it is not better"
    return label(f"✗ not accepted, {why}: {step}", "bold red")


def result_section(rollout: Rollout) -> Section:
    refinement = rollout.refinement
    best, initial = refinement.best, refinement.initial_score
    by_grade = STRATEGIES[refinement.strategy].by_grade
    what = "best" if by_grade else "kept"
    parts: list[RenderableType] = [
        *why_stopped(refinement, rollout.min_gain),
        label(f"{what}: iteration {best.iteration}, score {number(best.score)}"),
        label(verdict(refinement.passed), colour(refinement.passed)),
    ]
    if refinement.error is not None:
        parts.append(label(f"✗ {refinement.error.type}", "bold red"))
        parts.append(Body([("", refinement.error.message)], Limit(LINES)))
    if best.score is not None and initial is not None and best.score > initial:
        parts.append(label(f"gain: {number(initial)} → {number(best.score)}"))
        by_model = any(g.grader == "llm" for it in refinement.iterations for g in it.grades)
        parts += [Text(_OPTIMISTIC)] if by_grade and by_model else []
    usage = refinement.usage
    parts.append(label(f"{plural(usage.calls, 'call')} · {tokens(usage)}", "dim"))
    return Section("result", parts, "green" if refinement.passed else "red")
