"""Share replies that need not be paid for again: those in the call cache, and those to equal
requests in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from refinecli.errors import CompletionError, OutputError
from refinecli.models.cache.store import CallCache, row_name
from refinecli.models.endpoint import Endpoint
from refinecli.models.envelope import reply_object
from refinecli.models.negotiation import answers
from refinecli.models.provider_errors import StatedError
from refinecli.models.reply import read_completion
from refinecli.models.request import Request
from refinecli.models.retries import RetryableError
from refinecli.models.traffic import Traffic
from refinecli.types import Completion, Wants


class SharedReplies:
    """The replies of one run, each requested once; `calls` keeps them on disk, if it exists.
    `by_files`: what an offline cache lacks may come another way."""

    def __init__(
        self, calls: CallCache | None, traffic: Traffic, *, by_files: bool = False
    ) -> None:
        self.calls = calls
        self._traffic = traffic
        self._by_files = by_files
        self._in_flight: dict[bytes, asyncio.Future[Completion]] = {}

    @property
    def offline(self) -> bool:
        return self.calls is not None and self.calls.offline

    def find(self, key: bytes, endpoint: Endpoint, wants: Wants | None = None) -> Completion | None:
        """Return the reply in the call cache, if it has what is wanted; raises the CompletionError
        that it ended in. An error that was kept as a reply is as good as none."""
        calls = self.calls
        content = calls.find(key) if calls else None
        if calls is None or content is None:
            return None
        try:
            completion = read_completion(content)
        except StatedError:
            return None
        except RetryableError as error:
            if _is_an_object(content):  # kept by an earlier version, though nothing is in it
                return None
            raise OutputError(
                f"{calls.path}: a reply in the call cache cannot be read: {error}",
                "move the file away: it is damaged",
            ) from error
        except CompletionError:
            if calls.is_for_anyone(key):  # by an earlier version, which took it for good
                return None
            self._traffic.replayed += 1
            raise
        if not answers(completion, wants):
            return None
        endpoint.replayed = True
        self._traffic.replayed += 1
        return completion

    def find_from_others(self, request: Request, endpoint: Endpoint) -> Completion | None:
        """Return the reply that another process has put into a shared cache."""
        shared = self.calls is not None and self.calls.shared
        return self.find(request.key, endpoint) if shared else None

    async def once(
        self, request: Request, endpoint: Endpoint, send: Callable[[Request], Awaitable[Completion]]
    ) -> Completion:
        """Return a reply from the cache, or that of an equal request in flight, or else `send`."""
        in_flight, key = self._in_flight, request.key
        while True:
            if found := self.find(key, endpoint):
                return found
            if key not in in_flight:
                break
            other = in_flight[key]
            await asyncio.wait([other])
            if not other.cancelled():
                completion = other.result()
                self._traffic.replayed += 1
                return completion
        if self.offline and not self._by_files:
            self._traffic.missing += 1
            raise _missing(request, endpoint)
        future = in_flight[key] = asyncio.get_running_loop().create_future()
        try:
            completion = await send(request)
        except Exception as error:
            future.set_exception(error)
            future.exception()  # retrieved, since perhaps nobody waits for it
            raise
        except BaseException:
            future.cancel()
            raise
        else:
            future.set_result(completion)
            return completion
        finally:
            del in_flight[key]

    async def keep(self, request: Request, content: bytes, *, usable: bool) -> None:
        """Return once the reply is on disk, unless nothing may be written there."""
        if self.calls and not self.calls.offline:
            row = row_name(request.draw.datapoint_id, request.draw.occurrence)
            await self.calls.store(request.key, content, row, usable=usable)


def _is_an_object(content: bytes) -> bool:
    try:
        reply_object(content)
    except (RetryableError, CompletionError):
        return False
    return True


def _missing(request: Request, endpoint: Endpoint) -> CompletionError:
    last = request.body["messages"][-1].get("content")
    return CompletionError(
        "offline",
        f"{request.draw.role}: the call cache has no reply of {endpoint.model} at "
        f"{endpoint.health.host} to this request ({request.key.hex()}, which ends in "
        f"{str(last)[-60:]!r})",
    )
