"""One attempt: what it takes, what it sends, and what is known after it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import orjson
import pytest

from refinecli.errors import BudgetError, CompletionError, RunError
from refinecli.models.attempt import Sender
from refinecli.models.budget import UNLIMITED, Amount, Limits
from refinecli.models.cached import SharedReplies
from refinecli.models.endpoint import endpoint_at
from refinecli.models.http import HttpClient, Reply, TransportError
from refinecli.models.negotiation import RefusedParameterError
from refinecli.models.pacing.pacer import Pacer
from refinecli.models.redaction import Redaction
from refinecli.models.request import Request
from refinecli.models.retries import Ending, RetryableError
from refinecli.models.spending import Spending
from refinecli.settings.load import load
from refinecli.types import Completion, Draw, JSONObject, Usable

KEY = "sk-0123456789abcdef"
USAGE = {"prompt_tokens": 20, "completion_tokens": 5}


def four(content: str = "4", **fields: Any) -> Reply:
    message = {"message": {"content": content}, **fields}
    return Reply(200, {}, orjson.dumps({"choices": [message], "usage": USAGE}))


class Client:
    """An HTTP client that gives one answer."""

    def __init__(self, answer: Reply | TransportError) -> None:
        self.answer = answer
        self.sent: list[tuple[str, bytes, Mapping[str, str], float]] = []

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], read_timeout: float
    ) -> Reply:
        self.sent.append((url, body, headers, read_timeout))
        if isinstance(self.answer, TransportError):
            raise self.answer
        return self.answer


class Replies(SharedReplies):
    """Keeps what an attempt keeps; `others` is what another process has got."""

    def __init__(self, limits: Limits, others: Completion | None = None) -> None:
        super().__init__(None, limits.traffic)
        self.others = others
        self.kept: list[tuple[bytes, bool]] = []

    def find_from_others(self, request: Request, endpoint: Any) -> Completion | None:
        return self.others

    async def keep(self, request: Request, content: bytes, *, usable: bool) -> None:
        self.kept.append((content, usable))


class Log:
    def __init__(self) -> None:
        self.details: list[str] = []

    def notice(self, text: str) -> None:
        raise AssertionError(text)

    def detail(self, text: str) -> None:
        self.details.append(text)


class Attempt:
    """One role's sender, and all that it touches."""

    def __init__(
        self,
        answer: Reply | TransportError,
        *sets: str,
        budget: Amount = UNLIMITED,
        others: Completion | None = None,
        secret: str = KEY,
    ) -> None:
        role = load({"policy.model": "m", "policy.base_url": "http://h/v1"}, sets, {}).policy
        self.client, self.log, self.limits = Client(answer), Log(), Limits(1, budget)
        self.replies = Replies(self.limits, others)
        self.endpoint = endpoint_at("http://h/v1/chat/completions?key=x", "m", "place")
        self.endpoint.pacer = Pacer(1)
        self.ending = Ending()
        self.logged: list[tuple[str, str, bytes]] = []
        self.sender = Sender(
            cast(HttpClient, self.client),
            self.endpoint,
            role,
            Redaction(secret),
            {"authorization": f"Bearer {secret}"},
            Spending(role),
            self.limits,
            self.replies,
            self.ending,
            self.log,
            lambda draw, url, body, came, content: self.logged.append(
                (url, type(came).__name__, body + content)
            ),
        )

    def make(
        self, usable: bool | Callable[[], Awaitable[bool]] | None = None, again: bool = False
    ) -> Completion:
        body: JSONObject = {"model": "m", "messages": []}
        judge: Usable | None = None
        if usable is not None:
            judge = lambda completion: usable() if callable(usable) else usable  # noqa: E731
        request = Request(body, b"{...}", b"k", Draw("a", 0, "policy", 0), judge)
        return asyncio.run(self.sender.attempt(request, again))

    @property
    def is_over(self) -> bool:
        """True where nothing is left behind: no turn, no place, no request in flight."""
        free = self.limits.places._value == 1 and self.endpoint.pacer.in_flight == 0
        return free and self.limits.traffic.in_flight == 0


