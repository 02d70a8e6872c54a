"""Check the rewards against the trainers' own code, in an environment that has them.

    PYTHONPATH=. VENV/bin/python tests/experiments/trainers.py

OpenRLHF's client asks a server, verl's loader and reward manager, a task of verifiers and
tinker-cookbook's rubric environment call their adapters, and TRL takes the function for an async
one. What is not installed is named and left out; what breaks a contract ends in an AssertionError.
The trainers need torch and conflict with each other, so none is in the lock file. It last passed
with trl 1.16.0, openrlhf 0.11.2, verl 0.9.1, tinker-cookbook 0.6.1, and verifiers 0.4.0 with
stand-ins for its sandbox packages, which could not be installed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

SHORT = {"name": "short", "check": {"kind": "words", "max": 3}}
CONVO = [{"role": "user", "content": "Be brief."}]
UNGRADED = [{"rubric_str": "Is it good?", "name": "good"}]


def trl() -> None:
    from trl.trainer.utils import get_callable_name, is_async_callable

    from refinecli.reward import score

    assert is_async_callable(score)
    assert get_callable_name(score) == "score"


def openrlhf() -> None:
    from openrlhf.utils.agent import SingleTurnAgentExecutor

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "train.jsonl"
        row = {"id": "a", "prompt": CONVO, "rubric_items": json.dumps([SHORT])}
        data.write_text(json.dumps(row) + "\n")
        command = [sys.executable, "-m", "refinecli", "serve", str(data), "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        try:
            lines = (re.search(r"http://[0-9.:]+", line) for line in server.stderr)
            executor = SingleTurnAgentExecutor(f"{next(filter(None, lines))[0]}/get_reward")
            queries = ["Be brief.\nYes.</s>", "Be brief.\nYes, that is what I am.</s>"]
            asked = executor._fetch_rewards_via_http(queries, ["Be brief.\n"] * 2, ["a"] * 2)
            (answer,) = asyncio.run(asked)
            server.send_signal(signal.SIGTERM)
            assert server.wait(30) == 0
        finally:
            server.kill()
        assert answer["rewards"] == [1.0, 0.0], answer


def verl() -> None:
    import torch
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
    from verl.utils.import_utils import load_extern_object

    from refinecli.errors import UsageError

    path = "pkg://refinecli.reward.adapters.verl"
    function = load_extern_object(path, "compute_score")

    class Tokenizer:
        def decode(self, ids: Any, **_: Any) -> str:
            return " ".join(f"word{int(one)}" for one in ids)

    def data(length: int, items: list[dict[str, Any]]) -> Any:
        info = {
            "index": 0,
            "id": "a",
            "convo": json.dumps(CONVO),
            "rubric_items": json.dumps(items),
        }
        columns = {
            "data_source": ["refinecli"],
            "reward_model": [{"style": "rule", "ground_truth": ""}],
            "extra_info": [{**info, "reference": ""}],
        }
        ones = torch.ones((1, length), dtype=torch.long)
        tensors = {"responses": ones, "attention_mask": ones}
        objects = {name: _objects(column) for name, column in columns.items()}
        return DataProto.from_dict(tensors=tensors, non_tensors=objects)

    async def main() -> list[float]:
        manager = NaiveRewardManager(None, Tokenizer(), function)
        assert manager.is_async_reward_score
        results = [await manager.run_single(data(length, [SHORT])) for length in (2, 9)]
        with suppress(UsageError):  # no grader is named
            await manager.run_single(data(2, UNGRADED))
            raise AssertionError("an item that nobody can grade was rewarded")
        return [result["reward_score"] for result in results]

    assert asyncio.run(main()) == [1.0, 0.0]


def _objects(values: list[Any]) -> Any:
    import numpy as np

    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def verifiers() -> None:
    import verifiers.v1 as vf
    from verifiers.v1.trace import AgentInfo, Trace, TraceTask

    class Row(vf.TaskData):
        rubric_items: list[dict[str, Any]]

    class Rubric(vf.Task[Row]):
        pass

    fn = "refinecli.reward.adapters.verifiers:rubric"
    config = Rubric.config_type()(rewards={"rubric": {"fn": fn}})
    row = Row(idx=0, prompt="Be brief.", system_prompt="You are terse.", rubric_items=[SHORT])

    async def reward(reply: str) -> Any:
        agent = AgentInfo.model_construct(config=None)
        task = TraceTask(type="Rubric", data=row)
        trace = Trace.model_construct(
            task=task, agent=agent, root_reply=reply, rewards={}, metrics={}, nodes=[], errors=[]
        )
        await Rubric(row, config).score(trace)
        return trace.rewards["rubric"].score

    assert asyncio.run(reward("Yes.")) == 1.0
    assert asyncio.run(reward("Yes, that is what I am.")) == 0.0


def tinker_cookbook() -> None:
    from tinker_cookbook.recipes.rubric.data import Rubric, RubricBasedDatapoint
    from tinker_cookbook.recipes.rubric.env import RubricGradedEnv

    from refinecli.reward.adapters.tinker import Grader
    from refinecli.reward.rewards import NotGradedError

    async def grader(messages: list[Any]) -> str:
        asked = messages[0]["content"]
        if "vague" in asked:
            return "I cannot say."
        return "The form is <score>0</score>. It is fine: <score>1</score>"

    rubric = Rubric("Is it brief?")
    point = RubricBasedDatapoint(convo=CONVO, rubric_items=[rubric])
    env = RubricGradedEnv(None, point, Grader(grader_model=grader))

    async def score(reply: str) -> float:
        turn = {"role": "assistant", "content": reply}
        return (await env._grade_with_rubric([*CONVO, turn], rubric))[0]

    assert asyncio.run(score("Yes.")) == 1.0  # its own parser takes the first, which is 0
    try:
        asyncio.run(score("vague"))
    except NotGradedError:
        return
    raise AssertionError("an unreadable verdict was scored")


CHECKS: tuple[Callable[[], None], ...] = (trl, openrlhf, verl, verifiers, tinker_cookbook)


def main() -> None:
    for name in list(os.environ):
        if name.startswith(("REFINECLI_", "OPENAI_")):
            del os.environ[name]
    for check in CHECKS:
        try:
            check()
        except ModuleNotFoundError as error:
            print(f"{check.__name__}: left out: {error}", flush=True)
        else:
            print(f"{check.__name__}: holds", flush=True)


if __name__ == "__main__":
    main()
