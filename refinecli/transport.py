"""HTTP: the only import of httpx. Its interface is kept, its connection pool is not.

httpx's own pool scans all its connections, in a loop over them, on every request, so its CPU cost
grows with the requests in flight. Here httpx speaks through aiohttp's pool (httpx-aiohttp), which
costs the same at any number. Import this late: it takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

LOOPBACK = ("all://127.0.0.1", "all://localhost", "all://[::1]")

# httpx-aiohttp 0.2 calls a refused, reset or closed connection a ConnectTimeout, and lets a
# malformed reply out as aiohttp's own error. This names them as httpx's own transport does; the
# first match wins.
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.SocketTimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientProxyConnectionError, httpx.ProxyError),
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),  # refused, DNS, certificate
    (aiohttp.NonHttpUrlClientError, httpx.UnsupportedProtocol),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (aiohttp.ServerDisconnectedError, httpx.RemoteProtocolError),
    (aiohttp.ClientResponseError, httpx.RemoteProtocolError),  # malformed status line or headers
    (aiohttp.ClientError, httpx.ReadError),  # reset
)


class TransportError(Exception):
    """No whole reply came. `kind` is `timeout`, `connect` (nobody there) or `connection`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP reply."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class _Body(httpx.AsyncByteStream):
    """A reply's body with a deadline on each read of its own: aiohttp 3.14 drops its read timeout,
    and waits for ever, on a chunk header that is malformed in mid-body."""

    def __init__(self, stream: httpx.AsyncByteStream, read_timeout: float | None) -> None:
        self._stream, self._read_timeout = stream, read_timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        chunks = aiter(self._stream)
        while True:
            try:
                async with asyncio.timeout(self._read_timeout):
                    chunk = await anext(chunks)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise httpx.ReadTimeout("timeout in the reply's body") from error
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Transport(AiohttpTransport):
    def get_client(self) -> aiohttp.ClientSession:
        # limit=0: no limit. Idle connections go before a server's usual 5 s are up, because aiohttp
        # does not repeat a POST that meets a connection being closed.
        connector = aiohttp.TCPConnector(ssl=self.ssl_context, limit=0, keepalive_timeout=4)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=65536,
            max_field_size=65536,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.proxy and self.proxy.url.scheme not in ("http", "https"):
            # aiohttp would speak HTTP to it.
            raise httpx.UnsupportedProtocol(f"{self.proxy.url.scheme} proxies are not supported")
        try:
            response = await super().handle_async_request(request)
        except (httpx.TransportError, aiohttp.ClientError) as error:
            cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
            for kind, mapped in _ERRORS:
                if isinstance(cause, kind):
                    raise mapped(_words(cause)) from cause
            raise
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _Body(response.stream, request.extensions["timeout"]["read"])
        return response


def _words(error: Exception) -> str:
    """What happened, without aiohttp's notes to itself (`ssl:default [None]`)."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "no such host"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError) and (error.errno or 0) > 0:
        return os.strerror(error.errno or 0)
    return str(error) or type(error).__name__


class _NoCookies(CookieJar):
    """One call must not shape another."""

    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


class _Client(HttpxAiohttpClient):
    """httpx reads HTTP(S)_PROXY, ALL_PROXY and NO_PROXY, and calls these for its transports."""

    def _init_transport(self, verify: Any = True, *_: Any, **__: Any) -> httpx.AsyncBaseTransport:
        return _Transport(verify=verify)

    def _init_proxy_transport(
        self, proxy: httpx.Proxy, verify: Any = True, *_: Any, **__: Any
    ) -> httpx.AsyncBaseTransport:
        return _Transport(verify=verify, proxy=proxy)


class HttpClient:
    """One pool of connections for a whole run: any number of them, redirects not followed.

    It trusts SSL_CERT_FILE or SSL_CERT_DIR, else certifi's roots, and raises OSError where those
    cannot be read. Proxies come from the environment; loopback addresses are reached directly.
    """

    def __init__(self) -> None:
        self._client = _Client(
            verify=httpx.create_ssl_context(),
            mounts=dict.fromkeys(LOOPBACK),
            timeout=None,
            cookies=_NoCookies(),
        )

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], read_timeout: float
    ) -> Reply:
        """Send JSON; raises TransportError. A slow model may think for `read_timeout` seconds, but
        a connection stands within ten or not at all."""
        timeout = httpx.Timeout(connect=10, write=60, read=read_timeout, pool=None)
        return await self._send("POST", url, headers, timeout, body)

    async def get(self, url: str, headers: Mapping[str, str]) -> Reply:
        return await self._send("GET", url, headers, httpx.Timeout(30, connect=10), None)

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        limits: httpx.Timeout,
        body: bytes | None,
    ) -> Reply:
        try:
            reply = await self._client.request(
                method, url, content=body, headers=headers, timeout=limits
            )
        except httpx.ConnectTimeout as error:
            raise TransportError("connect", "no connection within 10 s") from error
        except httpx.TimeoutException as error:
            raise TransportError("timeout", f"no reply within {limits.read:g} s") from error
        except (httpx.ConnectError, httpx.ProxyError, httpx.UnsupportedProtocol) as error:
            raise TransportError("connect", str(error)) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise TransportError("connection", str(error) or type(error).__name__) from error
        return Reply(reply.status_code, reply.headers, reply.content)

    async def aclose(self) -> None:
        await self._client.aclose()


def joined(base_url: str, path: str) -> str:
    """A base URL with a path added; a query (Azure's `api-version`) stays at the end."""
    url = httpx.URL(base_url)
    before = url.path.rstrip("/")
    return str(url if before.endswith(path) else url.copy_with(path=before + path))
