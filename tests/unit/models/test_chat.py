"""The chat client against a real server: what is on the wire, what is learned, what is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from refinecli.completers import wire_seed
from refinecli.errors import CompletionError, RunError, UsageError
from refinecli.models import retries
from refinecli.models.budget import Limits
from refinecli.models.chat import Chat
from refinecli.models.failures import Refusal, failure
from refinecli.models.http import HttpClient
from refinecli.models.retries import RetryableError
from refinecli.settings.load import load
from refinecli.types import Completion, Draw, Message
from tests.conftest import Result
from tests.support.chat_server import ChatServer, Reply, Request, Script, error

Cli = Callable[..., Result]
ASK: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]
DRAW = Draw("id", 0, "policy", 0)


class Told:
    """A log that remembers."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.details: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def detail(self, text: str) -> None:
        self.details.append(text)


def ask(
    server: ChatServer,
    *sets: str,
    role: str = "policy",
    messages: Sequence[Message] = ASK,
    draws: Sequence[Draw] = (DRAW,),
    seed: int | None = None,
    at_once: bool = False,
    told: Told | None = None,
) -> list[Completion]:
    """The replies to one role's calls, one after the other or all at once."""
    flags = {"policy.model": "m", "policy.base_url": server.url}
    settings = load(flags, sets, {})

    async def main() -> list[Completion]:
        client = HttpClient(tls=False)
        try:
            chat = Chat(client, Limits(64), told or Told())
            completer = chat.completer(settings.roles[role], seed)
            if at_once:
                return list(await asyncio.gather(*(completer(messages, d) for d in draws)))
            return [await completer(messages, draw) for draw in draws]
        finally:
            await client.aclose()

    return asyncio.run(main())


def body_of(server: ChatServer, *sets: str, **options: Any) -> dict[str, Any]:
    ask(server, *sets, **options)
    return server.requests[-1].body


# ------------------------------------------------------------------ what is sent


def test_nothing_is_sent_that_was_not_set() -> None:
    with ChatServer(lambda r: "4") as server:
        assert body_of(server) == {"model": "m", "messages": ASK}
        assert server.requests[0].path == "/v1/chat/completions"
        assert "authorization" not in server.requests[0].headers


def test_zero_is_not_absent() -> None:
    with ChatServer(lambda r: "4") as server:
        body = body_of(server, "policy.temperature=0", "policy.extra_body={seed = 0, top_k = 0}")
    assert (body["temperature"], body["seed"], body["top_k"]) == (0, 0, 0)


def test_graders_are_asked_at_temperature_0_unless_told_otherwise() -> None:
    with ChatServer(lambda r: "4") as server:
        assert body_of(server, role="grader")["temperature"] == 0
        assert body_of(server, "grader.temperature=0.3", role="grader")["temperature"] == 0.3
        assert "temperature" not in body_of(server, "grader.temperature=default", role="grader")
        # What the policy says of itself is not said for the grader.
        assert body_of(server, "policy.temperature=1", role="grader")["temperature"] == 0
        assert body_of(server, "policy.temperature=1", role="reviser")["temperature"] == 1
        assert "temperature" not in body_of(server, "policy.temperature=default")


def test_sampling_extra_body_and_headers_reach_the_wire() -> None:
    sets = [
        "policy.temperature=0.7",
        "policy.top_p=0.9",
        "policy.max_tokens=100",
        'policy.extra_body={reasoning_effort = "low", chat_template_kwargs = {x = true}}',
        "policy.headers.X-Title=refine",
    ]
    with ChatServer(lambda r: "4") as server:
        body = body_of(server, *sets)
        assert server.requests[0].headers["x-title"] == "refine"
    assert body == {
        "model": "m",
        "messages": ASK,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 100,
        "reasoning_effort": "low",
        "chat_template_kwargs": {"x": True},
    }


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        (ASK, [{"role": "system", "content": "Be brief."}, *ASK]),
        (
            [{"role": "system", "content": "Be exact."}, *ASK],
            [{"role": "system", "content": "Be brief.\n\nBe exact."}, *ASK],
        ),
        (
            [{"role": "system", "content": [{"type": "text", "text": "Be exact."}]}, *ASK],
            [
                {
                    "role": "system",
                    "content": [
                        {"type": "text", "text": "Be brief."},
                        {"type": "text", "text": "Be exact."},
                    ],
                },
                *ASK,
            ],
        ),
        (
            [{"role": "developer", "content": "x"}, *ASK],
            [
                {"role": "system", "content": "Be brief."},
                {"role": "developer", "content": "x"},
                *ASK,
            ],
        ),
    ],
    ids=["none", "text", "parts", "developer"],
)
def test_a_roles_system_prompt_comes_before_the_conversations_own(
    messages: list[Message], sent: list[Message]
) -> None:
    with ChatServer(lambda r: "4") as server:
        assert body_of(server, "policy.system=Be brief.", messages=messages)["messages"] == sent


