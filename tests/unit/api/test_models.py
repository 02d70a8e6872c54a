"""What Python callers get: the commands' models, cache and budgets, in their own event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar

import pytest

import refinecli as rc
from refinecli.api.models import ConnectArguments
from tests.support.chat_server import ChatServer, Request, by_role, error

T = TypeVar("T")
POINT = rc.Datapoint("What is 2 + 2?", ["Is the answer 4?", rc.RubricItem("Polite?", weight=0.5)])
CHECKED = rc.Datapoint("Say 4.", [{"check": {"kind": "contains_all", "words": ["4"]}}])


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a user who has set nothing, in an empty folder."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def run(main: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(main)


async def fine(messages: list[Any]) -> str:
    return "It is 4. <score>1</score>"


class Asked:
    """A model that remembers what it was asked."""

    def __init__(self, answer: str = "It is 4. <score>1</score>") -> None:
        self.answer = answer
        self.messages: list[list[Any]] = []
        self.most = self.now = 0

    async def __call__(self, messages: list[Any]) -> str:
        self.messages.append(messages)
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(0.001)
        self.now -= 1
        return self.answer


# ------------------------------------------------------------------ over HTTP


def graded(url: str, **options: Any) -> rc.Grading:
    async def main() -> rc.Grading:
        async with rc.connect(model="scripted", base_url=url, **options) as models:
            return await rc.grade(POINT, "It is 4.", models)

    return run(main())


def test_a_response_is_graded_as_the_command_does() -> None:
    def script(request: Request) -> str:
        return f"<score>{int('Is the answer 4?' in request.text)}</score>"

    with ChatServer(script) as server:
        grading = graded(server.url)
    assert [grade.score for grade in grading.grades] == [1.0, 0.0]
    assert grading.score == pytest.approx(1 / 1.5)
    assert (grading.passed, grading.usage.calls) == (False, 2)
    assert grading.usage.prompt_tokens == 14
    assert all(request.body["temperature"] == 0 for request in server.requests)


def test_an_item_without_a_verdict_is_ungraded_and_not_0() -> None:
    with ChatServer(by_role("", "I cannot say.")) as server:
        grading = graded(server.url)
    assert (grading.score, grading.passed) == (None, None)
    assert grading.grades[0].error is not None
    assert grading.grades[0].error.type == "no_score"


def test_a_point_is_refined_and_its_options_are_the_commands() -> None:
    def script(request: Request) -> str:
        if request.is_grading:
            return f"<score>{int('better' in request.last)}</score>"
        return "better" if len(request.body["messages"]) > 1 else "bad"

    async def main(url: str) -> list[rc.Refinement]:
        async with rc.connect(model="scripted", base_url=url) as models:
            twice = await rc.refine(POINT, models, strategy="refine", max_iterations=2)
            once = await rc.refine(POINT, models, max_iterations=0)
            best = await rc.refine(POINT, models, strategy="best-of-n", drafts=2)
            return [twice, once, best]

    with ChatServer(script) as server:
        twice, once, best = run(main(server.url))
    assert (twice.best.response, twice.stop_reason) == ("better", "passed")
    assert twice.initial_score == 0.0
    assert [len(r.iterations) for r in (twice, once, best)] == [2, 1, 2]
    assert best.strategy == "best-of-n"


def test_a_url_in_code_is_given_the_openai_key_and_one_of_a_file_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    with ChatServer(by_role("")) as server:
        graded(server.url)
        assert server.requests[-1].headers["authorization"] == "Bearer a-key"
        by_setting = {"policy.model": "scripted", "policy.base_url": server.url}
        file = tmp_path / "own.toml"
        file.write_text(f'[policy]\nmodel = "scripted"\nbase_url = "{server.url}"\n')

        async def main() -> None:
            async with rc.connect(settings=by_setting) as models:
                await rc.grade(POINT, "4", models)
            assert server.requests[-1].headers["authorization"] == "Bearer a-key"
            async with rc.connect(config=file) as models:
                await rc.grade(POINT, "4", models)
            assert "authorization" not in server.requests[-1].headers

        run(main())


def test_a_refused_key_is_raised_and_is_no_grade() -> None:
    refused = error(401, "no such key")
    with ChatServer(lambda _: refused) as server, pytest.raises(rc.RunError, match="no such key"):
        graded(server.url)


def test_a_role_that_is_never_asked_is_never_started() -> None:
    async def main(url: str) -> None:
        async with rc.connect(grader_base_url=url) as models:  # the policy would be embedded
            assert not server.model_requests
            assert (await rc.grade(CHECKED, "4", models)).passed
            assert not server.model_requests
            assert (await rc.grade(POINT, "4", models)).score == 1.0
        assert server.model_requests == 1

    with ChatServer(by_role("")) as server:
        run(main(server.url))


# ------------------------------------------------------------------ cache and budget


def test_a_later_session_replays_the_cache_without_a_request() -> None:
    with ChatServer(by_role("")) as server:
        first = graded(server.url, cache="replies.db")
        assert len(server.requests) == 2
        assert graded(server.url, cache=Path("replies.db")) == first
        assert graded(server.url, cache="replies.db", offline=True).score == first.score
        assert len(server.requests) == 2


def test_offline_what_is_not_in_the_cache_is_ungraded() -> None:
    with ChatServer(by_role("")) as server:
        graded(server.url, cache="replies.db")

        async def main() -> rc.Grading:
            options = {"base_url": server.url, "cache": "replies.db", "offline": True}
            async with rc.connect(model="scripted", **options) as models:  # type: ignore[arg-type]
                return await rc.grade(POINT, "It is 5.", models)

        grading = run(main())
        assert len(server.requests) == 2
    assert [grade.error.type for grade in grading.grades if grade.error] == ["offline"] * 2


def test_a_reply_that_could_not_be_used_is_asked_for_again_in_the_next_session() -> None:
    with ChatServer(by_role("", "I cannot say.")) as server:
        graded(server.url, cache="replies.db")
        asked = len(server.requests)
        graded(server.url, cache="replies.db")
        assert len(server.requests) == 2 * asked


def test_a_budget_counts_over_all_that_a_session_asks() -> None:
    async def main() -> None:
        async with rc.connect(fine, max_calls=3) as models:
            await rc.grade(POINT, "4", models)
            with pytest.raises(rc.BudgetError, match="max_calls=3 is used up"):
                await rc.grade(POINT, "5", models)
            assert models.usage.calls == 3
        assert models.usage.calls == 3

    run(main())


# ------------------------------------------------------------------ many


def test_many_are_graded_in_order_and_no_more_at_once_than_allowed() -> None:
    model = Asked()

    async def main() -> list[str]:
        async with rc.connect(model, concurrency=3) as models:
            pairs = ((POINT, f"answer {n}") for n in range(20))
            return [one.response async for one in rc.grade_all(pairs, models)]

    assert run(main()) == [f"answer {n}" for n in range(20)]
    assert model.most == 3
    assert len(model.messages) == 40


def test_a_source_without_end_is_read_no_further_than_needed() -> None:
    given = 0

    async def points() -> AsyncIterator[rc.Datapoint]:
        nonlocal given
        while True:
            given += 1
            yield rc.Datapoint(f"Question {given}?", ["Good?"], response="yes")

    async def main() -> None:
        async with rc.connect(fine, concurrency=2) as models:
            gradings = rc.grade_all(points(), models)
            assert [(await anext(gradings)).datapoint.convo for _ in range(5)]
            await gradings.aclose()

    run(main())
    assert given < 300


def test_equal_points_draw_their_own_samples() -> None:
    async def main(url: str) -> list[rc.Grading]:
        options = {"policy.temperature": 0.7, "grader.temperature": 0.7}
        async with rc.connect("scripted", base_url=url, settings=options) as models:
            return [one async for one in rc.grade_all([(POINT, "4")] * 3, models)]

    with ChatServer(by_role("")) as server:
        gradings = run(main(server.url))
    assert [one.datapoint.convo_occurrence for one in gradings] == [0, 1, 2]
    assert len(server.requests) == 6


def test_a_point_without_a_response_is_named() -> None:
    async def main() -> None:
        async with rc.connect(fine) as models:
            async for _ in rc.grade_all([rc.Datapoint("Hi!", ["Kind?"], id="hi")], models):
                pass

    with pytest.raises(rc.InputError, match="the datapoint 'hi' has none"):
        run(main())


# ------------------------------------------------------------------ functions


def test_a_function_answers_for_the_roles_that_fall_back_to_it() -> None:
    writer, judge = Asked("It is 4."), Asked("<score>0</score>")

    async def main() -> rc.Refinement:
        async with rc.connect(writer, grader_model=judge) as models:
            return await rc.refine(POINT, models, max_iterations=1)

    result = run(main())
    assert (len(writer.messages), len(judge.messages)) == (2, 2)  # a repeated text keeps its grades
    assert result.best.response == "It is 4."


def test_a_function_can_be_a_juror_and_has_the_system_prompt_of_its_role() -> None:
    one, two, three = (
        Asked("<score>1</score>"),
        Asked("<score>1</score>"),
        Asked("<score>0</score>"),
    )
    settings = {"jury.a.model": rc.completer(one, name="one"), "jury.a.system": "Be kind."}
    settings |= {f"jury.{n}.model": rc.completer(f, name=n) for n, f in (("b", two), ("c", three))}

    async def main() -> rc.Grading:
        async with rc.connect(settings=settings) as models:
            return await rc.grade(POINT, "4", models)

    grading = run(main())
    assert (grading.score, len(grading.grades[0].votes)) == (1.0, 3)
    assert one.messages[0][0]["content"].startswith("Be kind.")
    assert not two.messages[0][0]["content"].startswith("Be kind.")


def test_a_function_may_say_what_it_took_and_that_a_call_failed() -> None:
    async def takes(messages: list[Any]) -> rc.Completion:
        return rc.Completion("<score>1</score>", "stop", usage=rc.Usage(1, 30, 5))

    async def fails(messages: list[Any]) -> str:
        raise rc.CompletionError("timeout", "it took too long")

    async def main() -> None:
        async with rc.connect(takes) as models:
            assert (await rc.grade(CHECKED, "4", models)).usage.calls == 0
            assert (await rc.grade(POINT, "4", models)).usage == rc.Usage(2, 60, 10)
            assert models.usage == rc.Usage(2, 60, 10)
        async with rc.connect(takes, grader_model=fails) as models:
            grade = (await rc.grade(POINT, "4", models)).grades[0]
            assert grade.error == rc.Failure("timeout", "it took too long")

    run(main())


@pytest.mark.parametrize("settings", [{"grade.format": "json"}, {"grade.mode": "logprobs"}])
def test_a_function_is_asked_in_words_where_an_endpoint_is_asked_for_more(
    settings: dict[str, str],
) -> None:
    async def main() -> float | None:
        async with rc.connect(fine, settings=settings) as models:
            return (await rc.grade(POINT, "4", models)).score

    assert run(main()) == 1.0


def test_what_a_function_raises_comes_out_as_it_is() -> None:
    async def broken(messages: list[Any]) -> str:
        raise ZeroDivisionError("mine")

    async def main() -> None:
        async with rc.connect(broken) as models:
            await rc.grade(POINT, "4", models)

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(main())


# ------------------------------------------------------------------ loops and lifetimes


def test_used_from_another_loop_it_is_our_error_by_name() -> None:
    async def main() -> None:
        async with rc.connect(fine) as models:
            other = asyncio.to_thread(asyncio.run, rc.grade(POINT, "4", models))
            with pytest.raises(rc.UsageError, match="session was opened in another event loop"):
                await other
            assert (await rc.grade(POINT, "4", models)).passed

    run(main())


def test_each_loop_can_have_its_own() -> None:
    async def main() -> bool | None:
        async with rc.connect(fine) as models:
            return (await rc.grade(POINT, "4", models)).passed

    assert run(main())
    assert run(main())


def test_awaited_it_stays_open_until_it_is_closed() -> None:
    async def main() -> None:
        models = await rc.connect(fine)
        async with models:
            assert (await rc.grade(POINT, "4", models)).passed
        await models.close()
        with pytest.raises(rc.UsageError, match="models: this session is closed"):
            await rc.grade(POINT, "4", models)
        with pytest.raises(rc.UsageError, match="this session is closed"):
            await models

    run(main())


def test_before_it_is_opened_nothing_can_be_asked() -> None:
    with pytest.raises(rc.UsageError, match="this session is not connected yet") as caught:
        run(rc.grade(POINT, "4", rc.connect(fine)))
    assert "async with rc.connect" in caught.value.hint


def test_what_models_say_goes_to_the_log_and_nowhere_else(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    def script(request: Request) -> Any:
        if "temperature" in request.body:
            return error(400, "unsupported", param="temperature", code="unsupported_parameter")
        return "<score>1</score>"

    with caplog.at_level(logging.INFO, "refinecli"), ChatServer(script) as server:
        assert graded(server.url).passed
    assert "temperature" in caplog.text
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------ wrong arguments

CONNECT: list[tuple[dict[str, Any], str]] = [
    ({"model": "x"}, "policy: the environment variable OPENAI_API_KEY is not set"),
    ({"base_url": "localhost"}, "base_url"),
    ({"concurrency": 0}, "concurrency"),
    ({"max_calls": "many"}, "max_calls"),
    ({"max_cost": -1}, "max_cost"),
    ({"seed": 0.5}, "seed"),
    ({"settings": 5}, "settings: must be a mapping"),
    ({"settings": {"mode": "json"}}, "settings: 'mode' is not a setting"),
    ({"settings": {"grade.mod": "x"}}, "grade.mod: there is no setting"),
    ({"settings": {"grade.mode": "json"}}, "grade.mode: must be"),
    ({"settings": {"grade.mode": fine}}, "grade.mode: a function cannot be"),
    ({"settings": {"judge.model": fine}}, "judge.model: a function cannot be"),
    ({"config": 5}, "config: must be a path"),
    ({"config": "nowhere.toml"}, "config=nowhere.toml: No such file"),
    ({"cache": 5}, "cache: must be a path"),
    ({"cache": "nowhere/replies.db"}, "cache=nowhere/replies.db: there is no folder"),
    ({"offline": True}, "offline answers from a call cache"),
]


@pytest.mark.parametrize(("arguments", "message"), CONNECT, ids=[m for _, m in CONNECT])
def test_a_wrong_argument_of_connect_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(rc.UsageError) as caught:
        rc.connect(**arguments)
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value) + caught.value.hint


def unasked(*args: Any, **options: Any) -> Callable[[rc.Models], Awaitable[object]]:
    return lambda models: rc.refine(POINT, models, *args, **options)


ASK: list[tuple[Callable[[Any], Awaitable[object]], str]] = [
    (lambda models: rc.grade({"convo": "x"}, "4", models), "datapoint: must be a Datapoint"),  # type: ignore[arg-type]
    (lambda models: rc.grade(POINT, None, models), "response: must be a string, not None"),  # type: ignore[arg-type]
    (lambda models: rc.grade(POINT, "4", "gpt"), "models: must be what `connect` returns"),  # type: ignore[arg-type]
    (lambda models: rc.grade(POINT, "4", models, repeats=2), "2 repeats at temperature 0"),
    (lambda models: anext(rc.grade_all(5, models)), "answered: must be datapoints"),  # type: ignore[arg-type]
    (lambda models: anext(rc.grade_all(["x"], models)), "datapoint: must be"),  # type: ignore[list-item]
    (unasked(strategy="refin"), "strategy: there is no strategy 'refin'"),
    (unasked(max_iterations=-1), "max_iterations"),
    (unasked(drafts=0), "drafts"),
    (unasked(strategy="best-of-n", max_iterations=2), "max_iterations 2 means nothing"),
]


@pytest.mark.parametrize(("ask", "message"), ASK, ids=[m for _, m in ASK])
def test_a_wrong_argument_is_named(ask: Callable[[Any], Awaitable[object]], message: str) -> None:
    async def main() -> None:
        async with rc.connect(fine) as models:
            await ask(models)

    with pytest.raises(rc.UsageError) as caught:
        run(main())
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value) + caught.value.hint


async def no_text(messages: list[Any]) -> Any:
    return None


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda messages: "4", "<lambda> returned a value of type str, and nothing to await"),
        (no_text, "no_text returned None, not a string"),
    ],
)
def test_a_function_that_is_no_model_is_named(function: Any, message: str) -> None:
    async def main() -> None:
        async with rc.connect(function) as models:
            await rc.grade(POINT, "4", models)

    with pytest.raises(rc.UsageError, match=message):
        run(main())


def test_what_cannot_be_called_is_no_completer() -> None:
    with pytest.raises(rc.UsageError, match="function: must be an async function"):
        rc.completer("gpt")  # type: ignore[arg-type]


def test_functions_that_hand_arguments_on_know_all_of_them() -> None:
    assert list(ConnectArguments.__annotations__) == list(signature(rc.connect).parameters)
