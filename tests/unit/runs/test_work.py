"""The work on one row needs models and settings, and no command."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from refinecli.data.output_lines import Provenance
from refinecli.data.rows import Row, read_row
from refinecli.errors import CompletionError
from refinecli.generators.rubric_writer import Writing
from refinecli.generators.rubrics import PromptReader
from refinecli.models.budget import Limits
from refinecli.models.engine import Engine
from refinecli.runs.rubric_work import write_rubric
from refinecli.runs.work import grade_row, refine_row
from refinecli.settings.load import load
from refinecli.types import Grade, Refinement
from tests.support.fakes import Script, Scripted, nobody, roles, score, scores

SETTINGS = load({"refine.strategy": "refine", "refine.max_iterations": 1}, environ={})
LINE: dict[str, Any] = {
    "id": "x",
    "prompt": "Hi!",
    "rubric_items": [{"rubric_str": "Is it good?"}],
    "note": 1,
}


def engine(policy: Script | Scripted, grader: Scripted, reviser: Script = ()) -> Engine:
    asked = roles(policy, reviser, grader)
    return Engine(asked, Limits(1), Provenance({"grader": "g"}, "digest"), {}, lambda point: False)


def row(**fields: Any) -> Row:
    return read_row(json.dumps(LINE | fields).encode(), 1, "in.jsonl")


def test_a_refined_row_keeps_its_fields_and_hands_its_refinement_on() -> None:
    made: list[Refinement] = []
    asked = engine(["bad"], scores({"bad": 0, "good": 1}), ["good"])
    outcome = asyncio.run(refine_row(row(), asked, SETTINGS, made.append))
    assert [iteration.response for iteration in made[0].iterations] == ["bad", "good"]
    assert (outcome.status, outcome.score, outcome.initial_score) == ("done", 1.0, 0.0)
    assert outcome.record["note"] == 1
    assert outcome.record["response"] == "good"


def test_a_row_without_a_first_response_has_failed() -> None:
    asked = engine([CompletionError("timeout", "it took too long")], nobody())
    outcome = asyncio.run(refine_row(row(), asked, SETTINGS))
    assert (outcome.status, outcome.failures) == ("failed", ("timeout",))
    assert outcome.record["error"]["stage"] == "policy"


def test_a_graded_row_hands_its_grades_on() -> None:
    found: list[Grade] = []
    asked = engine(nobody(), scores({"good": 1}))
    outcome = asyncio.run(
        grade_row(
            row(response="good"),
            asked,
            SETTINGS,
            on_grades=lambda row, grades: found.extend(grades),
        )
    )
    assert (outcome.status, outcome.score, outcome.passed) == ("done", 1.0, True)
    assert outcome.record["grading"]["models"] == {"grader": "g"}
    assert [grade.score for grade in found] == [1.0]


def test_a_row_that_has_nothing_to_grade_says_so_in_the_words_it_is_given() -> None:
    asked = engine(nobody(), nobody())
    outcome = asyncio.run(grade_row(row(), asked, SETTINGS, no_response="nothing here"))
    assert outcome.record["error"] == {
        "type": "no_response",
        "message": "nothing here",
        "stage": "grade",
    }


def test_a_row_that_failed_before_stays_as_it_is() -> None:
    failed = row(error={"type": "timeout", "message": "it took too long", "stage": "policy"})
    outcome = asyncio.run(grade_row(failed, engine(nobody(), nobody()), SETTINGS))
    assert (outcome.record, outcome.failures) == (failed.raw, ("timeout",))


CRITERION = {"criterion": "Says to boil the egg for eight minutes", "weight": 5}


def prompt(reader: PromptReader, **fields: Any) -> Row:
    line = {"prompt": "How long do I boil an egg for eight minutes?", **fields}
    return reader(json.dumps(line).encode(), 1, "in.jsonl")


def test_a_written_rubric_is_tried_on_the_responses_of_the_row() -> None:
    reader = PromptReader(contrast=("good", "bad"))
    replies = [f"<rubric>{json.dumps([CRITERION])}</rubric>"] * 2 + [score(1), score(0)]
    found: list[Writing | None] = []
    outcome = asyncio.run(
        write_rubric(
            prompt(reader, good="Eight minutes.", bad="An hour."),
            engine(nobody(), Scripted(replies)),
            SETTINGS,
            contrast=reader.contrast,
            on_writing=found.append,
        )
    )
    assert outcome.status == "done", outcome
    assert [item["weight"] for item in outcome.record["rubric_items"]] == [5]
    assert [writing and writing.tried for writing in found] == [True]


def test_a_row_with_a_rubric_is_given_none() -> None:
    found: list[Writing | None] = []
    given = prompt(PromptReader(), rubric_items=[{"rubric_str": "Is it kind?"}])
    work = write_rubric(given, engine(nobody(), nobody()), SETTINGS, on_writing=found.append)
    assert asyncio.run(work).record == given.raw
    assert found == [None]
