"""Fit the threshold above which a probable pass is a pass to the labels.

Accuracy on the labels that a threshold was chosen by flatters it, so its worth is estimated by
cross-validation: folds of whole clusters, each judged by the threshold that fits the others.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refinecli.agreement import measures
from refinecli.agreement.conclusions import chance
from refinecli.agreement.judged import Judged
from refinecli.stats.draws import Floats, numbered
from refinecli.stats.resampling import Clusters, Figure

_FOLDS = 5
_DIGITS = 4  # of a threshold, unless more are needed


class Row(NamedTuple):
    """One verdict by probabilities, and its label."""

    cluster: Hashable
    likely: float  # that it passes
    gold: float  # 1.0 where the label says that it does


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, and the balanced accuracy of its verdicts: with the one in use so far, with
    itself, and with itself under cross-validation. `auc` is that of the probabilities."""

    threshold: float
    n: int
    clusters: int
    auc: Figure
    before: Figure
    fitted: Figure
    held_out: Figure

    @property
    def chance(self) -> str | None:
        """The comparison of the probabilities with guessing; None where that is unknown."""
        return chance(self.auc.record(), 0.5)


def calibrate(judged: Sequence[Judged], before: float) -> Calibration | None:
    """Fit a threshold; None where all labels are the same, so that there is nothing to separate."""
    rows = [
        Row(one.cluster, one.likely, float(one.gold != one.penalty))
        for one in judged
        if one.likely is not None and one.gold is not None
    ]
    if len({row.gold for row in rows}) < 2:
        return None
    clusters = Clusters([row.cluster for row in rows])
    likely, gold = (np.asarray([row[i] for row in rows], dtype=np.float64) for i in (1, 2))
    threshold = _best(likely, gold)

    def accuracy(passed: NDArray[np.bool_]) -> Figure:
        columns = measures.cells(passed.astype(np.float64), gold, np.ones_like(gold))
        wanted = {"it": measures.VERDICTS["balanced_accuracy"]}
        return clusters.of_sums(columns, wanted)["it"]

    return Calibration(
        threshold=threshold,
        n=len(rows),
        clusters=clusters.units,
        auc=clusters.of_ranks(likely, gold, measures.auc, "all labels are the same"),
        before=accuracy(likely >= before),
        fitted=accuracy(likely >= threshold),
        held_out=accuracy(_cross_validated(rows, likely, gold)),
    )


def _best(likely: Floats, gold: Floats) -> float:
    """Return the threshold with the highest balanced accuracy (Youden's index), among equals the
    one nearest to a half."""
    values = np.unique(likely)
    between = [_between(low, high) for low, high in pairwise(values.tolist())]
    candidates = np.asarray([0.0, *between, 1.0])
    order = np.argsort(likely)
    first = np.searchsorted(likely[order], candidates)  # passes begin there
    good = np.append(np.cumsum(gold[order][::-1])[::-1], 0.0)[first]
    bad = len(gold) - first - good
    right = good / gold.sum() - bad / (1 - gold).sum()
    best = candidates[right >= right.max() - 1e-9]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _between(low: float, high: float) -> float:
    """Return the middle in a few digits, but enough to separate the two: where a model hardly ever
    says yes, all values may be millionths."""
    middle = (low + high) / 2
    written = (float(f"{middle:.{digits}g}") for digits in range(_DIGITS, 18))
    return next((number for number in written if low < number <= high), high)


def _cross_validated(rows: Sequence[Row], likely: Floats, gold: Floats) -> NDArray[np.bool_]:
    folds = numbered([row.cluster for row in rows]) % _FOLDS
    passed = np.zeros(len(rows), dtype=np.bool_)
    for fold in range(_FOLDS):
        here, there = folds == fold, folds != fold
        both = len(np.unique(gold[there])) == 2
        threshold = _best(likely[there], gold[there]) if both else 0.5
        passed[here] = likely[here] >= threshold
    return passed
