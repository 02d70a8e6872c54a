"""What each role sends and to whom: seeds, keys, headers, and replies that are asked for again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import REFINE, Result, at, check_item, datapoint, item, jsonl, read_jsonl
from tests.support.chat_server import ChatServer, Reply, Request, by_role, error

Cli = Callable[..., Result]


def seeds_of(cli: Cli, rows: list[dict[str, Any]], *flags: str) -> list[tuple[bool, Any]]:
    with ChatServer(by_role("5", "<score>0</score>")) as server:
        result = cli(*REFINE, *at(server), *flags, "--concurrency", "1", stdin=jsonl(rows))
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


def test_policy_and_grader_on_one_endpoint_learn_from_each_other(cli: Cli) -> None:
    def script(request: Request) -> str | Reply:
        if "temperature" in request.body:
            return error(400, REFUSALS["temperature"][0])
        return "<score>1</score>" if request.is_grading else "4"

    with ChatServer(script) as server:
        flags = [*at(server), "--set", "policy.temperature=0.5", "--concurrency", "1"]
        result = cli(*REFINE, *flags, stdin=jsonl([datapoint(id=n) for n in range(3)]))
        assert len(server.requests) == 7
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("temperature is not sent") == 1


KEYS = {"OPENAI_API_KEY": "sk-openai", "OTHER_KEY": "sk-other"}


def authorization(cli: Cli, server: ChatServer, *args: str, **env: str) -> list[str | None]:
    result = cli(*REFINE, *args, stdin=jsonl([datapoint()]), env=KEYS | env)
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
        result = cli(*REFINE, "--config", "c.toml", stdin=jsonl([datapoint()]), env=KEYS)
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
        result = cli(*REFINE, "--config", "c.toml", stdin=jsonl([datapoint()]), env=KEYS)
        grading = next(r for r in server.requests if r.is_grading)
    assert result.returncode == 0, result.stderr
    assert (grading.body["model"], grading.body["top_k"]) == ("g", 5)
    assert grading.headers["authorization"] == "Bearer sk-other"
    assert grading.headers["x-team"] == "blue"


def test_a_conversation_in_the_output_is_read_as_it_was_sent(cli: Cli) -> None:
    row = datapoint(convo=[{"role": "user", "content": "x", "name": "Ann", "custom": [1]}])
    with ChatServer(by_role("4")) as server:
        (out,) = read_jsonl(cli(*REFINE, *at(server), stdin=jsonl([row])).stdout)
        assert server.requests[0].body["messages"] == row["convo"] == out["convo"]


def test_each_role_sends_its_own_headers_to_an_endpoint_that_they_share(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        headers = ["--set", 'policy.headers={x-role="p"}', "--set", 'grader.headers={x-role="g"}']
        result = cli(*REFINE, *at(server), *headers, stdin=jsonl([datapoint()]))
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
            *(*REFINE, *at(server)), stdin=jsonl([datapoint()]), env={"OPENAI_API_KEY": "ollama"}
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
            *(*REFINE, *at(server), "--set", "policy.temperature=0.5", "--concurrency", "1"),
            stdin=jsonl(rows),
        )
        asked = [r.body.get("temperature") for r in server.requests if not r.is_grading]
    assert result.returncode == 3
    assert [("error" in row) for row in read_jsonl(result.stdout)] == [False, True, False]
    assert asked == [0.5, 0.5, 0.5]
