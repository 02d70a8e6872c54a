"""How much of the graders' prompts a provider's prompt cache serves, with and without a lead.

    python -m tests.experiments.prefix_cache            # a server that keeps prefixes; a minute
    python -m tests.experiments.prefix_cache embedded   # llama.cpp's own counters; some minutes

Without a lead means that all items of a response are asked at once, as it is for short prompts.
The first is the real command, in a process of its own with an empty cache; the second asks with one
slot and with four, since each slot keeps its own last prompt. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from unittest.mock import patch

import aiohttp
from aiohttp import web

from refinecli.grading import prefix
from refinecli.grading.grade import grade
from refinecli.models.local.server import find_weights, serve
from refinecli.prompts import Prompts
from refinecli.types import Completion, Datapoint, Draw, Message, Usable, Wants

WITH = "from refinecli.cli import main; main()"
WITHOUT = f"import refinecli.grading.prefix as prefix; prefix.LONG_ENOUGH = 10**9; {WITH}"
CRITERIA = ("Is it correct?", "Is it polite?", "Is it complete?", "Is it short?", "Is it clear?")
WORDS = ("the", "a", "of", "water", "light", "stone", "tree", "river", "cold", "warm", "green")

# A grader's usual time for some sentences, and long enough that this machine's own time is little.
SECONDS = 1.0


# ------------------------------------------------------------------ a server with a prefix cache


class PrefixServer:
    """A chat server that keeps the beginnings of prompts it has answered, as providers do: in
    blocks of 128 tokens, from 1,024 tokens on. Each answer takes `seconds`."""

    block, least = 128 * 4, 1024 * 4  # characters

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: set[int] = set()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = "".join(f"{one['role']}: {one['content']}" for one in body["messages"])
        blocks, so_far = [], 0
        for end in range(self.block, len(text), self.block):
            so_far = hash((so_far, text[end - self.block : end]))
            blocks.append(so_far)
        known = sum(block in self._kept for block in blocks) * self.block
        cached = known if known >= self.least else 0
        await asyncio.sleep(self._seconds)
        self._kept.update(blocks)
        usage = {
            "prompt_tokens": len(text) // 4,
            "completion_tokens": 5,
            "total_tokens": len(text) // 4 + 5,
            "prompt_tokens_details": {"cached_tokens": cached // 4},
        }
        message = {"role": "assistant", "content": "Fine.\n<score>1</score>"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "choices": [choice], "usage": usage})


@contextmanager
def serving(seconds: float) -> Iterator[str]:
    """Serve on a free port until the block ends."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    urls: list[str] = []

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 24)
        app.router.add_post("/v1/chat/completions", PrefixServer(seconds).answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        started.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


# ------------------------------------------------------------------ rows and runs


def rows(n: int, words: int) -> list[dict[str, Any]]:
    """Datapoints with a long response each, no two of which begin alike."""
    draw = Random(42)
    return [
        {
            "id": f"row-{number}",
            "convo": f"Write something about {draw.choice(WORDS)}, number {number}.",
            "response": " ".join(draw.choices(WORDS, k=words)),
            "rubric_items": [{"rubric_str": one} for one in CRITERIA],
        }
        for number in range(n)
    ]


def run(code: str, data: Path, *flags: str) -> dict[str, float]:
    """Grade the file in a process of its own; return the cached share and the seconds."""
    with tempfile.TemporaryDirectory() as folder:
        out, summary = Path(folder) / "out.jsonl", Path(folder) / "summary.json"
        command = ["-c", code, "grade", str(data), "-o", str(out), "--summary", str(summary)]
        subprocess.run(
            [sys.executable, *command, *flags, "--max-errors", "100%", "-q"],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        usages = [json.loads(line)["grading"]["usage"] for line in out.read_text().splitlines()]
        seconds = json.loads(summary.read_text())["seconds"]
    prompt = sum(usage["prompt_tokens"] for usage in usages)
    cached = sum(usage.get("cached_tokens", 0) for usage in usages)
    return {"prompt": prompt, "cached": cached / prompt, "seconds": seconds}


def line(name: str, without: Sequence[dict[str, float]], led: Sequence[dict[str, float]]) -> str:
    shares = [median(one["cached"] for one in arm) for arm in (without, led)]
    seconds = [median(one["seconds"] for one in arm) for arm in (without, led)]
    return (
        f"| {name} | {led[0]['prompt']:,.0f} | {shares[0]:.1%} | {shares[1]:.1%} "
        f"| {seconds[0]:.2f} s | {seconds[1]:.2f} s | {seconds[1] / seconds[0]:.2f} × |"
    )


HEAD = """\
| | prompt tokens | cached at once | cached with a lead | seconds at once | with a lead | ratio |
|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.prefix_cache")
    parser.add_argument("server", nargs="?", choices=["mock", "embedded"], default="mock")
    parser.add_argument("-n", type=int, help="datapoints")
    parser.add_argument("--runs", type=int, default=3, help="of each arm, one after the other")
    options = parser.parse_args()
    if options.server == "embedded":
        embedded(options.n or 6, options.runs)
        return
    with tempfile.TemporaryDirectory() as folder:
        mock(Path(folder) / "in.jsonl", options.n, options.runs)


def mock(data: Path, n: int | None, runs: int) -> None:
    print(HEAD)
    for count, concurrency in ((n or 200, 64), (n or 400, 256), (1, 64)):
        write(data, rows(count, 900))
        arms: tuple[list[dict[str, float]], ...] = ([], [])
        for _ in range(runs):
            for code, found in zip((WITHOUT, WITH), arms, strict=True):
                with serving(SECONDS) as url:
                    at = ["--base-url", url, "--model", "m", "--concurrency", str(concurrency)]
                    found.append(run(code, data, *at))
        print(line(f"{count} datapoints, {concurrency} in flight", *arms), flush=True)


# ------------------------------------------------------------------ the embedded server


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
        points = [Datapoint(**row) for row in rows(n, 100)]
        await asyncio.gather(
            *(grade(point, point.response or "", grader, Prompts()) for point in points)
        )
        seconds = time.monotonic() - begun
    cached = sum(one["cache_n"] for one in told)
    prompt = cached + sum(one["prompt_n"] for one in told)
    return {"prompt": prompt, "cached": cached / prompt, "seconds": seconds}


def write(data: Path, lines: Sequence[dict[str, Any]]) -> None:
    data.write_text("".join(json.dumps(one) + "\n" for one in lines), "utf-8")


if __name__ == "__main__":
    main()
