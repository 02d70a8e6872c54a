"""The reward server: trainers' shapes, equal requests graded once, no failure scored 0."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import refinecli as rc
from refinecli.api.given import completer
from refinecli.data.sources import Source
from refinecli.models.engine import open_engine
from refinecli.reward.server import payloads, service
from refinecli.reward.server.rows import Rows
from refinecli.reward.server.service import Service
from refinecli.reward.server.web import listening
from refinecli.runs.lifecycle import Started
from refinecli.runs.run import Input
from refinecli.runs.summary import Summary
from refinecli.settings.load import load
from tests.support.fakes import between

ITEMS: list[dict[str, Any]] = [
    {"rubric_str": "Is it good?", "name": "good"},
    {"name": "short", "check": {"kind": "words", "max": 3}},
]
# The first as an export for trainers writes it.
DATA: list[dict[str, Any]] = [
    {"id": "a", "prompt": "Say something good.", "rubric_items": json.dumps(ITEMS)},
    {"id": 7, "convo": "Be brief.", "rubric_items": ITEMS[1:], "response": "stale", "score": 0.1},
]
PROMPT = "<|im_start|>user\nSay something good.<|im_end|>\n<|im_start|>assistant\n"


class Log:
    def notice(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


class Served:
    """A running server, and a client of it."""

    def __init__(
        self, url: str, client: aiohttp.ClientSession, service: Service, notices: list[str]
    ) -> None:
        self.url, self.client, self.service, self.notices = url, client, service, notices

    async def post(self, path: str, body: Any, **more: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body)
        async with self.client.post(self.url + path, data=data, **more) as response:
            return response.status, await response.json()

    async def get(self, path: str, **more: Any) -> tuple[int, str]:
        async with self.client.get(self.url + path, **more) as response:
            return response.status, await response.text()


async def finds_good(messages: list[Any]) -> str:
    return f"<score>{int('good' in between(messages[1]['content'], 'response'))}</score>"


@asynccontextmanager
async def served(
    tmp_path: Path,
    grader: Callable[[list[Any]], Awaitable[Any]] | None = finds_good,
    *,
    data: Sequence[dict[str, Any]] | None = DATA,
    rubric: Sequence[dict[str, Any]] = (),
    ungraded: service.Ungraded = "hold",
    token: str = "",
    most_bytes: int = 1 << 20,
    **sets: Any,
) -> AsyncIterator[Served]:
    """Serve DATA with a function as its grader."""
    source, notices = None, list[str]()
    if data is not None:
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in data))
        source = Input(Source(str(path)), rubric)
    settings = load({"grader.model": "grader"}, sets, environ={})
    functions = {"grader": completer(grader)} if grader else {}
    opening = open_engine(
        settings, ("grader",) if grader else (), {}, Log(), functions=functions, lazily=True
    )
    async with opening as engine:
        started = Started(engine, Summary(), lambda point: None)
        one = Service(
            started,
            settings,
            Rows(source, rubric),
            ungraded,
            has_grader=grader is not None,
            notice=notices.append,
        )
        at = listening(one, "127.0.0.1", 0, token=token, most_bytes=most_bytes, report=print)
        connector = aiohttp.TCPConnector(limit=0)
        async with at as url, aiohttp.ClientSession(connector=connector) as client:
            yield Served(url, client, one, notices)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once about what is ungraded."""
    monkeypatch.setattr(service, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(service, "_LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(service, "PROBE_SECONDS", 0.01)


def openrlhf(*responses: str, label: str = "a") -> dict[str, Any]:
    count = len(responses)
    queries = [f"{PROMPT}{response}<|im_end|>" for response in responses]
    return {"query": queries, "prompts": [PROMPT] * count, "labels": [label] * count}


# ------------------------------------------------------------------ shapes


def test_each_trainer_gets_the_reward_in_its_own_shape(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            status, answer = await server.post("/get_reward", openrlhf("good", "bad"))
            assert (status, answer["rewards"]) == (200, [1.0, 0.5])
            assert answer["scores"] == answer["rewards"]
            assert answer["extra_logs"] == {"passed": [1.0, 0.0], "ungraded": [0.0, 0.0]}
            slime = {"prompt": PROMPT, "response": "good<|im_end|>", "label": "a"}
            items = {"good": 1.0, "short": 1.0}
            expected = {"score": 1.0, "passed": True, "items": items}
            assert await server.post("/reward", slime) == (200, expected)
            assert await server.post("/reward", [slime, slime]) == (200, [expected] * 2)
            by_number = {**slime, "label": 7}
            assert (await server.post("/reward", by_number))[1]["items"] == {"short": 1.0}
            extra = {"index": 3, "rubric_items": json.dumps(ITEMS[1:]), "convo": "Hi!", "id": "b"}
            verl = {
                "data_source": "x",
                "solution_str": "1 2 3 4",
                "ground_truth": "",
                "extra_info": extra,
            }
            assert (await server.post("/reward", verl))[1]["score"] == 0.0

    asyncio.run(main())


def test_a_datapoint_is_answered_with_its_line_and_a_list_with_a_list(tmp_path: Path) -> None:
    point = {"id": "x", "convo": "Hi!", "rubric_items": ITEMS, "mine": 1}

    async def main() -> None:
        async with served(tmp_path, data=None) as server:
            status, line = await server.post("/grade", {**point, "response": "good"})
            assert (status, line["score"], line["mine"]) == (200, 1.0, 1)
            assert [grade["name"] for grade in line["grading"]["grades"]] == ["good", "short"]
            broken = {"convo": [], "rubric_items": ITEMS}
            _, lines = await server.post("/grade", [{**point, "response": "bad"}, broken, point])
            assert lines[0]["score"] == 0.5
            assert lines[1]["error"]["type"] == "input"
            assert lines[2]["error"]["type"] == "no_response"
            assert (await server.post("/grade", broken))[0] == 400

    asyncio.run(main())


def test_an_ungraded_line_says_so_and_is_not_held(tmp_path: Path) -> None:
    async def vague(messages: list[Any]) -> str:
        return "I cannot say."

    async def main() -> None:
        async with served(tmp_path, vague) as server:
            status, line = await server.post("/grade", {**DATA[0], "response": "good"})
            assert (status, line["score"], line["grading"]["status"]) == (200, None, "ungraded")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("query", "prompt", "response"),
    [
        (f"{PROMPT}good<|im_end|>", PROMPT, "good"),
        (f"{PROMPT}good<|im_end|>\n<|endoftext|><|endoftext|>", PROMPT, "good"),
        (f"{PROMPT}good </s> work", PROMPT, "good </s> work"),
        (PROMPT, PROMPT, ""),
        (f"<|begin_of_text|>{PROMPT}good", PROMPT, "good"),
        (f"{'cut ' * 30}{PROMPT}good", f"{'not ' * 30}{'cut ' * 30}{PROMPT}", "good"),
    ],
)
def test_the_response_is_the_query_without_its_prompt_and_end(
    query: str, prompt: str, response: str
) -> None:
    body = {"query": [query], "prompts": [prompt], "labels": ["a"]}
    assert [asked.response for asked in payloads.openrlhf(body)] == [response]


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/get_reward", {"query": ["Hi"], "prompts": ["Bye"], "labels": ["a"]}, "does not begin"),
        ("/get_reward", {"query": ["Hi"], "prompts": [], "labels": ["a"]}, "prompts: must be a"),
        ("/get_reward", {"query": [5], "prompts": ["x"], "labels": ["a"]}, "query: must be a list"),
        ("/get_reward", openrlhf("x", label="nobody"), "'nobody': is not an id in"),
        ("/get_reward", openrlhf("x", label=""), "label: field required"),
        ("/reward", {"prompt": "x"}, "response: field required"),
        ("/reward", [], "[]"),
        ("/reward", b"{", "not JSON"),
        ("/grade", b"[" * 100_000, "not JSON"),
        ("/grade", {"response": "x"}, "convo: field required"),
        ("/grade", "a text", "must be a datapoint"),
    ],
)
def test_a_request_that_cannot_be_used_is_a_400_that_says_why(
    tmp_path: Path, path: str, body: Any, said: str
) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            status, answer = await server.post(path, body)
            assert status == (200 if body == [] else 400)
            assert said in json.dumps(answer, ensure_ascii=False)

    asyncio.run(main())


