"""Define the figures as formulas over sums: verdicts over the four cells, scores over moments.

That is what allows ten thousand resamples at once. scikit-learn, which the tests compare them with,
takes one to four milliseconds for each, and 60 MB for what are quotients here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy import stats

from refinecli.stats.draws import Floats
from refinecli.stats.resampling import Formula, Measure

_EQUAL = 1e-9

# ------------------------------------------------------------------ verdicts

# Columns: both say met, only the grader, only the label, neither.
_TP, _FP, _FN, _TN = range(4)


def _sum(*columns: int) -> Formula:
    return lambda sums: sums[..., list(columns)].sum(axis=-1)


_ALL = _sum(_TP, _FP, _FN, _TN)
_RIGHT = _sum(_TP, _TN)


def cells(met: Floats, gold: Floats, weight: Floats) -> list[Floats]:
    """Return the columns of `VERDICTS`."""
    return [
        weight * met * gold,
        weight * met * (1 - gold),
        weight * (1 - met) * gold,
        weight * (1 - met) * (1 - gold),
    ]


def _recalls(sums: Floats) -> Floats:
    tp, fp, fn, tn = (sums[..., i] for i in range(4))
    return np.asarray(tp * (tn + fp) + tn * (tp + fn), dtype=np.float64)


def _by_chance(sums: Floats) -> Floats:
    tp, fp, fn, tn = (sums[..., i] for i in range(4))
    return np.asarray((tp + fp) * (tp + fn) + (tn + fn) * (tn + fp), dtype=np.float64)


def _f1_macro_top(sums: Floats) -> Floats:
    tp, wrong, tn = sums[..., _TP], sums[..., _FP] + sums[..., _FN], sums[..., _TN]
    return np.asarray(tp * (2 * tn + wrong) + tn * (2 * tp + wrong), dtype=np.float64)


def _f1_macro_bottom(sums: Floats) -> Floats:
    tp, wrong, tn = sums[..., _TP], sums[..., _FP] + sums[..., _FN], sums[..., _TN]
    return np.asarray((2 * tp + wrong) * (2 * tn + wrong), dtype=np.float64)


def _most(sums: Floats) -> Floats:
    return np.maximum(sums[..., _TP] + sums[..., _FN], sums[..., _FP] + sums[..., _TN])


_NO_MET, _NO_UNMET = "no label is met", "every label is met"
_ONE_CLASS = "all labels are the same"

VERDICTS: Mapping[str, Measure] = MappingProxyType(
    {
        "accuracy": Measure(_RIGHT, _ALL, "nothing to compare", share=True),
        "balanced_accuracy": Measure(
            _recalls, lambda s: 2 * _sum(_TP, _FN)(s) * _sum(_FP, _TN)(s), _ONE_CLASS
        ),
        "kappa": Measure(
            lambda s: _ALL(s) * _RIGHT(s) - _by_chance(s),
            lambda s: _ALL(s) ** 2 - _by_chance(s),
            "all labels and all verdicts are the same",
        ),
        "precision": Measure(
            _sum(_TP), _sum(_TP, _FP), "the grader never finds it met", share=True
        ),
        "recall": Measure(_sum(_TP), _sum(_TP, _FN), _NO_MET, share=True),
        "f1": Measure(
            lambda s: 2 * s[..., _TP],
            lambda s: 2 * s[..., _TP] + _sum(_FP, _FN)(s),
            "neither the grader nor a label says met",
        ),
        "precision_unmet": Measure(
            _sum(_TN), _sum(_TN, _FN), "the grader always finds it met", share=True
        ),
        "recall_unmet": Measure(_sum(_TN), _sum(_TN, _FP), _NO_UNMET, share=True),
        "f1_unmet": Measure(
            lambda s: 2 * s[..., _TN],
            lambda s: 2 * s[..., _TN] + _sum(_FP, _FN)(s),
            "both the grader and the labels always say met",
        ),
        "f1_macro": Measure(
            lambda s: _f1_macro_top(s), lambda s: _f1_macro_bottom(s), "one class has no F1"
        ),
        "base_rate": Measure(_sum(_TP, _FN), _ALL, "nothing to compare", share=True),
    }
)
MAJORITY: Mapping[str, Measure] = MappingProxyType(
    {
        "accuracy": Measure(_most, _ALL, "nothing to compare", share=True),
        "gain_over_it": Measure(lambda s: _RIGHT(s) - _most(s), _ALL, "nothing to compare"),
    }
)

# Two more columns: how many were found met, and how many were graded, with labels or without.
_MET, _GRADED = 4, 5


def _youden(sums: Floats) -> Floats:
    """Return sensitivity plus specificity minus 1, the share of a pass rate that is readable; 0 if
    none."""
    met, unmet = _sum(_TP, _FN)(sums), _sum(_FP, _TN)(sums)
    both = met * unmet > 0
    index = sums[..., _TP] / np.where(both, met, 1) + sums[..., _TN] / np.where(both, unmet, 1) - 1
    return np.where(both & (index > 0), index, 0.0)


def _observed_above(sums: Floats) -> Floats:
    """Return the observed rate minus that of false alarms, within what a true rate can produce."""
    unmet = _sum(_FP, _TN)(sums)
    alarms = sums[..., _FP] / np.where(unmet > 0, unmet, 1)
    observed = sums[..., _MET] / np.where(sums[..., _GRADED] > 0, sums[..., _GRADED], 1)
    return np.clip(observed - alarms, 0.0, _youden(sums))


CORRECTED = Measure(_observed_above, _youden, "the grader is no better than chance")

# ------------------------------------------------------------------ scores

# Columns: the weight, and weighted: score, label, their squares, their product; then, from the raw
# scores, the distance, the difference, equal, within one.
_W, _X, _Y, _XX, _YY, _XY, _DISTANCE, _DIFFERENCE, _SAME, _NEAR = range(10)


def moments(x: Floats, y: Floats, difference: Floats, weight: Floats) -> list[Floats]:
    """Return the columns of `SCORES` from shares of the scale, `x` and `y`, and the raw
    difference."""
    distance = np.abs(difference)
    columns = (np.ones_like(x), x, y, x * x, y * y, x * y, distance, difference)
    hits = (distance <= _EQUAL, distance <= 1 + _EQUAL)
    return [weight * column for column in (*columns, *hits)]


def _mean(column: int) -> Formula:
    return lambda sums: sums[..., column] / sums[..., _W]


def _covariance(sums: Floats, first: int, second: int, product: int) -> Floats:
    return _mean(product)(sums) - _mean(first)(sums) * _mean(second)(sums)


def _spreads(sums: Floats) -> Floats:
    varied = _covariance(sums, _X, _X, _XX) * _covariance(sums, _Y, _Y, _YY)
    return np.sqrt(np.where(varied > _EQUAL**2, varied, 0.0))


def _apart_by_chance(sums: Floats) -> Floats:
    """Return the mean squared distance of any score from any label."""
    return np.asarray(
        _mean(_XX)(sums) + _mean(_YY)(sums) - 2 * _mean(_X)(sums) * _mean(_Y)(sums),
        dtype=np.float64,
    )


def _apart(sums: Floats) -> Floats:
    return np.asarray(_mean(_XX)(sums) + _mean(_YY)(sums) - 2 * _mean(_XY)(sums), dtype=np.float64)


FLAT = "the scores or the labels are all the same"

SCORES: Mapping[str, Measure] = MappingProxyType(
    {
        "exact": Measure(_sum(_SAME), _sum(_W), "nothing to compare", share=True),
        "within_one": Measure(_sum(_NEAR), _sum(_W), "nothing to compare", share=True),
        "quadratic_kappa": Measure(
            lambda s: _apart_by_chance(s) - _apart(s),
            _apart_by_chance,
            "all scores and all labels are the same",
        ),
        "pearson": Measure(lambda s: _covariance(s, _X, _Y, _XY), _spreads, FLAT),
        "mae": Measure(_sum(_DISTANCE), _sum(_W), "nothing to compare"),
        "bias": Measure(_sum(_DIFFERENCE), _sum(_W), "nothing to compare"),
    }
)

# ------------------------------------------------------------------ repeats

# Columns: rows, pairs of votes that agree, votes for met, spread of the scores.
_N, _AGREE, _YES, _SPREAD = range(4)


def _agree_by_chance(sums: Floats) -> Floats:
    yes = sums[..., _YES] / sums[..., _N]
    return np.asarray(yes**2 + (1 - yes) ** 2, dtype=np.float64)


REPEATS: Mapping[str, Measure] = MappingProxyType(
    {
        "repeat_agreement": Measure(_sum(_AGREE), _sum(_N), "nothing was repeated", share=True),
        "repeat_kappa": Measure(
            lambda s: s[..., _AGREE] / s[..., _N] - _agree_by_chance(s),
            lambda s: 1 - _agree_by_chance(s),
            "all verdicts are the same",
        ),
        "repeat_spread": Measure(_sum(_SPREAD), _sum(_N), "nothing was repeated"),
    }
)

# The same columns, of jurors in place of repeats.
JURY: Mapping[str, Measure] = MappingProxyType(
    {f"jury_{name.removeprefix('repeat_')}": measure for name, measure in REPEATS.items()}
)

# ------------------------------------------------------------------ ranks


def _flat(*columns: Floats) -> bool:
    return any(len(column) < 2 or np.ptp(column) < _EQUAL for column in columns)


def auc(scores: Floats, gold: Floats) -> float:
    """Return how often met scores above unmet, ties counting half: Mann and Whitney's U."""
    positive = int(gold.sum())
    negative = len(gold) - positive
    if not positive or not negative:
        return float("nan")
    ranks = float(stats.rankdata(scores)[gold > 0.5].sum())
    return (ranks - positive * (positive + 1) / 2) / (positive * negative)


def spearman(x: Floats, y: Floats) -> float:
    """Return the correlation of ranks."""
    return float("nan") if _flat(x, y) else float(stats.spearmanr(x, y).statistic)


def kendall(x: Floats, y: Floats) -> float:
    """Return tau-b: pairs in the same order minus those in the opposite order, allowing for
    ties."""
    if _flat(x, y):
        return float("nan")
    return float(stats.kendalltau(x, y, method="asymptotic").statistic)
