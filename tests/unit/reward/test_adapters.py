"""The adapters, called as each trainer calls them."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import refinecli as rc
from refinecli.reward.adapters import tinker, verifiers, verl
from refinecli.reward.configured import configured
from refinecli.reward.rewards import NotGradedError
from tests.support.chat_server import ChatServer, Request

ITEMS = [{"rubric_str": "Is it good?", "name": "good"}]
SHORT = [{"check": {"kind": "words", "max": 3}, "name": "short"}]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ChatServer]:
    """A grader that REFINECLI_CONFIG names: it finds "good" to be good, and has no word for
    "odd"."""

    def script(request: Request) -> str:
        if "odd" in request.text:
            return "I cannot say."
        return f"So be it. <score>{int('good one' in request.text)}</score>"

    configured.cache_clear()
    with ChatServer(script) as running:
        file = tmp_path / "grader.toml"
        file.write_text(f'[grader]\nmodel = "scripted"\nbase_url = "{running.url}"\n')
        monkeypatch.setenv("REFINECLI_CONFIG", str(file))
        yield running
    configured.cache_clear()


def verl_score(solution: str, **row: Any) -> float:
    info = {"index": 0, "convo": json.dumps([{"role": "user", "content": "Hi?"}]), **row}
    given = {"data_source": "refinecli", "solution_str": solution, "ground_truth": ""}
    return asyncio.run(verl.compute_score(**given, extra_info=info, num_turns=1))


def test_verl_rewards_a_solution_by_the_row_that_the_export_wrote(server: ChatServer) -> None:
    assert inspect.iscoroutinefunction(verl.compute_score)  # verl awaits no other
    rows = {"rubric_items": json.dumps(ITEMS), "id": "a", "reference": ""}
    assert [verl_score(text, **rows) for text in ("a good one", "bad")] == [1.0, 0.0]
    assert verl_score("one", rubric_items=json.dumps(SHORT)) == 1.0
    with pytest.raises(NotGradedError, match="not graded: good: "):
        verl_score("odd", **rows)
    with pytest.raises(rc.InputError, match=r"extra_info\.convo: field required"):
        asyncio.run(verl.compute_score("x", "y", "", {"rubric_items": json.dumps(ITEMS)}))


@dataclass
class Task:
    """A task's data, as verifiers hands it over."""

    prompt: Any
    rubric_items: Any
    system_prompt: str | None = None
    id: str | None = None
    reference: str | None = None


@dataclass
class Trace:
    last_reply: str


def test_verifiers_rewards_the_last_reply_of_a_trace(server: ChatServer) -> None:
    assert list(inspect.signature(verifiers.rubric).parameters) == ["task", "trace"]

    def reward(text: str, task: Task) -> float:
        return asyncio.run(verifiers.rubric(task, Trace(text)))

    assert reward("a good one", Task("Hi?", ITEMS, system_prompt="THE SYSTEM")) == 1.0
    assert "THE SYSTEM" in server.requests[0].text
    assert reward("bad", Task([{"role": "user", "content": "Hi?"}], ITEMS, id="t")) == 0.0
    with pytest.raises(NotGradedError):
        reward("odd", Task("Hi?", ITEMS))


def test_a_rubric_for_every_row_is_named_by_a_variable(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rubric = tmp_path / "rubric.json"
    rubric.write_text(json.dumps(SHORT))
    monkeypatch.setenv("REFINECLI_RUBRIC", str(rubric))
    task = Task("Hi?", None)
    assert asyncio.run(verifiers.rubric(task, Trace("1 2 3 4"))) == 0.0
    assert not server.requests


# ------------------------------------------------------------------ tinker


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"Grade this: {text}. <score> ... </score>"}]


def first_score(message: rc.Message) -> float:
    """Read a score as the recipe does: the first that stands there."""
    found = re.search(r"<score>(.*?)</score>", str(message["content"]), re.DOTALL)
    assert found
    return float(found[1])


def test_the_recipe_reads_the_verdict_and_not_what_a_grader_quotes() -> None:
    async def grader(messages: list[Any]) -> str:
        return "<think>0?</think>The form is <score>0</score>. It is fine. <score>1</score>"

    message = asyncio.run(tinker.Grader(grader_model=grader)(asked("x")))
    assert message["role"] == "assistant"
    assert first_score(message) == 1.0
    assert "It is fine." in str(message["content"])


@pytest.mark.parametrize("said", ["I cannot say.", "<score>7</score>", "<score>x</score>"])
def test_a_reply_without_a_score_is_asked_for_once_more_and_never_read_as_0(said: str) -> None:
    replies = [said, said]

    async def grader(messages: list[Any]) -> str:
        return replies.pop()

    completer = tinker.Grader(grader_model=grader)
    with pytest.raises(NotGradedError, match="not graded"):
        asyncio.run(completer(asked("x")))
    assert not replies
    replies[:] = ["<score>0.5</score>", said]
    assert first_score(asyncio.run(completer(asked("x")))) == 0.5


def test_a_grader_keeps_its_budget_and_can_be_sent_to_another_process(server: ChatServer) -> None:
    completer = tinker.Grader(grader_model="m", grader_base_url=server.url, max_calls=1)
    there = pickle.loads(pickle.dumps(completer))
    assert first_score(asyncio.run(there(asked("a good one")))) == 1.0

    async def twice() -> None:
        await completer(asked("a good one"))
        await completer(asked("bad"))

    with pytest.raises(rc.BudgetError):
        asyncio.run(twice())


def test_the_recipe_needs_a_grader_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(rc.UsageError, match="no grader is named"):
        tinker.Grader()
