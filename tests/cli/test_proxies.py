"""Proxies and certificates, as a command's environment names them."""

from __future__ import annotations

import select
import shutil
import socket
import ssl
import subprocess
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import REFINE, Result, datapoint, jsonl, read_jsonl
from tests.support.chat_server import ChatServer, by_role

Cli = Callable[..., Result]
NAME = "models.test"  # resolved by nobody but our proxies


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ca.pem and, signed by it, server.pem and server.key for loopback and NAME."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed: TLS IS NOT TESTED")
    folder = tmp_path_factory.mktemp("tls")
    (folder / "ext").write_text(
        f"subjectAltName=IP:127.0.0.1,DNS:{NAME}\nbasicConstraints=CA:FALSE\n"
    )
    (folder / "ca.cnf").write_text(
        "[req]\ndistinguished_name=dn\nx509_extensions=ca\nprompt=no\n[dn]\nCN=Test CA\n"
        "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n"
        "subjectKeyIdentifier=hash\n"
    )
    new_key = ["-newkey", "rsa:2048", "-nodes"]
    for args in (
        ["req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-config", "ca.cnf"],
        ["req", *new_key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=server"],
        [
            *("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-out", "server.pem", "-extfile", "ext"),
        ],
    ):
        subprocess.run([openssl, *args], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    return context


def test_a_certificate_that_ssl_cert_file_signs_is_trusted_and_no_other(
    cli: Cli, certificates: Path, tls: ssl.SSLContext
) -> None:
    with ChatServer(by_role("4"), tls=tls) as server:
        flags = ["--base-url", server.url, "--model", "m", "--set", "policy.retries=0"]
        row = jsonl([datapoint()])
        trusted = {"SSL_CERT_FILE": str(certificates / "ca.pem")}
        result = cli(*REFINE, *flags, stdin=row, env=trusted)
        assert result.returncode == 0, result.stderr
        assert read_jsonl(result.stdout)[0]["response"] == "4"
        sent = len(server.requests)
        refused = cli(*REFINE, *flags, stdin=row)
        assert len(server.requests) == sent
    assert refused.returncode == 3
    assert "certificate verify failed" in refused.stderr


def test_an_ssl_cert_file_that_cannot_be_read_is_named(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate\n")
    flags = ["--base-url", "https://127.0.0.1:9/v1", "--model", "m"]
    for command in ("refine", "debug-rollout"):
        for name in ("missing.pem", "empty.pem"):
            env = {"SSL_CERT_FILE": str(tmp_path / name)}
            result = cli(command, *flags, stdin=jsonl([datapoint()]), env=env)
            assert "Traceback" not in result.stderr
            assert result.returncode == 2, result.stderr
            assert "SSL_CERT_FILE" in result.stderr


class Proxy:
    """An HTTP proxy that sends everything to one port; `lines` are the request lines it saw, and
    `heads` the headers after them."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.lines: list[str] = []
        self.heads: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Proxy:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as upstream:
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(65536)
            line, _, rest = head.partition(b"\r\n")
            self.lines.append(line.decode())
            self.heads.append(rest.decode().lower())
            method, target, version = line.split()
            if method == b"CONNECT":
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = b"/" + target.split(b"/", 3)[3]
                upstream.sendall(b" ".join([method, path, version]) + b"\r\n" + rest)
            _relay(client, upstream)


def _relay(one: socket.socket, two: socket.socket) -> None:
    other = {one: two, two: one}
    while True:
        for ready in select.select([one, two], [], [])[0]:
            try:
                data = ready.recv(65536)
                if not data:
                    return
                other[ready].sendall(data)
            except OSError:
                return


@pytest.fixture
def http_server() -> Iterator[ChatServer]:
    with ChatServer(by_role("4")) as server:
        yield server


def through(cli: Cli, url: str, **env: str) -> Result:
    flags = ["--base-url", url, "--model", "m", "--concurrency", "1", "--set", "policy.retries=0"]
    return cli(*REFINE, *flags, stdin=jsonl([datapoint()]), env=env)


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_http_proxy_is_used(cli: Cli, http_server: ChatServer, variable: str) -> None:
    with Proxy(http_server.port) as proxy:
        result = through(cli, f"http://{NAME}/v1", **{variable: proxy.url})
        assert result.returncode == 0, result.stderr
        assert set(proxy.lines) == {f"POST http://{NAME}/v1/chat/completions HTTP/1.1"}
    assert http_server.requests[0].headers["host"] == NAME


def test_https_proxy_is_used_by_connect_and_sees_nothing_else(
    cli: Cli, certificates: Path, tls: ssl.SSLContext
) -> None:
    with ChatServer(by_role("4"), tls=tls) as server, Proxy(server.port) as proxy:
        env = {"SSL_CERT_FILE": str(certificates / "ca.pem"), "HTTPS_PROXY": proxy.url}
        result = through(cli, f"https://{NAME}/v1", **env)
        assert result.returncode == 0, result.stderr
        assert set(proxy.lines) == {f"CONNECT {NAME}:443 HTTP/1.1"}
        assert len(server.requests) == 2


def test_a_proxy_is_given_the_password_in_its_url_and_the_model_is_not(
    cli: Cli, http_server: ChatServer, certificates: Path, tls: ssl.SSLContext
) -> None:
    word = "proxy-authorization: basic " + b64encode(b"me:secret").decode().lower()
    with Proxy(http_server.port) as proxy:
        result = through(
            cli, f"http://{NAME}/v1", HTTP_PROXY=proxy.url.replace("//", "//me:secret@")
        )
        assert result.returncode == 0, result.stderr
        assert all(word in head for head in proxy.heads)
    with ChatServer(by_role("4"), tls=tls) as server, Proxy(server.port) as proxy:
        env = {"SSL_CERT_FILE": str(certificates / "ca.pem")}
        env["HTTPS_PROXY"] = proxy.url.replace("//", "//me:secret@")
        result = through(cli, f"https://{NAME}/v1", **env)
        assert result.returncode == 0, result.stderr
        assert all(word in head for head in proxy.heads)
        assert not any("proxy-authorization" in request.headers for request in server.requests)


def test_a_range_of_addresses_in_no_proxy_does_no_harm(cli: Cli, http_server: ChatServer) -> None:
    with Proxy(http_server.port) as proxy:
        env = {"HTTP_PROXY": proxy.url, "NO_PROXY": "::1/128,fe80::/10,10.0.0.0/8"}
        result = through(cli, f"http://{NAME}/v1", **env)
        assert result.returncode == 0, result.stderr
        assert proxy.lines


@pytest.mark.parametrize("exempt", [NAME, ".test", "*"])
def test_no_proxy_is_honoured(cli: Cli, http_server: ChatServer, exempt: str) -> None:
    with Proxy(http_server.port) as proxy:
        result = through(cli, f"http://{NAME}/v1", HTTP_PROXY=proxy.url, NO_PROXY=exempt)
        assert proxy.lines == []
    assert result.returncode == 3  # reached directly, nobody has that name
    assert "no such host" in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_loopback_is_reached_without_the_proxy(
    cli: Cli, http_server: ChatServer, host: str
) -> None:
    with Proxy(http_server.port) as proxy:
        url = f"http://{host}:{http_server.port}/v1"
        result = through(cli, url, HTTP_PROXY=proxy.url, ALL_PROXY=proxy.url)
        assert result.returncode == 0, result.stderr
        assert proxy.lines == []


def test_a_proxy_that_is_not_there_is_named_as_nobody_there(cli: Cli) -> None:
    result = through(cli, f"http://{NAME}/v1", HTTP_PROXY="http://127.0.0.1:9")
    assert result.returncode == 3
    assert "refused" in result.stderr


def test_a_proxy_of_another_kind_is_refused_by_name(cli: Cli) -> None:
    result = through(cli, f"http://{NAME}/v1", ALL_PROXY="socks5://127.0.0.1:9")
    assert result.returncode in (2, 3)
    assert "socks5" in result.stderr
    assert "Traceback" not in result.stderr
