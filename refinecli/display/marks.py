"""Provide the small words for scores and verdicts that several views share."""

from __future__ import annotations

from refinecli.grading import by_probabilities
from refinecli.grading.verdict import GradeOptions
from refinecli.text.clean import one_line
from refinecli.types import Grade, RubricItem, Selection, Usage


def notes_of(item: RubricItem) -> str:
    notes = {
        "required": item.required,
        "penalty": item.penalty,
        "hidden from the policy": item.reveal == "verdict",
    }
    return ", ".join(note for note, holds in notes.items() if holds)


def mark(passed: bool | None) -> str:
    return "? ungraded" if passed is None else "✓ passed" if passed else "✗ failed"


def verdict(passed: bool | None) -> str:
    """Say whether a response passed."""
    return (
        "? passed or not: an item is ungraded"
        if passed is None
        else ("✓ passed" if passed else "✗ not passed")
    )


def colour(passed: bool | None) -> str:
    return "bold green" if passed else "bold red"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value + 0.0:.4g}"


def votes_of(grade: Grade) -> str:
    """List each vote of a grade: its juror, score and verdict."""
    votes = [f"{vote.juror} {number(vote.score)} {mark(vote.passed)}" for vote in grade.votes]
    return one_line("votes: " + " · ".join(votes), 1000)


def what_passes(item: RubricItem, grade: Grade, options: GradeOptions) -> str:
    """Say what decided whether an item passed: how likely a pass is, most votes, or its score."""
    if grade.probabilities:
        likely = by_probabilities.pass_probability(item, grade.probabilities)
        return f"a pass is {likely:.3f} likely, at least {options.pass_probability:g} passes"
    votes = [vote for vote in grade.votes if vote.graded]
    if votes and (options.combine == "majority" or any(vote.probabilities for vote in votes)):
        return "most votes decide"
    bound = 1 - item.pass_score if item.penalty else item.pass_score
    return f"{'at most' if item.penalty else 'at least'} {bound:g} passes"


def preferred(selection: Selection) -> str:
    names = {"new": "the new response", "old": "the old response", "tie": "a tie"}
    return names[selection.winner]


def tokens(usage: Usage) -> str:
    if not usage.prompt_tokens and not usage.completion_tokens:
        return "tokens: not reported"
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    thought = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    return f"tokens: {usage.prompt_tokens:,} in{cached}, {usage.completion_tokens:,} out{thought}"
