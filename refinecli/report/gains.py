"""Compute gains, in the loop, regraded, and by the held-out judge, and what they allow to claim.

The loop keeps the best of several noisy grades, so its own gain is too high even where the edits
change nothing. Fresh grades had no part in that choice; the difference is the optimism.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from refinecli.report.cases import Case, Key
from refinecli.stats import statistics
from refinecli.stats.draws import TOO_FEW
from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class Regrade:
    """Fresh grades of one datapoint's first and final response.

    The scores, and those by rubric item, are means over the repeats that could be graded; `spread`
    is the standard deviation of the repeats of one text. Each of `others` has the same for a
    baseline's response, as the first, and the final one.
    """

    first: float | None
    final: float | None
    items: tuple[tuple[float | None, float | None], ...] = ()
    spread: float | None = None
    others: tuple[Regrade | None, ...] = ()

    @property
    def gain(self) -> float | None:
        return None if self.first is None or self.final is None else self.final - self.first


Regrades: TypeAlias = Mapping[Key, Regrade]
# Five differing units that all went up have an exact two-sided p of 0.0625: a gain that rests on
# fewer than six is not claimed, whatever the bootstrap says.
LEAST_DIFFERING = 6


@dataclass(frozen=True)
class Differences:
    """Final minus first score, by datapoint, with the cluster of each."""

    values: tuple[float, ...]
    clusters: tuple[Hashable, ...]

    @cached_property
    def interval(self) -> statistics.Interval | None:
        return statistics.mean(self.values, self.clusters)

    @cached_property
    def signs(self) -> statistics.SignTest:
        return statistics.sign_test(self.values, self.clusters)

    @property
    def is_gain(self) -> bool:
        interval = self.interval
        return (
            interval is not None
            and interval.low is not None
            and interval.low > 0
            and self.signs.differing >= LEAST_DIFFERING
        )


def differences(cases: Iterable[Case], of: Callable[[Case], float | None]) -> Differences:
    """Collect `of` each datapoint, without those where it is None."""
    found = [(value, case.cluster) for case in cases if (value := of(case)) is not None]
    return Differences(tuple(v for v, _ in found), tuple(c for _, c in found))


def gains(
    cases: Sequence[Case], regraded: Regrades | None = None, heldout: Regrades | None = None
) -> JSONObject:
    """Compute the gains of a run, and the `claim` that they allow."""
    scored = [case for case in cases if loop_gain(case) is not None]
    loop = differences(scored, loop_gain)
    fresh = differences(scored, lambda case: _fresh_gain(case, regraded))
    judged = differences(scored, lambda case: _fresh_gain(case, heldout))
    hidden = differences(scored, lambda case: part_gain(case, "verdict"))
    # Where nothing is hidden, all items are shown.
    shown = differences(scored if hidden.values else (), lambda case: part_gain(case, "full"))
    basis = fresh if fresh.values else judged if judged.values else loop
    return {
        "n": len(scored),
        "loop_gain": record(loop.interval),
        "regraded_gain": record(fresh.interval),
        "heldout_gain": record(judged.interval),
        "optimism": record(_gap(scored, loop_gain, lambda c: _fresh_gain(c, regraded))),
        "judge_gap": record(
            _gap(scored, lambda c: _fresh_gain(c, regraded), lambda c: _fresh_gain(c, heldout))
        ),
        "verdict_gain": record(hidden.interval),
        "revealed_gain": record(shown.interval),
        "sign_test": loop.signs.record() if scored else None,
        "regraded_sign_test": fresh.signs.record() if fresh.values else None,
        "detectable": statistics.detectable(basis.values, basis.clusters),
        "too_few": statistics.units(basis.clusters) < TOO_FEW,
        "claim": _claim(scored, loop, fresh, judged),
    }


def _claim(
    scored: Sequence[Case], loop: Differences, fresh: Differences, judged: Differences
) -> JSONObject:
    """Decide what the gain is claimed from: fresh grades, the held-out judge, or grades by code,
    which have the same errors the second time; never from a model's own grades in the loop."""
    by_code = bool(scored) and all(item.by_code for case in scored for item in case.items)
    if by_code:
        return {"basis": "code", "gain": loop.is_gain}
    if fresh.values:
        return {"basis": "regraded", "gain": fresh.is_gain}
    if judged.values:
        return {"basis": "heldout", "gain": judged.is_gain}
    return {"basis": None, "gain": False}


# ------------------------------------------------------------------ one datapoint


def loop_gain(case: Case) -> float | None:
    """Return the final score minus the first, both as graded in the loop."""
    if case.first is None or case.final is None:
        return None
    return case.final - case.first


def part_gain(case: Case, reveal: str) -> float | None:
    """Return the gain over the items with this `reveal` alone."""
    first, final = case.steps[0].marks, case.steps[case.best].marks
    total = weights = 0.0
    for item, before, after in zip(case.items, first, final, strict=True):
        if item.reveal == reveal:
            if before.score is None or after.score is None:
                return None
            total += item.weight * (after.score - before.score)
            weights += abs(item.weight)
    return total / weights if weights else None


def _fresh_gain(case: Case, regrades: Regrades | None) -> float | None:
    regrade = regrades.get(case.key) if regrades else None
    return regrade.gain if regrade else None


def _gap(
    cases: Sequence[Case],
    one: Callable[[Case], float | None],
    other: Callable[[Case], float | None],
) -> statistics.Interval | None:
    def gap(case: Case) -> float | None:
        here, there = one(case), other(case)
        return None if here is None or there is None else here - there

    return differences(cases, gap).interval


def record(interval: statistics.Interval | None) -> JSONObject | None:
    return interval.record() if interval else None
