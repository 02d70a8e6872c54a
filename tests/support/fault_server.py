"""A fast chat server for whole runs: asyncio in a thread, replies fixed by the request, faults.

    with FaultServer(faulty) as server:
        ...  # server.url, server.seen, server.delivered
        server.stop()   # it goes away in mid-run,
        server.start()  # and comes back on the same port

A script is handed an `Arrival`, which knows how often the same request has come before, and gives a
text or a `Reply`; `steady` is the usual one. It runs in the server's own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from tests.support.chat_server import Reply, Request

_PATIENCE = 30.0  # seconds to wait for what a test waits for


@dataclass
class Arrival(Request):
    """A request whose body has come `earlier` times before."""

    raw: bytes = b""
    earlier: int = 0

    @property
    def mark(self) -> int:
        """A number that only the request's body decides, for replies and faults."""
        return int.from_bytes(hashlib.sha256(self.raw).digest()[:4], "big")

    @property
    def grades(self) -> bool:
        return b"<criterion>" in self.raw


@dataclass
class Fault(Reply):
    """A Reply that fails: `stall` never answers, `reset` breaks the connection off."""

    stall: bool = False
    reset: bool = False
    content_type: str = "application/json"

    @property
    def answers(self) -> bool:
        return not (self.stall or self.reset)


def steady(request: Arrival) -> str:
    """Answer and grade by nothing but the request; about half of all responses pass."""
    if request.grades:
        return f"So so, {request.mark}.\n<score>{request.mark % 2}</score>"
    return f"Answer {request.mark}."


def questions(count: int, **fields: Any) -> list[dict[str, Any]]:
    """Datapoints that all ask something else, so that no two requests of a run are equal."""
    return [
        {
            "id": f"q{number}",
            "convo": [{"role": "user", "content": f"What is the name of number {number}?"}],
            "rubric_items": [{"rubric_str": "Is it a name?"}],
            **fields,
        }
        for number in range(count)
    ]


Script = Callable[[Arrival], "str | Reply"]


class FaultServer:
    """Serves on a port of the loopback interface, until the block ends or `stop`.

    `seen` counts requests by body, `delivered` the whole, good replies to each; `arrivals` are all
    requests in order.
    """

    def __init__(self, script: Script = steady, *, latency: float = 0.0) -> None:
        self.script = script
        self.latency = latency
        self.seen: Counter[bytes] = Counter()
        self.delivered: Counter[bytes] = Counter()
        self.arrivals: list[Arrival] = []
        self.model_requests = 0
        self._changed = threading.Condition()
        self._socket = _bound(0)
        self.port: int = self._socket.getsockname()[1]
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def sent_again(self) -> int:
        """How many requests were copies of an earlier one."""
        return self.seen.total() - len(self.seen)

    def forget(self) -> None:
        """Count from nothing again; what a dead client has sent is not to be counted later."""
        self.take_in()
        with self._changed:
            self.seen.clear()
            self.delivered.clear()
            self.arrivals.clear()

    def wait_for_requests(self, count: int, seconds: float = _PATIENCE) -> None:
        """Return once so many requests have arrived."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.arrivals) >= count, seconds)
        assert arrived, f"{len(self.arrivals)} of {count} requests arrived"

    def take_in(self) -> None:
        """Count what clients sent before this call, though nothing has read it yet."""

        async def turns() -> None:
            for _ in range(20):  # a connection, its head and its body take a turn or two each
                await asyncio.sleep(0)

        if self._thread is not None:
            asyncio.run_coroutine_threadsafe(turns(), self._loop).result(_PATIENCE)

    def count_of_next(self) -> int:
        """Return how many requests will have arrived with the first of the next client; those that
        a dead one sent are not taken for it."""
        self.take_in()
        return len(self.arrivals) + 1

    # -------------------------------------------------------------- coming and going

    def start(self) -> None:
        self._socket.listen(1024)
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)))
        self._thread.start()
        ready.wait()

    def stop(self) -> None:
        """Go away: nobody listens, and every connection is reset. The port stays ours."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
            self._thread = None
            self._socket = _bound(self.port)

    def __enter__(self) -> FaultServer:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        self._socket.close()

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._talks: set[asyncio.Task[None]] = set()
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._accept)
        ready.set()
        await self._over.wait()
        self._loop.remove_reader(self._socket)
        self._socket.close()  # the kernel resets who was not accepted yet
        await asyncio.sleep(0)  # every talk has begun, and so ends as it should
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def _accept(self) -> None:
        """Take all that wait, at once: asyncio's own server loses one that comes as it closes."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                connection, _ = self._socket.accept()
                talk = asyncio.ensure_future(self._talk(connection))
                self._talks.add(talk)
                talk.add_done_callback(self._talks.discard)

    # -------------------------------------------------------------- one connection

    async def _talk(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection)
        except asyncio.CancelledError:
            connection.close()
            return
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                while await self._answer_one(reader, writer):
                    pass
        except asyncio.CancelledError:
            _reset(writer)
        finally:
            writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection lives on after the next request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        if method == "GET":
            self.model_requests += 1
            listed = {"object": "list", "data": [{"id": "scripted", "object": "model"}]}
            writer.write(_http(Reply(raw=json.dumps(listed).encode()), ""))
            return True
        raw = await reader.readexactly(int(headers["content-length"]))
        reply = self._scripted(raw, headers, path)
        if self.latency:
            await asyncio.sleep(self.latency)
        while reply.wait_for is not None and not reply.wait_for.is_set():  # noqa: ASYNC110
            # The event is another thread's, and a thread that waited for it might never end.
            await asyncio.sleep(0.005)
        return await self._send(reply, raw, writer)

    def _scripted(self, raw: bytes, headers: dict[str, str], path: str) -> Reply:
        with self._changed:
            earlier = self.seen[raw]
            number = len(self.arrivals)
            arrival = Arrival(number, json.loads(raw), headers, path, raw=raw, earlier=earlier)
            self.seen[raw] += 1
            self.arrivals.append(arrival)
            self._changed.notify_all()
            answer = self.script(arrival)
        return Reply(answer) if isinstance(answer, str) else answer

    async def _send(self, reply: Reply, raw: bytes, writer: asyncio.StreamWriter) -> bool:
        if isinstance(reply, Fault) and reply.stall:
            await asyncio.Event().wait()
        if reply.drop or (isinstance(reply, Fault) and reply.reset):
            _reset(writer)
            return False
        data = _http(reply, json.loads(raw).get("model", ""))
        if reply.truncate:
            writer.write(data[:-20])
            await writer.drain()
            return False
        good = reply.status == 200 and reply.raw is None
        self.delivered[raw] += good
        writer.write(data)
        await writer.drain()
        return True


def _bound(port: int) -> socket.socket:
    """Return a socket that has a port, 0 for any, and refuses connections until it listens."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


def _http(reply: Reply, model: str) -> bytes:
    body = reply.body(model)
    kind = reply.content_type if isinstance(reply, Fault) else "application/json"
    lines = [
        f"HTTP/1.1 {reply.status} Said",
        f"content-type: {kind}",
        f"content-length: {len(body)}",
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _reset(writer: asyncio.StreamWriter) -> None:
    """Break off with RST, as a crashed server does, rather than with a polite end."""
    if (sock := writer.get_extra_info("socket")) is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
