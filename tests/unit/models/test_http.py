"""HTTP over real sockets: TLS, proxies, time limits, and each failure by its name."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from refinecli.errors import UsageError
from refinecli.models.http import HttpClient, Reply, TransportError, joined
from tests.support import chat_server
from tests.support.chat_server import ChatServer

ENVIRONMENT = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def post(
    url: str, *, timeout: float = 30, body: bytes = b'{"messages": [{"content": ""}]}'
) -> Reply:
    async def main() -> Reply:
        client = HttpClient(tls=False)
        try:
            return await client.post(url, body, {"content-type": "application/json"}, timeout)
        finally:
            await client.aclose()

    return asyncio.run(main())


def failure_of(url: str, **options: Any) -> TransportError:
    with pytest.raises(TransportError) as caught:
        post(url, **options)
    return caught.value


# ------------------------------------------------------------------ failures by name


def test_a_refused_connection_is_called_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    error = failure_of(f"http://127.0.0.1:{port}/v1")
    assert (error.kind, str(error)) == ("connect", "Connection refused")


def test_a_host_that_does_not_exist_is_called_so() -> None:
    error = failure_of("http://no-such-host.invalid/v1")
    assert (error.kind, str(error)) == ("connect", "no such host")


def test_a_slow_reply_is_a_timeout_of_so_many_seconds() -> None:
    never = threading.Event()
    with ChatServer(lambda r: chat_server.Reply("4", wait_for=never)) as server:
        error = failure_of(f"{server.url}/chat/completions", timeout=0.2)
        never.set()
    assert (error.kind, str(error)) == ("timeout", "no whole reply within 0.2 s")


@pytest.mark.parametrize(
    "reply", [chat_server.Reply(drop=True), chat_server.Reply("x", truncate=True)]
)
def test_a_connection_that_breaks_off_is_a_lost_connection(reply: chat_server.Reply) -> None:
    with ChatServer(lambda r: reply) as server:
        error = failure_of(f"{server.url}/chat/completions")
    assert error.kind == "connection"
    assert str(error)


RAW: dict[str, tuple[bytes, str]] = {
    "no HTTP": (b"hello\r\n\r\n", "connection"),
    "bad status line": (b"HTTP/1.1 abc OK\r\n\r\n", "connection"),
    "bad header": (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "connection"),
    "reset in the body": (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", "connection"),
    "cut chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel",
        "connection",
    ),
    "bad chunk": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        "connection",
    ),
}


@pytest.mark.parametrize("case", RAW)
def test_what_is_not_http_is_a_lost_connection(case: str) -> None:
    data, kind = RAW[case]
    with raw_server(lambda connection: connection.sendall(data)) as url:
        assert failure_of(url, timeout=5).kind == kind


def test_a_body_that_stops_coming_is_a_timeout() -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        done.wait(30)

    with raw_server(serve) as url:
        assert failure_of(url, timeout=0.2).kind == "timeout"
        done.set()


@pytest.mark.slow
@pytest.mark.parametrize("within", ["body", "headers"])
def test_a_server_that_drips_forever_is_a_timeout(within: str) -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        if within == "body":
            connection.sendall(b"content-length: 100000\r\n\r\n")
        while not done.wait(0.02):
            with contextlib.suppress(OSError):
                connection.sendall(b"\n" if within == "body" else b"x: y\r\n")

    with raw_server(serve) as url:
        error = failure_of(url, timeout=0.4)
        done.set()
    assert (error.kind, str(error)) == ("timeout", "no whole reply within 0.4 s")


class raw_server:  # noqa: N801 - used like a function
    """Accepts connections, reads a request's head and lets `serve` do the rest."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._accept)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v1"

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                self._serve(connection)


def test_a_header_of_16_kb_is_read() -> None:
    reply = chat_server.Reply("4", headers={"x-long": "y" * 16_000})
    with ChatServer(lambda r: reply) as server:
        assert post(f"{server.url}/chat/completions").headers["x-long"] == "y" * 16_000


def test_a_header_that_is_no_utf_8_can_be_encoded_again() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-City: K\xf6ln\r\ncontent-length: 2\r\n\r\n{}"
    with raw_server(lambda connection: connection.sendall(head)) as url:
        assert post(url).headers["x-city"] == "Köln"


