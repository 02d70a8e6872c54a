"""Say in words what a gain was traded for: an item that rose while another fell, or more words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from refinecli.stats.wording import number
from refinecli.text.clean import one_line
from refinecli.types import JSONObject


class Moved(NamedTuple):
    """An item's mean score before and after; its `gain` is above 0 where it improved."""

    name: str
    before: float
    after: float
    gain: JSONObject
    penalty: bool = False


_LEAST = 0.03  # of an item's mean: less is not worth a sentence, however sure it is
_LONGER, _SHORTER = 1.25, 0.8  # times as many words
_MOST = 3  # items on each side


def trade(items: Sequence[Moved], length: JSONObject | None = None) -> Iterator[str]:
    """Yield at most one sentence, where something improved while something else fell, or while
    responses became longer or shorter; only changes whose interval excludes 0 count."""
    better = _sorted(item for item in items if (item.gain["low"] or 0) > 0)
    worse = _sorted(item for item in items if (item.gain["high"] or 0) < 0)
    words = _words(length)
    if better and (worse or words):
        lost = [_moved(item) for item in worse]
        yield f"A trade: {_joined(map(_moved, better))} while {_joined([*lost, *words])}."
    elif worse and words:
        yield f"A trade: {_joined(map(_moved, worse))} while {_joined(words)}."


def _sorted(items: Iterator[Moved]) -> list[Moved]:
    found = [item for item in items if abs(item.gain["mean"]) >= _LEAST]
    return sorted(found, key=lambda item: -abs(item.gain["mean"]))[:_MOST]


def _moved(item: Moved) -> str:
    name = one_line(item.name, 60) + (" (a penalty)" if item.penalty else "")
    verb = "rose" if item.after > item.before else "fell"
    return f"{name} {verb} {number(item.before, digits=2)} → {number(item.after, digits=2)}"


def _words(length: JSONObject | None) -> list[str]:
    ratio = length and length["ratio"]
    if not length or not ratio or ratio["low"] is None:
        return []
    times = ratio["mean"]
    longer = times >= _LONGER and ratio["low"] > 1
    if not longer and not (times <= _SHORTER and ratio["high"] < 1):
        return []
    became = "rose" if longer else "fell"
    return [
        f"the words of a response {became} {length['old']:,.0f} → {length['new']:,.0f} "
        f"({times:.1f} times as many)"
    ]


def _joined(parts: Sequence[str] | Iterator[str]) -> str:
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
