"""A real HTTP server that answers chat requests from a script, for tests.

    with ChatServer(lambda request: "The answer is 4.") as server:
        ...  # server.url, server.requests

The script is a function from a request to what is answered: a text, or a `Reply` for anything else.
It runs in the server's threads, one at a time. `graded` and `by_role` make the usual scripts.
"""

from __future__ import annotations

import json
import math
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass
class Request:
    """One chat request as it arrived; `number` counts them from 0."""

    number: int
    body: dict[str, Any]
    headers: dict[str, str]
    path: str

    @property
    def last(self) -> str:
        """The text of the last message."""
        content = self.body["messages"][-1]["content"]
        if isinstance(content, str):
            return content
        return "\n".join(part.get("text", "") for part in content)

    @property
    def text(self) -> str:
        """All messages as one JSON text."""
        return json.dumps(self.body["messages"], ensure_ascii=False)

    @property
    def is_grading(self) -> bool:
        return "<criterion" in self.text


@dataclass
class Reply:
    """An answer in all its parts. `raw` replaces the whole body; `drop` closes the connection
    without an answer; `wait_for` holds the answer back until the event is set."""

    text: str | None = ""
    finish_reason: str | None = "stop"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    logprobs: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    raw: bytes | None = None
    drop: bool = False
    truncate: bool = False
    wait_for: threading.Event | None = None

    def body(self, model: str) -> bytes:
        if self.raw is not None:
            return self.raw
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": self.text, **self.message},
            "finish_reason": self.finish_reason,
            **({} if self.logprobs is None else {"logprobs": self.logprobs}),
        }
        return json.dumps(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "model": model,
                "choices": [choice],
                "usage": usage if self.usage is None else self.usage,
            }
        ).encode()


def likely(*, finish_reason: str = "length", **tokens: float) -> Reply:
    """A reply whose first token is one of these, so likely each."""
    top = [{"token": token, "logprob": math.log(p)} for token, p in tokens.items()]
    token = max(tokens, key=lambda one: tokens[one])
    first = {"token": token, "logprob": math.log(tokens[token]), "top_logprobs": top}
    return Reply(token, finish_reason, logprobs={"content": [first]})


def error(
    status: int, message: str, *, headers: dict[str, str] | None = None, **fields: Any
) -> Reply:
    """An error in OpenAI's shape."""
    raw = json.dumps({"error": {"message": message, **fields}}).encode()
    return Reply(status=status, raw=raw, headers=headers or {})


Script = Callable[[Request], "str | Reply"]


def by_role(answer: str | Script, grade: str | Script = "<score>1</score>") -> Script:
    """Answer writers with the one and graders with the other."""

    def script(request: Request) -> str | Reply:
        chosen = grade if request.is_grading else answer
        return chosen if isinstance(chosen, str) else chosen(request)

    return script


class ChatServer:
    """Serves on a free port of the loopback interface until the block ends, over TLS if given one.

    `models_reply` replaces the list of `models`; `model_headers` are those of each request for it.
    """

    def __init__(
        self,
        script: Script,
        models: list[str] | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        models_reply: Reply | None = None,
    ) -> None:
        self.requests: list[Request] = []
        self.models = ["scripted"] if models is None else models
        self.models_reply = models_reply
        self.model_requests = 0
        self.model_headers: list[dict[str, str]] = []
        self._script = script
        self._changed = threading.Condition()
        self._scheme = "https" if tls else "http"
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def port(self) -> int:
        return self._server.server_port

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/v1"

    def answer(self, body: dict[str, Any], headers: dict[str, str], path: str) -> Reply:
        with self._changed:
            request = Request(len(self.requests), body, headers, path)
            self.requests.append(request)
            self._changed.notify_all()
            answer = self._script(request)
        return Reply(answer) if isinstance(answer, str) else answer

    def wait_for_requests(self, count: int, seconds: float = 30) -> None:
        """Return once so many chat requests have arrived."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.requests) >= count, seconds)
        assert arrived, f"{len(self.requests)} of {count} requests arrived"

    def __enter__(self) -> ChatServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of many tests, not news."""


def _handler(server: ChatServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.model_requests += 1
            server.model_headers.append(self._headers())
            if (reply := server.models_reply) is not None:
                self._send(reply.status, reply.body(""), reply.headers)
                return
            listed = [{"id": name, "object": "model"} for name in server.models]
            self._send(200, json.dumps({"object": "list", "data": listed}).encode(), {})

        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            body = json.loads(data)
            reply = server.answer(body, self._headers(), self.path)
            if reply.wait_for is not None:
                reply.wait_for.wait(60)
            if reply.drop:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            content = reply.body(body.get("model", ""))
            self._send(reply.status, content, reply.headers, truncate=reply.truncate)

        def _headers(self) -> dict[str, str]:
            return {name.lower(): value for name, value in self.headers.items()}

        def _send(
            self, status: int, content: bytes, headers: dict[str, str], *, truncate: bool = False
        ) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if truncate else content)
            if truncate:
                self.close_connection = True

        def log_message(self, *args: Any) -> None:
            """Nothing: pytest's output is for failures."""

    return Handler
