"""Quality gates: what they compare, what misses them, and what a slip is told."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refinecli.errors import UsageError
from refinecli.runs.gates import check, parse

FIGURES: dict[str, Any] = {
    "n": 10,
    "score": {"mean": 0.9, "low": 0.8, "high": None},
    "regraded_gain": None,
    "too_few": False,
    "text": "1",
    "iterations": [{"iteration": 0, "score": {"mean": 0.5}}, {"iteration": 1, "score": None}],
    "items": [{"name": "tone", "fixed": 3}, {"name": "v1.2 facts", "fixed": 5}, {"name": "1"}],
    "baselines": [{"name": "b.jsonl, best of 2", "label": "b.jsonl", "gain_over_it": 0.5}],
}


@pytest.mark.parametrize(
    ("gate", "met"),
    [
        ("n>=10", True),
        ("n>10", False),
        ("n < 11", True),
        (" n <= 9.5 ", False),
        ("score>=0.9", True),
        ("score.low>=0.81", False),
        ("iterations.0.score>=0.5", True),
        ("iterations.-2.score.mean<0.6", True),
        ("items.tone.fixed>=3", True),
        ("items.v1.2 facts.fixed>=6", False),
        ("items.1.fixed>=5", True),
        ("baselines.b.jsonl.gain_over_it>=0.5", True),
        ("baselines.b.jsonl, best of 2.gain_over_it>=0.5", True),
        ("too_few<=0", True),
        ("too_few>=1", False),
    ],
)
def test_a_gate_compares_the_figure_at_its_path(gate: str, met: bool) -> None:
    assert check(parse(gate), FIGURES).met is met


def test_sums_of_floats_do_not_miss_a_gate_by_a_hair() -> None:
    assert check(parse("x>=0.3"), {"x": 0.1 * 3 - 1e-16}).met
    assert check(parse("x<=0.3"), {"x": 0.1 + 0.2}).met


@pytest.mark.parametrize(
    ("gate", "what"),
    [
        ("regraded_gain>=0", "regraded_gain is null"),
        ("regraded_gain.low>=0", "regraded_gain is null"),
        ("score.high<=1", "score.high is null"),
        ("iterations.-1.score.low>0", "iterations.-1.score is null"),
    ],
)
def test_a_figure_that_is_null_misses_and_says_so(gate: str, what: str) -> None:
    verdict = check(parse(gate), FIGURES)
    assert (verdict.met, verdict.value, verdict.reason) == (False, None, what)


def test_a_missed_gate_says_what_the_figure_is() -> None:
    assert check(parse("score>=0.95"), FIGURES).reason == "score is 0.9"


@pytest.mark.parametrize(
    ("value", "gate", "told"),
    [
        (0.31296, "x>=0.313", "0.31296"),
        (0.9, "x>=0.9000001", "0.9"),
        (0.89999, "x>=0.9", "0.89999"),
        (0.89999, "x>0.9", "0.89999"),
        (0.900004, "x<=0.9", "0.900004"),
        (0.31349, "x>=0.3135", "0.31349"),
        (0.12344, "x>=0.12341", "0.1234"),
        (0.12346, "x<0.12345", "0.1235"),
        (0.9, "x>0.9", "0.9"),
        (1 / 3, "x>0.5", "0.3333"),
        (1 / 3, "x>0.3333333333333333", "0.3333333333333333"),
        (12346, "x<=12345", "12346"),
        (True, "x<=0", "1"),
    ],
)
def test_a_missed_gate_has_as_many_digits_as_show_that_it_is_missed(
    value: float, gate: str, told: str
) -> None:
    verdict = check(parse(gate), {"x": value})
    assert verdict.reason == ("" if verdict.met else f"x is {told}")


@given(value=st.floats(-2, 2), bound=st.decimals(-2, 2, places=5), sign=st.sampled_from("<>"))
@example(0.5 - 2e-9, Decimal("0.5"), ">=")
def test_what_a_missed_gate_says_never_meets_it(value: float, bound: Decimal, sign: str) -> None:
    for operator in (sign, sign[0] + "="):
        gate = parse(f"x{operator}{bound}")
        verdict = check(gate, {"x": value})
        if not verdict.met:
            told = float(verdict.reason.removeprefix("x is "))
            assert not check(gate, {"x": told}).met
            assert (told == gate.bound) == (value == gate.bound)


@pytest.mark.parametrize(
    "gate",
    [
        *("", "n", "n>=", ">=3", "n==3", "n>=x", "n>=nan", "n>=inf", "n=>3", "n>=1e999"),
        *(
            "n>=1_0",
            "n>=\u0663",
            "n>=\uff11",
            "n>=0x1",
            "n>=.",
            "n>=1e",
            "n>=90%",
            "n>=0,9",
            "n>=--1",
        ),
    ],
)
def test_what_is_no_gate_is_told_how_one_looks(gate: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(gate)
    assert "'score>=0.8'" in caught.value.hint


@pytest.mark.parametrize(
    ("bound", "value"),
    [("1", 1), ("+1", 1), ("-1.50", -1.5), (".5", 0.5), ("5.", 5), ("1e-2", 0.01), ("2E+1", 20)],
)
def test_a_bound_is_a_decimal_number(bound: str, value: float) -> None:
    assert parse(f"n>={bound}").bound == value


@pytest.mark.parametrize(
    ("gate", "hint"),
    [
        ("scroe>=0", "score"),
        ("score.lwo>=0", "score.low"),
        ("items.tome.fixed>=0", "items.tone.fixed"),
        ("items>=0", "items.tone.fixed"),
        ("text>=0", "one of"),
        ("nope>=0", "one of"),
        ("iterations.7.score>=0", "iterations.0.score"),
    ],
)
def test_an_unknown_figure_is_told_what_is_close(gate: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(parse(gate), FIGURES)
    assert hint in caught.value.hint


def test_an_interval_around_a_value_is_read_like_one_around_a_mean() -> None:
    figures = {
        "kappa": {"value": 0.7, "low": 0.5, "high": 0.8},
        "auc": {"value": None, "low": None, "high": None, "reason": "all labels are the same"},
    }
    assert check(parse("kappa>=0.7"), figures).met
    assert not check(parse("kappa.low>=0.6"), figures).met
    assert check(parse("auc>=0.5"), figures).reason == "auc is null: all labels are the same"
    with pytest.raises(UsageError) as caught:
        check(parse("kapa>=0.5"), figures)
    assert "kappa" in caught.value.hint
