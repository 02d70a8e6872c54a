"""What a provider's prompt cache serves of the graders' prompts, and what the lead costs in time.

The items of one response share their prompt up to the criterion, so that of a long one an item goes
first, as the *lead*, and the others follow. Next to it the same command with all items asked at
once, as it is for short prompts; the two take turns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from tests.benchmarks.jobs import REFINECLI, Command, Lab, served
from tests.benchmarks.measure import Figure, Run, Server

CRITERIA = ("Is it correct?", "Is it polite?", "Is it complete?", "Is it short?", "Is it clear?")
_WORDS = ("the", "a", "of", "water", "light", "stone", "tree", "river", "cold", "warm", "green")


class Sent(NamedTuple):
    """A run, and the share of its prompt tokens that the server had kept."""

    run: Run
    cached: float


# Datapoints, requests in flight, and the time that a lead may take as a multiple. Over a file it
# costs nothing, since other rows fill the places of those that wait; one row takes one more answer.
FILES = ((200, 64, 1.05), (400, 256, 1.05), (1, 64, None))


def prefix(
    lab: Lab, latency_ms: float = 500, files: Sequence[tuple[int, int, float | None]] = FILES
) -> Iterator[Figure]:
    for datapoints, in_flight, most in files:
        found = _interleaved(lab, datapoints, in_flight, latency_ms)
        what = f"{datapoints} × {len(CRITERIA)} long grades, {in_flight} in flight"
        led, at_once = found["led"], found["at once"]
        ratios = [a.run.wall / b.run.wall for a, b in zip(led, at_once, strict=True)]
        yield Figure(f"{what}: wall with a lead ÷ at once", ratios, "×", at_most=most)
        least = None if most is None else 0.65
        yield Figure(f"{what}: cached with a lead", [s.cached for s in led], at_least=least)
        yield Figure(f"{what}: cached at once", [s.cached for s in at_once])


def _interleaved(
    lab: Lab, datapoints: int, in_flight: int, latency_ms: float
) -> dict[str, list[Sent]]:
    data = _long_answers(lab.folder, datapoints)
    with Server(latency_ms=latency_ms, prefixes=True) as server:
        arms = {
            name: partial(_sent, lab, server, _grade(data, server.url, in_flight, lead), datapoints)
            for name, lead in (("at once", "false"), ("led", "true"))
        }
        return lab.interleaved(3, arms)


def _sent(lab: Lab, server: Server, command: Command, datapoints: int) -> Sent:
    result = served(lab, server, command, datapoints * len(CRITERIA))
    stats = server.stats()
    return Sent(result, stats["cached_tokens"] / stats["prompt_tokens"])


def _grade(data: Path, url: str, in_flight: int, lead: str) -> Command:
    at = ("--base-url", url, "--model", "mock", "--concurrency", str(in_flight))
    return (*REFINECLI, "grade", data, "-o", "out.jsonl", "--set", f"grade.prefix_lead={lead}", *at)


def _long_answers(folder: Path, datapoints: int) -> Path:
    path = folder / f"long-answers-{datapoints}.jsonl"
    lines = (json.dumps(row) + "\n" for row in long_answers(datapoints, 900))
    path.write_text("".join(lines), "utf-8")
    return path


def long_answers(datapoints: int, words: int) -> list[dict[str, Any]]:
    """Return datapoints with a response of `words` words each, no two of which begin alike."""
    draw = Random(42)
    return [
        {
            "id": f"row-{number}",
            "convo": f"Write something about {draw.choice(_WORDS)}, number {number}.",
            "response": " ".join(draw.choices(_WORDS, k=words)),
            "rubric_items": [{"rubric_str": one} for one in CRITERIA],
        }
        for number in range(datapoints)
    ]
