"""The chat client against a real server: what is on the wire, what is learned, what is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from refinecli.completers import wire_seed
from refinecli.errors import CompletionError, RunError, UsageError
from refinecli.models import chat as chat_module
from refinecli.models.budget import Limits
from refinecli.models.chat import Chat
from refinecli.models.http import HttpClient
from refinecli.models.reply import RetryableError, failure
from refinecli.settings.load import load
from refinecli.types import Completion, Draw, Message
from tests.conftest import Result, at, check_item, datapoint, item, jsonl, read_jsonl
from tests.support.chat_server import ChatServer, Reply, Request, Script, by_role, error

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
        client = HttpClient()
        try:
            chat = Chat(client, Limits(64), told or Told())
            completer = chat.completer(getattr(settings, role), seed)
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


def seeds_of(cli: Cli, rows: list[dict[str, Any]], *flags: str) -> list[tuple[bool, Any]]:
    with ChatServer(by_role("5", "<score>0</score>")) as server:
        result = cli("refine", *at(server), *flags, "--concurrency", "1", stdin=jsonl(rows))
        assert result.returncode == 0, result.stderr
        return [(r.is_grading, r.body.get("seed")) for r in server.requests]


def test_seeds_are_sent_only_if_asked_for_and_are_equal_in_equal_runs(cli: Cli) -> None:
    rows = [datapoint(id="a"), datapoint(id="b")]
    flags = ["--max-iterations", "1"]
    assert {seed for _, seed in seeds_of(cli, rows, *flags)} == {None}
    one, two = (seeds_of(cli, rows, *flags, "--seed", "0") for _ in range(2))
    assert one == two
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for _, seed in one)
    assert one != seeds_of(cli, rows, *flags, "--seed", "1")


def test_equal_rows_and_drafts_draw_with_different_seeds(cli: Cli) -> None:
    flags = ["--max-iterations", "0", "--drafts", "2", "--seed", "7"]
    rows = [datapoint(id="same", rubric_items=[check_item("4")])] * 2
    seeds = seeds_of(cli, rows, *flags)
    assert len(seeds) == len(set(seeds)) == 4


def test_equal_requests_within_a_datapoint_draw_with_different_seeds(cli: Cli) -> None:
    rows = [datapoint(id="same", rubric_items=[item("Equal?"), item("Equal?")])]
    seeds = seeds_of(cli, rows, "--max-iterations", "0", "--seed", "7")
    grading = [seed for is_grading, seed in seeds if is_grading]
    assert len(set(grading)) == 2


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


def test_policy_and_grader_on_one_endpoint_learn_from_each_other(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        if "temperature" in request.body:
            return error(400, REFUSALS["temperature"][0])
        return "<score>1</score>" if request.is_grading else "4"

    with ChatServer(script) as server:
        flags = [*at(server), "--set", "policy.temperature=0.5", "--concurrency", "1"]
        result = cli("refine", *flags, stdin=jsonl([datapoint(id=n) for n in range(3)]))
        assert len(server.requests) == 7
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("temperature is not sent") == 1


# ------------------------------------------------------------------ trying again


def test_retry_after_is_honoured_in_place_of_our_own_patience(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(chat_module, "_FIRST_WAIT", 10_000.0)
    monkeypatch.setattr(chat_module, "_LONGEST_WAIT", 10_000.0)
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
    monkeypatch.setattr(chat_module, "_FIRST_WAIT", 10.0)
    again = RetryableError("rate_limit", "slow down", 0.0)
    assert chat_module._pause(again, 0, alone=True) < 1
    assert chat_module._pause(again, 1, alone=True) >= 5


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
    found = failure(429, headers, b"{}", {}, "http://x/v1")
    assert isinstance(found, RetryableError)
    assert found.after == after


def test_a_date_in_the_future_is_waited_for() -> None:
    headers = {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}
    found = failure(429, headers, b"{}", {}, "http://x/v1")
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

KEYS = {"OPENAI_API_KEY": "sk-openai", "OTHER_KEY": "sk-other"}


def authorization(cli: Cli, server: ChatServer, *args: str, **env: str) -> list[str | None]:
    result = cli("refine", *args, stdin=jsonl([datapoint()]), env=KEYS | env)
    assert result.returncode == 0, result.stderr
    assert "sk-" not in result.stdout + result.stderr
    return [request.headers.get("authorization") for request in server.requests]


def test_openai_api_key_goes_to_a_url_from_the_command_line(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        assert authorization(cli, server, *at(server)) == ["Bearer sk-openai"] * 2
    with ChatServer(by_role("4")) as server:
        flags = ["--model", "m", "--set", f"policy.base_url={server.url}"]
        assert authorization(cli, server, *flags) == ["Bearer sk-openai"] * 2


def test_openai_api_key_goes_to_openai_base_url(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        sent = authorization(cli, server, "--model", "m", OPENAI_BASE_URL=server.url)
        assert sent == ["Bearer sk-openai"] * 2


def test_openai_api_key_does_not_go_to_a_config_files_url(cli: Cli, tmp_path: Any) -> None:
    with ChatServer(by_role("4")) as server:
        text = f'[policy]\nmodel = "m"\nbase_url = "{server.url}"\n'
        (tmp_path / "c.toml").write_text(text)
        assert authorization(cli, server, "--config", "c.toml") == [None, None]
        text += 'api_key_env = "OTHER_KEY"\n'
        (tmp_path / "c.toml").write_text(text)
        assert authorization(cli, server, "--config", "c.toml")[2:] == ["Bearer sk-other"] * 2


def test_openai_api_key_does_not_go_to_a_url_from_our_environment(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        env = {"REFINECLI_POLICY__BASE_URL": server.url, "REFINECLI_POLICY__MODEL": "m"}
        assert authorization(cli, server, **env) == [None, None]


def test_a_role_with_its_own_url_inherits_no_key_headers_or_extra_body(
    cli: Cli, tmp_path: Any
) -> None:
    with ChatServer(by_role("4")) as policy, ChatServer(by_role("4")) as grader:
        (tmp_path / "c.toml").write_text(
            f'[policy]\nmodel = "m"\nbase_url = "{policy.url}"\napi_key_env = "OTHER_KEY"\n'
            'headers = {X-Team = "blue"}\nextra_body = {top_k = 5}\n'
            f'[grader]\nmodel = "g"\nbase_url = "{grader.url}"\n'
        )
        result = cli("refine", "--config", "c.toml", stdin=jsonl([datapoint()]), env=KEYS)
        (asked,), (graded,) = policy.requests, grader.requests
    assert result.returncode == 0, result.stderr
    assert asked.headers["authorization"] == "Bearer sk-other"
    assert (asked.headers["x-team"], asked.body["top_k"]) == ("blue", 5)
    assert not {"authorization", "x-team"} & graded.headers.keys()
    assert "top_k" not in graded.body


def test_a_role_without_a_url_of_its_own_inherits_them(cli: Cli, tmp_path: Any) -> None:
    with ChatServer(by_role("4")) as server:
        (tmp_path / "c.toml").write_text(
            f'[policy]\nmodel = "m"\nbase_url = "{server.url}"\napi_key_env = "OTHER_KEY"\n'
            'headers = {X-Team = "blue"}\nextra_body = {top_k = 5}\n'
            '[grader]\nmodel = "g"\n'
        )
        result = cli("refine", "--config", "c.toml", stdin=jsonl([datapoint()]), env=KEYS)
        grading = next(r for r in server.requests if r.is_grading)
    assert result.returncode == 0, result.stderr
    assert (grading.body["model"], grading.body["top_k"]) == ("g", 5)
    assert grading.headers["authorization"] == "Bearer sk-other"
    assert grading.headers["x-team"] == "blue"


def test_a_key_that_is_not_set_is_a_usage_error() -> None:
    with ChatServer(lambda r: "4") as server, pytest.raises(UsageError, match="NOT_SET_KEY"):
        ask(server, "policy.api_key_env=NOT_SET_KEY")


def test_a_conversation_in_the_output_is_read_as_it_was_sent(cli: Cli) -> None:
    row = datapoint(convo=[{"role": "user", "content": "x", "name": "Ann", "custom": [1]}])
    with ChatServer(by_role("4")) as server:
        (out,) = read_jsonl(cli("refine", *at(server), stdin=jsonl([row])).stdout)
        assert server.requests[0].body["messages"] == row["convo"] == out["convo"]


# ------------------------------------------------------------------ one endpoint, several roles


def test_each_role_sends_its_own_headers_to_an_endpoint_that_they_share(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        headers = ["--set", 'policy.headers={x-role="p"}', "--set", 'grader.headers={x-role="g"}']
        result = cli("refine", *at(server), *headers, stdin=jsonl([datapoint()]))
        assert result.returncode == 0, result.stderr
        assert [r.headers["x-role"] for r in server.requests] == ["p", "g"]


@pytest.mark.parametrize("reason", ["error", "abort", "insufficient_system_resource"])
def test_a_reply_that_broke_off_is_asked_for_again(cli: Cli, reason: str) -> None:
    broken = Reply("<score>1</score> but", finish_reason=reason)
    replies = [broken, Reply("<score>0</score>")]
    with ChatServer(by_role("4", lambda request: replies.pop(0))) as server:
        result = cli("grade", *at(server), stdin=jsonl([datapoint(response="4")]))
    assert result.returncode == 0, result.stderr
    assert read_jsonl(result.stdout)[0]["score"] == 0


def test_a_models_own_length_limit_is_no_verdict(cli: Cli) -> None:
    cut = Reply("<score>1</score> but on the other h", finish_reason="model_length")
    with ChatServer(by_role("4", lambda request: cut)) as server:
        result = cli("grade", *at(server), stdin=jsonl([datapoint(response="4")]))
    assert result.returncode == 3
    assert read_jsonl(result.stdout)[0]["score"] is None


def test_a_short_key_may_stand_in_an_honest_answer(cli: Cli) -> None:
    with ChatServer(by_role("Use ollama to run it.")) as server:
        result = cli(
            *("refine", *at(server)), stdin=jsonl([datapoint()]), env={"OPENAI_API_KEY": "ollama"}
        )
    assert read_jsonl(result.stdout)[0]["response"] == "Use ollama to run it."


@pytest.mark.parametrize(
    "words",
    [
        "The model produced invalid content for this prompt",
        "Unsupported content: the prompt asks for temperature data",
    ],
)
def test_one_prompt_that_is_refused_neither_ends_the_run_nor_changes_it(
    cli: Cli, words: str
) -> None:
    def answer(request: Request) -> str | Reply:
        return error(400, words) if "two" in request.last else "4"

    rows = [datapoint(id=n, prompt=n, convo=None) for n in ("one", "two", "three")]
    with ChatServer(by_role(answer)) as server:
        result = cli(
            *("refine", *at(server), "--set", "policy.temperature=0.5", "--concurrency", "1"),
            stdin=jsonl(rows),
        )
        asked = [r.body.get("temperature") for r in server.requests if not r.is_grading]
    assert result.returncode == 3
    assert [("error" in row) for row in read_jsonl(result.stdout)] == [False, True, False]
    assert asked == [0.5, 0.5, 0.5]
