"""What the programs that this one learned from got wrong, each with a test that fails on it.

Each was seen to fail with the defect put in; the one-line change that does so stands above it.
"""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import refinecli
from refinecli import prompts as p
from refinecli.data.output_lines import Provenance, refined
from refinecli.errors import CompletionError
from refinecli.grading.grade import grade
from refinecli.grading.scoring import extract
from refinecli.models.budget import Limits
from refinecli.models.chat import Chat
from refinecli.models.http import Reply
from refinecli.prompts import Prompts
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.settings.load import load
from refinecli.types import Completion, Datapoint, Draw, JSONObject, Refinement
from tests.support.fakes import (
    Answer,
    Call,
    Scripted,
    datapoint,
    roles,
    rubric_item,
    score,
    scores,
    text_of,
)

PACKAGE = Path(refinecli.__file__).parent


def run(point: Datapoint, policy: Any, reviser: Any, grader: Scripted, rounds: int) -> Refinement:
    options = RefineOptions("refine", max_iterations=rounds)
    return asyncio.run(refine(point, roles(policy, reviser, grader), options, Prompts()))


# ------------------------------------------------------------------ mismatched tags
# prompts.GRADER: the response ends with <response> instead of </response>


@pytest.mark.parametrize("template", ["grader_system", "grader", "grader_retry", "rewrite"])
def test_every_tag_in_a_template_is_closed_by_its_own(template: str) -> None:
    assert unbalanced(getattr(Prompts(), template)) == []


