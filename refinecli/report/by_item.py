"""Build the table of rubric items: each one's first and final score, and what was fixed or
broken."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from refinecli.report.by_iteration import changed
from refinecli.report.cases import Case
from refinecli.report.gains import Regrades, record
from refinecli.stats import statistics
from refinecli.types import JSONObject


@dataclass(slots=True)
class _Column:
    """The figures gathered for the items with one name."""

    first: list[float] = field(default_factory=list)
    final: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)
    clusters: list[Hashable] = field(default_factory=list)
    regraded: list[float] = field(default_factory=list)
    regraded_clusters: list[Hashable] = field(default_factory=list)
    fixed: int = 0
    broken: int = 0
    ungraded: int = 0


def items(cases: Sequence[Case], regraded: Regrades | None = None) -> list[JSONObject]:
    """Return a row for each item name, in order of appearance, over the datapoints where both
    responses were graded on it; where nothing was refined, with a final score only.

    A positive gain is always an improvement: a penalty's is how far it fell.
    """
    refined = any(len(case.steps) > 1 for case in cases)
    columns: dict[tuple[str, str, bool], _Column] = {}
    for case in cases:
        first, final = case.steps[0].marks, case.steps[case.best].marks
        regrade = regraded.get(case.key) if regraded else None
        for number, item in enumerate(case.items):
            column = columns.setdefault((item.name, item.reveal, item.weight < 0), _Column())
            before, after = first[number], final[number]
            if before.score is None or after.score is None:
                column.ungraded += not (before.skipped or after.skipped)
                continue
            column.final.append(after.score)
            column.clusters.append(case.cluster)
            if not refined:
                continue
            column.first.append(before.score)
            column.gain.append((after.score - before.score) * (1 if item.weight > 0 else -1))
            fixed, broken = changed([before], [after])
            column.fixed += fixed
            column.broken += broken
            if regrade and number < len(regrade.items):
                first_again, final_again = regrade.items[number]
                if first_again is not None and final_again is not None:
                    gain = final_again - first_again
                    column.regraded.append(gain * (1 if item.weight > 0 else -1))
                    column.regraded_clusters.append(case.cluster)
    return [_row(*key, column) for key, column in columns.items()]


def _row(name: str, reveal: str, penalty: bool, column: _Column) -> JSONObject:
    return {
        "name": name,
        "reveal": reveal,
        "penalty": penalty,
        "n": len(column.final),
        "first": _mean(column.first, column.clusters),
        "final": _mean(column.final, column.clusters),
        "gain": _mean(column.gain, column.clusters),
        "regraded_gain": _mean(column.regraded, column.regraded_clusters),
        "fixed": column.fixed,
        "broken": column.broken,
        "ungraded": column.ungraded,
    }


def _mean(values: Sequence[float], clusters: Sequence[Hashable]) -> JSONObject | None:
    return record(statistics.mean(values, clusters)) if values else None
