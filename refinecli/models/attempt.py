"""Make one attempt at one request: through the budget, the pace and `concurrency`, over HTTP, into
the cache."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Mapping
from time import time
from typing import NamedTuple, Protocol

from refinecli.errors import CompletionError
from refinecli.models.budget import Amount, Limits, Reservation
from refinecli.models.cached import SharedReplies
from refinecli.models.endpoint import Endpoint, Log
from refinecli.models.http import Reply, TransportError
from refinecli.models.pacing.pacer import UNTIMED, Turn
from refinecli.models.pacing.rate_headers import hint_in_words, hints
from refinecli.models.provider_errors import StatedError
from refinecli.models.redaction import Redaction, without_secrets
from refinecli.models.reply import read_completion, usage_in
from refinecli.models.request import Request
from refinecli.models.retries import REFUSALS, Ending, RetryableError
from refinecli.models.spending import Spending
from refinecli.settings.roles import RoleSettings
from refinecli.settings.urls import shown_url
from refinecli.types import Completion, Draw

_SHOWN = 120  # characters of an error in a line for `-v`


class RequestLog(Protocol):
    """A log of every request and its reply, if the user asked for it."""

    def __call__(
        self, draw: Draw, url: str, body: bytes, came: Reply | TransportError, content: bytes
    ) -> None: ...


class Posts(Protocol):
    """A client that sends a body to a URL; raises TransportError."""

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], seconds: float
    ) -> Reply: ...


class Sender(NamedTuple):
    """One role's way to its endpoint."""

    client: Posts
    endpoint: Endpoint
    role: RoleSettings
    redaction: Redaction
    headers: dict[str, str]
    spending: Spending
    limits: Limits
    replies: SharedReplies
    ending: Ending
    log: Log
    log_request: RequestLog | None = None

    async def attempt(self, request: Request, again: bool) -> Completion:
        """Send it as soon as the budget, the endpoint's pace and `concurrency` allow; raise a
        RetryableError or a RefusedParameterError where another try may help."""
        limits, spending, body, data = self.limits, self.spending, request.body, request.data
        with await limits.reserve(lambda left: spending.estimate(body, data, left)) as reservation:
            tokens = spending.tokens(body, data)
            turn = await self.endpoint.pacer.admit(tokens, again=again)
            try:
                await limits.places.acquire()
            except BaseException:
                turn.failed()
                raise
            try:
                found = await self._exchange(request, reservation, turn)
                if isinstance(found, Completion):
                    return found
                # The place is held until the reply is on disk, which bounds how many can be lost.
                return await self._kept(request, found, reservation, turn)
            finally:
                limits.places.release()

    async def _exchange(
        self, request: Request, reservation: Reservation, turn: Turn
    ) -> Reply | Completion:
        """Return the reply, or what another process got while this waited. The turn continues only
        where there is a reply to read."""
        try:
            if over := self.ending.error or self.endpoint.over:
                raise over
            if found := self.replies.find_from_others(request, self.endpoint):
                turn.failed()
                return found
            reservation.took = Amount(calls=1)
            reply = await self._post(request)
        except BaseException:
            turn.failed()
            raise
        if not 200 <= reply.status < 300:
            self._end(turn, reply.status, reply)
        return reply

    def _end(self, turn: Turn, status: int, reply: Reply) -> None:
        """End a turn that got an error, and slow down where there is too much at once."""
        if status not in REFUSALS:
            turn.failed()
            return
        self.limits.traffic.refused += 1
        given = hints(reply.headers, time())
        after = hint_in_words(reply.content) if given.after is None else given.after
        turn.refused(after, given)

    async def _post(self, request: Request) -> Reply:
        traffic = self.limits.traffic
        traffic.sent += 1
        traffic.in_flight += 1
        try:
            reply = await self.client.post(
                self.endpoint.url, request.data, self.headers, self.role.timeout
            )
        except TransportError as error:
            error = self.redaction.error(error)
            self._log(request, error)
            raise RetryableError(error.kind, str(error)) from error
        finally:
            traffic.in_flight -= 1
        self.endpoint.health.answered = True
        return reply

    async def _kept(
        self, request: Request, reply: Reply, reservation: Reservation, turn: Turn
    ) -> Completion:
        """Return what a reply says, once it is in the cache."""
        if not 200 <= reply.status < 300:
            raise self._failed(request, reply)
        given = hints(reply.headers, time())
        content = self.redaction.reply(reply.content)
        try:
            completion = read_completion(content)
        except StatedError as stated:  # as bad as that status, and no more to be kept than that
            self._end(turn, stated.status, reply)
            raise self._failed(request, reply._replace(status=stated.status)) from None
        except Exception as error:
            turn.succeeded(given)
            self._count(request, Completion("", usage=usage_in(content)), reservation)
            if isinstance(error, CompletionError):
                self.endpoint.health.succeeded()
                await self.replies.keep(request, content, usable=False)
            self._log(request, reply)
            raise self.redaction.error(error) from None
        usage = completion.usage
        turn.succeeded(given, usage.prompt_tokens + usage.completion_tokens or None)
        self.endpoint.health.succeeded()
        self.endpoint.terms.took(request.body)
        self._count(request, completion, reservation)
        usable = request.usable(completion) if request.usable else not completion.cut_off
        if not isinstance(usable, bool):
            usable = await usable
        await self.replies.keep(request, content, usable=usable)
        self._log(request, reply)
        if not usable:
            why = "it was cut off" if completion.cut_off else "what was asked for is not in it"
            self.detail(request, f"the reply cannot be used: {why}")
        return completion

    async def take(self, request: Request, reply: Reply) -> Completion:
        """Return what a reply says that came in another way, once it is in the cache; raise as
        `attempt` does."""
        self.limits.traffic.sent += 1
        self.endpoint.health.answered = True
        return await self._kept(request, reply, Reservation(self.limits, Amount()), UNTIMED)

    def _failed(self, request: Request, reply: Reply) -> Exception:
        """Return what an error means. It is understood as it came, and shown without the key."""
        from refinecli.models.failures import Refusal, failure  # most runs need none of it

        endpoint = self.endpoint
        self._log(request, reply)
        error = failure(
            Refusal(
                reply.status,
                reply.headers,
                reply.content,
                request.body,
                endpoint.url,
                wants=request.wants,
                worked=endpoint.health.successes > 0,
                known=endpoint.known,
                hide=self.redaction.text,
            )
        )
        if isinstance(error, CompletionError):
            endpoint.health.heard()
        return self.redaction.error(error)

    def _count(self, request: Request, reply: Completion, reservation: Reservation) -> None:
        """Count what a reply took; for one that cannot be read, the usage it states."""
        if not reply.usage.calls:
            return
        reservation.took = self.spending.took(request.data, reply)
        cost = reservation.took.cost if self.role.has_prices else None
        self.limits.count(reply.usage, cost)

    def detail(self, request: Request, text: str) -> None:
        """Report, to those who asked for it, something about one request."""
        draw = request.draw
        clipped = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        self.log.detail(f"{draw.datapoint_id}: {draw.role}: {clipped}")

    def _log(self, request: Request, came: Reply | TransportError) -> None:
        if self.log_request:
            url = shown_url(self.endpoint.url)
            content = b"" if isinstance(came, TransportError) else came.as_sent or came.content
            clean = self.redaction.logged(content)
            data = self.redaction.reply(request.data)
            data = without_secrets(data, self.role.extra_body)
            self.log_request(request.draw, url, data, came, clean)
