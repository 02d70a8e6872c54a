"""The alarms on the page: each as loud as what it says about the figures."""

from __future__ import annotations

import re
from typing import Any

import pytest

from refinecli.report.html.alarm_box import alarm_boxes
from tests.support.report_pages import gain, report_of

UNCONFIRMED = {"claim": {"basis": "regraded", "gain": False}, "regraded_gain": gain(0.01, 0.03)}


def boxes(**parts: Any) -> dict[str, list[str]]:
    """The kinds of the alarms by the box that they are in."""
    found = re.findall(r'<section class="(\w+)".*?</section>', alarm_boxes(report_of(60, **parts)))
    whole = re.split(r'<section class="', alarm_boxes(report_of(60, **parts)))[1:]
    return {
        name: re.findall(r"<strong>(.*?):</strong>", text)
        for name, text in zip(found, whole, strict=True)
    }


def alarms(*kinds: str) -> list[dict[str, str]]:
    return [{"type": kind, "message": "so it is"} for kind in kinds]


def test_a_gain_that_fresh_grades_do_not_confirm_is_loud_and_first() -> None:
    found = boxes(**UNCONFIRMED, alarms=alarms("length", "gated"))
    assert list(found.items()) == [
        ("loud", ["unconfirmed"]),
        ("warning", ["length"]),
        ("quiet", ["gated"]),
    ]
    text = alarm_boxes(report_of(60, **UNCONFIRMED))
    assert "fresh grades do not confirm it: +0.010 (−0.020 to +0.040)." in text


@pytest.mark.parametrize(
    "parts",
    [
        {},  # it is confirmed
        {"claim": {"basis": "code", "gain": False}},
        {"claim": {"basis": None, "gain": False}, "regraded_gain": None},
        UNCONFIRMED | {"loop_gain": gain(0.01, 0.03)},  # nothing was found in the first place
        UNCONFIRMED | {"regraded_gain": None},
    ],
)
def test_nothing_else_is_an_unconfirmed_gain(parts: dict[str, Any]) -> None:
    assert boxes(**parts, alarms=[]) == {}


def test_the_held_out_judge_may_not_confirm_it_either() -> None:
    parts = {"claim": {"basis": "heldout", "gain": False}, "heldout_gain": gain(-0.01, 0.03)}
    assert "the held-out judge does not confirm it: −0.010" in alarm_boxes(report_of(60, **parts))


@pytest.mark.parametrize(("scored", "box"), [(30, "loud"), (55, "warning")])
def test_failures_are_as_loud_as_they_are_many(scored: int, box: str) -> None:
    assert boxes(alarms=alarms("failed", "ungraded"), scored=scored) == {
        box: ["failed", "ungraded"]
    }


def test_without_alarms_there_is_no_box() -> None:
    assert alarm_boxes(report_of(60, alarms=[])) == ""
