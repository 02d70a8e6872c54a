"""Build the boxes with the alarms, each as loud as what it says about the figures below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

from refinecli.report.html.text import data, ends, escape, fields, mean, rows, signed
from refinecli.types import JSONObject

Loudness: TypeAlias = Literal["loud", "warning", "quiet"]

_TITLES: dict[Loudness, str] = {
    "loud": "⚠ Do not trust the figures before you have read this",
    "warning": "Look at this first",
    "quiet": "Notes",
}
# Loud: what is claimed may not be so. Quiet: a figure is over other rows than one may think. All
# others are signs to look into.
_LOUD = {"unconfirmed", "noisy_gain", "rubric_copied", "judge_not_held_out", "mixed"}
_QUIET = {"gated", "unequal_cost", "other_conversation", "ungraded_first", "ungraded_item"}
_MANY = 0.2  # the share of datapoints that failed or stayed ungraded which makes that loud


def alarm_boxes(report: JSONObject) -> str:
    """Return a box for each degree of loudness that has alarms, the loudest first."""
    found = [*_unconfirmed(report), *rows(report.get("alarms"))]
    boxes = []
    for degree, title in _TITLES.items():
        listed = "".join(_line(alarm) for alarm in found if _loudness(alarm, report) == degree)
        if listed:
            boxes.append(
                f'<section class="{degree}" aria-labelledby="alarms-{degree}">'
                f'<h2 id="alarms-{degree}">{title}</h2><ul>{listed}</ul></section>'
            )
    return f'<div class="alarms">{"".join(boxes)}</div>' if boxes else ""


def _line(alarm: JSONObject) -> str:
    kind = escape(str(alarm.get("type")).replace("_", " "))
    return f"<li><strong>{kind}:</strong> {data(alarm.get('message'))}</li>"


def _loudness(alarm: JSONObject, report: JSONObject) -> Loudness:
    kind = alarm.get("type")
    if kind in _LOUD or (kind in ("failed", "ungraded") and _unscored(report) > _MANY):
        return "loud"
    return "quiet" if kind in _QUIET else "warning"


def _unscored(report: JSONObject) -> float:
    """Return the share of the datapoints without a score."""
    run = fields((rows(report.get("runs")) or [{}])[-1])
    datapoints, scored = run.get("datapoints"), report.get("scored")
    if not isinstance(datapoints, int) or not isinstance(scored, int) or not datapoints:
        return 0.0
    return 1 - scored / datapoints


def _unconfirmed(report: JSONObject) -> Iterator[JSONObject]:
    """Yield an alarm where the loop saw a gain, and fresh grades do not."""
    claim, loop = fields(report.get("claim")), report.get("loop_gain")
    named = {"regraded": "fresh grades", "heldout": "the held-out judge"}
    again = named.get(str(claim.get("basis")))
    if not again or claim.get("gain") is True or (ends(loop) or (0, 0))[0] <= 0:
        return
    fresh = report.get(f"{claim['basis']}_gain")
    if (found := mean(fresh)) is None:
        return
    interval = ends(fresh)
    within = f" ({signed(interval[0])} to {signed(interval[1])})" if interval else ""
    yield {
        "type": "unconfirmed",
        "message": f"The loop's own grades show a gain of {signed(mean(loop))}, and {again} do not "
        f"confirm it: {signed(found)}{within}.".replace("judge do not", "judge does not"),
    }