def test_a_rubric_for_all_needs_no_data(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, data=None, rubric=ITEMS) as server:
            assert (await server.post("/get_reward", openrlhf("bad")))[1]["rewards"] == [0.5]

    asyncio.run(main())


def test_reasoning_is_not_graded_and_an_endless_thought_is_an_empty_response(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            asked = openrlhf("<think>one two three four</think>good", "<think>and still")
            assert (await server.post("/get_reward", asked))[1]["rewards"] == [1.0, 0.0]

    asyncio.run(main())


def test_with_a_gate_the_items_not_asked_count_at_their_worst(tmp_path: Path) -> None:
    async def main() -> None:
        sets: dict[str, Any] = {"grade.gate": True}
        async with served(tmp_path, **sets) as server:
            assert (await server.post("/get_reward", openrlhf("good 2 3 4")))[1]["rewards"] == [0.0]
            assert server.service.traffic.sent == 0

    asyncio.run(main())


def test_two_rows_with_one_id_are_refused_and_equal_ones_are_not(tmp_path: Path) -> None:
    def rows(*data: dict[str, Any]) -> Rows:
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in data))
        return Rows(Input(Source(str(path))), ())

    assert len(rows(DATA[0], DATA[0])) == 1
    with pytest.raises(rc.UsageError, match=r"data\.jsonl:2: the id 'a' is that of another row"):
        rows(DATA[0], {**DATA[1], "id": "a"})


