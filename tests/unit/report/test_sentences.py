"""The sentences of a report: which one is said of which figures."""

from __future__ import annotations

from typing import Any

import pytest

from refinecli.report.compared_in_words import fails_now, first_flips, passes_now
from refinecli.report.conclusions import (
    _by_code,
    _control,
    _could_find,
    _in_the_loop_only,
    _loop_found,
    _regraded,
    _result,
    _same_again,
    _shown,
    between_runs,
)


def interval(mean: float, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high}


@pytest.mark.parametrize(
    ("loop", "gain", "words"),
    [
        (interval(0.1), interval(0.1), ", as in the loop"),
        (interval(0.3), interval(0.1), ", though the loop found +0.300"),
        (interval(0.1), interval(0.3), ", and the loop found +0.100"),
        # Equal as they are shown, but for the interval.
        (interval(0.1, 0.0, 0.2), interval(0.1), ", and the loop found +0.100 (95%: "),
        (interval(0.1004, 0.0, 0.2), interval(0.1), ", and the loop found +0.100 (95%: "),
    ],
)
def test_what_the_loop_found_is_set_against_fresh_grades(
    loop: dict[str, Any], gain: dict[str, Any], words: str
) -> None:
    assert _loop_found(loop, gain).startswith(words)


FINDS = interval(0.1, 0.05, 0.15)


def regraded(**figures: Any) -> str:
    found = {
        "regraded_gain": FINDS,
        "loop_gain": interval(0.3),
        "claim": {"gain": True},
        "heldout_gain": None,
        "detectable": 0.05,
        "n": 30,
    }
    return " ".join(_regraded(found | figures, "regraded"))


def test_a_gain_and_a_loss_by_fresh_grades_are_called_that() -> None:
    gain = "A gain: +0.100 (95%: +0.050 to +0.150) regraded; the loop itself found +0.300."
    assert regraded().startswith(gain)
    assert "a held-out [judge] of another model family would show it" in regraded()
    none = {"claim": {"gain": False}}
    assert regraded(**none).startswith("No gain is shown: +0.100 (95%: +0.050 to +0.150) regraded,")
    assert "a gain of 0.050 as this grader sees it" in regraded(**none)
    assert "judge" not in regraded(**none)
    lost = regraded(**none, regraded_gain=interval(-0.1, -0.2, -0.01))
    assert lost == (
        "A loss: -0.100 (95%: -0.200 to -0.010) regraded, though the loop found +0.300."
    )
    even = regraded(**none, regraded_gain=interval(-0.1, -0.2, 0.0))
    assert even.startswith("No gain is shown")


@pytest.mark.parametrize(
    ("judged", "agrees"),
    [(FINDS, "finds it too"), (interval(0.1, 0.0, 0.2), "does not"), (interval(0.1), "does not")],
)
def test_the_held_out_judge_finds_a_gain_or_does_not(judged: dict[str, Any], agrees: str) -> None:
    assert f"The held-out judge {agrees}" in regraded(heldout_gain=judged)


@pytest.mark.parametrize(
    ("gain", "kept", "parts"),
    [
        (interval(0.1, 0.0, 0.2), True, ["No gain is shown: ", "in the loop (the best of several"]),
        (interval(0.1, 0.01, 0.2), True, ["Loop gain ", "noise: grade the responses again"]),
        (interval(0.1), False, ["Loop gain +0.100: one grade of each response", "noise: "]),
    ],
)
def test_a_gain_in_the_loop_alone_is_not_shown_to_be_more_than_noise(
    gain: dict[str, Any], kept: bool, parts: list[str]
) -> None:
    figures = {"loop_gain": gain, "kept_by_score": kept, "detectable": None}
    said = " ".join(_in_the_loop_only(figures, False))
    assert all(part in said for part in parts), said
    assert ("could not be regraded" in " ".join(_in_the_loop_only(figures, True))) is (
        said.startswith("Loop gain")
    )


def test_a_gain_by_code_that_rests_on_few_says_so() -> None:
    signs = {"wins": 3, "losses": 1}
    figures = {"loop_gain": FINDS, "claim": {"gain": False}, "sign_test": signs, "detectable": 0.1}
    said = list(_by_code(figures))
    assert said[0].startswith("No gain is shown: +0.100")
    assert said[1].startswith("It rests on 4 datapoints; a claim takes ")
    assert len(list(_by_code(figures | {"claim": {"gain": True}}))) == 1
    chance = list(_by_code(figures | {"loop_gain": interval(0.1, 0.0, 0.2), "n": 30}))
    assert chance[1].startswith("With 30 datapoints, a gain of 0.100")
    assert list(_could_find({"detectable": None})) == []


def baseline(over: dict[str, Any], **fields: Any) -> dict[str, Any]:
    row = {"name": "b", "gain_over_it": over, "differing": 30, "drafts": None, "graders": None}
    return row | {"fresh": True, "regraded_gain_over_it": None} | fields