def test_every_tag_in_a_whole_grader_prompt_is_closed_by_its_own() -> None:
    point = datapoint(
        {"rubric_str": "Is it good?", "grader_output_format_instruction": "Go."},
        convo=[{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
        reference="R",
    )
    messages = p.grader_messages(Prompts(), point, "A response.", point.rubric_items[0])
    assert unbalanced("\n".join(map(text_of, messages))) == []


def test_the_default_instruction_asks_for_what_the_default_pattern_finds() -> None:
    item = rubric_item()
    followed = item.grader_output_format_instruction.replace("...", "0.5")
    assert extract(item, Completion(followed)).raw_score == 0.5


def unbalanced(text: str) -> list[str]:
    """The tags that are closed by another one, or by none."""
    opened: list[str] = []
    wrong: list[str] = []
    for slash, name in re.findall(r"<(/?)(\w+)[^>]*>", text):
        if not slash:
            opened.append(name)
        elif not opened or opened.pop() != name:
            wrong.append(name)
    return wrong + opened


# ------------------------------------------------------------------ the last instead of the best
# refine: `best = new if new.accepted else best` -> `best = new`


def test_the_last_response_is_not_returned_when_it_is_worse() -> None:
    grader = scores({"good": 0.8, "worse": 0.3, "worst": 0.1})
    found = run(datapoint(), ["good"], ["worse", "worst"], grader, 2)
    record = refined({}, found, Provenance({}, "")).record
    assert (record["response"], record["score"]) == ("good", 0.8)


# ------------------------------------------------------------------ feedback from the first answer
# refine: rewrite_request(…, best.grades, …) -> rewrite_request(…, iterations[0].grades, …)


def test_feedback_is_about_the_response_that_is_rewritten_and_not_about_the_first() -> None:
    reviser = Scripted(["second", "third"])
    grader = scores({"first": 0.1, "second": 0.5, "third": 0.2})
    run(datapoint(), ["first"], reviser, grader, 2)
    assert "About first." in reviser.calls[0].last
    assert "About second." in reviser.calls[1].last
    assert "About first." not in reviser.calls[1].text


# ------------------------------------------------------------------ judge failures
# grade: `verdict = ungraded(…)` -> a Grade of 0.0 whose feedback is the error


def outage(call: Call) -> Answer:
    if call.graded_response == "first":
        return score(0.5, "Too long.")
    return CompletionError("server", "JUDGE-IS-DOWN")


def test_a_judges_failure_is_neither_a_0_nor_feedback() -> None:
    reviser = Scripted(["second", "third"])
    found = run(datapoint(), ["first"], reviser, Scripted(outage), 2)
    assert [it.score for it in found.iterations] == [0.5, None, None]
    assert all(g.score is None for it in found.iterations[1:] for g in it.grades)
    assert all(g.feedback is None for it in found.iterations[1:] for g in it.grades)
    assert all("JUDGE-IS-DOWN" not in call.text for call in reviser.calls)
    assert "Too long." in reviser.calls[1].last


@pytest.mark.parametrize("reply", ["I cannot say.", "<score>n/a</score>", ""])
def test_a_judges_unreadable_reply_is_neither_a_0_nor_feedback(reply: str) -> None:
    found = run(datapoint(), ["first"], [], Scripted([reply, reply]), 1)
    assert found.status == "ungraded"
    assert found.initial_score is None
    (only,) = found.iterations[0].grades
    assert (only.score, only.passed, only.feedback) == (None, None, None)


# ------------------------------------------------------------------ the first match
# patterns.last_match: return the first match that finditer gives


def test_the_last_verdict_in_a_reply_counts_and_not_the_first() -> None:
    reply = "A naive <score>1</score> would miss the error, so:\n<score>0</score>"
    assert extract(rubric_item(), Completion(reply)).raw_score == 0


# ------------------------------------------------------------------ scores discarded
# records._iteration: leave "score" out; records.grade_record: leave "raw_score" out


def test_every_score_of_every_round_is_on_record() -> None:
    numbers = {"first": 2, "second": 4, "third": 3}
    point = datapoint({"score_range": [1, 5]})
    found = run(point, ["first"], ["second", "third"], scores(numbers), 2)
    record = refined({}, found, Provenance({}, "")).record
    iterations = record["refinement"]["iterations"]
    assert [it["score"] for it in iterations] == [0.25, 0.75, 0.5]
    assert [it["grades"][0]["score"] for it in iterations] == [0.25, 0.75, 0.5]
    assert [it["grades"][0]["raw_score"] for it in iterations] == [2.0, 4.0, 3.0]
    assert [it["grades"][0]["reply"] for it in iterations] == [
        score(number, f"About {response}.") for response, number in numbers.items()
    ]
    assert record["refinement"]["initial_score"] == 0.25
    assert record["score"] == 0.75


# ------------------------------------------------------------------ temperature 0
# chat._body: `if v is not None` -> `if v`


class Endpoint:
    """An HTTP client whose endpoint answers everything with ok; keeps the bodies it was sent."""

    def __init__(self) -> None:
        self.bodies: list[JSONObject] = []

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], read_timeout: float
    ) -> Reply:
        self.bodies.append(json.loads(body))
        choice = {"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        return Reply(200, {}, json.dumps({"choices": [choice]}).encode())


class Silence:
    def notice(self, text: str) -> None: ...

    def detail(self, text: str) -> None: ...


def sent(role: str, **flags: object) -> JSONObject:
    """What a role's completer sends, given these settings."""
    given = {"policy.model": "m", "policy.base_url": "http://127.0.0.1:9/v1", **flags}
    settings = load(given, environ={})
    endpoint = Endpoint()
    chat = Chat(endpoint, Limits(1), Silence())
    completer = chat.completer(settings.roles[role], settings.run.seed)
    asyncio.run(completer([{"role": "user", "content": "Hi."}], Draw("d1", 0, role, 0)))
    return endpoint.bodies[0]


def test_temperature_0_and_seed_0_reach_the_wire() -> None:
    body = sent("policy", **{"policy.temperature": 0, "run.seed": 0})
    assert body["temperature"] == 0
    assert "temperature" in body
    assert "seed" in body
    assert sent("grader")["temperature"] == 0
    assert sent("grader", **{"grader.temperature": 0.0})["temperature"] == 0


def test_a_temperature_that_nobody_set_is_not_sent() -> None:
    assert "temperature" not in sent("policy")
    assert "temperature" not in sent("grader", **{"grader.temperature": "default"})


# ------------------------------------------------------------------ eval on model text
# scoring._number: float(text) -> float(eval(text)), without the check before it


@pytest.mark.parametrize("text", ["1-0", "1 if True else 0", "[1][0]", "int(True)", "0x1", "0.5*2"])
def test_model_text_is_never_evaluated(text: str) -> None:
    found = extract(rubric_item(), Completion(f"<score>{text}</score>"))
    assert found.raw_score is None
    assert "not a plain number" in found.problem


def test_code_in_a_score_is_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    code = f"__import__('pathlib').Path({str(trap)!r}).touch() or 1"
    assert extract(rubric_item(), Completion(f"<score>{code}</score>")).raw_score is None
    assert not trap.exists()


@pytest.mark.slow
def test_nothing_in_the_package_evaluates_text() -> None:
    calls = [
        f"{path.name}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("eval", "exec", "__import__")
    ]
    assert calls == []


# ------------------------------------------------------------------ braces in user text
# prompts.fill: plain substitution -> str.format, or substitution until nothing changes


def test_braces_in_user_text_are_text() -> None:
    tricky = 'Print {"a": {0}} and {name!r}, {} or {{criterion}} and {{response}}'
    point = datapoint(
        {
            "rubric_str": tricky,
            "grader_output_format_instruction": f"As <score>N</score>. {tricky}",
        },
        convo=[{"role": "user", "content": tricky}],
        reference=tricky,
    )
    grader = Scripted([score(0, tricky), score(1)])
    reviser = Scripted([f"better {tricky}"])
    found = run(point, [tricky], reviser, grader, 1)
    assert found.best.response == f"better {tricky}"
    assert grader.calls[0].text.count(tricky) == 5
    assert reviser.calls[0].messages[0]["content"] == tricky
    # In the criterion; the grader's words repeat the reference, which the policy must not see.
    assert reviser.calls[0].last.count(tricky) == 1


# ------------------------------------------------------------------ a regex without a group
# scoring.extract: the group -> match.group(1)


@pytest.mark.parametrize("pattern", [r"[01]\.\d", r"\d\.\d(?=</score>)", r"(?:0|1)\.\d"])
def test_a_pattern_without_a_group_means_its_whole_match(pattern: str) -> None:
    point = datapoint({"extraction_regex": pattern})
    grades, _ = asyncio.run(grade(point, "x", Scripted(["<score>0.5</score>"]), Prompts()))
    assert grades[0].score == 0.5


def test_an_optional_group_that_takes_no_part_is_ungraded_and_no_crash() -> None:
    point = datapoint({"extraction_regex": r"Score:(?: (\d))?"})
    grades, _ = asyncio.run(grade(point, "x", Scripted(["Score:", "Score: x"]), Prompts()))
    assert grades[0].error is not None


# ------------------------------------------------------------------ hidden answers
# prompts.rewrite_request: the branch for `reveal == "verdict"` taken out;
# jsonl.item_fields: checks that hold the answer not hidden by default

ANSWER = "31337"


@pytest.mark.parametrize(
    "item",
    [
        {"rubric_str": f"Is the answer {ANSWER}?", "reveal": "verdict"},
        {"rubric_str": f"It is {ANSWER}.", "check": {"kind": "number", "value": int(ANSWER)}},
        {"rubric_str": f"It is {ANSWER}.", "check": {"kind": "equals", "value": ANSWER}},
        {"rubric_str": None, "check": {"kind": "number", "value": int(ANSWER)}},
    ],
)
def test_a_hidden_answer_never_reaches_the_policy(item: dict[str, Any]) -> None:
    policy, reviser = Scripted(["It is 5."]), Scripted(["It is 6.", "It is 7."])
    grader = Scripted(lambda call: score(0, f"Wrong: the answer is {ANSWER}."))
    point = datapoint(item, reference=f"The answer is {ANSWER}.")
    found = run(point, policy, reviser, grader, 2)
    assert len(reviser.calls) == 2
    for call in [*policy.calls, *reviser.calls]:
        assert ANSWER not in json.dumps(call.messages)
    assert all(ANSWER not in (it.feedback or "") for it in found.iterations)
    assert "not shown" in reviser.calls[0].last