# ------------------------------------------------------------------ failures


@pytest.mark.slow
def test_a_thousand_requests_at_once_to_a_slow_failing_grader_are_all_graded_and_none_is_0(
    tmp_path: Path,
) -> None:
    seen: Counter[str] = Counter()

    async def failing(messages: list[Any]) -> str:
        response = between(messages[1]["content"], "response")
        seen[response] += 1
        await asyncio.sleep(0.002)
        tries, number = seen[response], int(response.removeprefix("good"))
        if tries == 1 and number % 3 == 0:
            raise rc.CompletionError("server", "it is down")
        if tries <= 2 and number % 3 == 1:
            return "I cannot say."
        if tries == 1 and number % 100 == 2:
            raise rc.RunError("nobody answers", type="connection")
        return "<score>1</score>"

    async def main() -> None:
        async with served(tmp_path, failing) as server:
            asked = [server.post("/get_reward", openrlhf(f"good{n}")) for n in range(1000)]
            answers = await asyncio.gather(*asked)
            assert {status for status, _ in answers} == {200}
            assert [one["rewards"] for _, one in answers] == [[1.0]] * 1000
            metrics = (await server.get("/metrics"))[1]
            assert 'refinecli_requests_total{path="/get_reward",status="200"} 1000' in metrics
            assert 'refinecli_responses_total{status="done"} 1000' in metrics
            assert "refinecli_reward_sum 1000.0" in metrics
            assert "refinecli_held 0" in metrics

    asyncio.run(main())


@pytest.mark.parametrize(
    ("ungraded", "status"), [("hold", 503), ("error", 503), (-1.0, 200), (0.0, 200)]
)
def test_what_stays_ungraded_is_said_as_the_server_was_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ungraded: service.Ungraded, status: int
) -> None:
    monkeypatch.setattr(service, "HOLD_SECONDS", 0.05)
    calls = 0

    async def vague(messages: list[Any]) -> str:
        nonlocal calls
        calls += 1
        return "I cannot say."

    async def main() -> None:
        async with served(tmp_path, vague, ungraded=ungraded) as server:
            found, answer = await server.post("/get_reward", openrlhf("good"))
            assert found == status
            if status == 200:
                assert answer["rewards"] == [ungraded]
                assert answer["extra_logs"]["ungraded"] == [1.0]
            else:
                assert "not graded yet: good: " in answer["error"]["message"]
            assert (calls > 2) == (ungraded == "hold")

    asyncio.run(main())


def test_a_refused_key_or_a_spent_budget_is_a_503_at_once_whatever_is_said_of_the_ungraded(
    tmp_path: Path,
) -> None:
    async def refused(messages: list[Any]) -> str:
        raise rc.RunError("no such key", type="auth")

    async def main() -> None:
        async with served(tmp_path, refused, ungraded=0.0) as server:
            status, answer = await server.post("/get_reward", openrlhf("good"))
            assert (status, answer["error"]["message"]) == (503, "no such key")
            assert (await server.get("/healthz"))[0] == 503
            assert (await server.post("/reward", {"response": "x", "label": 7}))[0] == 200
            assert server.notices == ["no response can be graded for now: no such key"]
        sets: dict[str, Any] = {"run.max_calls": 1}
        async with served(tmp_path, ungraded=0.0, **sets) as server:
            assert (await server.post("/get_reward", openrlhf("good")))[0] == 200
            status, answer = await server.post("/get_reward", openrlhf("bad"))
            assert (status, answer["error"]["message"]) == (503, "max_calls=1 is used up")
            assert (await server.post("/get_reward", openrlhf("good")))[0] == 200

    asyncio.run(main())


def test_a_row_for_a_model_is_refused_where_code_was_to_grade_everything(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, None, data=DATA[1:]) as server:
            assert (await server.post("/reward", {"response": "x", "label": 7}))[1]["score"] == 1.0
            status, answer = await server.post("/grade", {**DATA[0], "response": "x"})
            assert status == 400
            assert "'good' is graded by a model" in answer["error"]["message"]

    asyncio.run(main())