def test_azure_style_has_its_key_header_and_keeps_its_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AZURE_KEY", "secret-1")
    with ChatServer(lambda r: "4") as server:
        base = f"{server.url}/deployments/gpt?api-version=2024-10-21"
        body_of(
            server,
            "policy.api_key_env=AZURE_KEY",
            "policy.api_key_header=api-key",
            "grader.model=g",
            f"reviser.base_url={base}",
            "reviser.api_key_env=AZURE_KEY",
            "reviser.api_key_header=api-key",
            role="reviser",
        )
        request = server.requests[0]
    assert request.path == "/v1/deployments/gpt/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "secret-1"
    assert "authorization" not in request.headers


@pytest.mark.parametrize("tail", ["", "/", "/chat/completions"])
def test_a_base_url_may_end_as_people_write_it(tail: str) -> None:
    with ChatServer(lambda r: "4") as server:
        ask(server, f"reviser.base_url={server.url}{tail}", role="reviser")
        assert server.requests[0].path == "/v1/chat/completions"


# ------------------------------------------------------------------ seeds


def test_a_wire_seed_is_the_same_on_every_machine() -> None:
    assert wire_seed(42, Draw("addition-17", 0, "policy", 0)) == 901807569
    draws = [
        DRAW,
        Draw("id", 1, "policy", 0),
        Draw("id", 0, "grader", 0),
        Draw("id", 0, "policy", 1),
        Draw("id", 0, "policy", 0, 1),
        Draw("other", 0, "policy", 0),
    ]
    assert len({wire_seed(42, draw) for draw in draws}) == len(draws)
    assert wire_seed(42, DRAW) != wire_seed(43, DRAW)


# ------------------------------------------------------------------ parameters that are refused

REFUSALS = {
    "temperature": (
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default "
        "(1) value is supported.",
        {},
    ),
    "max_tokens": (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        {"max_completion_tokens": 50},
    ),
    "seed": ("property 'seed' is unsupported", {}),
    "top_p": ("`temperature` and `top_p` cannot both be specified: top_p is not allowed", {}),
}
ALL_SET = ["policy.temperature=0", "policy.max_tokens=50", "policy.top_p=0.5"]


def picky(*refused: str) -> Script:
    def script(request: Request) -> str | Reply:
        for name in refused:
            if name in request.body:
                return error(400, REFUSALS[name][0], param=name)
        return "4"

    return script


@pytest.mark.slow
@pytest.mark.parametrize("name", ["temperature", "max_tokens", "seed"])
def test_a_refused_parameter_is_settled_once_and_said_once(name: str) -> None:
    told = Told()
    draws = [Draw("id", n, "policy", 0) for n in range(4)]
    with ChatServer(picky(name)) as server:
        ask(server, *ALL_SET, seed=1, draws=draws, told=told)
        refused = [r for r in server.requests if name in r.body]
        last = server.requests[-1].body
        assert len(server.requests) == len(draws) + 1
    assert len(refused) == 1
    expected = {"temperature", "max_tokens", "seed", "top_p", "model", "messages"} - {name}
    assert last.keys() == expected | REFUSALS[name][1].keys()
    assert {key: last[key] for key in REFUSALS[name][1]} == REFUSALS[name][1]
    (notice,) = told.notices
    assert notice.startswith(f"m: {name} is ")


def test_calls_in_flight_settle_it_once_too() -> None:
    told = Told()
    draws = [Draw("id", n, "policy", 0) for n in range(16)]
    with ChatServer(picky("temperature", "max_tokens")) as server:
        replies = ask(server, *ALL_SET, draws=draws, at_once=True, told=told)
        assert server.requests[-1].body.keys() >= {"max_completion_tokens"}
    assert len(replies) == 16
    assert len(told.notices) == 2


def test_several_refused_parameters_are_settled_one_after_the_other() -> None:
    with ChatServer(picky("temperature", "max_tokens", "seed")) as server:
        ask(server, *ALL_SET, seed=1)
        assert len(server.requests) == 4
        assert server.requests[-1].body.keys() == {
            "model",
            "messages",
            "top_p",
            "max_completion_tokens",
        }


def test_a_renamed_parameter_that_is_refused_too_is_left_out() -> None:
    def script(request: Request) -> str | Reply:
        for name in ("max_tokens", "max_completion_tokens"):
            if name in request.body:
                return error(400, f"unknown parameter: {name}")
        return "4"

    with ChatServer(script) as server:
        ask(server, *ALL_SET)
        assert len(server.requests) == 3


def test_a_400_that_names_no_parameter_we_sent_is_not_tried_again() -> None:
    with ChatServer(lambda r: error(400, "'logit_bias' is not supported")) as server:
        with pytest.raises(CompletionError) as caught:
            ask(server, *ALL_SET)
        assert len(server.requests) == 1
    assert caught.value.type == "bad_request"


