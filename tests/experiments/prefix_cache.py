"""How much of the graders' prompts the embedded server's own caches serve, with and without a lead.

    python -m tests.experiments.prefix_cache        # by llama.cpp's counters; some minutes

Without a lead means that all items of a response are asked at once, as it is for short prompts. It
asks with one slot and with four, since each slot keeps its own last prompt. Prints Markdown. What a
provider's cache serves, and the time that a lead takes, is a benchmark: `--only prefix`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from statistics import median
from typing import Any
from unittest.mock import patch

import aiohttp

from refinecli.grading import prefix
from refinecli.grading.grade import grade
from refinecli.models.local.server import find_weights, serve
from refinecli.prompts import Prompts
from refinecli.types import Completion, Datapoint, Draw, Message, Usable, Wants
from tests.benchmarks.prefix import long_answers

HEAD = """\
| | prompt tokens | cached at once | cached with a lead | seconds at once | with a lead | ratio |
|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.prefix_cache")
    parser.add_argument("-n", type=int, default=6, help="datapoints")
    parser.add_argument("--runs", type=int, default=3, help="of each arm, one after the other")
    options = parser.parse_args()
    embedded(options.n, options.runs)


def embedded(n: int, runs: int) -> None:
    """Ask the embedded server what `grade` asks, one token each, and add up what it counted. The
    responses are short, for its sake, so the lead is asked for."""
    print(HEAD)
    for slots in (4, 1):
        arms: tuple[list[dict[str, float]], ...] = ([], [])
        for _ in range(runs):
            for least, found in zip((10**9, 1000), arms, strict=True):
                with patch.object(prefix, "LONG_ENOUGH", least):
                    found.append(asyncio.run(counted(n, slots)))
        print(line(f"{n} datapoints, {slots} slots", *arms), flush=True)


def line(name: str, without: Sequence[dict[str, float]], led: Sequence[dict[str, float]]) -> str:
    shares = [median(one["cached"] for one in arm) for arm in (without, led)]
    seconds = [median(one["seconds"] for one in arm) for arm in (without, led)]
    return (
        f"| {name} | {led[0]['prompt']:,.0f} | {shares[0]:.1%} | {shares[1]:.1%} "
        f"| {seconds[0]:.2f} s | {seconds[1]:.2f} s | {seconds[1] / seconds[0]:.2f} × |"
    )


async def counted(n: int, slots: int) -> dict[str, float]:
    told: list[dict[str, Any]] = []
    places = asyncio.Semaphore(slots)
    weights = find_weights("local")
    async with serve(weights, slots=slots) as at, aiohttp.ClientSession() as client:

        async def grader(
            messages: Sequence[Message],
            draw: Draw,
            usable: Usable | None = None,
            wants: Wants | None = None,
        ) -> Completion:
            body = {"model": at.model, "messages": messages, "max_tokens": 1, "temperature": 0}
            key = {"Authorization": f"Bearer {at.api_key}"}
            async with (
                places,
                client.post(f"{at.base_url}/chat/completions", json=body, headers=key) as reply,
            ):
                told.append((await reply.json())["timings"])
            return Completion("<score>1</score>")

        begun = time.monotonic()
        points = [Datapoint(**row) for row in long_answers(n, 100)]
        await asyncio.gather(
            *(grade(point, point.response or "", grader, Prompts()) for point in points)
        )
        seconds = time.monotonic() - begun
    cached = sum(one["cache_n"] for one in told)
    prompt = cached + sum(one["prompt_n"] for one in told)
    return {"prompt": prompt, "cached": cached / prompt, "seconds": seconds}


if __name__ == "__main__":
    main()
