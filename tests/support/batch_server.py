"""A server that speaks OpenAI's protocol of batches, for tests.

    with BatchServer(script) as server:
        ...  # server.url, server.batches, server.paid

Requests of a batch are answered by the script, as a chat request would be; chat requests too. What
goes wrong is chosen by the arguments. `before` is called with the name of each step as it begins.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.chat_server import Reply, Request, Script


@dataclass
class BatchServer:
    """Serves on a free port of the loopback interface until the block ends.

    A batch is over at the look number `looks`, and ends as the next of `endings` says, or else as
    completed. Of an expired or cancelled one only the requests before its middle are done. The
    first `refusals` creations are refused with 429. `failing` says which requests end in the error
    file.
    """

    script: Script
    looks: int = 1
    endings: list[str] = field(default_factory=list)
    refusals: int = 0
    failing: Callable[[dict[str, Any]], bool] = lambda entry: False
    latency: float = 0  # seconds that a chat request's reply is held back
    before: Callable[[str], None] = lambda step: None
    others: int = 0  # batches that are there already, and are not ours
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    paid: list[str] = field(default_factory=list)  # the custom_ids that batches answered
    live: list[Request] = field(default_factory=list)  # chat requests
    keys: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for n in range(self.others):
            self.batches[f"other_{n}"] = {"id": f"other_{n}", "status": "completed"}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def ours(self) -> list[dict[str, Any]]:
        """The batches that were created here, in order."""
        return [batch for id, batch in self.batches.items() if id.startswith("batch_")]

    def __enter__(self) -> BatchServer:
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    # -------------------------------------------------------------- the protocol

    def answer(self, method: str, target: str, data: bytes, kind: str) -> tuple[int, bytes]:
        path, query = urlsplit(target).path.removeprefix("/v1"), parse_qs(urlsplit(target).query)
        if path == "/chat/completions":
            return self._chat(json.loads(data))
        if (method, path) == ("POST", "/files"):
            return self._upload(data, kind)
        if (method, path) == ("POST", "/batches"):
            return self._create(json.loads(data))
        if path == "/batches":
            return self._list(query.get("after", [""])[0])
        if found := re.fullmatch(r"/batches/(\w+)(/cancel)?", path):
            return self._look(found[1], cancel=bool(found[2]))
        found = re.fullmatch(r"/files/(\w+)/content", path)
        assert found, path
        self.before("download")
        return 200, self.files[found[1]]

    def _chat(self, body: dict[str, Any]) -> tuple[int, bytes]:
        request = Request(len(self.live), body, {}, "/v1/chat/completions")
        self.live.append(request)
        reply = self.script(request)
        return 200, (Reply(reply) if isinstance(reply, str) else reply).body(body["model"])

    def _upload(self, data: bytes, kind: str) -> tuple[int, bytes]:
        self.before("upload")
        boundary = kind.partition("boundary=")[2].strip('"').encode()
        parts = [part.partition(b"\r\n\r\n") for part in data.split(b"--" + boundary)[1:-1]]
        by_name = {re.search(rb'name="(\w+)"', head)[1]: rest[:-2] for head, _, rest in parts}  # type: ignore[index]
        assert by_name[b"purpose"] == b"batch"
        id = f"file_{len(self.files)}"
        self.files[id] = by_name[b"file"]
        return 200, _json({"id": id, "object": "file", "purpose": "batch"})

    def _create(self, body: dict[str, Any]) -> tuple[int, bytes]:
        self.before("create")
        if self.refusals:
            self.refusals -= 1
            return 429, _json({"error": {"message": "too many batches are open"}})
        assert body["endpoint"] == "/v1/chat/completions"
        assert body["completion_window"] == "24h"
        id = f"batch_{len(self.ours)}"
        batch = {
            "id": id,
            "object": "batch",
            "status": "validating",
            "metadata": body.get("metadata"),
            "input_file_id": body["input_file_id"],
            "looks": 0,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
        }
        self.batches[id] = batch
        self.before("created")
        return 200, _json(batch)

    def _list(self, after: str) -> tuple[int, bytes]:
        self.before("list")
        ids = list(reversed(self.batches))
        start = ids.index(after) + 1 if after else 0
        page = ids[start : start + 100]
        more = start + 100 < len(ids)
        listed = {"object": "list", "data": [self.batches[id] for id in page], "has_more": more}
        return 200, _json(listed)

    def _look(self, id: str, *, cancel: bool) -> tuple[int, bytes]:
        self.before("cancel" if cancel else "look")
        batch = self.batches[id]
        batch["looks"] = batch.get("looks", 0) + 1
        if cancel:
            self._end(batch, "cancelled")
        elif batch["looks"] >= self.looks and "output_file_id" not in batch:
            self._end(batch, self.endings.pop(0) if self.endings else "completed")
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return 200, _json(batch)

    def _end(self, batch: dict[str, Any], status: str) -> None:
        if batch["status"] in ("completed", "failed", "expired", "cancelled"):
            return
        batch["status"] = status
        entries = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        if status == "failed":
            batch["errors"] = {"data": [{"message": "line 1 is not to our liking", "line": 1}]}
            return
        done = entries if status == "completed" else entries[: len(entries) // 2]
        good = [entry for entry in done if not self.failing(entry)]
        self.paid += [entry["custom_id"] for entry in done]
        batch["output_file_id"] = self._file([self._result(entry) for entry in reversed(good)])
        bad = [_failure(entry, 500, "our fault") for entry in done if self.failing(entry)]
        bad += [_expired(entry, status) for entry in entries[len(done) :]]
        if bad:
            batch["error_file_id"] = self._file(bad)
        counts = {"total": len(entries), "completed": len(good), "failed": len(bad)}
        batch["request_counts"] = counts

    def _result(self, entry: dict[str, Any]) -> dict[str, Any]:
        reply = self.script(Request(0, entry["body"], {}, entry["url"]))
        whole = Reply(reply) if isinstance(reply, str) else reply
        body = json.loads(whole.body(entry["body"]["model"]))
        response = {"status_code": 200, "request_id": "req", "body": body}
        return {"id": "r", "custom_id": entry["custom_id"], "response": response, "error": None}

    def _file(self, rows: list[dict[str, Any]]) -> str:
        id = f"file_{len(self.files)}"
        self.files[id] = b"".join(_json(row) + b"\n" for row in rows)
        return id


def _failure(entry: dict[str, Any], status: int, words: str) -> dict[str, Any]:
    response = {"status_code": status, "body": {"error": {"message": words}}}
    return {"custom_id": entry["custom_id"], "response": response, "error": None}


def _expired(entry: dict[str, Any], status: str) -> dict[str, Any]:
    error = {"code": f"batch_{status}", "message": "This request could not be executed."}
    return {"custom_id": entry["custom_id"], "response": None, "error": error}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


class _Server(ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: clients are killed here."""


def _handler(server: BatchServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET", b"")

        def do_POST(self) -> None:
            if self.headers.get("transfer-encoding") == "chunked":
                data = b"".join(iter(self._chunk, b""))
            else:
                data = self.rfile.read(int(self.headers["content-length"]))
            self._answer("POST", data)

        def _chunk(self) -> bytes:
            size = int(self.rfile.readline(), 16)
            data = self.rfile.read(size)
            self.rfile.readline()
            return data

        def _answer(self, method: str, data: bytes) -> None:
            server.keys.add(self.headers.get("authorization", ""))
            kind = self.headers.get("content-type", "")
            if self.path.endswith("/chat/completions"):
                time.sleep(server.latency)
            with server._lock:
                status, content = server.answer(method, self.path, data, kind)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: Any) -> None:
            """Nothing: pytest's output is for failures."""

    return Handler
