"""Draw whole clusters again and again, and read an interval off: for the report and for agreement.

The clusters are what varies independently (datapoints of one `group`, rows with one id), so that
ten variants of one prompt do not count as ten prompts.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
TOO_FEW = 20  # with fewer units an interval would promise more than it holds
CONFIDENCE = 0.95
SEED = 42
BATCH = 2_000_000  # numbers held at once while resampling
DUST = 1e-9  # of adding floats: scores are sums of them
Floats: TypeAlias = NDArray[np.float64]


def rounded(value: float) -> float:
    """Remove the dust of adding floats, which would lie above 0 where nothing does."""
    return round(float(value), 9) + 0.0  # no -0.0


def numbered(clusters: Sequence[Hashable]) -> NDArray[np.intp]:
    """Return a number for each row's cluster, from 0 in the order of their first rows."""
    places: dict[Hashable, int] = {}
    numbers = [places.setdefault(cluster, len(places)) for cluster in clusters]
    return np.asarray(numbers, dtype=np.intp)


def resampled_sums(kinds: Floats, counts: NDArray[np.intp], resamples: int) -> Iterator[Floats]:
    """Yield the sums over each resample of as many clusters, of which `counts` are of each kind.

    How many of each are drawn is multinomial, and drawing that takes the same time for a hundred
    thousand equal clusters as for ten.
    """
    rng = np.random.default_rng(SEED)
    n = int(counts.sum())
    batch = max(1, BATCH // len(kinds))
    for begin in range(0, resamples, batch):
        yield rng.multinomial(n, counts / n, size=min(batch, resamples - begin)) @ kinds


def percentiles(resampled: Floats) -> tuple[float, float]:
    """Return the ends of the middle 95%."""
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return float(low), float(high)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a share."""
    ends = stats.binomtest(hits, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(ends.low), float(ends.high)
