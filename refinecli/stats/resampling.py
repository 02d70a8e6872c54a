"""Compute intervals of figures that are not plain means by resampling whole clusters.

scipy's bootstrap calls its statistic once a resample or needs rows of equal length, and a library
of metrics takes milliseconds for each of thirty figures: minutes, where sums over clusters take a
second. So a figure is a quotient of sums wherever it can be one, and all figures share the draws;
rank statistics are computed by scipy on each resample, of which there are fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from refinecli.stats.draws import (
    DUST,
    RESAMPLES,
    SEED,
    TOO_FEW,
    Floats,
    numbered,
    percentiles,
    resampled_sums,
    rounded,
    wilson,
)
from refinecli.types import JSONObject

_MOST_DRAWN = 100_000_000  # numbers drawn in all for sums; for ranks, rows
_MOST_ROWS = 4_000_000
_LEAST_RESAMPLES, _RANK_RESAMPLES = 1_000, 2_000
# An interval over the resamples where a figure is defined leaves out the worst ones.
_MOST_UNDEFINED = 0.05

# The reason for having no ends where the resamples say nothing about another case.
SAME = "the same in every resample: they show no error"

Formula: TypeAlias = Callable[[Floats], Floats]
Ranked: TypeAlias = Callable[[Floats, Floats], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A value and its 95% interval; `reason` says why there is no value, or no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str = ""

    def record(self) -> JSONObject:
        found: JSONObject = {"value": self.value, "low": self.low, "high": self.high}
        return found | ({"reason": self.reason} if self.reason else {})


@dataclass(frozen=True, slots=True)
class Measure:
    """A quotient of formulas over summed columns, which lie on the last axis.

    It is a `share` where each row counts or does not; `undefined` says what a divisor of 0 means.
    """

    top: Formula
    bottom: Formula
    undefined: str
    share: bool = False

    def __call__(self, sums: Floats) -> Floats:
        top, bottom = self.top(sums), self.bottom(sums)
        there = np.abs(bottom) > DUST
        return np.where(there, top / np.where(there, bottom, 1.0), np.nan).astype(np.float64)


class Clusters:
    """Rows grouped by what varies together, and figures over them with their intervals."""

    def __init__(self, clusters: Sequence[Hashable]) -> None:
        self._codes = numbered(clusters)
        self.rows, self.units = len(self._codes), len(set(clusters))

    @property
    def too_few(self) -> str:
        """The reason for having no interval, where there are too few clusters to draw from."""
        if self.units >= TOO_FEW:
            return ""
        return f"too few for an interval: {self.units}, and it takes {TOO_FEW}"

    def of_sums(
        self, columns: Sequence[Floats], measures: Mapping[str, Measure]
    ) -> dict[str, Figure]:
        """Compute each measure over the columns; a plain share gets Wilson's interval."""
        table = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
        total, by_cluster = table.sum(axis=0), self._sums(table)
        drawn = None if self.too_few else self._drawn_sums(by_cluster)
        found = {}
        for name, measure in measures.items():
            value = float(measure(total))
            if np.isnan(value):
                found[name] = Figure(None, reason=measure.undefined)
            elif measure.share and (self._plain(table, measure) or _at_an_end(value)):
                found[name] = _wilson(value, int(np.sum(measure.bottom(by_cluster) > DUST)))
            elif drawn is None:
                found[name] = Figure(rounded(value), reason=self.too_few)
            else:
                found[name] = _between(value, measure(drawn))
        return found

    def _plain(self, table: Floats, measure: Measure) -> bool:
        """Return whether each cluster is one row that counts or does not."""
        counts = np.concatenate([measure.top(table), measure.bottom(table)])
        return self.units == self.rows and bool(np.all(np.isin(counts, (0.0, 1.0))))

    def _sums(self, table: Floats) -> Floats:
        columns = [np.bincount(self._codes, column, self.units) for column in table.T]
        return np.round(np.column_stack(columns), 12).astype(np.float64)

    def of_ranks(self, x: Floats, y: Floats, measure: Ranked, undefined: str) -> Figure:
        """Compute a measure of two columns, repeated on the rows of each resample."""
        value = measure(x, y)
        if np.isnan(value):
            return Figure(None, reason=undefined)
        if self.too_few:
            return Figure(rounded(value), reason=self.too_few)
        again = [measure(x[rows], y[rows]) for rows in self._drawn_rows()]
        return _between(value, np.asarray(again, dtype=np.float64))

    def _drawn_sums(self, by_cluster: Floats) -> Floats:
        """Return the sums of each resample."""
        kinds, counts = np.unique(by_cluster, axis=0, return_counts=True)
        resamples = min(RESAMPLES, max(_LEAST_RESAMPLES, _MOST_DRAWN // len(kinds)))
        return np.concatenate(list(resampled_sums(kinds, counts, resamples))).astype(np.float64)

    def _drawn_rows(self) -> Iterator[NDArray[np.intp]]:
        """Yield the rows of each resample: all of a cluster, as often as it is drawn."""
        order = np.argsort(self._codes, kind="stable")
        sizes = np.bincount(self._codes, minlength=self.units)
        starts = np.cumsum(sizes) - sizes
        rng = np.random.default_rng(SEED)
        resamples = min(_RANK_RESAMPLES, max(_RANK_RESAMPLES // 5, _MOST_ROWS // self.rows))
        for _ in range(resamples):
            drawn = rng.integers(0, self.units, self.units)
            lengths = sizes[drawn]
            before = np.cumsum(lengths) - lengths
            yield order[np.repeat(starts[drawn] - before, lengths) + np.arange(lengths.sum())]


def _between(value: float, again: Floats) -> Figure:
    defined = again[~np.isnan(again)]
    missing = 1 - len(defined) / len(again)
    if missing > _MOST_UNDEFINED:
        return Figure(rounded(value), reason=f"undefined in {missing:.0%} of the resamples")
    low, high = percentiles(defined)
    if np.ptp(defined) < DUST:
        return Figure(rounded(value), reason=SAME)
    return Figure(rounded(value), rounded(low), rounded(high))


def _wilson(value: float, n: int) -> Figure:
    low, high = wilson(round(value * n), n)
    return Figure(rounded(value), rounded(low), rounded(high))


def _at_an_end(value: float) -> bool:
    """Return whether it is all or none: every resample would be the same, though the next case need
    not."""
    return value < DUST or value > 1 - DUST
