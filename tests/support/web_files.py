"""A web server with files that it cuts off, refuses, moves, or sends only from their beginning."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class WebFiles:
    """Serves `files` by path on the loopback interface until the block ends.

    The next `cut` replies break off in their middle. Without `ranges` it sends whole files only;
    `statuses` are answered before a file is, once each. `seen` are the paths and ranges asked for.
    """

    def __init__(self, files: dict[str, bytes], *, ranges: bool = True) -> None:
        self.files = files
        self.ranges = ranges
        self.cut = 0
        self.moved: dict[str, str] = {}
        self.statuses: list[int] = []
        self.seen: list[tuple[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> WebFiles:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(web: WebFiles) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._reply(b"")

        def do_GET(self) -> None:
            path, wanted = self.path.partition("?")[0], self.headers.get("Range", "")
            web.seen.append((path, wanted))
            self._reply(None)

        def log_message(self, *args: object) -> None:
            pass

        def _reply(self, body: bytes | None) -> None:
            path = self.path.partition("?")[0]
            if path in web.moved:
                self._end(302, {"Location": web.moved[path], "Content-Length": "0"})
                return
            if body is None and web.statuses:
                self._end(web.statuses.pop(0), {"Content-Length": "0"})
                return
            if path not in web.files:
                self._end(404, {"Content-Length": "0"})
                return
            content, status = web.files[path], 200
            found = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if web.ranges and found and body is None:
                content, status = content[int(found[1]) : int(found[2]) + 1], 206
            self._end(status, {"Content-Length": str(len(content))})
            if body is None:
                self._send(content)

        def _send(self, content: bytes) -> None:
            if web.cut and len(content) > 1:
                web.cut -= 1
                self.wfile.write(content[: len(content) // 2])
                self.close_connection = True
                return
            self.wfile.write(content)

        def _end(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler
