"""Speak HTTP: the only import of aiohttp, of yarl, which parses its URLs, and of httpx.

aiohttp sends, and httpx settles whom to trust. httpx's own client takes 0.3 ms of CPU a call even
over aiohttp's pool, three times what aiohttp takes, and with its own pool far more: that scans all
connections, in a loop over them, on every request. Import this late: it takes a twentieth of a
second.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import asyncio
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter, time
from typing import Any, BinaryIO, NamedTuple
from urllib.request import getproxies, proxy_bypass

from multidict import CIMultiDict
from yarl import URL

from refinecli import __version__
from refinecli.errors import FailureKind, UsageError
from refinecli.settings.urls import shown_url


@contextmanager
def _no_certificates() -> Iterator[None]:
    """Let TLS contexts that are made in this block trust nobody."""
    read = ssl.SSLContext.set_default_verify_paths
    ssl.SSLContext.set_default_verify_paths = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.set_default_verify_paths = read  # type: ignore[method-assign]


# aiohttp's import reads the system's certificates twice, for contexts that are useless here, since
# trust is settled below. That would be an eighth of the time to the first request.
with _no_certificates():
    import aiohttp
    from aiohttp.connector import Connection

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_CONNECT_TIMEOUT = 10.0  # name, TCP, proxy and TLS: a connection exists by then or never

# Errors which say that nobody is there, rather than that somebody went away.
_NOBODY = (
    aiohttp.ClientConnectorError,  # refused, DNS, certificate, a missing proxy
    aiohttp.ClientHttpProxyError,
    aiohttp.NonHttpUrlClientError,
    aiohttp.InvalidURL,
)


class TransportError(Exception):
    """No complete reply came. `kind` is `timeout`, `connect` (nobody there) or `connection`;
    `began` and `seconds` are as in a Reply."""

    def __init__(
        self, kind: FailureKind, message: str, *, began: float = 0.0, seconds: float = 0.0
    ) -> None:
        super().__init__(message)
        self.kind: FailureKind = kind
        self.began, self.seconds = began, seconds


class Reply(NamedTuple):
    """A complete HTTP reply, whose header names are compared without regard to case. `began` is
    when the request was sent, in seconds since 1970, and `seconds` how long it took. `as_sent` is
    what came where `content` was put into another form."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    began: float = 0.0
    seconds: float = 0.0
    as_sent: bytes | None = None


class _Connector(aiohttp.TCPConnector):
    """A pool that also checks connections taken out for surplus bytes, as aiohttp does when they go
    back: bytes that came in between would be the answer to the next request."""

    async def _get(self, *args: Any) -> Connection | None:
        while (found := await super()._get(*args)) is not None:
            if found.protocol is not None and not found.protocol.should_close:
                return found
            found.close()
        return None


class HttpClient:
    """One pool of connections for a whole run: any number of them, redirects not followed.

    With `tls`, without which no https URL can be reached, it trusts SSL_CERT_FILE or SSL_CERT_DIR,
    else certifi's roots, and raises OSError where those cannot be read. Proxies come from the
    environment; loopback addresses are reached directly.
    """

    def __init__(self, *, tls: bool = True) -> None:
        tls = tls or any(proxy.startswith("https:") for proxy in getproxies().values())
        trusted: ssl.SSLContext | bool = _trusted() if tls else True
        self._proxies: dict[str, str | None] = {}  # by URL
        # limit=0: no limit. Idle connections go before a server's usual 5 s are up, because aiohttp
        # does not repeat a POST that meets a connection being closed. No cookies: one call must not
        # shape another.
        self._session = aiohttp.ClientSession(
            connector=_Connector(ssl=trusted, limit=0, keepalive_timeout=4),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": f"refinecli/{__version__}"},
            max_line_size=65536,
            max_field_size=65536,
        )

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Reply:
        """Send JSON; raises TransportError. The whole reply must be there within `seconds`:
        a server that keeps the connection alive with blank lines does not make them more."""
        return await self._send("POST", url, headers, seconds, body)

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        return await self._send("GET", url, headers, 30.0, None)

    async def send_file(
        self,
        url: str,
        headers: Mapping[str, str],
        fields: Mapping[str, str],
        file: BinaryIO,
        name: str,
        seconds: float,
    ) -> Reply:
        """Send a form with a file; raises TransportError."""
        form = aiohttp.FormData(fields)
        # aiohttp closes what it has sent, and this may have to be sent again.
        form.add_field("file", os.fdopen(os.dup(file.fileno()), "rb"), filename=name)
        return await self._send("POST", url, headers, seconds, form)

    async def fetch(self, url: str, headers: Mapping[str, str], file: BinaryIO) -> Reply:
        """Download a file, however long that takes; raises TransportError. The reply of a success
        has no content."""
        try:
            async with self._session.get(
                url,
                headers=headers,
                timeout=aiohttp.ClientTimeout(None, _CONNECT_TIMEOUT, sock_read=60.0),
                proxy=self._proxy(url),
            ) as response:
                if not 200 <= response.status < 300:
                    return Reply(response.status, _headers(response), await response.read())
                async for chunk in response.content.iter_chunked(1 << 16):
                    file.write(chunk)
                return Reply(response.status, _headers(response), b"")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise TransportError(*_kind_and_words(error, 60.0)) from error

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        seconds: float,
        body: bytes | aiohttp.FormData | None,
    ) -> Reply:
        began, start = time(), perf_counter()
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_TIMEOUT),
                allow_redirects=False,
                proxy=self._proxy(url),
            ) as response:
                content = await _body(response, deadline)
                took = perf_counter() - start
                return Reply(response.status, _headers(response), content, began, took)
        except (aiohttp.ClientError, OSError) as error:
            kind, words = _kind_and_words(error, seconds)
            took = perf_counter() - start
            raise TransportError(kind, words, began=began, seconds=took) from error

    def _proxy(self, url: str) -> str | None:
        if url not in self._proxies:
            self._proxies[url] = _environment_proxy(URL(url))
        return self._proxies[url]

    async def aclose(self) -> None:
        await self._session.close()


async def _body(response: aiohttp.ClientResponse, deadline: float) -> bytes:
    """Read the whole body, with a deadline of our own by the loop's clock: aiohttp 3.14 drops its
    own, and waits forever, on a chunk header that is malformed in mid-body."""
    content = response.content
    chunks = []
    while not content.at_eof():
        if content.is_eof():  # nothing left to wait for, as with nearly every reply
            chunks.append(content.read_nowait())
        else:
            async with asyncio.timeout_at(deadline):
                chunks.append(await content.readany())
    return b"".join(chunks)


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    """Return headers that can be encoded again, whatever bytes they came in."""
    if "".join(response.headers.values()).isascii():
        return response.headers
    return CIMultiDict((_decoded(name), _decoded(value)) for name, value in response.raw_headers)


def _decoded(header: bytes) -> str:
    try:
        return header.decode()
    except UnicodeDecodeError:
        return header.decode("latin-1")


def _trusted() -> ssl.SSLContext:
    """Settle whom to trust, as httpx does. Its import takes as long as all others here together,
    and a server in the house needs no certificate."""
    import httpx

    return httpx.create_ssl_context()


def _environment_proxy(url: URL) -> str | None:
    """Return the proxy that HTTP(S)_PROXY, ALL_PROXY and NO_PROXY (or macOS) name for a URL."""
    if url.host in _LOOPBACK or proxy_bypass(url.host_port_subcomponent or ""):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all")
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    scheme = proxy.partition("://")[0]
    if scheme.lower() not in ("http", "https"):  # aiohttp would speak HTTP to it
        raise TransportError("connect", f"{scheme} proxies are not supported")
    return proxy


def _kind_and_words(error: Exception, timeout: float) -> tuple[FailureKind, str]:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "connect", f"no connection within {_CONNECT_TIMEOUT:g} s"
    if isinstance(error, TimeoutError):
        return "timeout", f"no whole reply within {timeout:g} s"
    return "connect" if isinstance(error, _NOBODY) else "connection", _words(error)


def _words(error: Exception) -> str:
    """Say what happened, without aiohttp's notes to itself (`ssl:default [None]`)."""
    if isinstance(error, aiohttp.ClientHttpProxyError):  # whose URL may hold a password
        return f"the proxy answered {error.status}: {error.message}"
    if isinstance(error, aiohttp.InvalidURL):  # ours was checked; a proxy's may hold a password
        return "its URL, or that of the proxy in the environment, cannot be read"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return str(error.os_error)  # its number is not one of the system's
    if isinstance(error, aiohttp.ClientConnectorError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    return str(error) or type(error).__name__


def joined(base_url: str, path: str) -> str:
    """Add a path to a base URL; a query (Azure's `api-version`) stays at the end. Raise UsageError
    where it is not a URL."""
    try:
        url = URL(base_url)
    except ValueError as error:
        shown = shown_url(base_url)
        raise UsageError(f"{shown} is not a URL: {error}", "check the role's base_url") from None
    before = url.raw_path.rstrip("/")  # as it is written: %2F is not a slash
    if before.endswith(path):
        return str(url)
    return str(url.with_path(before + path, encoded=True, keep_query=True, keep_fragment=True))
