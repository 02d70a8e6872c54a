"""The public face as a type checker sees it: mypy checks this file with the package, strictly, and
a line that a caller must not write is an error that is expected here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

import refinecli as rc


async def policy(messages: list[dict[str, Any]]) -> str:
    return "It is 4."


async def grader(messages: list[rc.Message]) -> rc.Completion:
    return rc.Completion("<score>1</score>", usage=rc.Usage(calls=1, prompt_tokens=20))


def not_async(messages: list[rc.Message]) -> str:
    return "no"


def records() -> rc.Datapoint:
    message: rc.Message = {"role": "user", "content": "What is 2 + 2?"}
    item = rc.RubricItem("Is it polite?", weight=0.5, examples=[rc.Example("Go!", 0)])
    assert_type(item.weight, float)
    assert_type(item.choices, tuple[str, ...] | None)
    rc.RubricItem("x", wieght=1)  # type: ignore[call-arg]
    rc.RubricItem("x", weight="1")  # type: ignore[arg-type]
    rc.Datapoint("x", rubric_items=5)  # type: ignore[arg-type]
    item.weight = 2.0  # type: ignore[misc]
    point = rc.Datapoint([message], ["Is it 4?", item, {"check": {"kind": "is_json"}}], id=7)
    assert_type(point.id, str | int)
    return rc.Datapoint(convo="What is 2 + 2?", rubric_items=["Is the answer 4?"], tags=["a"])


async def session(point: rc.Datapoint) -> None:
    async with rc.connect(model="m", grader_model="g", cache="replies.db") as models:
        assert_type(models, rc.Models)
        grading = await rc.grade(point, "It is 4.", models)
        assert_type(grading, rc.Grading)
        assert_type(grading.score, float | None)
        assert_type(grading.grades, tuple[rc.Grade, ...])
        assert_type(grading.grades[0].error, rc.Failure | None)
        assert_type(grading.usage, rc.Usage)
        result = await rc.refine(point, models, max_iterations=2)
        assert_type(result, rc.Refinement)
        assert_type(result.best, rc.Iteration)
        async for one in rc.grade_all([point], models):
            assert_type(one, rc.Grading)
        async for one in rc.grade_all(((point, "4") for _ in range(3)), models):
            assert_type(one.response, str)
        await rc.grade(point, 5, models)  # type: ignore[arg-type]
        await rc.refine(point, models, max_iteration=2)  # type: ignore[call-arg]
    later = await rc.connect(config=["a.toml", "b.toml"], settings={"grade.format": "json"})
    assert_type(later.usage, rc.Usage)
    await later.close()


async def functions() -> None:
    rc.connect(policy, grader_model=grader)
    rc.connect(model=rc.completer(policy, name="mine"), settings={"critic.model": grader})
    rc.completer(not_async)  # type: ignore[arg-type]


async def rewards() -> None:
    reward = rc.reward_function(grader_model="g", rubric="rubric.toml", max_calls=100)
    assert_type(await reward(prompts=["Hi!"], completions=["Hello."], id=["a"]), list[float | None])
    each = rc.reward_function(model=grader, rubric=[rc.RubricItem("Good?")], per_item=True)
    assert_type([one.__name__ for one in each], list[str])
    named = rc.reward_function(per_item=["coverage"], settings={"grade.gate": True})
    assert_type(await named[0](["Hi!"], ["Hello."]), list[float | None])
    rc.reward_function(grader="g")  # type: ignore[call-overload]


def files() -> None:
    assert_type(rc.read_datapoints("in.jsonl", limit=3), Iterator[rc.Datapoint])
    assert_type(rc.load_rubric("rubric.toml"), list[rc.RubricItem])
    assert_type(rc.__version__, str)


def errors(error: rc.RefineError) -> str:
    for kind in (rc.UsageError, rc.InputError, rc.RunError, rc.BudgetError, rc.OutputError):
        if isinstance(error, kind):
            return error.hint
    return error.type if isinstance(error, rc.CompletionError) else error.message
