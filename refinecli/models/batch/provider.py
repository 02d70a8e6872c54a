"""Drive a provider's batches by OpenAI's protocol: upload a file of requests, create a batch, look
at it, fetch what came.

Others offer it too. A request that fails is sent again as others
are; before a batch is created again, it is looked for by its mark.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import quote

import orjson

from refinecli.errors import CompletionError, RunError
from refinecli.models.failures import Refusal, failure
from refinecli.models.http import HttpClient, Reply, TransportError, joined
from refinecli.models.negotiation import RefusedParameterError
from refinecli.models.redaction import redaction_for
from refinecli.models.request import api_key, headers
from refinecli.models.retries import Health, RetryableError, retried
from refinecli.settings.roles import RoleSettings
from refinecli.text.clean import one_line

T = TypeVar("T")
MARK = "refinecli"  # the key of our mark in a batch's metadata
_PAGE = 100  # batches, the most that a list gives at once
_UPLOAD_SECONDS = 600.0
_OVER = frozenset({"completed", "failed", "expired", "cancelled"})


class Batch(NamedTuple):
    """A batch as the provider describes it; `files` are those of its results and its errors."""

    id: str
    status: str
    mark: str = ""
    files: tuple[str, ...] = ()
    counts: str = ""
    errors: str = ""

    @property
    def over(self) -> bool:
        """True once nothing more will come."""
        return self.status in _OVER


class Provider:
    """The batches of one endpoint. `wait` pauses for some seconds; `say` gets a line about each
    request that is sent again."""

    def __init__(
        self,
        client: HttpClient,
        role: RoleSettings,
        wait: Callable[[float], Awaitable[None]],
        say: Callable[[str], None],
    ) -> None:
        assert role.base_url is not None
        secret = api_key(role)
        self._client, self._role, self._wait, self._say = client, role, wait, say
        self._base = role.base_url
        self._redaction = redaction_for(role, secret)
        self._headers = headers(role, secret)
        self._bare = {k: v for k, v in self._headers.items() if k.lower() != "content-type"}
        self._health = Health(joined(self._base, "/batches"))

    async def submit(self, lines: BinaryIO, name: str, mark: str) -> Batch:
        """Upload a file of requests and create a batch of it that bears the mark."""
        file_id = await self._upload(lines, name)
        body = orjson.dumps(
            {
                "input_file_id": file_id,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                "metadata": {MARK: mark},
            }
        )
        url = self._url("/batches")

        async def create(again: bool) -> Batch:
            # The answer to the first try may have been lost on its way.
            if again and (found := await self.find(mark)):
                return found
            reply = await self._checked(self._client.post(url, body, self._headers, 60.0))
            return _batch(self._object(reply))

        return await self._retried(create)

    async def find(self, mark: str) -> Batch | None:
        """Return the batch that bears the mark, if there is one."""
        async for batch in self._all():
            if batch.mark == mark:
                return batch
        return None

    async def batch(self, id: str) -> Batch:
        """Return the batch as it is now."""
        return _batch(await self._get(f"/batches/{quote(id, safe='')}"))

    async def cancel(self, id: str) -> Batch:
        """Ask for the end of a batch; what it has done by then is delivered."""
        url = self._url(f"/batches/{quote(id, safe='')}/cancel")

        async def ask(again: bool) -> Reply:
            return await self._checked(self._client.post(url, b"{}", self._headers, 60.0))

        return _batch(self._object(await self._retried(ask)))

    async def fetch(self, file_id: str, path: Path) -> None:
        """Download a file; it appears whole."""
        unfinished = path.with_name(f"{path.name}.partial")
        url = self._url(f"/files/{quote(file_id, safe='')}/content")

        async def download(again: bool) -> None:
            with unfinished.open("wb") as file:
                await self._checked(self._client.fetch(url, self._bare, file))

        await self._retried(download)
        unfinished.replace(path)

    async def _upload(self, lines: BinaryIO, name: str) -> str:
        url = self._url("/files")

        async def send(again: bool) -> Reply:
            lines.seek(0)
            fields = {"purpose": "batch"}
            sent = self._client.send_file(url, self._bare, fields, lines, name, _UPLOAD_SECONDS)
            return await self._checked(sent)

        return str(self._object(await self._retried(send)).get("id"))

    async def _all(self) -> AsyncIterator[Batch]:
        after = ""
        while True:
            page = await self._get(f"/batches?limit={_PAGE}{after}")
            entries = [entry for entry in page.get("data") or [] if isinstance(entry, dict)]
            for entry in entries:
                yield _batch(entry)
            if not entries or not page.get("has_more"):
                return
            after = f"&after={quote(str(entries[-1].get('id')), safe='')}"

    # -------------------------------------------------------------- requests

    def _url(self, path: str) -> str:
        before, mark, query = path.partition("?")
        base = self._base
        if mark:  # a base URL may have a query of its own
            base = f"{base}{'&' if '?' in base else '?'}{query}"
        return joined(base, before)

    async def _get(self, path: str) -> dict[str, Any]:
        url = self._url(path)

        async def ask(again: bool) -> Reply:
            return await self._checked(self._client.get(url, self._bare))

        return self._object(await self._retried(ask))

    async def _retried(self, attempt: Callable[[bool], Awaitable[T]]) -> T:
        def report(tries: int, seconds: float, error: RetryableError) -> None:
            self._say(f"{self._health.host}: {error}; asking again in {seconds:.1f} s")

        try:
            return await retried(attempt, self._health, self._role.retries, self._wait, report)
        except CompletionError as error:
            raise RunError(*error.args, type=error.type) from None

    async def _checked(self, sending: Awaitable[Reply]) -> Reply:
        """Return a reply that is a success; raise what another means."""
        try:
            reply = await sending
        except TransportError as error:
            error = self._redaction.error(error)
            raise RetryableError(error.kind, str(error)) from error
        self._health.answered = True
        if 200 <= reply.status < 300:
            self._health.succeeded()
            return reply
        url, hide = self._health.url, self._redaction.text
        refusal = Refusal(reply.status, reply.headers, reply.content, {}, url, hide=hide)
        found = failure(refusal)
        if isinstance(found, RefusedParameterError):
            found = CompletionError("bad_request", refusal.message)
        raise self._redaction.error(found)

    def _object(self, reply: Reply) -> dict[str, Any]:
        try:
            value = orjson.loads(reply.content)
        except orjson.JSONDecodeError:
            value = None
        if not isinstance(value, dict):
            words = one_line(self._redaction.text(reply.content.decode(errors="replace")), 120)
            raise RunError(
                f"{self._health.host} does not speak OpenAI's protocol of batches: {words}",
                "write the requests to files and send them another way: batch_files",
            )
        return value


def _batch(value: dict[str, Any]) -> Batch:
    metadata = value.get("metadata")
    counts = value.get("request_counts")
    files = (value.get("output_file_id"), value.get("error_file_id"))
    return Batch(
        id=str(value.get("id")),
        status=str(value.get("status")),
        mark=str(metadata.get(MARK, "")) if isinstance(metadata, dict) else "",
        files=tuple(str(file) for file in files if file),
        counts=_counts(counts) if isinstance(counts, dict) else "",
        errors=_errors(value.get("errors")),
    )


def _counts(counts: dict[str, Any]) -> str:
    done = sum(n for n in (counts.get("completed"), counts.get("failed")) if isinstance(n, int))
    return f"{done} of {counts.get('total', '?')}"


def _errors(errors: object) -> str:
    """Return the messages of a batch that did not pass its validation."""
    data = errors.get("data") if isinstance(errors, dict) else None
    found = [one.get("message") for one in data or [] if isinstance(one, dict)]
    return one_line("; ".join(str(message) for message in found[:3]), 300)
