"""First and final responses graded again: what is made of the repeats."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from refinecli.data.sources import Source
from refinecli.errors import CompletionError
from refinecli.prompts import Prompts
from refinecli.report.fresh_grades import (
    Pair,
    Regraded,
    Unsent,
    alarms,
    count_pairs,
    left_out,
    pairs,
    perturbed,
    regrade,
    regrade_of,
)
from refinecli.report.fresh_run import FreshGrades
from refinecli.report.gains import Regrade
from refinecli.report.runs import read_run
from refinecli.runs.run import Input
from refinecli.settings.load import load
from refinecli.types import Draw, Message
from tests.conftest import write_jsonl
from tests.support.fakes import Scripted, datapoint, rubric_item, scores
from tests.support.report_files import failed_row, graded_row, row

DRAW = Draw("a", 0, "grader", 0)


def test_an_item_is_compared_over_the_repeats_that_graded_both() -> None:
    """A wording that is stricter than others must not count against one response alone."""
    one = regrade_of([rubric_item()], [[0.0], [1.0], [0.5]], [[None], [1.0], [0.5]])
    assert (one.first, one.final) == (0.75, 0.75)
    apart = regrade_of([rubric_item()], [[0.0], [None]], [[None], [1.0]])
    assert (apart.first, apart.final) == (0.0, 1.0)
    missing = regrade_of([rubric_item(), rubric_item(1)], [[0.0, None]], [[1.0, 1.0]])
    assert (missing.first, missing.final) == (None, 1.0)
    assert missing.items == ((0.0, 1.0), (None, 1.0))


def test_the_spread_is_how_far_the_repeats_of_one_text_lie_apart() -> None:
    calm = regrade_of([rubric_item()], [[0.5], [0.5]], [[1.0], [1.0]])
    noisy = regrade_of([rubric_item()], [[0.0], [1.0]], [[1.0], [0.0]])
    once = regrade_of([rubric_item()], [[0.0]], [[1.0]])
    assert calm.spread == 0
    assert noisy.spread == pytest.approx(0.5**0.5)
    assert once.spread is None


def test_weights_and_penalties_count_as_in_the_loop() -> None:
    items = [rubric_item(weight=3.0), rubric_item(1, weight=-1.0)]
    one = regrade_of(items, [[1.0, 0.0]], [[1.0, 1.0]])
    assert (one.first, one.final) == (1.0, pytest.approx(2 / 3))


# ------------------------------------------------------------------ grading again


def pair(first: str, final: str, *others: str | None, key: str = "a") -> Pair:
    point = datapoint({"rubric_str": "A?"}, {"rubric_str": "B?"}, id=key)
    return Pair(point, (key, 0), first, final, others)


async def several(*found: Pair) -> AsyncGenerator[Pair, None]:
    for one in found:
        yield one


def regraded(found: Sequence[Pair], repeats: int = 2, **roles: Scripted) -> list[Regraded]:
    async def main() -> list[Regraded]:
        results = regrade(several(*found), roles, Prompts(), repeats, concurrency=2)
        return [result async for result in results]

    return asyncio.run(main())


def test_only_datapoints_with_a_first_and_a_final_score_are_graded_again(tmp_path: Path) -> None:
    rows = [
        failed_row(0),
        row(1, [0.0, 1.0]),
        graded_row(2, 0.5),
        row(3, [None, 1.0]),
        row(4, [0.5, 0.25]),
        row(4, [1.0]),
    ]
    file = str(write_jsonl(tmp_path / "run.jsonl", rows))
    run = read_run(file)
    kept: dict[tuple[str | int, int], str] = {("dp-1", 0): "a draft", ("dp-4", 1): "another"}

    async def main() -> list[Pair]:
        return [one async for one in pairs(Input(Source(file)), run, [kept])]

    found = asyncio.run(main())
    assert [(one.key, one.others) for one in found] == [
        (("dp-1", 0), ("a draft",)),
        (("dp-4", 0), (None,)),
        (("dp-4", 1), ("another",)),
    ]
    texts = [(one.first, one.final) for one in found]
    assert texts[0] == ("answer 0 to question 1", "answer 1 to question 1")
    assert texts[1] == ("answer 0 to question 4",) * 2
    assert count_pairs(run) == 3


def test_both_responses_are_graded_by_each_role_in_each_repeats_words() -> None:
    grader, judge = scores({"old": 0, "new": 1}), scores({"old": 0.5, "new": 0.75})
    [result] = regraded([pair("old", "new")], grader=grader, judge=judge)
    by_grader = Regrade(0.0, 1.0, ((0.0, 1.0), (0.0, 1.0)), 0.0)
    assert result.by_role["grader"] == by_grader
    assert result.by_role["judge"].gain == 0.25
    assert (result.whole, result.grades, result.failures) == (True, 16, ())
    assert {call.draw.role for call in grader.calls} == {"grader"}
    assert {call.draw.role for call in judge.calls} == {"judge"}
    assert {call.draw.iteration for call in grader.calls} == {-1}
    assert len({call.text for call in grader.calls}) == len(grader.calls) == 8


def test_equal_texts_are_graded_once() -> None:
    grader = scores({"same": 1})
    [result] = regraded([pair("same", "same", "same")], 3, grader=grader)
    assert len(grader.calls) == 3 * 2
    assert result.by_role["grader"].gain == 0
    assert result.grades == 6


def test_baselines_are_held_against_the_final_response() -> None:
    grader = scores({"old": 0, "new": 1, "other": 0.5})
    [result] = regraded([pair("old", "new", "other", None)], grader=grader)
    other, missing = result.by_role["grader"].others
    assert other is not None
    assert (other.first, other.final, other.gain) == (0.5, 1.0, 0.5)
    assert missing is None


def test_what_could_not_be_graded_is_counted_by_its_failure() -> None:
    grader = scores({"old": CompletionError("timeout", "no answer"), "new": 1})
    [result] = regraded([pair("old", "new")], grader=grader)
    assert result.by_role["grader"].first is None
    assert not result.whole
    assert (result.grades, result.failures) == (8, ("timeout",) * 4)


def test_results_come_in_the_order_of_the_pairs() -> None:
    grader = scores({"old": 0, "new": 1})
    results = regraded([pair("old", "new", key=key) for key in "abc"], grader=grader)
    assert [result.pair.key for result in results] == [("a", 0), ("b", 0), ("c", 0)]


def test_fresh_grades_are_kept_by_role_and_counted() -> None:
    found = FreshGrades(2, models={"grader": "m"})
    grader = scores({"old": 0, "new": 1, "lost": CompletionError("timeout", "no answer")})
    results = regraded([pair("old", "new"), pair("old", "lost", key="b")], grader=grader)
    outcomes = [found.add(result) for result in results]
    assert [(one.status, one.failures) for one in outcomes] == [
        ("done", ()),
        ("ungraded", ("timeout",)),
    ]
    assert set(found.by_role["grader"]) == {("a", 0), ("b", 0)}
    assert found.record() == {
        "repeats": 2,
        "models": {"grader": "m"},
        "grades": 16,
        "ungraded": 4,
    }


def test_replies_are_kept_where_a_page_shows_them_by_repeat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("refinecli.report.fresh_run._MOST_KEPT", 1)
    found = FreshGrades(2, keeps_replies=True)
    grader = scores({"old": 0, "new": 1})
    results = regraded([pair("old", "new", key=key) for key in "ab"], grader=grader)
    for result in results:
        found.add(result)
        FreshGrades(2).add(result)
    kept = found.replies(("a", 0))["grader"]
    assert len(kept["first"]) == len(kept["final"]) == 2
    assert [one["name"] for one in kept["final"][1]]
    assert kept["scores"] == [0.0, 1.0]
    assert all("<score>1" in one["reply"] for repeat in kept["final"] for one in repeat)
    assert found.replies(("b", 0)) == {}


# ------------------------------------------------------------------ who graded


def test_graders_are_asked_with_a_temperature_and_a_seed() -> None:
    settings = load({"policy.model": "m", "policy.base_url": "http://x.test/v1"}, (), {})
    fresh = perturbed(settings)
    assert settings.grader.temperature == 0
    assert (fresh.grader.temperature, fresh.run.seed) == (0.7, 42)
    assert fresh.policy == settings.policy
    warm = load(
        {"policy.model": "m", "policy.base_url": "http://x.test/v1", "run.seed": 7},
        ("grader.temperature=0.2",),
        {},
    )
    assert (perturbed(warm).grader.temperature, perturbed(warm).run.seed) == (0.2, 7)


@pytest.mark.parametrize(("ungraded", "alarm"), [(0, False), (5, False), (6, True)])
def test_many_missing_grades_raise_an_alarm(ungraded: int, alarm: bool) -> None:
    found = left_out(ungraded, 100)
    assert bool(found) is alarm
    if alarm:
        assert found[0]["type"] == "ungraded_afresh"
        assert found[0]["message"].startswith("6 of 100 fresh grades have no score")


def kinds(models: dict[str, str], run: dict[str, str]) -> list[str]:
    return [alarm["type"] for alarm in alarms(a_run(run), models)]


def a_run(models: dict[str, str]) -> Any:
    return SimpleNamespace(models=models)


def test_another_grader_and_a_judge_that_is_not_held_out_raise_alarms() -> None:
    run = {"policy": "small", "grader": "large"}
    assert kinds({"grader": "large"}, run) == []
    assert kinds({"grader": "other"}, run) == ["other_grader"]
    assert kinds({"grader": "large", "judge": "third"}, run) == []
    assert kinds({"grader": "large", "judge": "small"}, run) == ["judge_not_held_out"]
    assert kinds({"grader": "large", "judge": "large"}, run) == ["judge_not_held_out"]
    [alarm] = alarms(a_run(run), {"grader": "large", "judge": "large"})
    assert "the run's grader and the grader of the fresh grades" in alarm["message"]


# ------------------------------------------------------------------ nothing sent


def test_what_is_not_sent_is_counted_with_its_characters_and_its_first_prompt() -> None:
    unsent = Unsent()
    for text in ("four", "eleven char"):
        with pytest.raises(CompletionError, match="dry run"):
            asyncio.run(unsent([{"role": "user", "content": text}], DRAW))
    assert (unsent.missing, unsent.characters) == (2, 15)
    assert unsent.first == [{"role": "user", "content": "four"}]


def test_what_the_cache_has_is_not_counted_and_other_failures_are_passed_on() -> None:
    answers = Scripted(["yes", CompletionError("offline", "no"), CompletionError("server", "down")])
    unsent = Unsent(answers)
    ask: list[Message] = [{"role": "user", "content": "four"}]
    assert asyncio.run(unsent(ask, DRAW)).text == "yes"
    assert unsent.missing == 0
    with pytest.raises(CompletionError) as offline:
        asyncio.run(unsent(ask, DRAW))
    assert (offline.value.type, unsent.missing) == ("offline", 1)
    with pytest.raises(CompletionError) as down:
        asyncio.run(unsent(ask, DRAW))
    assert (down.value.type, unsent.missing) == ("server", 1)
