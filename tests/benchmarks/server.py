"""A chat server for benchmarks: every answer is ready beforehand and leaves after a set latency.

    python tests/benchmarks/server.py --latency-ms 50
    python tests/benchmarks/server.py --rate 20 --burst 20 --retry-after 1
    python tests/benchmarks/server.py --latency-ms 500 --prefixes

It serves on loopback, prints its address and ends when its standard input does. A waiting request
costs one timer, so thousands can wait at once. `/stats` counts what came, `/reset` forgets it all.
With `--prefixes` it keeps the beginnings of prompts as providers do, and counts the tokens of
prompts and how many of them it had kept.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass

ANSWER = "The answer is 4."
# One verdict that every tool in the comparison can read: by tag, as JSON, as inspect's letter.
VERDICT = json.dumps({"reason": "It is. <score>1</score> GRADE: C", "score": 1})
GRADER_MARK = b"<criterion>"

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)


def _reply(status: str, body: object, *headers: str) -> bytes:
    content = json.dumps(body).encode()
    head = [f"HTTP/1.1 {status}", "content-type: application/json", *headers]
    head.append(f"content-length: {len(content)}")
    return "\r\n".join([*head, "", ""]).encode() + content


def _completion(text: str) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    fields = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "mock"}
    return _reply("200 OK", {**fields, "choices": [choice], "usage": usage})


@dataclass
class Stats:
    """What came since the start or the last reset. Times are of the monotonic clock, which all
    processes of a machine share."""

    requests: int = 0
    answered: int = 0
    refused: int = 0
    connections: int = 0
    in_flight: int = 0
    peak_in_flight: int = 0
    prompt_tokens: int = 0  # counted with `--prefixes`, as are those that were kept
    cached_tokens: int = 0
    first_request_at: float | None = None


class Bucket:
    """A token bucket: `rate` requests a second, `burst` of them at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self.refill()

    def refill(self) -> None:
        self._tokens, self._at = self.burst, time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._at) * self.rate)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Prefixes:
    """The beginnings of prompts that were answered, in blocks of 128 tokens, used from 1,024 tokens
    on."""

    block, least = 128 * 4, 1024 * 4  # characters

    def __init__(self) -> None:
        self._kept: set[int] = set()

    def read(self, body: bytes) -> tuple[int, int, list[int]]:
        """Return a request's tokens, those of them that were kept, and its blocks."""
        messages = json.loads(body)["messages"]
        text = "".join(f"{one['role']}: {one['content']}" for one in messages)
        blocks, so_far = [], 0
        for end in range(self.block, len(text), self.block):
            so_far = hash((so_far, text[end - self.block : end]))
            blocks.append(so_far)
        known = sum(block in self._kept for block in blocks) * self.block
        return len(text) // 4, known // 4 if known >= self.least else 0, blocks

    def keep(self, blocks: list[int]) -> None:
        """Keep a prompt, once it was answered."""
        self._kept.update(blocks)


class Mock:
    """What all connections share."""

    def __init__(
        self,
        latency: float,
        bucket: Bucket | None,
        retry_after: float | None,
        prefixes: Prefixes | None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.latency, self.bucket, self.prefixes = latency, bucket, prefixes
        self.stats = Stats()
        self.answer, self.verdict = _completion(ANSWER), _completion(VERDICT)
        headers = () if retry_after is None else (f"retry-after: {retry_after:g}",)
        message = {"message": "Rate limit reached", "type": "requests"}
        self.refusal = _reply("429 Too Many Requests", {"error": message}, *headers)

    def reset(self) -> None:
        self.stats = Stats()
        if self.bucket:
            self.bucket.refill()
        if self.prefixes:
            self.prefixes = Prefixes()


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as much of it as these clients speak: bodies have a length."""

    def __init__(self, mock: Mock) -> None:
        self.mock = mock
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.mock.stats.connections += 1

    def data_received(self, data: bytes) -> None:
        data = self.unread + data
        while (head := data.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(data, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(data) < end:
                break
            if data.startswith(b"POST"):
                self.chat(data[head + 4 : end])
            else:
                self.transport.write(self.about(data.split(b" ", 2)[1]))
            data = data[end:]
        self.unread = data

    def chat(self, body: bytes) -> None:
        mock, stats = self.mock, self.mock.stats
        stats.requests += 1
        if stats.first_request_at is None:
            stats.first_request_at = time.monotonic()
        if mock.bucket and not mock.bucket.take():
            stats.refused += 1
            self.transport.write(mock.refusal)
            return
        stats.in_flight += 1
        stats.peak_in_flight = max(stats.peak_in_flight, stats.in_flight)
        reply = mock.verdict if GRADER_MARK in body else mock.answer
        blocks: list[int] = []
        if mock.prefixes:
            tokens, cached, blocks = mock.prefixes.read(body)
            stats.prompt_tokens += tokens
            stats.cached_tokens += cached
        if mock.latency:
            mock.loop.call_later(mock.latency, self.send, stats, reply, blocks)
        else:
            self.send(stats, reply, blocks)

    def send(self, stats: Stats, reply: bytes, blocks: list[int]) -> None:
        stats.in_flight -= 1
        stats.answered += 1
        if self.mock.prefixes:
            self.mock.prefixes.keep(blocks)
        self.transport.write(reply)

    def about(self, path: bytes) -> bytes:
        if path == b"/stats":
            return _reply("200 OK", asdict(self.mock.stats))
        if path == b"/reset":
            self.mock.reset()
            return _reply("200 OK", {})
        if path.endswith(b"/models"):
            return _reply("200 OK", {"object": "list", "data": [{"id": "mock", "object": "model"}]})
        return _reply("404 Not Found", {"error": {"message": "no such page"}})


async def serve(options: argparse.Namespace) -> None:
    bucket = Bucket(options.rate, options.burst) if options.rate else None
    prefixes = Prefixes() if options.prefixes else None
    mock = Mock(options.latency_ms / 1000, bucket, options.retry_after, prefixes)
    server = await mock.loop.create_server(
        lambda: Connection(mock), "127.0.0.1", options.port, backlog=4096
    )
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    ended = asyncio.Event()
    mock.loop.add_reader(sys.stdin, ended.set)  # nothing is ever written to it: this is its end
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--rate", type=float, help="requests a second; others are answered 429")
    parser.add_argument("--burst", type=float, default=1)
    parser.add_argument("--retry-after", type=float, help="seconds that a 429 names")
    parser.add_argument("--prefixes", action="store_true", help="keep the beginnings of prompts")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
