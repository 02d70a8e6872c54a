"""Build the curve over iterations: what the run would have returned if it had stopped after
each."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.report.cases import Case, Mark, Spent, Step
from refinecli.report.gains import record
from refinecli.stats import statistics
from refinecli.types import JSONObject


def iterations(cases: Sequence[Case]) -> list[JSONObject]:
    """Return a row for each iteration, over the datapoints with a first and a final score.

    A datapoint that finished earlier counts with its final response. Where a strategy did not grade
    a round, that round has no score.
    """
    scored = [case for case in cases if case.first is not None and case.final is not None]
    last = max((len(case.steps) for case in scored), default=0)
    found = [_row(scored, number) for number in range(last)]
    if any(step.chosen for case in scored for step in case.steps):
        return [row | {"drafts": _drafts(scored, row["iteration"])} for row in found]
    return found


def kept(case: Case, number: int) -> Step:
    """Return the response that would have been returned after iteration `number`."""
    if number >= len(case.steps) - 1:
        return case.steps[case.best]
    accepted = (step for step in reversed(case.steps[: number + 1]) if step.accepted)
    return next(accepted, case.steps[0])


def changed(before: Sequence[Mark], after: Sequence[Mark]) -> tuple[int, int]:
    """Count the items that went from failed to passed, and from passed to failed."""
    pairs = [(a.passed, b.passed) for a, b in zip(before, after, strict=True)]
    return pairs.count((False, True)), pairs.count((True, False))


def _drafts(scored: Sequence[Case], number: int) -> int:
    """Count the drafts in an iteration: an adaptive loop may draft for one datapoint and rewrite
    for another."""
    return sum(number < len(case.steps) and case.steps[number].role == "policy" for case in scored)


def _row(scored: Sequence[Case], number: int) -> JSONObject:
    active = [case for case in scored if number < len(case.steps)]
    steps = [case.steps[number] for case in active]
    current = [kept(case, number) for case in scored]
    scores = [step.score for step in current if step.score is not None]
    score = None
    if len(scores) == len(
        scored
    ):  # or its mean would be over fewer datapoints than its neighbours'
        score = statistics.mean(scores, [case.cluster for case in scored])
    decided = [
        (step.accepted, case.cluster)
        for case, step in zip(active, steps, strict=True)
        if step.decided and number
    ]
    accepted = statistics.proportion([a for a, _ in decided], [c for _, c in decided])
    moves = [
        changed(case.steps[step.parent].marks, step.marks)
        for case, step in zip(active, steps, strict=True)
        if step.parent is not None
    ]
    spent = sum((step.spent for step in steps), Spent())
    return {
        "iteration": number,
        "n": len(scored),
        "active": len(active),
        "score": record(score),
        "accepted": record(accepted),
        # First responses and drafts have no previous response to fix or break.
        "fixed": sum(fixed for fixed, _ in moves) if moves else None,
        "broken": sum(broken for _, broken in moves) if moves else None,
        "characters": sum(step.characters for step in current) / len(current),
        "calls": spent.calls,
        "prompt_tokens": spent.prompt_tokens,
        "completion_tokens": spent.completion_tokens,
    }


def selections(cases: Sequence[Case]) -> dict[str, int] | None:
    """Count how often a selector picked each role's response; None where nobody selected."""
    won: dict[str, int] = {}
    for case in cases:
        for step in case.steps:
            if step.winner is None:
                continue
            old = case.steps[step.parent].role if step.parent is not None else "policy"
            name = {"new": step.role, "old": old}.get(step.winner, "tie")
            won[name] = won.get(name, 0) + 1
    return won or None
