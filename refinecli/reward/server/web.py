"""Serve rewards over HTTP: the one place where aiohttp listens."""

from __future__ import annotations

import asyncio
import hmac
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from time import perf_counter
from typing import Any

from refinecli import __version__
from refinecli.data.rows import Row, unreadable_record
from refinecli.errors import InputError, RefineError, UsageError
from refinecli.models import http as _first  # noqa: F401 - which imports aiohttp in half the time
from refinecli.reward.server import payloads
from refinecli.reward.server.counters import exposition
from refinecli.reward.server.service import Reward, Service
from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

from aiohttp import web  # isort: skip

# Kubernetes kills 30 s after it has asked.
_STOP_SECONDS = 25.0
# A whole batch asks at once, and a connection that has to wait is tried again after a second.
_BACKLOG = 4096
_RETRY_AFTER = "5"  # seconds

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def listening(
    service: Service,
    host: str,
    port: int,
    *,
    token: str,
    most_bytes: int,
    report: Callable[[str], None],
) -> AsyncIterator[str]:
    """Serve for as long as the block lasts, and give it the URL.

    Every request needs the `token`, if there is one. At the end, what is in flight is answered.
    `report` gets the traceback of a defect.
    """
    app = web.Application(
        client_max_size=most_bytes, middlewares=[_answering(service, token, report)]
    )
    server = _Handlers(service)
    app.add_routes(
        [
            web.post("/grade", server.grade),
            web.post("/get_reward", server.get_reward),
            web.post("/reward", server.reward),
            web.get("/healthz", server.healthz),
            web.get("/metrics", server.metrics),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, backlog=_BACKLOG)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(
                f"{host}:{port}: cannot listen there: {error.strerror or error}",
                "choose another port",
            ) from None
        yield _url(host, runner.addresses)
    finally:
        service.stop()
        await runner.cleanup()


def _url(host: str, addresses: Sequence[Any]) -> str:
    port = addresses[0][1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Handlers:
    def __init__(self, service: Service) -> None:
        self._service = service

    async def grade(self, request: web.Request) -> web.Response:
        """Answer a datapoint with its graded line, and a list of them with a list."""
        body = await _body(request)
        if not isinstance(body, list):
            return _json(dumps(await self._line(body)))
        lines = await asyncio.gather(*map(self._line_or_error, body, count(1)))
        return _json(b"[" + b",\n".join(map(dumps, lines)) + b"]")

    async def _line(self, entry: object) -> JSONObject:
        if not isinstance(entry, dict):
            raise InputError("the request must be a datapoint, or a list of them")
        return await self._service.line(entry)

    async def _line_or_error(self, entry: object, number: int) -> JSONObject:
        """Return the line of an entry of a list, or the record of one that cannot be used, which
        must not keep the others from being graded."""
        try:
            return await self._line(entry)
        except InputError as error:
            text = dumps(entry).decode("utf-8", "backslashreplace")
            return unreadable_record(Row(number, {}, error=error, text=text))

    async def get_reward(self, request: web.Request) -> web.Response:
        """Answer in OpenRLHF's shape."""
        asked = payloads.openrlhf(await _body(request))
        rewards = await asyncio.gather(*map(self._service.reward, asked))
        scores = [reward.score for reward in rewards]
        logs = {
            "passed": [float(reward.graded.outcome.passed is True) for reward in rewards],
            "ungraded": [float(bool(reward.why)) for reward in rewards],
        }
        return _json(dumps({"rewards": scores, "scores": scores, "extra_logs": logs}))

    async def reward(self, request: web.Request) -> web.Response:
        """Answer with an object that has the `score`, and a list of requests with a list."""
        entries, several = payloads.one_or_all(await _body(request))
        asked = [payloads.reward(entry) for entry in entries]
        rewards: list[Reward] = await asyncio.gather(*map(self._service.reward, asked))
        records = [reward.record() for reward in rewards]
        return _json(dumps(records if several else records[0]))

    async def healthz(self, _: web.Request) -> web.Response:
        """Answer 200 while there is somebody to ask; 503 while no call to the grader succeeds."""
        failure = self._service.failure
        state = {"status": "failing" if failure else "ok", "version": __version__}
        return _json(dumps(state), status=503 if failure else 200)

    async def metrics(self, _: web.Request) -> web.Response:
        service = self._service
        text = exposition(
            service.counters,
            service.traffic,
            shared=service.shared,
            failing=service.failure is not None,
        )
        return web.Response(body=text.encode(), headers={"Content-Type": _PROMETHEUS})


_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def _answering(service: Service, token: str, report: Callable[[str], None]) -> Any:
    """Return the middleware that turns errors into answers, and counts both."""

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        began, counters = perf_counter(), service.counters
        counters.in_flight += 1
        try:
            response = await _answered(request, handler, token, report)
        finally:
            counters.in_flight -= 1
        known = request.match_info.route.resource is not None
        path = request.path if known else "other"
        counters.took(path, response.status, perf_counter() - began)
        return response

    return answer


async def _answered(
    request: web.Request, handler: Handler, token: str, report: Callable[[str], None]
) -> web.StreamResponse:
    try:
        if refusal := _refusal(request, token):
            return refusal
        return await handler(request)
    except InputError as error:
        return _error(400, error.message, error.hint)
    except RefineError as error:  # of the grader, the budget or the cache
        return _error(503, error.message, error.hint)
    except web.HTTPRequestEntityTooLarge as error:
        return _error(413, error.reason, "send fewer responses at once, or set run.max_line_mb")
    except web.HTTPException as error:
        known = "POST /grade, /get_reward or /reward; GET /healthz or /metrics"
        return _error(error.status, error.reason, known)
    except Exception:
        report(traceback.format_exc())
        return _error(500, "a defect of the server, which its log shows", "")


def _refusal(request: web.Request, token: str) -> web.Response | None:
    """Return the answer to a request that may not be made: without the token or, where there is
    none, by a page in a browser, which may try every port of the machine it runs on."""
    if request.path == "/healthz":
        return None
    if not token:
        if "Origin" in request.headers:
            return _error(403, "requests by web pages are refused", "")
        return None
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = request.query.get("token", "")
    if hmac.compare_digest(given.strip().encode(), token.encode()):
        return None
    return _error(
        401, "the token is missing or wrong", "send Authorization: Bearer TOKEN, or ?token=TOKEN"
    )


async def _body(request: web.Request) -> object:
    try:
        return loads(await request.read())
    except ValueError as error:
        raise InputError(f"the request is not JSON: {error}") from None


def _json(body: bytes, status: int = 200) -> web.Response:
    # The newline is for who reads it in a terminal.
    return web.Response(body=body + b"\n", status=status, content_type="application/json")


def _error(status: int, message: str, hint: str) -> web.Response:
    error = {"message": message, **({"hint": hint} if hint else {})}
    response = _json(dumps({"error": error}), status)
    if status == 503:
        response.headers["Retry-After"] = _RETRY_AFTER
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
