"""An OpenAI-compatible chat endpoint as a Completer: from the call cache, or sent, with retries.

A provider's failure ends in one of two errors: CompletionError, which ends one call, and RunError,
which every further call would meet too (key refused, model unknown, nobody there). What can pass
by itself is tried again first.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import Protocol

from refinecli.errors import CompletionError, OutputError, RunError, UnsupportedError
from refinecli.models.budget import Amount, Limits, Reservation
from refinecli.models.cache.store import CallCache, request_key, row_name
from refinecli.models.endpoint import Connection, Log
from refinecli.models.http import HttpClient, Reply, TransportError, joined
from refinecli.models.pacing.pacer import Pacer, Turn, backoff
from refinecli.models.pacing.rate_headers import hints
from refinecli.models.reply import (
    RefusedParameterError,
    RetryableError,
    failure,
    read_completion,
    usage_in,
    without_secret,
)
from refinecli.models.request import (
    api_key,
    body_of,
    changed,
    encoded,
    headers,
    name_of,
    sample_index,
)
from refinecli.models.spending import Spending
from refinecli.settings.roles import RoleSettings
from refinecli.text.json_text import digest
from refinecli.types import Completion, Draw, JSONObject, Message, Usable, Wants

_SURELY_A_KEY = 16  # characters
_SHOWN = 120  # characters of an error in a line for `-v`
# The statuses by which a provider says that there is too much at once.
_REFUSALS = frozenset({429, 503, 529})
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 10.0  # seconds, doubled from try to try, with jitter


class RequestLog(Protocol):
    """Where every request and what came of it is written, if the user asked for it."""

    def __call__(
        self, draw: Draw, url: str, body: bytes, came: Reply | TransportError, content: bytes
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class _Request:
    """One request as it goes out, and what its reply is kept under."""

    body: JSONObject
    data: bytes
    key: bytes
    draw: Draw
    usable: Usable | None
    way: str


class Chat:
    """All endpoints of one run: one HTTP client, one set of limits, one cache, one log."""

    def __init__(
        self,
        client: HttpClient,
        limits: Limits,
        log: Log,
        calls: CallCache | None = None,
        log_request: RequestLog | None = None,
    ) -> None:
        self.client = client
        self.limits = limits
        self.log = log
        self.calls = calls
        self.log_request = log_request
        self.over: RunError | OutputError | None = None  # why nothing more can be sent
        self._ended = asyncio.Event()
        self.in_flight: dict[bytes, asyncio.Future[Completion]] = {}
        self._connections: dict[tuple[str, str, str], Connection] = {}

    def end(self, error: RunError | OutputError) -> None:
        """Nothing more is sent; whoever waits to try again is told at once."""
        self.over = error
        self._ended.set()

    async def pause(self, seconds: float) -> None:
        """Wait for so long, or until the end."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), seconds)
        if self.over:
            raise self.over

    def completer(
        self, role: RoleSettings, seed: int | None = None, *, key: str = "", place: str = ""
    ) -> RoleChat:
        """A Completer for a role whose model is settled. `key` comes before its variable's, `place`
        before its URL in the call cache."""
        assert role.base_url is not None
        assert role.model is not None
        offline = self.calls is not None and self.calls.offline
        secret = key or ("" if offline else api_key(role))
        url = joined(role.base_url, "/chat/completions")
        name = (url, role.model, secret)
        if name not in self._connections:
            connection = Connection(url, role.model, place or url)
            if self.calls and isinstance(learned := self.calls.facts.get(_fact(connection)), dict):
                connection.changes.update(learned)
                for original, renamed in learned.items():
                    what = f"is sent as {renamed}" if renamed else "is not sent"
                    self.log.notice(f"{role.model}: {original} {what}, as the call cache knows")
            self._connections[name] = connection
        connection = self._connections[name]
        # Roles that share an endpoint, model and key share its limits: the lower ones.
        connection.rpm = _lower(connection.rpm, role.rpm)
        connection.tpm = _lower(connection.tpm, role.tpm)
        connection.pacer = Pacer(self.limits.concurrency, rpm=connection.rpm, tpm=connection.tpm)
        return RoleChat(self, role, connection, seed, secret)


def _lower(one: float | None, other: float | None) -> float | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)


def _fact(connection: Connection) -> str:
    # A URL may hold a key, and a cache may be shared.
    return f"changes {digest(connection.place)} {connection.model}"


def _answers(completion: Completion, asked: str) -> bool:
    """Whether a reply has what was asked for: some servers ignore what they do not know."""
    return completion.first_tokens is not None or not asked.startswith("top_logprobs")


