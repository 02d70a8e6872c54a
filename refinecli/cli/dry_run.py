"""`--dry-run`: what would be sent first, and how much at the most."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from refinecli.jsonl import Row
from refinecli.prompts import message_text
from refinecli.types import Datapoint, Message

# A rough count for English text and most tokenizers; the true one needs the model's own.
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True)
class Plan:
    """What a command would send: the first prompts of a datapoint with the role they go to, and the
    most calls that it can take."""

    prompts: Callable[[Datapoint], list[tuple[str, list[Message]]]]
    calls: Callable[[Datapoint], int]


def describe(rows: Iterable[Row], plan: Plan) -> int:
    """Print it on standard error, once all rows have been read; returns the exit code."""
    datapoints = calls = characters = bad = 0
    first: list[tuple[str, list[Message]]] = []
    for row in rows:
        if row.datapoint is None:
            bad += 1
            continue
        datapoints += 1
        calls += plan.calls(row.datapoint)
        prompts = plan.prompts(row.datapoint)
        characters += sum([len(message_text(m)) for _, messages in prompts for m in messages])
        first = first or prompts
    for role, messages in first:
        _print_prompt(role, messages)
    tokens = characters // CHARACTERS_PER_TOKEN
    unreadable = f" ({bad} lines cannot be used)" if bad else ""
    print(
        f"dry run: {datapoints} datapoints{unreadable}; at most {calls} calls, unless some are "
        f"retried; about {tokens} prompt tokens for the first round (characters ÷ "
        f"{CHARACTERS_PER_TOKEN}, replies not counted). Nothing was sent.",
        file=sys.stderr,
    )
    return 0


def _print_prompt(role: str, messages: list[Message]) -> None:
    from refinecli.clean import clean

    for message in messages:
        print(f"== to the {role}: {message['role']} ==", file=sys.stderr)
        print(clean(message_text(message)), file=sys.stderr)
    print(file=sys.stderr)