DRAFTS = {"drafts": 4, "drafts_at_equal_cost": 4}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (baseline(interval(0.1)), " regraded"),
        (baseline(interval(0.1), fresh=False), ""),
        (baseline(FINDS), " regraded, better"),
        (baseline(interval(-0.1, -0.2, -0.01)), " regraded, worse"),
        (baseline(interval(0.1, 0.0, 0.2)), " regraded, no difference is shown"),
        (baseline(interval(-0.1, -0.2, 0.0)), " regraded, no difference is shown"),
        (baseline(FINDS, differing=5), " regraded, by 5 datapoints that differ: too few to claim"),
        (baseline(FINDS, graders=("a", "b")), " regraded by different graders, so nothing is"),
        (baseline(FINDS, **DRAFTS), " regraded, refining beats resampling"),
        (baseline(interval(-0.1, -0.2, -0.01), **DRAFTS), " regraded, resampling beats refining"),
        (
            baseline(interval(0.1, 0.0, 0.2), **DRAFTS),
            " regraded, refining is not shown to beat resampling",
        ),
        (
            baseline(interval(-0.1, -0.2, -0.01), drafts=5, drafts_at_equal_cost=4),
            " regraded, resampling beats refining, at more cost",
        ),
    ],
)
def test_a_baseline_is_beaten_or_better_or_neither(row: dict[str, Any], words: str) -> None:
    found = _shown(row)
    assert found.startswith(words)
    assert found == words or "too few" in words or "nothing is" in words


def test_flips_are_counted_in_words() -> None:
    assert [passes_now(count) for count in (0, 1, 2)] == [
        "0 pass that failed before",
        "1 passes that failed before",
        "2 pass that failed before",
    ]
    assert [fails_now(count) for count in (1, 2)] == [
        "1 fails that passed before",
        "2 fail that passed before",
    ]


def test_of_many_flips_what_fails_now_is_shown_before_what_passes_and_that_before_others() -> None:
    def entries(fails: int, passes: int, others: int) -> list[dict[str, Any]]:
        kinds = [[True, False]] * fails + [[False, True]] * passes + [[True, True]] * others
        return [{"passed": passed} for passed in reversed(kinds)]

    def shown(*counts: int, most: int) -> list[int]:
        found = [entry["passed"] for entry in first_flips(entries(*counts), most)]
        return [found.count(kind) for kind in ([True, False], [False, True], [True, True])]

    assert shown(5, 5, 5, most=4) == [2, 2, 0]
    assert shown(5, 1, 5, most=4) == [3, 1, 0]
    assert shown(1, 5, 5, most=4) == [1, 3, 0]
    assert shown(1, 1, 5, most=6) == [1, 1, 4]


def test_a_control_over_fewer_datapoints_says_over_how_many() -> None:
    row = baseline(FINDS, **DRAFTS, tokens_ratio=0.98, regraded_n=None, n=28, left_out=2)
    figures = {
        "iterations": [{}, {}],
        "loop_gain": FINDS,
        "baselines": [row],
        "claim": {"basis": "regraded"},
        "only_drafts": False,
    }
    (said,) = _control(figures, False)
    assert said.startswith("Against b at 98% of the tokens, over 28 of 30 datapoints: +0.100 (95%")
    whole = baseline(FINDS, **DRAFTS, tokens_ratio=None, regraded_n=30, n=28, left_out=2)
    (said,) = _control(figures | {"baselines": [whole]}, False)
    assert said.startswith("Against b: +0.100 (95%")
    noisy = baseline(FINDS, **DRAFTS, tokens_ratio=1.0, regraded_n=None, n=30, left_out=0)
    found = list(_control(figures | {"baselines": [noisy | {"fresh": False}]}, False))
    assert found[0].endswith("by the loops' own grades.")
    assert found[1].endswith("To be sure, grade the responses again (\x0eregrade=\x0f).")
    (advice,) = _control(figures | {"baselines": []}, False)
    assert advice.startswith("Plain resampling gains too")
    assert list(_control(figures | {"baselines": [], "only_drafts": True}, False)) == []
    assert list(_control(figures | {"iterations": [{}]}, False)) == []


def test_single_responses_have_a_score_and_no_gain() -> None:
    figures = {
        "score": interval(0.5, 0.4, 0.6),
        "pass_rate": interval(0.25),
        "scored": 1,
        "fresh_score": interval(0.75),
        "fresh_pass_rate": None,
        "iterations": [{}],
        "failed": 2,
        "runs": [{"datapoints": 3}],
        "regraded_score": interval(0.5),
        "heldout_score": None,
    }
    first, later, single = _result(figures)
    assert first == "Score 0.500 (95%: 0.400 to 0.600), 25.0% passed, over 1 datapoint."
    assert later == "A later `grade` of the same responses: 0.750."
    assert "2 of 3 datapoints failed before they were done, so there is no gain" in single
    *_, nothing = _result(figures | {"failed": 0})
    assert nothing.startswith("One response each: nothing was refined,")
    assert list(_result(figures | {"score": None})) == ["No datapoint has a score."]
    assert list(_same_again(figures, True)) == ["The same responses: 0.500 regraded."]
    none = figures | {"regraded_score": None}
    assert list(_same_again(none, True)) == ["They could not be regraded."]
    assert list(_same_again(figures, False)) == []


def test_runs_that_cannot_be_compared_say_which_has_no_score() -> None:
    trend = [{"label": "old", "n": 3}, {"label": "new", "n": 0}]
    (said,) = between_runs({"compared": None, "trend": trend})
    assert said == "new and old are not compared: no datapoint of new has a score."
    assert list(between_runs({"compared": None, "trend": [{"label": "it", "n": 0}] * 3})) == []
    assert list(between_runs({"compared": None, "trend": None})) == []
