"""Equal requests are sent once: from the cache, or together with one that is in flight."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest

from refinecli.errors import CompletionError, OutputError
from refinecli.models.cache.store import CallCache
from refinecli.models.cached import SharedReplies
from refinecli.models.endpoint import Endpoint, endpoint_at
from refinecli.models.request import Request
from refinecli.models.traffic import Traffic
from refinecli.types import Completion, Draw, FirstTokens, JSONObject

KEY = b"k" * 16
FOUR = orjson.dumps({"choices": [{"message": {"content": "4"}}]})


@dataclass
class Kept:
    """A call cache in memory."""

    replies: dict[bytes, bytes] = field(default_factory=dict)
    offline: bool = False
    shared: bool = False
    path: str = "c.db"
    for_anyone: bool = False
    stored: list[tuple[bytes, bytes, str, bool]] = field(default_factory=list)

    def find(self, key: bytes) -> bytes | None:
        return self.replies.get(key)

    def is_for_anyone(self, key: bytes) -> bool:
        return self.for_anyone

    async def store(self, key: bytes, reply: bytes, row: str, *, usable: bool) -> None:
        self.stored.append((key, reply, row, usable))


class Provider:
    """Answers when it is let, and counts."""

    def __init__(self, answer: Completion | Exception | None = None) -> None:
        self.answer = answer or Completion("4")
        self.asked = 0
        self.open = asyncio.Event()

    async def __call__(self, request: Request) -> Completion:
        self.asked += 1
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def request(key: bytes = KEY) -> Request:
    body: JSONObject = {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}
    return Request(body, b"{}", key, Draw("a", 1, "policy", 0))


def shared(kept: Kept | None = None) -> SharedReplies:
    return SharedReplies(cast(CallCache, kept) if kept else None, Traffic())


def count(replies: SharedReplies) -> int:
    return replies._traffic.replayed


@pytest.fixture
def endpoint() -> Endpoint:
    return endpoint_at("http://host/v1/chat/completions", "m", "place")


# ------------------------------------------------------------------ in the cache


def test_a_kept_reply_is_read_counted_and_says_that_the_endpoint_is_known(
    endpoint: Endpoint,
) -> None:
    replies = shared(Kept({KEY: FOUR}))
    found = replies.find(KEY, endpoint)
    assert found is not None
    assert (found.text, count(replies), endpoint.known) == ("4", 1, True)


def test_a_reply_that_is_not_there_is_nothing(endpoint: Endpoint) -> None:
    for replies in (shared(Kept()), shared()):
        assert replies.find(KEY, endpoint) is None
        assert (count(replies), endpoint.known) == (0, False)


def test_a_kept_reply_without_what_is_wanted_does_not_count(endpoint: Endpoint) -> None:
    replies = shared(Kept({KEY: FOUR}))
    assert replies.find(KEY, endpoint, FirstTokens(20, 4)) is None
    assert (count(replies), endpoint.known) == (0, False)


def test_a_kept_failure_is_the_same_failure_again(endpoint: Endpoint) -> None:
    filtered = orjson.dumps({"choices": [{"message": {}, "finish_reason": "content_filter"}]})
    replies = shared(Kept({KEY: filtered}))
    with pytest.raises(CompletionError) as caught:
        replies.find(KEY, endpoint)
    assert (caught.value.type, count(replies)) == ("content_filter", 1)


@pytest.mark.parametrize(
    "kept",
    [
        {"choices": [{"message": {"content": "Well. <score>1</score>"}, "finish_reason": "odd"}]},
        {"choices": [{"message": {"content": None}}], "error": {"code": 429, "message": "slow"}},
    ],
    ids=["cut off", "error"],
)
def test_what_earlier_versions_kept_for_good_and_is_a_failure_is_as_good_as_none(
    endpoint: Endpoint, kept: object
) -> None:
    replies = shared(Kept({KEY: orjson.dumps(kept)}, for_anyone=True))
    assert replies.find(KEY, endpoint) is None
    assert count(replies) == 0


BROKE_OFF = {"choices": [{"message": {"content": "Half"}, "finish_reason": "abort"}]}


@pytest.mark.parametrize(
    "content", [orjson.dumps(BROKE_OFF), b"data: [DONE]\n\n", b'{"choices": []}']
)
def test_a_kept_reply_that_would_be_asked_for_again_is_as_good_as_none(
    endpoint: Endpoint, content: bytes
) -> None:
    assert shared(Kept({KEY: content})).find(KEY, endpoint) is None


def test_a_kept_reply_that_cannot_be_read_says_that_the_file_is_damaged(endpoint: Endpoint) -> None:
    with pytest.raises(OutputError, match=r"c\.db: a reply in the call cache cannot be read"):
        shared(Kept({KEY: b"{"})).find(KEY, endpoint)


@pytest.mark.parametrize("is_shared", [False, True])
def test_only_in_a_shared_cache_others_may_have_put_a_reply(
    endpoint: Endpoint, is_shared: bool
) -> None:
    replies = shared(Kept({KEY: FOUR}, shared=is_shared))
    assert (replies.find_from_others(request(), endpoint) is not None) == is_shared


def test_a_reply_is_kept_for_its_row(endpoint: Endpoint) -> None:
    kept = Kept()
    asyncio.run(shared(kept).keep(request(), b"{}", usable=False))
    assert kept.stored == [(KEY, b"{}", "'a' 1", False)]
    asyncio.run(shared().keep(request(), b"{}", usable=True))  # nowhere


# ------------------------------------------------------------------ in flight


def together(
    replies: SharedReplies, endpoint: Endpoint, provider: Provider, *keys: bytes
) -> list[Any]:
    """Ask for all of them at once, and let the provider answer then."""

    async def main() -> list[Any]:
        asked = [
            asyncio.ensure_future(replies.once(request(key), endpoint, provider)) for key in keys
        ]
        await asyncio.sleep(0)
        provider.open.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(main())


def test_equal_requests_in_flight_are_sent_once(endpoint: Endpoint) -> None:
    replies, provider = shared(), Provider()
    found = together(replies, endpoint, provider, KEY, KEY, KEY, b"o" * 16)
    assert [one.text for one in found] == ["4"] * 4
    assert (provider.asked, count(replies)) == (2, 2)
    assert not replies._in_flight


def test_a_failure_is_shared_too_and_forgotten(endpoint: Endpoint) -> None:
    replies, provider = shared(), Provider(CompletionError("refused", "no"))
    found = together(replies, endpoint, provider, KEY, KEY)
    assert [str(one) for one in found] == [str(found[0])] * 2
    assert (provider.asked, count(replies)) == (1, 0)
    provider.answer = Completion("4")
    assert together(replies, endpoint, provider, KEY)[0].text == "4"


def test_who_waited_for_a_call_that_was_cancelled_sends_it_itself(endpoint: Endpoint) -> None:
    async def main() -> None:
        replies, provider = shared(), Provider()
        first, second = (
            asyncio.ensure_future(replies.once(request(), endpoint, provider)) for _ in range(2)
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        provider.open.set()
        assert (await second).text == "4"
        assert provider.asked == 2

    asyncio.run(main())


def test_a_kept_reply_is_not_sent_for(endpoint: Endpoint) -> None:
    provider = Provider()
    assert together(shared(Kept({KEY: FOUR})), endpoint, provider, KEY)[0].text == "4"
    assert provider.asked == 0


def test_offline_a_missing_reply_is_named_and_not_sent_for(endpoint: Endpoint) -> None:
    provider = Provider()
    (error,) = together(shared(Kept(offline=True)), endpoint, provider, KEY)
    assert isinstance(error, CompletionError)
    assert error.type == "offline"
    assert "no reply of m at host" in error.message
    assert KEY.hex() in error.message
    assert provider.asked == 0
