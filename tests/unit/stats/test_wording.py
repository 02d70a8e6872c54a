"""Figures in words."""

from __future__ import annotations

from typing import Any

import pytest

from refinecli.stats.wording import change, ends, number, plural


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [
        (None, "-", "-"),
        (0.6519, "0.652", "+0.652"),
        (-0.12, "-0.120", "-0.120"),
        (0.0, "0.000", "+0.000"),
        (-0.0004, "0.000", "+0.000"),
        (0.0005, "0.001", "+0.001"),
    ],
)
def test_a_number_has_three_digits_and_no_sign_of_nothing(
    value: float | None, plain: str, signed: str
) -> None:
    assert (number(value), number(value, signed=True)) == (plain, signed)


def test_a_number_has_as_many_digits_as_are_asked_for() -> None:
    assert (number(0.123_46, digits=4), number(2, digits=0)) == ("0.1235", "2")


def interval(low: float | None, high: float | None, mean: float = 0.5) -> dict[str, Any]:
    return {"mean": mean, "low": low, "high": high}


def test_ends_are_both_or_a_dash() -> None:
    assert ends(interval(0.4, 0.6)) == "0.400 to 0.600"
    assert ends(interval(-0.4, 0.6), signed=True) == "-0.400 to +0.600"
    assert ends(interval(0.0, 0.0)) == "0.000 to 0.000"
    assert ends(interval(None, None)) == "-"
    assert ends(None) == "-"


def test_a_change_is_signed_with_its_ends_if_it_has_any() -> None:
    assert change(interval(0.4, 0.6)) == "+0.500 (95%: +0.400 to +0.600)"
    assert change(interval(None, None)) == "+0.500"


def test_one_of_a_kind_has_no_s() -> None:
    assert [plural(n, "call") for n in (0, 1, 2000)] == ["0 calls", "1 call", "2,000 calls"]
