"""Compute the intervals and tests of reports, with numpy and scipy.

All of them take the clusters that vary independently as their units (`draws`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import stats

from refinecli.stats.draws import (
    BATCH,
    CONFIDENCE,
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

POWER = 0.8
Clusters: TypeAlias = Sequence[Hashable] | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% interval, without ends where there are too few units."""

    mean: float
    low: float | None = None
    high: float | None = None

    def record(self) -> JSONObject:
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class SignTest:
    """Wins, ties and losses. `p_value` is exact, over clusters where there are any, and `differing`
    counts those that went either way."""

    wins: int
    ties: int
    losses: int
    p_value: float
    differing: int

    def record(self) -> JSONObject:
        return {
            "wins": self.wins,
            "ties": self.ties,
            "losses": self.losses,
            "p_value": self.p_value,
        }


def units(clusters: Sequence[Hashable]) -> int:
    """Count the clusters, which vary independently."""
    return len(set(clusters))


def mean(values: Sequence[float], clusters: Clusters = None) -> Interval | None:
    """Return the mean and its bootstrap interval; for differences, that is the paired bootstrap."""
    return ratio(values, [1.0] * len(values), clusters)


def ratio(
    tops: Sequence[float], bottoms: Sequence[float], clusters: Clusters = None
) -> Interval | None:
    """Return the ratio of two sums and its percentile bootstrap interval over whole clusters."""
    sums, sizes = _by_cluster(tops, clusters), _by_cluster(bottoms, clusters)
    if not sizes.sum():
        return None
    value = rounded(sums.sum() / sizes.sum())
    if np.count_nonzero(sizes) < TOO_FEW:
        return Interval(value)
    low, high = _ends(sums, sizes)
    return Interval(value, rounded(low), rounded(high))


def proportion(flags: Sequence[bool], clusters: Clusters = None) -> Interval | None:
    """Return a share and its Wilson interval; with clusters of several, the interval of a mean."""
    hits, n = sum(flags), len(flags)
    if not n:
        return None
    if clusters is not None and units(clusters) < n:
        return mean([float(flag) for flag in flags], clusters)
    if n < TOO_FEW:
        return Interval(hits / n)
    return Interval(hits / n, *wilson(hits, n))


def sign_test(differences: Sequence[float], clusters: Clusters = None) -> SignTest:
    """Count wins, ties and losses, and test how likely so uneven a split is by chance."""
    up, down = _up_and_down(np.asarray(differences, dtype=float))
    ups, downs = _up_and_down(_by_cluster(differences, clusters))
    p_value = stats.binomtest(ups, ups + downs).pvalue if ups + downs else 1.0
    ties = len(differences) - up - down
    return SignTest(up, ties, down, float(p_value), ups + downs)


def detectable(differences: Sequence[float], clusters: Clusters = None) -> float | None:
    """Return the smallest true mean that a sample like this finds 4 times in 5 (two-sided 5%)."""
    sums = _by_cluster(differences, clusters)
    sizes = _by_cluster([1.0] * len(differences), clusters)
    if len(sums) < TOO_FEW:
        return None
    rest = sums - sizes * (sums.sum() / sizes.sum())
    variance = float(np.sum(rest**2)) / float(sizes.sum()) ** 2 * len(sums) / (len(sums) - 1)
    found = stats.norm.ppf((1 + CONFIDENCE) / 2) + stats.norm.ppf(POWER)
    return float(found * np.sqrt(variance)) if variance > DUST**2 else None


# ------------------------------------------------------------------ inside


def _by_cluster(values: Sequence[float], clusters: Clusters) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return numbers
    return np.bincount(numbered(clusters), weights=numbers).astype(np.float64)


def _up_and_down(differences: Floats) -> tuple[int, int]:
    return int(np.sum(differences > DUST)), int(np.sum(differences < -DUST))


def _ends(sums: Floats, sizes: Floats) -> tuple[float, float]:
    rows: Floats = np.round(np.column_stack([sums, sizes]), 9).astype(np.float64)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    if 3 * len(kinds) < len(rows):  # where it is the faster way
        drawn = np.concatenate(list(resampled_sums(kinds, counts, RESAMPLES)))
        return percentiles(drawn[:, 0] / drawn[:, 1])
    result = stats.bootstrap(
        (sums, sizes),
        lambda tops, bottoms, axis: tops.sum(axis) / bottoms.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, BATCH // len(sums)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
