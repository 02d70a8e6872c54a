"""Reward functions: TRL's contract, one grading for equal completions, None for the ungraded."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import refinecli as rc
from refinecli.reward import sessions
from refinecli.reward.configured import configured
from tests.support.chat_server import ChatServer, Reply, Request, by_role, error
from tests.support.fakes import between

GOOD = {"rubric_str": "Is it good?", "name": "good"}
SHORT = {"check": {"kind": "words", "max": 3}, "name": "short"}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The environment of a user who has set nothing, in an empty folder."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "REFINECLI_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    configured.cache_clear()
    yield
    configured.cache_clear()


class Grader:
    """A grader that finds what says "good" to be good, and remembers how often it was asked."""

    def __init__(self, answer: str = "") -> None:
        self.calls = 0
        self.answer = answer

    async def __call__(self, messages: list[Any]) -> str:
        self.calls += 1
        await asyncio.sleep(0)
        response = between(messages[1]["content"], "response")
        if response == "unsure":
            raise rc.CompletionError("refused", "the grader would not say")
        good = "good" in response
        return self.answer or f"<score>{int(good)}</score>"


def batch(*responses: str, items: Any = (GOOD, SHORT), **columns: Any) -> dict[str, Any]:
    """Return what TRL hands over for one group."""
    prompt = [{"role": "user", "content": "Say something good."}]
    return {
        "prompts": [prompt for _ in responses],
        "completions": [[{"role": "assistant", "content": text}] for text in responses],
        "completion_ids": [[1]] * len(responses),
        "trainer_state": object(),
        "rubric_items": [items and list(items)] * len(responses),
        **columns,
    }


def rewards(function: Any, given: dict[str, Any]) -> list[float | None]:
    return asyncio.run(function(**given))


# ------------------------------------------------------------------ the contract


def test_it_is_an_async_function_with_a_name_as_trl_asks_for() -> None:
    function = rc.reward_function(grader_model=Grader())
    assert inspect.iscoroutinefunction(function)
    assert function.__name__ == "rubric"


def test_prompts_completions_and_columns_suffice() -> None:
    function = rc.reward_function()
    checked = {"rubric_items": [[SHORT]] * 2}
    texts = {"prompts": ["Hi?"] * 2, "completions": ["b", "1 2 3 4 5 6"], **checked}
    assert rewards(function, texts) == [1.0, 0.0]


def test_rubric_items_may_be_json_and_their_null_keys_are_absent() -> None:
    nulls = {"rubric_str": None, "weight": None, "choices": None, **SHORT}
    nulls["check"] = {"kind": "words", "max": 3, "min": None, "value": None}
    for items in ([nulls], json.dumps([nulls])):
        given = batch("one two")
        given["rubric_items"] = [items]
        assert rewards(rc.reward_function(), given) == [1.0]


def test_the_score_is_that_of_a_grade_and_a_reference_reaches_the_grader() -> None:
    seen: list[str] = []

    async def grader(messages: list[Any]) -> str:
        seen.append(messages[1]["content"])
        return "<score>0</score>"

    function = rc.reward_function(grader_model=grader)
    given = batch("good", reference=["THE REFERENCE"], id=["one"])
    assert rewards(function, given) == [0.5]
    assert "THE REFERENCE" in seen[0]


def test_a_rubric_is_added_to_every_row() -> None:
    function = rc.reward_function(rubric=[SHORT])
    assert rewards(function, batch("one", "1 2 3 4 5 6", items=None)) == [1.0, 0.0]


def test_a_completion_of_several_messages_is_graded_by_its_last_after_the_others() -> None:
    asked: list[str] = []

    async def grader(messages: list[Any]) -> str:
        asked.append(messages[1]["content"])
        return "<score>1</score>"

    call = {"id": "1", "type": "function", "function": {"name": "sum", "arguments": "{}"}}
    given = batch("It is 4.", items=(GOOD,))
    given["completions"] = [
        [
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "THE RESULT", "tool_call_id": "1"},
            {"role": "assistant", "content": "It is 4."},
        ]
    ]
    assert rewards(rc.reward_function(grader_model=grader), given) == [1.0]
    assert "THE RESULT" in asked[0]
    assert "It is 4." in asked[0].partition("<response")[2]


def test_reasoning_is_not_graded_and_nothing_but_reasoning_is_an_empty_response() -> None:
    thought = "<think>One two three four five.</think>"
    function = rc.reward_function()
    given = batch(f"{thought}Hi there.", "<think>still thinking", items=(SHORT,))
    assert rewards(function, given) == [1.0, 0.0]


def test_an_empty_completion_has_had_its_say_and_scores_0() -> None:
    assert rewards(rc.reward_function(), batch("", items=(SHORT,))) == [0.0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rubric_items": ["[{"]}, "row 0 of the batch: rubric_items: is text that is not JSON"),
        ({"rubric_items": [None]}, "row 0 of the batch: rubric_items: field required"),
        ({"rubric_items": [[SHORT], [SHORT]]}, "rubric_items: has 2 values for 1 completion"),
        ({"completions": [5]}, "completions: must be a string or a list of messages"),
        ({"rubric_items": [[{**SHORT, "weight": "x"}]]}, r"rubric_items\[0\]\.weight"),
    ],
)
def test_a_batch_that_cannot_be_used_is_an_error_that_names_the_row(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(rc.RefineError, match=said):
        rewards(rc.reward_function(), batch("one") | change)


# ------------------------------------------------------------------ what it costs


def test_equal_completions_of_a_group_are_graded_once_and_checks_cost_nothing() -> None:
    grader = Grader()
    function = rc.reward_function(grader_model=grader)
    assert rewards(function, batch("good", "bad", "good", "good")) == [1.0, 0.5, 1.0, 1.0]
    assert grader.calls == 2
    assert rewards(function, batch("x", "y", items=(SHORT,))) == [1.0, 1.0]
    assert grader.calls == 2


def test_the_same_completion_under_another_rubric_is_graded_by_that() -> None:
    function = rc.reward_function()
    given = batch("one two", "one two")
    given["rubric_items"] = [[SHORT], [{"check": {"kind": "words", "max": 1}}]]
    assert rewards(function, given) == [1.0, 0.0]


def test_items_are_asked_together_with_batch_items() -> None:
    def script(request: Request) -> str:
        return '<scores>\n{"1": 1, "2": 0}\n</scores>' if "batch" in request.text else ""

    with ChatServer(script) as server:
        function = rc.reward_function(
            grader_model="scripted", grader_base_url=server.url, settings={"grade.batch_items": 2}
        )
        rewards(function, batch("x", items=(GOOD, {"rubric_str": "Is it kind?"})))
        assert "Is it good?" in server.requests[0].text
        assert "Is it kind?" in server.requests[0].text


def test_with_a_gate_the_items_not_asked_count_at_their_worst() -> None:
    grader = Grader()
    rude = {"rubric_str": "Is it rude?", "weight": -1, "name": "rude"}
    function = rc.reward_function(grader_model=grader, settings={"grade.gate": True})
    good, late = rewards(function, batch("good", "good 2 3 4", items=(GOOD, SHORT, rude)))
    assert grader.calls == 2  # of the first alone: the second is too long
    assert good == pytest.approx((1 + 1 - 1) / 2)
    assert late == pytest.approx(-1 / 2)


def test_a_cache_answers_the_next_training(tmp_path: Path) -> None:
    with ChatServer(by_role("")) as server:
        for _ in range(2):
            function = rc.reward_function(
                grader_model="scripted", grader_base_url=server.url, cache=tmp_path / "replies.db"
            )
            assert rewards(function, batch("x", items=(GOOD,))) == [1.0]
        assert len(server.requests) == 1


# ------------------------------------------------------------------ failures


def test_ungraded_is_none_and_never_0_and_is_asked_again() -> None:
    grader = Grader("I cannot say.")
    function = rc.reward_function(grader_model=grader)

    async def main() -> None:
        assert await function(**batch("good")) == [None]
        asked = grader.calls
        grader.answer = ""
        assert await function(**batch("good")) == [1.0]
        assert grader.calls == asked + 1

    asyncio.run(main())


def test_a_row_with_an_ungraded_item_is_none_in_the_function_of_every_item() -> None:
    functions = rc.reward_function(
        grader_model=Grader("I cannot say."), rubric=[GOOD, SHORT], per_item=True
    )
    assert [rewards(one, batch("x", items=None)) for one in functions] == [[None], [None]]


def test_an_item_that_needs_a_grader_is_refused_by_name_where_none_is_named() -> None:
    with pytest.raises(rc.UsageError, match="'good' is graded by a model, and no grader is named"):
        rewards(rc.reward_function(), batch("x"))
    with pytest.raises(rc.UsageError, match="'good' is graded by a model") as raised:
        rc.reward_function(rubric=[GOOD])
    assert "REFINECLI_CONFIG" in raised.value.hint


def test_an_item_of_a_classifier_needs_no_grader() -> None:
    labels = [{"label": "POSITIVE", "score": 0.75}, {"label": "NEGATIVE", "score": 0.25}]
    item = {"rubric_str": "Is it kind?", "classifier": {"name": "mood", "label": "POSITIVE"}}
    with ChatServer(lambda _: Reply(raw=json.dumps(labels).encode())) as server:
        settings = {"classifier.mood.url": f"{server.url}/predict"}
        function = rc.reward_function(rubric=[item], settings=settings)
        assert rewards(function, batch("x", items=None)) == [0.75]


def test_a_traceback_shows_the_hint_too() -> None:
    with pytest.raises(rc.UsageError) as raised:
        rewards(rc.reward_function(), batch("x"))
    assert raised.value.__notes__[0].startswith("hint: name one: grader_model=")


@pytest.mark.parametrize(
    "named",
    [
        {"model": "m"},
        {"grader_base_url": "http://127.0.0.1:9/v1"},
        {"settings": {"grader.model": "m"}},
        {"settings": {"jury.a.model": "m", "jury.b.model": "n"}},
    ],
)
def test_a_grader_may_be_named_in_any_way(named: dict[str, Any]) -> None:
    assert sessions.names_grader(named)


def test_a_grader_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not sessions.names_grader({})
    assert not sessions.names_grader({"settings": {"grade.gate": True, "critic.model": "m"}})
    monkeypatch.setenv("REFINECLI_GRADER__MODEL", "m")
    assert sessions.names_grader({})


def test_a_refused_key_ends_the_training_and_a_budget_does_too() -> None:
    with ChatServer(lambda _: error(401, "no such key")) as server:
        function = rc.reward_function(grader_model="m", grader_base_url=server.url)
        with pytest.raises(rc.RunError, match="no such key"):
            rewards(function, batch("x"))
    with ChatServer(by_role("")) as server:
        function = rc.reward_function(grader_model="m", grader_base_url=server.url, max_calls=1)
        with pytest.raises(rc.BudgetError, match="max_calls=1"):
            rewards(function, batch("x", "y", "z", items=(GOOD,)))


def test_an_outage_in_the_middle_of_a_training_is_waited_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sessions, "PROBE_SECONDS", 0.01)
    down = 0

    async def grader(messages: list[Any]) -> str:
        nonlocal down
        if down:
            down -= 1
            raise rc.RunError("nobody answers", type="connection")
        return "<score>1</score>"

    function = rc.reward_function(grader_model=grader)

    async def main() -> None:
        nonlocal down
        assert await function(**batch("one")) == [1.0]
        down = 3
        assert await function(**batch("two")) == [1.0]

    asyncio.run(main())
    down = 1
    with pytest.raises(rc.RunError, match="nobody answers"):  # in a new loop: at the start
        rewards(rc.reward_function(grader_model=grader), batch("three"))


def test_models_send_again_after_resume() -> None:
    refused = True

    def script(request: Request) -> str | Reply:
        return error(401, "no such key") if refused else "<score>1</score>"

    async def main(url: str) -> None:
        nonlocal refused
        point = rc.Datapoint("Hi?", ["Is it good?"])
        async with rc.connect("m", base_url=url) as models:
            for _ in range(2):
                with pytest.raises(rc.RunError):
                    await rc.grade(point, "x", models)
            assert len(server.requests) == 1  # the end of all sending
            refused = False
            models.resume()
            assert (await rc.grade(point, "x", models)).score == 1.0

    with ChatServer(script) as server:
        asyncio.run(main(server.url))


def test_classifiers_are_asked_again_after_resume() -> None:
    refused = True

    def script(request: Request) -> Reply:
        labels = [{"label": "POSITIVE", "score": 0.75}]
        return error(401, "no such key") if refused else Reply(raw=json.dumps(labels).encode())

    async def main(url: str) -> None:
        nonlocal refused
        asked = {"name": "mood", "label": "POSITIVE"}
        item = {"rubric_str": "Is it kind?", "classifier": asked}
        point = rc.Datapoint("Hi?", [item])
        settings = {"classifier.mood.url": f"{url}/predict"}
        async with rc.connect("m", base_url=url, settings=settings) as models:
            with pytest.raises(rc.RunError):
                await rc.grade(point, "x", models)
            refused = False
            models.resume()
            assert (await rc.grade(point, "x", models)).score == 0.75

    with ChatServer(script) as server:
        asyncio.run(main(server.url))


# ------------------------------------------------------------------ the trainer's log


def test_figures_of_the_batch_go_to_the_trainers_log() -> None:
    figures: dict[str, float] = {}
    columns: dict[str, list[Any]] = {}
    function = rc.reward_function(grader_model=Grader())
    given = batch("good", "bad", "1 2 3 4 5 6", "unsure")
    given |= {"log_metric": figures.__setitem__, "log_extra": columns.__setitem__}
    assert rewards(function, given) == [1.0, 0.5, 0.0, None]
    assert figures == {
        "rubric/pass_rate/good": pytest.approx(1 / 3),
        "rubric/pass_rate/short": 0.75,
        "rubric/ungraded": 0.25,
        "rubric/mean_words": 2.25,
    }
    assert columns["rubric_failed"] == ["", "good", "good, short", ""]
    assert columns["rubric_ungraded"] == ["", "", "", "good: the grader would not say"]


def test_a_log_does_not_get_a_figure_for_each_of_thousands_of_items() -> None:
    figures: dict[str, float] = {}
    items = [{**SHORT, "name": f"item {n}"} for n in range(60)]
    given = batch("x", items=items) | {"log_metric": figures.__setitem__}
    rewards(rc.reward_function(), given)
    assert sum(name.startswith("rubric/pass_rate/") for name in figures) == 50


# ------------------------------------------------------------------ one function per item


def test_the_functions_of_items_share_one_grading_and_add_up_to_the_score() -> None:
    grader = Grader()
    rude = {"rubric_str": "Is it rude?", "name": "rude", "weight": -1}
    rubric: list[dict[str, Any]] = [{**GOOD, "weight": 3}, SHORT, rude]
    functions = rc.reward_function(grader_model=grader, rubric=rubric, per_item=True)
    assert [one.__name__ for one in functions] == ["good", "short", "rude"]
    logged: list[str] = []
    given = batch("good", "bad", items=None) | {
        "log_metric": lambda name, value: logged.append(name)
    }

    async def main() -> list[list[float | None]]:
        return list(await asyncio.gather(*(one(**given) for one in functions)))

    assert asyncio.run(main()) == [[0.75, 0.0], [0.25, 0.25], [-0.25, 0.0]]
    assert grader.calls == 4  # two items that a model grades, two completions
    assert len(logged) == len(set(logged))


def test_items_of_the_rows_are_named_and_a_row_without_one_has_no_reward_for_it() -> None:
    good, short = rc.reward_function(grader_model=Grader(), per_item=["good", "short"])
    assert rewards(short, batch("x", items=(SHORT,))) == [1.0]
    assert rewards(good, batch("x", items=(SHORT,))) == [None]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"per_item": True}, "needs the items that all rows have"),
        ({"per_item": True, "rubric": [{"check": {"kind": "words", "max": 3}}]}, "has no name"),
        ({"per_item": ["a", "a"]}, "needs different names"),
        ({"per_item": []}, "needs different names"),
    ],
)
def test_functions_of_items_need_their_names(given: dict[str, Any], said: str) -> None:
    with pytest.raises(rc.UsageError, match=said):
        rc.reward_function(**given)


# ------------------------------------------------------------------ refinecli.reward.score


def test_score_is_configured_by_a_file_and_is_found_as_trl_looks_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from importlib import import_module

    with ChatServer(by_role("")) as server:
        file = tmp_path / "grader.toml"
        file.write_text(f'[grader]\nmodel = "scripted"\nbase_url = "{server.url}"\n')
        monkeypatch.setenv("REFINECLI_CONFIG", str(file))
        module, _, name = "refinecli.reward.score".rpartition(".")
        function = getattr(import_module(module), name)
        assert function is getattr(import_module(module), name)
        assert function.__name__ == "score"
        assert rewards(function, batch("x")) == [1.0]
        assert len(server.requests) == 1


def test_a_file_that_is_not_there_is_our_error_where_the_trainer_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import refinecli.reward

    monkeypatch.setenv("REFINECLI_CONFIG", "nowhere.toml")
    with pytest.raises(rc.UsageError, match=r"nowhere\.toml"):
        _ = refinecli.reward.score


# ------------------------------------------------------------------ loops


def test_a_loop_that_outlives_the_call_keeps_its_connection_and_each_loop_has_its_own() -> None:
    opened = 0

    async def grader(messages: list[Any]) -> str:
        return "<score>1</score>"

    class Counting(sessions._Kept):
        def __init__(self, models: rc.Models) -> None:
            nonlocal opened
            opened += 1
            super().__init__(models)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "_Kept", Counting)
        function = rc.reward_function(grader_model=grader)

        async def twice() -> None:
            assert await function(**batch("one")) == await function(**batch("two")) == [1.0]

        asyncio.run(twice())
        assert opened == 1
        asyncio.run(twice())
        assert opened == 2


def test_a_connection_that_cannot_be_opened_is_raised_for_all_who_wait_and_tried_again(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "replies.db"
    function = rc.reward_function(grader_model=Grader(), cache=cache)
    cache.write_text("not a database")

    async def main() -> None:
        both = (function(**batch(text)) for text in ("one", "two"))
        found = await asyncio.gather(*both, return_exceptions=True)
        assert all(isinstance(error, rc.RefineError) for error in found)
        cache.unlink()
        assert await function(**batch("good")) == [1.0]

    asyncio.run(main())