def test_a_body_in_pieces_is_put_together() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{\r\n")
        connection.sendall(b"1\r\n}\r\n0\r\n\r\n")

    with raw_server(serve) as url:
        assert post(url).content == b"{}"


def test_a_packed_body_is_unpacked() -> None:
    packed = gzip.compress(b"{}")
    reply = chat_server.Reply(raw=packed, headers={"content-encoding": "gzip"})
    with ChatServer(lambda r: reply) as server:
        assert post(f"{server.url}/chat/completions").content == b"{}"


def test_cookies_are_not_sent_back() -> None:
    reply = chat_server.Reply("4", headers={"set-cookie": "a=b"})
    with ChatServer(lambda r: reply) as server:

        async def twice() -> None:
            client = HttpClient(tls=False)
            for _ in range(2):
                await client.post(f"{server.url}/chat/completions", b'{"messages":[]}', {}, 30)
            await client.aclose()

        asyncio.run(twice())
        assert [request.headers.get("cookie") for request in server.requests] == [None, None]


def test_redirects_are_not_followed() -> None:
    reply = chat_server.Reply(status=308, raw=b"", headers={"location": "/elsewhere"})
    with ChatServer(lambda r: reply) as server:
        answer = post(f"{server.url}/chat/completions")
        assert len(server.requests) == 1
    assert (answer.status, answer.headers["location"]) == (308, "/elsewhere")


def test_what_a_server_sends_too_much_answers_no_later_request() -> None:
    heard, sent = threading.Event(), threading.Event()
    connections: list[str] = []

    def whole(text: str) -> bytes:
        return f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()

    def serve(connection: socket.socket) -> None:
        connections.append("another")
        if len(connections) > 1:
            connection.sendall(whole("second"))
            return
        connection.sendall(whole("first"))
        heard.wait()
        connection.sendall(whole("too much"))
        sent.set()
        connection.recv(65536)

    async def main(url: str) -> list[bytes]:
        client = HttpClient(tls=False)
        first = await client.post(url, b"{}", {}, 30)
        heard.set()
        await asyncio.to_thread(sent.wait)
        for _ in range(100):  # the loop looks at its sockets each time
            await asyncio.sleep(0)
        second = await client.post(url, b"{}", {}, 30)
        await client.aclose()
        return [first.content, second.content]

    with raw_server(serve) as url:
        assert asyncio.run(main(url)) == [b"first", b"second"]


def test_many_requests_are_in_flight_at_once() -> None:
    count, everybody = 150, threading.Event()

    def script(request: chat_server.Request) -> chat_server.Reply:
        if request.number == count - 1:
            everybody.set()
        return chat_server.Reply("4", wait_for=everybody)

    async def all_at_once(url: str) -> list[int]:
        client = HttpClient(tls=False)
        body = b'{"messages": [{"content": ""}]}'
        replies = await asyncio.gather(*(client.post(url, body, {}, 30) for _ in range(count)))
        await client.aclose()
        return [reply.status for reply in replies]

    with ChatServer(script) as server:
        assert asyncio.run(all_at_once(f"{server.url}/chat/completions")) == [200] * count


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h/d/x?api-version=1", "http://h/d/x/chat/completions?api-version=1"),
    ],
)
def test_a_path_goes_before_the_query(base: str, url: str) -> None:
    assert joined(base, "/chat/completions") == url


@pytest.mark.parametrize("base", ["http://x:99999/v1?key=k", "http://x:abc/v1"])
def test_a_base_url_that_is_none_is_told_without_its_query(base: str) -> None:
    with pytest.raises(UsageError, match="is not a URL") as raised:
        joined(base, "/models")
    assert "key=k" not in raised.value.message


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("HTTPS://Example.COM:443/v1", "https://example.com/v1/models"),
        ("http://h/a b/", "http://h/a%20b/models"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/models"),
    ],
)
def test_urls_that_are_the_same_are_written_alike(base: str, url: str) -> None:
    assert joined(base, "/models") == url


# ------------------------------------------------------------------ TLS


# ------------------------------------------------------------------ proxies


@pytest.mark.parametrize(
    "proxy",
    [
        "http://me:secret@h:99999",
        "http://me:sec/ret@h:80",
        "http://me:secret@",
        "http://me:secret@[::1",
    ],
)
def test_a_proxy_whose_url_cannot_be_read_does_not_show_its_password(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    error = failure_of("http://no-such-host.invalid/v1")
    assert error.kind == "connect"
    assert "me:sec" not in str(error)
