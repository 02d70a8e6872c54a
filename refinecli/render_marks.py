"""Small words for scores and verdicts that several views share."""

from __future__ import annotations

from refinecli.types import RubricItem, Selection, Usage


def notes_of(item: RubricItem) -> str:
    notes = {
        "required": item.required,
        "penalty": item.penalty,
        "hidden from the policy": item.reveal == "verdict",
    }
    return ", ".join(note for note, holds in notes.items() if holds)


def mark(passed: bool | None) -> str:
    return "? ungraded" if passed is None else "✓ passed" if passed else "✗ failed"


def colour(passed: bool | None) -> str:
    return "bold green" if passed else "bold red"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value + 0.0:.4g}"


def preferred(selection: Selection) -> str:
    told = {"new": "the new response", "old": "the old response", "tie": "a tie"}
    return told[selection.winner]


def tokens(usage: Usage) -> str:
    if not usage.prompt_tokens and not usage.completion_tokens:
        return "tokens: not reported"
    cached = f" ({usage.cached_tokens:,} cached)" if usage.cached_tokens else ""
    thought = f" ({usage.reasoning_tokens:,} reasoning)" if usage.reasoning_tokens else ""
    return f"tokens: {usage.prompt_tokens:,} in{cached}, {usage.completion_tokens:,} out{thought}"