def test_a_reply_is_counted_kept_logged_and_returned() -> None:
    attempt = Attempt(four(), "policy.input_price=1", "policy.output_price=2", "policy.timeout=7")
    assert attempt.make().text == "4"
    ((url, body, headers, timeout),) = attempt.client.sent
    assert (url, body, timeout) == (attempt.endpoint.url, b"{...}", 7)
    assert headers == {"authorization": f"Bearer {KEY}"}
    assert attempt.replies.kept == [(four().content, True)]
    logged = b"{...}" + four().content
    assert attempt.logged == [("http://h/v1/chat/completions", "Reply", logged)]
    traffic = attempt.limits.traffic
    assert (traffic.sent, traffic.prompt_tokens, traffic.completion_tokens) == (1, 20, 5)
    assert traffic.cost == pytest.approx((20 * 1 + 5 * 2) / 1e6)
    assert (attempt.endpoint.health.successes, attempt.endpoint.known) == (1, True)
    assert attempt.is_over


@pytest.mark.parametrize(
    ("reply", "usable", "kept", "why"),
    [
        (four(), None, True, []),
        (four(), True, True, []),
        (four(), False, False, ["what was asked for is not in it"]),
        (four(finish_reason="length"), None, False, ["it was cut off"]),
        (four(finish_reason="length"), True, True, []),
    ],
)
def test_a_reply_is_kept_for_others_only_where_it_is_usable(
    reply: Reply, usable: bool | None, kept: bool, why: list[str]
) -> None:
    attempt = Attempt(reply)
    assert attempt.make(usable).text == "4"
    assert attempt.replies.kept == [(reply.content, kept)]
    assert attempt.log.details == [f"a: policy: the reply cannot be used: {one}" for one in why]


@pytest.mark.parametrize("usable", [True, False])
def test_whether_a_reply_is_usable_may_take_its_time(usable: bool) -> None:
    async def judge() -> bool:
        await asyncio.sleep(0)
        return usable

    attempt = Attempt(four())
    attempt.make(judge)
    assert attempt.replies.kept == [(four().content, usable)]


def test_a_price_that_is_not_known_is_not_counted_as_nothing() -> None:
    attempt = Attempt(four())
    attempt.make()
    assert (attempt.limits.traffic.cost, attempt.limits.traffic.unpriced) == (None, 1)


@pytest.mark.parametrize(("status", "refused"), [(429, 1), (503, 1), (529, 1), (500, 0)])
def test_a_status_that_refuses_is_counted_and_may_be_tried_again(status: int, refused: int) -> None:
    attempt = Attempt(Reply(status, {"retry-after": "3"}, b"later"))
    with pytest.raises(RetryableError) as caught:
        attempt.make()
    assert caught.value.after == 3
    assert attempt.limits.traffic.refused == refused
    assert (attempt.replies.kept, attempt.endpoint.known) == ([], False)
    assert attempt.endpoint.health.answered
    assert attempt.is_over


def test_no_reply_at_all_may_be_tried_again_and_is_logged() -> None:
    attempt = Attempt(TransportError("timeout", "no reply within 7 s"))
    with pytest.raises(RetryableError, match="no reply within 7 s") as caught:
        attempt.make()
    assert caught.value.kind == "timeout"
    assert [kind for _, kind, _ in attempt.logged] == ["TransportError"]
    assert not attempt.endpoint.health.answered
    assert attempt.is_over


def test_a_refused_parameter_comes_out_by_name() -> None:
    content = b'{"error": {"message": "\'model\' no; \'seed\' is unsupported"}}'
    attempt = Attempt(Reply(400, {}, content))
    attempt.sender.endpoint.replayed = True
    request = Request({"seed": 1}, b"{}", b"k", Draw("a", 0, "policy", 0))
    with pytest.raises(RefusedParameterError) as caught:
        asyncio.run(attempt.sender.attempt(request, False))
    assert caught.value.name == "seed"
    assert attempt.is_over


def test_one_calls_failure_shows_that_the_endpoint_is_there() -> None:
    attempt = Attempt(Reply(400, {}, b"bad words"))
    attempt.endpoint.health._failing = 5
    with pytest.raises(CompletionError, match="h answered 400: bad words"):
        attempt.make()
    assert attempt.endpoint.health._failing == 0


def test_a_filtered_reply_is_paid_for_and_kept_for_this_run() -> None:
    reply = four("", finish_reason="content_filter")
    attempt = Attempt(reply)
    with pytest.raises(CompletionError) as caught:
        attempt.make()
    assert caught.value.type == "content_filter"
    assert attempt.replies.kept == [(reply.content, False)]
    assert attempt.limits.traffic.prompt_tokens == 20
    assert attempt.is_over