# ------------------------------------------------------------------ trying again


def test_retry_after_is_honoured_in_place_of_our_own_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "_FIRST_WAIT", 10_000.0)
    monkeypatch.setattr(retries, "_LONGEST_WAIT", 10_000.0)
    past = "Mon, 01 Jan 2024 00:00:00 GMT"
    for headers in ({"retry-after": "0"}, {"retry-after": past}, {"retry-after-ms": "1"}):
        script = _first(error(429, "slow down", headers=headers))
        with ChatServer(script) as server:
            (reply,) = ask(server)
            assert len(server.requests) == 2
        assert reply.text == "4"


def test_a_provider_that_says_at_once_again_and_again_is_given_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retries, "_FIRST_WAIT", 10.0)
    again = RetryableError("rate_limit", "slow down", 0.0)
    assert retries.pause(again, 0, alone=True) < 1
    assert retries.pause(again, 1, alone=True) >= 5


def _first(reply: Reply) -> Script:
    return lambda request: reply if request.number == 0 else "4"


@pytest.mark.parametrize(
    ("headers", "after"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "1.2.3"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": ""}, None),
    ],
    ids=str,
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], after: float | None) -> None:
    found = failure(Refusal(429, headers, b"{}", {}, "http://x/v1"))
    assert isinstance(found, RetryableError)
    assert found.after == after


def test_a_date_in_the_future_is_waited_for() -> None:
    headers = {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}
    found = failure(Refusal(429, headers, b"{}", {}, "http://x/v1"))
    assert isinstance(found, RetryableError)
    assert found.after is not None
    assert found.after > 1e8


def test_nobody_there_is_the_runs_failure_and_a_later_loss_the_calls_own() -> None:
    sets = ["policy.retries=0"]
    with ChatServer(lambda r: "4") as server:
        url = server.url
    with pytest.raises(RunError) as nobody:
        ask(_At(url), *sets)  # type: ignore[arg-type]
    assert nobody.value.type == "unreachable"
    script: Script = lambda r: "4" if r.number == 0 else Reply(drop=True)  # noqa: E731
    with ChatServer(script) as server, pytest.raises(CompletionError) as lost:
        ask(server, *sets, draws=[DRAW, DRAW])
    assert lost.value.type == "connection"


class _At:
    def __init__(self, url: str) -> None:
        self.url = url


# ------------------------------------------------------------------ what comes back


@pytest.mark.parametrize(
    ("message", "text", "reasoning"),
    [
        ({"content": "4"}, "4", ""),
        ({"content": "4", "reasoning_content": "2 and 2"}, "4", "2 and 2"),
        ({"content": "4", "reasoning": "2 and 2"}, "4", "2 and 2"),
        ({"content": [{"type": "text", "text": "4"}, {"type": "text", "text": "!"}]}, "4!", ""),
        ({"content": None}, "", ""),
        ({"content": "<think>x</think>4"}, "<think>x</think>4", ""),
    ],
    ids=str,
)
def test_text_and_reasoning_are_read_apart(
    message: dict[str, Any], text: str, reasoning: str
) -> None:
    raw = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    with ChatServer(lambda r: Reply(raw=raw)) as server:
        (reply,) = ask(server)
    assert (reply.text, reply.reasoning, reply.finish_reason) == (text, reasoning, "stop")


@pytest.mark.parametrize("reason", ["length", "max_tokens", "MAX_TOKENS"])
def test_a_reply_that_was_cut_off_says_so(reason: str) -> None:
    with ChatServer(lambda r: Reply("4", finish_reason=reason)) as server:
        (reply,) = ask(server)
    assert reply.cut_off
    assert reply.finish_reason == "length"


ODD_USAGES: list[Any] = [None, [], "x", {"prompt_tokens": "7"}, {"prompt_tokens": None}]
ODD_USAGES += [{"prompt_tokens_details": [1]}, {"completion_tokens_details": "x"}]


@pytest.mark.parametrize("usage", ODD_USAGES, ids=str)
def test_a_usage_in_no_known_shape_is_no_failure(usage: Any) -> None:
    raw = json.dumps({"choices": [{"message": {"content": "4"}}], "usage": usage}).encode()
    with ChatServer(lambda r: Reply(raw=raw)) as server:
        (reply,) = ask(server, "policy.retries=0")
    assert (reply.text, reply.usage.calls, reply.usage.prompt_tokens) == ("4", 1, 0)


# ------------------------------------------------------------------ where keys go


def test_a_key_that_is_not_set_is_a_usage_error() -> None:
    with ChatServer(lambda r: "4") as server, pytest.raises(UsageError, match="NOT_SET_KEY"):
        ask(server, "policy.api_key_env=NOT_SET_KEY")


# ------------------------------------------------------------------ one endpoint, several roles
