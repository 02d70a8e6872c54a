"""Compute the intervals and tests of reports, with numpy and scipy.

All of them take the clusters that vary independently (datapoints of one `group`, rows with one id)
as their units, so that ten variants of one prompt do not count as ten prompts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from refinecli.types import JSONObject

RESAMPLES = 10_000
TOO_FEW = 20  # with fewer units an interval would promise more than it holds
CONFIDENCE = 0.95
POWER = 0.8
_SEED = 42
_BATCH = 2_000_000  # numbers held at once while resampling
_TIE = 1e-9  # scores are sums of floats
Floats: TypeAlias = NDArray[np.float64]
Clusters: TypeAlias = Sequence[Hashable] | None


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and its 95% interval, without ends where there are too few units."""

    mean: float
    low: float | None = None
    high: float | None = None

    def record(self) -> JSONObject:
        return {"mean": self.mean, "low": self.low, "high": self.high}


def _rounded(value: float) -> float:
    """Remove the dust of adding floats, which would lie above 0 where nothing does."""
    return round(float(value), 9) + 0.0  # no -0.0


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
    value = _rounded(sums.sum() / sizes.sum())
    if np.count_nonzero(sizes) < TOO_FEW:
        return Interval(value)
    low, high = _percentiles(sums, sizes)
    return Interval(value, _rounded(low), _rounded(high))


def proportion(flags: Sequence[bool], clusters: Clusters = None) -> Interval | None:
    """Return a share and its Wilson interval; with clusters of several, the interval of a mean."""
    hits, n = sum(flags), len(flags)
    if not n:
        return None
    if clusters is not None and units(clusters) < n:
        return mean([float(flag) for flag in flags], clusters)
    if n < TOO_FEW:
        return Interval(hits / n)
    low, high = stats.binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(hits / n, float(low), float(high))


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
    return float(found * np.sqrt(variance)) if variance > _TIE**2 else None


# ------------------------------------------------------------------ inside


def _by_cluster(values: Sequence[float], clusters: Clusters) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if clusters is None:
        return numbers
    places: dict[Hashable, int] = {}
    where = [places.setdefault(cluster, len(places)) for cluster in clusters]
    return np.bincount(where, weights=numbers, minlength=len(places)).astype(np.float64)


def _up_and_down(differences: Floats) -> tuple[int, int]:
    return int(np.sum(differences > _TIE)), int(np.sum(differences < -_TIE))


def _percentiles(sums: Floats, sizes: Floats) -> tuple[float, float]:
    rows: Floats = np.round(np.column_stack([sums, sizes]), 9).astype(np.float64)
    kinds, counts = np.unique(rows, axis=0, return_counts=True)
    if 3 * len(kinds) < len(rows):  # where it is the faster way
        resampled = np.concatenate(list(_drawn_by_kind(kinds, counts)))
        tail = 100 * (1 - CONFIDENCE) / 2
        low, high = np.percentile(resampled, [tail, 100 - tail])
        return float(low), float(high)
    result = stats.bootstrap(
        (sums, sizes),
        lambda tops, bottoms, axis: tops.sum(axis) / bottoms.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, _BATCH // len(sums)),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(_SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _drawn_by_kind(kinds: Floats, counts: NDArray[np.intp]) -> Iterator[Floats]:
    """Yield the same resamples where few distinct values repeat often: how many of each are drawn
    is multinomial, and drawing that takes the same time for a hundred thousand values as for
    ten."""
    rng = np.random.default_rng(_SEED)
    n = int(counts.sum())
    batch = max(1, _BATCH // len(kinds))
    for begin in range(0, RESAMPLES, batch):
        drawn = rng.multinomial(n, counts / n, size=min(batch, RESAMPLES - begin))
        yield (drawn @ kinds[:, 0]) / (drawn @ kinds[:, 1])