def test_a_reply_that_is_not_json_is_not_kept() -> None:
    attempt = Attempt(Reply(200, {}, b"nothing of the kind"))
    with pytest.raises(RetryableError):
        attempt.make()
    assert attempt.replies.kept == []
    assert attempt.is_over


def test_a_web_page_in_a_good_status_may_be_a_hiccup_and_makes_one_look_at_the_url() -> None:
    attempt = Attempt(Reply(200, {}, b"<html>"))
    with pytest.raises(RetryableError, match="<html>") as caught:
        attempt.make()
    assert "/v1" in caught.value.hint
    assert attempt.replies.kept == []
    assert attempt.is_over


@pytest.mark.parametrize("code", [429, "429", "rate_limit_exceeded"])
def test_a_limit_in_a_good_status_is_a_refusal_and_is_not_kept(code: object) -> None:
    body = {"choices": [{"message": {"content": None}}], "error": {"code": code, "message": "slow"}}
    attempt = Attempt(Reply(200, {}, orjson.dumps(body)))
    with pytest.raises(RetryableError, match="429: slow") as caught:
        attempt.make()
    assert caught.value.kind == "rate_limit"
    assert attempt.limits.traffic.refused == 1
    assert attempt.replies.kept == []
    assert attempt.is_over


def test_every_good_status_may_have_a_whole_reply() -> None:
    for status in (200, 201, 202, 206):
        assert Attempt(four()._replace(status=status)).make().text == "4"


def test_a_key_in_a_reply_is_neither_kept_nor_logged_nor_returned() -> None:
    attempt = Attempt(four(f"Your key is {KEY}"))
    assert attempt.make().text == "Your key is [key]"
    assert KEY.encode() not in attempt.replies.kept[0][0] + attempt.logged[0][2]


def test_a_secret_in_a_request_is_sent_but_not_logged() -> None:
    attempt = Attempt(four())
    data = orjson.dumps({"messages": [], "api_key": KEY})
    request = Request({"messages": []}, data, b"k", Draw("a", 0, "policy", 0))
    asyncio.run(attempt.sender.attempt(request, False))
    assert attempt.client.sent[0][1] == data
    assert attempt.logged[0][2] == b'{"messages":[],"api_key":"[key]"}' + four().content


def test_a_short_secret_in_a_request_is_not_logged_either_where_its_name_says_what_it_is() -> None:
    attempt = Attempt(four(), "policy.extra_body.api_key=me", "policy.extra_body.user=u")
    data = orjson.dumps({"messages": ["me"], "api_key": "me", "user": "u"})
    request = Request({"messages": []}, data, b"k", Draw("a", 0, "policy", 0))
    asyncio.run(attempt.sender.attempt(request, False))
    assert attempt.client.sent[0][1] == data
    logged = b'{"messages":["me"],"api_key":"[key]","user":"u"}'
    assert attempt.logged[0][2] == logged + four().content


def test_a_short_key_may_stand_in_an_honest_answer_but_not_in_the_log() -> None:
    attempt = Attempt(four("Use ollama"), secret="ollama")
    assert attempt.make().text == "Use ollama"
    assert b"ollama" in attempt.replies.kept[0][0]
    assert b"ollama" not in attempt.logged[0][2]


def test_what_another_process_got_is_not_sent_for() -> None:
    attempt = Attempt(four(), others=Completion("from others"), budget=Amount(1, 1e9, 1e9))
    assert attempt.make().text == "from others"
    assert (attempt.client.sent, attempt.limits.left.calls) == ([], 1)
    assert attempt.is_over


@pytest.mark.parametrize("whose", ["all", "this endpoint's"])
def test_after_the_end_nothing_is_sent(whose: str) -> None:
    attempt = Attempt(four())
    error = RunError("the key is refused")
    if whose == "all":
        attempt.ending.end(error)
    else:
        attempt.endpoint.over = error
    with pytest.raises(RunError, match="the key is refused"):
        attempt.make()
    assert attempt.client.sent == []
    assert attempt.is_over


def test_a_used_up_budget_stops_it_before_the_pace() -> None:
    attempt = Attempt(four(), budget=Amount(1, 1e9, 1e9))
    attempt.make()
    with pytest.raises(BudgetError):
        attempt.make()
    assert len(attempt.client.sent) == 1
    assert attempt.is_over