class RoleChat:
    """One role's Completer."""

    def __init__(
        self,
        chat: Chat,
        role: RoleSettings,
        connection: Connection,
        seed: int | None,
        secret: str,
    ) -> None:
        self._chat = chat
        self._role = role
        self._connection = connection
        self._seed = seed
        self._secret = secret
        self._headers = headers(role, secret)
        self._spending = Spending(role)

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        """One reply; raises CompletionError, RunError, BudgetError or OutputError."""
        meant = body_of(self._role, messages, draw, self._seed, wants)
        if wants is None:
            return await self._settled(meant, draw, usable, "")
        asked = name_of(wants)
        async with self._connection.trying(asked):
            return await self._settled(meant, draw, usable, asked)

    async def _settled(
        self, meant: JSONObject, draw: Draw, usable: Usable | None, asked: str
    ) -> Completion:
        """The reply to a request without what its endpoint refuses."""
        connection = self._connection
        while True:
            changes = dict(connection.changes)
            body = changed(meant, changes)
            data = encoded(body)
            request = _Request(body, data, self._key(body, data, draw), draw, usable, asked)
            try:
                completion = self._from_before(meant, request, changes)
                if completion is None and asked in changes:
                    raise UnsupportedError(f"{connection.model} does not take {asked}")
                completion = completion or await self._once(request)
                if not _answers(completion, asked):
                    raise RefusedParameterError(asked, "its replies come without")
                if asked:
                    connection.taken.add(asked.split()[0])
                return completion
            except RefusedParameterError as refused:
                if refused.name.split()[0] in connection.taken:  # it is about this request alone
                    raise UnsupportedError(str(refused)) from None
                if told := connection.settle(refused, changes):
                    self._chat.log.notice(told)
                    if self._chat.calls:
                        self._chat.calls.facts.learn(_fact(connection), connection.changes)

    def _from_before(
        self, meant: JSONObject, request: _Request, changes: Mapping[str, str | None]
    ) -> Completion | None:
        """A reply from before something was refused, which answers what was meant."""
        if not changes:
            return None
        found = self._replayed(self._key(meant, encoded(meant), request.draw), request.way)
        if found is None and request.way in changes:
            found = self._replayed(request.key, request.way)
        return found

    # -------------------------------------------------------------- sent once

    async def _once(self, request: _Request) -> Completion:
        """A reply from the cache, or that of an equal request in flight, or a new one."""
        in_flight = self._chat.in_flight
        while True:
            if found := self._replayed(request.key):
                return found
            if request.key not in in_flight:
                break
            other = in_flight[request.key]
            await asyncio.wait([other])
            if not other.cancelled():
                completion = other.result()
                self._chat.limits.traffic.replayed += 1
                return completion
        if self._chat.calls and self._chat.calls.offline:
            raise self._missing(request)
        future = in_flight[request.key] = asyncio.get_running_loop().create_future()
        try:
            completion = await self._answer(request)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # nobody need be waiting for it
            raise
        except BaseException:
            future.cancel()
            raise
        else:
            future.set_result(completion)
            return completion
        finally:
            del in_flight[request.key]

    def _key(self, body: JSONObject, data: bytes, draw: Draw) -> bytes:
        return request_key(self._connection.place, data, sample_index(body, draw))

    def _replayed(self, key: bytes, asked: str = "") -> Completion | None:
        calls = self._chat.calls
        content = calls.find(key) if calls else None
        if content is None:
            return None
        try:
            completion = read_completion(content)
        except RetryableError as error:
            raise OutputError(
                f"{calls and calls.path}: a reply in the call cache cannot be read: {error}",
                "the file is damaged: move it away",
            ) from error
        except CompletionError:
            self._chat.limits.traffic.replayed += 1
            raise
        if not _answers(completion, asked):
            return None
        self._connection.known = True
        self._chat.limits.traffic.replayed += 1
        return completion

    def _missing(self, request: _Request) -> CompletionError:
        last = request.body["messages"][-1].get("content")
        return CompletionError(
            "offline",
            f"{request.draw.role}: the call cache has no reply of {self._connection.model} at "
            f"{self._connection.host} to this request ({request.key.hex()}, which ends in "
            f"{str(last)[-60:]!r})",
        )

    # -------------------------------------------------------------- sent, and sent again

    async def _answer(self, request: _Request) -> Completion:
        try:
            return await self._tried(request)
        except (RunError, OutputError) as error:
            # Whoever is still in line sends nothing; without a juror the others may go on.
            if isinstance(error, RunError) and self._role.is_juror:
                self._connection.over = error
            else:
                self._chat.end(error)
            raise

    async def _tried(self, request: _Request) -> Completion:
        connection, tries = self._connection, 0
        clock = asyncio.get_running_loop().time
        failed_at: float | None = None
        while True:
            before = connection.successes
            try:
                return await self._attempt(request, again=tries > 0)
            except RetryableError as again:
                failed_at = failed_at or clock()
                connection.failed(again, tries)
                tried, retries = clock() - failed_at, self._role.retries
                if not connection.may_retry(again, tries, retries, before=before, seconds=tried):
                    raise connection.given_up(again) from None
                seconds = _pause(again, tries, alone=connection.successes == before)
                tries += 1
                self._chat.limits.traffic.retried += 1
                self._detail(request, f"retry {tries} in {seconds:.1f} s: {again}")
                await self._chat.pause(seconds)

    async def _attempt(self, request: _Request, *, again: bool) -> Completion:
        """Send it as soon as the budget, the endpoint's pace and `--concurrency` let it go."""
        limits = self._chat.limits
        body, data, spending = request.body, request.data, self._spending
        with await limits.reserve(lambda left: spending.estimate(body, data, left)) as reservation:
            tokens = spending.tokens(body, data)
            turn = await self._connection.pacer.admit(tokens, again=again)
            try:
                await limits.places.acquire()
            except BaseException:
                turn.failed()
                raise
            try:
                found = await self._exchange(request, reservation, turn)
                if isinstance(found, Completion):
                    return found
                # The place is held until the reply is on disk: that many are lost at the most.
                return await self._read(request, found, reservation, turn)
            finally:
                limits.places.release()

    async def _exchange(
        self, request: _Request, reservation: Reservation, turn: Turn
    ) -> Reply | Completion:
        """What came back; or what another process was told meanwhile. The turn goes on only where
        there is a reply to read."""
        try:
            if over := self._chat.over or self._connection.over:
                raise over
            calls = self._chat.calls
            if calls and calls.shared and (found := self._replayed(request.key)):
                turn.failed()
                return found
            reservation.took = Amount(calls=1)
            reply = await self._post(request)
        except BaseException:
            turn.failed()
            raise
        if reply.status in _REFUSALS:
            self._chat.limits.traffic.refused += 1
            told = hints(reply.headers, time())
            turn.refused(told.after, told)
        elif reply.status != 200:
            turn.failed()
        return reply

    async def _post(self, request: _Request) -> Reply:
        connection, traffic = self._connection, self._chat.limits.traffic
        traffic.sent += 1
        traffic.in_flight += 1
        try:
            reply = await self._chat.client.post(
                connection.url, request.data, self._headers, self._role.timeout
            )
        except TransportError as error:
            self._log(request, error, b"")
            raise RetryableError(error.kind, str(error)) from error
        finally:
            traffic.in_flight -= 1
        connection.answered = True
        return reply

    async def _read(
        self, request: _Request, reply: Reply, reservation: Reservation, turn: Turn
    ) -> Completion:
        """What a reply says, once it is in the cache."""
        connection = self._connection
        content, headers = without_secret(reply.content, reply.headers, self._secret)
        if reply.status != 200:
            self._log(request, reply, content)
            error = failure(
                reply.status,
                headers,
                content,
                request.body,
                connection.url,
                way=request.way,
                worked=connection.successes > 0,
                known=connection.known,
            )
            if isinstance(error, CompletionError):
                connection.heard()
            raise error
        told = hints(reply.headers, time())
        # A short key, such as the word that a local server wants, may stand in an honest answer.
        honest = reply.content if len(self._secret) < _SURELY_A_KEY else content
        try:
            completion = read_completion(honest)
        except Exception as error:
            turn.succeeded(told)
            self._count(request, Completion("", usage=usage_in(content)), reservation)
            if isinstance(error, CompletionError):
                connection.succeeded()
                await self._store(request, content, usable=False)
            self._log(request, reply, content)
            read_completion(content)  # the same error, without the key in its words
            raise
        usage = completion.usage
        turn.succeeded(told, usage.prompt_tokens + usage.completion_tokens or None)
        connection.succeeded()
        self._count(request, completion, reservation)
        usable = request.usable(completion) if request.usable else not completion.cut_off
        await self._store(request, honest, usable=usable)
        self._log(request, reply, content)
        if not usable:
            why = "it was cut off" if completion.cut_off else "what was asked for is not in it"
            self._detail(request, f"the reply cannot be used: {why}")
        return completion

    def _count(self, request: _Request, reply: Completion, reservation: Reservation) -> None:
        """Count what a reply took; of one that cannot be read, what it says that it took."""
        if not reply.usage.calls:
            return
        reservation.took = self._spending.took(request.data, reply)
        cost = reservation.took.cost if self._role.has_prices else None
        self._chat.limits.count(reply.usage, cost)

    def _detail(self, request: _Request, text: str) -> None:
        draw = request.draw
        clipped = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        self._chat.log.detail(f"{draw.datapoint_id}: {draw.role}: {clipped}")

    def _log(self, request: _Request, came: Reply | TransportError, content: bytes) -> None:
        if self._chat.log_request:
            url = self._connection.url.partition("?")[0]  # some take their key there
            self._chat.log_request(request.draw, url, request.data, came, content)

    async def _store(self, request: _Request, content: bytes, *, usable: bool) -> None:
        if self._chat.calls:
            row = row_name(request.draw.datapoint_id, request.draw.occurrence)
            await self._chat.calls.store(request.key, content, row, usable=usable)


def _pause(again: RetryableError, tries: int, *, alone: bool) -> float:
    """Seconds before another try. Where a provider refuses some and lets others through, the pace
    sees to it; other troubles, and those of everyone, need time to pass."""
    after = again.later if tries else again.after
    if again.kind == "rate_limit" and (after is not None or not alone):
        return backoff(tries, after)
    # Jitter is no sample: it must differ from process to process, or they return all at once.
    wait = min(_FIRST_WAIT * 2.0 ** min(tries, 30), _LONGEST_WAIT) * (0.5 + random.random() / 2)
    return wait if after is None else max(wait, backoff(tries, after))
