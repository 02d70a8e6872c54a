"""Make an OpenAI-compatible chat endpoint a Completer.

A call passes, from the outside in: `negotiation` (drop what the endpoint refuses), `cached` (ask
once), `retries` (until it works or never will), `attempt` (over HTTP). A provider's failure ends in
one of two errors: CompletionError, which ends one call, and RunError, which every further call
would meet too (key refused, model unknown, nobody there).
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from refinecli.errors import OutputError, RunError
from refinecli.models.attempt import Posts, RequestLog, Sender
from refinecli.models.budget import Limits
from refinecli.models.cache.store import CallCache, request_key
from refinecli.models.cached import SharedReplies
from refinecli.models.endpoint import Endpoint, Log, endpoint_at
from refinecli.models.http import joined
from refinecli.models.negotiation import negotiated
from refinecli.models.redaction import redaction_for
from refinecli.models.request import Request, api_key, body_of, encoded, headers, sample_index
from refinecli.models.retries import Ending, RetryableError, retried
from refinecli.models.spending import Spending
from refinecli.settings.roles import RoleSettings
from refinecli.types import Completion, Draw, JSONObject, Message, Usable, Wants

if TYPE_CHECKING:
    from refinecli.models.batch.waves import Waves
    from refinecli.models.leases import Leases


class Chat:
    """All endpoints of one run: one HTTP client, one set of limits, one cache, one log."""

    def __init__(
        self,
        client: Posts,
        limits: Limits,
        log: Log,
        calls: CallCache | None = None,
        log_request: RequestLog | None = None,
        waves: Waves | None = None,
        leases: Leases | None = None,
    ) -> None:
        self.ending = Ending()
        self._client = client
        self._limits = limits
        self._log = log
        self._replies = SharedReplies(calls, limits.traffic, by_files=waves is not None)
        self._log_request = log_request
        self._waves = waves
        self._leases = leases
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}

    def completer(
        self,
        role: RoleSettings,
        seed: int | None = None,
        *,
        key: str = "",
        place: str = "",
        path: str = "/chat/completions",
    ) -> RoleChat:
        """Return a Completer for a role whose model is settled, at `path` of its base URL. `key`
        comes before its variable's, `place` before its URL in the call cache."""
        assert role.base_url is not None
        assert role.model is not None
        sends = not (self._replies.offline or self._waves)
        secret = key or (api_key(role) if sends else "")
        url = joined(role.base_url, path)
        name = (url, role.model, secret)
        if name not in self._endpoints:
            self._endpoints[name] = self._remembered(endpoint_at(url, role.model, place or url))
        endpoint = self._endpoints[name]
        endpoint.limit(role, self._limits.concurrency, self._leases)
        sender = Sender(
            client=self._client,
            endpoint=endpoint,
            role=role,
            redaction=redaction_for(role, secret),
            headers=headers(role, secret),
            spending=Spending(role, self._waves.discount if self._waves else 1.0),
            limits=self._limits,
            replies=self._replies,
            ending=self.ending,
            log=self._log,
            log_request=self._log_request,
        )
        if self._waves:
            self._waves.asks(url, role.model)
        return RoleChat(role, seed, sender, self._waves)

    def through(self, client: Posts, log_request: RequestLog | None) -> Chat:
        """Return the endpoints of the same run that are asked through another client; they end, and
        are resumed, with these."""
        calls, leases = self._replies.calls, self._leases
        other = Chat(client, self._limits, self._log, calls, log_request, leases=leases)
        other.ending = self.ending
        return other

    def resume(self) -> None:
        """Send again after a RunError; what the endpoints have shown of their health stays."""
        self.ending.lift()
        for endpoint in self._endpoints.values():
            endpoint.over = None

    def _remembered(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint with the terms that the call cache knows."""
        calls, terms = self._replies.calls, endpoint.terms
        if calls and isinstance(learned := calls.facts.get(endpoint.fact), dict):
            terms.changes.update(learned)
            for original in learned:
                what = terms.described(original)
                self._log.notice(f"{endpoint.model}: {what}, as the call cache knows")
        return endpoint


class RoleChat:
    """One role's Completer."""

    def __init__(
        self, role: RoleSettings, seed: int | None, sender: Sender, waves: Waves | None = None
    ) -> None:
        self._role = role
        self._seed = seed
        self._sender = sender
        self._endpoint = sender.endpoint
        self._replies = sender.replies
        self._waves = waves

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        """Return one reply; raises CompletionError, RunError, BudgetError or OutputError."""
        meant = body_of(self._role, messages, draw, self._seed, wants)
        if self._waves:
            with self._waves.call():
                return await self._negotiated(meant, draw, usable, wants)
        if wants is None:
            return await self._negotiated(meant, draw, usable, None)
        async with self._endpoint.terms.trying(wants):
            return await self._negotiated(meant, draw, usable, wants)

    def _negotiated(
        self, meant: JSONObject, draw: Draw, usable: Usable | None, wants: Wants | None
    ) -> Awaitable[Completion]:
        # Each coroutine around another takes its part of a call's CPU, so these only return one.
        def request(body: JSONObject) -> Request:
            data = encoded(body)
            key = request_key(self._endpoint.place, data, sample_index(body, draw))
            return Request(body, data, key, draw, usable, wants)

        def find(body: JSONObject) -> Completion | None:
            return self._replies.find(request(body).key, self._endpoint, wants)

        def send(body: JSONObject) -> Awaitable[Completion]:
            return self._replies.once(request(body), self._endpoint, self._answer)

        return negotiated(
            meant, wants, self._endpoint.terms, find=find, send=send, learned=self._learned
        )

    def _learned(self, notice: str) -> None:
        self._sender.log.notice(notice)
        if self._replies.calls:
            self._replies.calls.facts.learn(self._endpoint.fact, self._endpoint.terms.changes)

    async def _answer(self, request: Request) -> Completion:
        """Send it, again where that helps. A failure of the whole run ends all sending."""
        if self._waves:
            return await self._waves.answer(request, self._sender)
        ending = self._sender.ending

        def report(tries: int, seconds: float, error: RetryableError) -> None:
            self._sender.limits.traffic.retried += 1
            self._sender.detail(request, f"retry {tries} in {seconds:.1f} s: {error}")

        try:
            return await retried(
                partial(self._sender.attempt, request),
                self._endpoint.health,
                self._role.retries,
                ending.pause,
                report,
            )
        except (RunError, OutputError) as error:
            # Requests still waiting are not sent; without a juror the others may continue.
            if isinstance(error, RunError) and self._role.is_juror:
                self._endpoint.over = error
            else:
                ending.end(error)
            raise