def test_equal_requests_are_graded_once_also_when_a_trainer_gave_up_waiting(
    tmp_path: Path,
) -> None:
    calls, release = 0, asyncio.Event()

    async def slow(messages: list[Any]) -> str:
        nonlocal calls
        calls += 1
        await release.wait()
        return "<score>1</score>"

    async def main() -> None:
        async with served(tmp_path, slow) as server:
            soon = aiohttp.ClientTimeout(total=0.1)
            with pytest.raises(TimeoutError):
                await server.post("/get_reward", openrlhf("good"), timeout=soon)
            again = [server.post("/get_reward", openrlhf("good", "good")) for _ in range(3)]
            asyncio.get_running_loop().call_later(0.05, release.set)
            assert [one["rewards"] for _, one in await asyncio.gather(*again)] == [[1.0, 1.0]] * 3
            assert (await server.post("/get_reward", openrlhf("good")))[1]["rewards"] == [1.0]
        assert calls == 1

    asyncio.run(main())


def test_a_stop_answers_what_is_in_flight_and_lets_go_of_what_is_held(tmp_path: Path) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def slow(messages: list[Any]) -> str:
        if "vague" in between(messages[1]["content"], "response"):
            return "I cannot say."
        began.set()
        await release.wait()
        return "<score>1</score>"

    async def main() -> list[tuple[int, Any]]:
        async with served(tmp_path, slow) as server:
            client = aiohttp.ClientSession()
            other = Served(server.url, client, server.service, [])
            texts = ("good", "vague")
            asked = [
                asyncio.create_task(other.post("/get_reward", openrlhf(text))) for text in texts
            ]
            await began.wait()
            while not server.service.counters.held:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            asyncio.get_running_loop().call_later(0.05, release.set)
        answers = await asyncio.gather(*asked)
        await client.close()
        return answers

    (in_flight, answer), (held, why) = asyncio.run(main())
    assert (in_flight, answer["rewards"], held) == (200, [1.0], 503)
    assert "not graded yet" in why["error"]["message"]


def test_a_defect_is_a_500_with_its_traceback_in_the_log_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(messages: list[Any]) -> str:
        raise ZeroDivisionError("a secret of the server")

    async def main() -> None:
        async with served(tmp_path, broken) as server:
            status, answer = await server.post("/get_reward", openrlhf("good"))
            assert status == 500
            assert "secret" not in json.dumps(answer)

    asyncio.run(main())
    assert "a secret of the server" in capsys.readouterr().out


# ------------------------------------------------------------------ who may ask, and how much


def test_with_a_token_only_who_has_it_may_ask_in_the_header_or_the_url(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path, token="a-secret") as server:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "a-secret"}):
                status, answer = await server.post("/get_reward", openrlhf("good"), headers=headers)
                assert (status, answer["error"]["message"]) == (
                    401,
                    "the token is missing or wrong",
                )
            right = {"Authorization": "Bearer a-secret"}
            assert (await server.post("/get_reward", openrlhf("good"), headers=right))[0] == 200
            assert (await server.post("/get_reward?token=a-secret", openrlhf("good")))[0] == 200
            assert (await server.post("/get_reward?token=%E4", openrlhf("good")))[0] == 401
            assert (await server.get("/metrics"))[0] == 401
            assert (await server.get("/metrics?token=a-secret"))[0] == 200
            assert "a-secret" not in (await server.get("/metrics?token=a-secret"))[1]
            assert (await server.get("/healthz"))[0] == 200

    asyncio.run(main())


def test_a_page_in_a_browser_may_not_ask_where_there_is_no_token(tmp_path: Path) -> None:
    async def main() -> None:
        async with served(tmp_path) as server:
            page = {"Origin": "https://example.org"}
            assert (await server.post("/reward", {}, headers=page))[0] == 403

    asyncio.run(main())


def test_a_body_beyond_the_limit_is_a_413_and_an_unknown_path_says_what_there_is(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with served(tmp_path, most_bytes=1000) as server:
            status, answer = await server.post("/reward", {"response": "x" * 2000})
            assert status == 413
            assert "run.max_line_mb" in answer["error"]["hint"]
            status, text = await server.get("/score")
            assert status == 404
            assert "/get_reward" in text
            assert (await server.get("/reward"))[0] == 405

    asyncio.run(main())


def test_metrics_cannot_be_written_into_by_the_names_of_items(tmp_path: Path) -> None:
    name = 'a"} 1\nrefinecli_fake 1'
    item = {**ITEMS[1], "name": name}

    async def main() -> None:
        async with served(tmp_path, data=[{**DATA[1], "rubric_items": [item]}]) as server:
            await server.post("/reward", {"response": "x", "label": 7})
            metrics = (await server.get("/metrics"))[1]
            assert "\nrefinecli_fake" not in metrics
            assert 'item="a\\"} 1\\nrefinecli_fake 1"' in metrics

    asyncio.run(main())
