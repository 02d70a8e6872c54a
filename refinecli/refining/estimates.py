"""Estimate what a fresh draft or a rewrite would gain, from a row's own tries and earlier rows.

Three quantities, each of rows that differ in their mean and of tries that scatter around it:

- Full marks, a score of 1: drafts that have it or not. Rubrics of yes and no give many of them.
- The score of a draft without full marks.
- A rewrite's *closing*: the share of the way to 1 that it goes from its parent's score, from 0
  (not better) to 1 (all of it). A step back gains as little as standing still, however long it is.

Earlier rows give the mean, how far rows differ and how far tries of a row scatter. A row's own
tries then move its mean: much where rows differ more than tries do, little where they do not, so
one lucky grade does not run the show. Scores and closings go by moments, with pseudo-rows for a
prior. Full marks go by their likelihood, for a row ends with them: the mean over rows of the share
of tries that had them was 0.20 on keywords, where 0.11 of all drafts have them. A draft's expected
gain over the best so far is that of full marks and otherwise the normal distribution's expected
improvement (Jones et al. 1998, doi.org/10.1023/A:1008306431147), cut off at a score of 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from math import fsum
from typing import NamedTuple

from refinecli.types import Iteration

HIGHEST = 1.0  # score: nothing is expected above it
_LEAST_SPREAD = 0.01  # so that what never varied so far may still vary
_STRIDE = 0.5  # share of the way to 1 that a rewrite goes if it goes any
_LEAST_GAP = 0.05  # to 1, below which a step is not measured against it


class Lesson(NamedTuple):
    """The scores of a finished row's drafts and the closings of its rewrites, for others to learn
    from."""

    drafts: tuple[float, ...] = ()
    rewrites: tuple[float, ...] = ()


class Tried(NamedTuple):
    """A step of a row: who wrote, from which earlier response, and its score."""

    role: str
    parent: int | None
    score: float | None


def lesson_of(steps: Sequence[Tried | Iteration]) -> Lesson:
    """Return the lesson of a row's graded steps; a response that a file brought is not a draft."""
    drafts = [it.score for it in steps if it.role == "policy" and it.score is not None]
    return Lesson(tuple(drafts), tuple(closing for _, closing in closings(steps)))


def full_marks(drafts: Sequence[float]) -> list[float]:
    """Return for each draft 1 where it has full marks, else 0."""
    return [float(score >= HIGHEST) for score in drafts]


def others(drafts: Sequence[float]) -> list[float]:
    """Return the scores of the drafts without full marks."""
    return [score for score in drafts if score < HIGHEST]


def closings(steps: Sequence[Tried | Iteration]) -> list[tuple[int, float]]:
    """Return each graded rewrite's parent and closing."""
    found = []
    for it in steps:
        parent = None if it.parent is None else steps[it.parent].score
        if it.parent is not None and parent is not None and it.score is not None:
            gap = max(HIGHEST - parent, _LEAST_GAP)
            found.append((it.parent, max(0.0, min(1.0, (it.score - parent) / gap))))
    return found


class Belief(NamedTuple):
    """A mean with its variance, and the variance of a try around it."""

    mean: float
    doubt: float
    scatter: float

    def after(self, tries: Sequence[float]) -> Belief:
        """Return the belief about a row with these tries."""
        if not tries:
            return self
        doubt = 1 / (1 / self.doubt + len(tries) / self.scatter)
        mean = doubt * (self.mean / self.doubt + sum(tries) / self.scatter)
        return Belief(mean, doubt, self.scatter)

    @property
    def spread(self) -> float:
        """The standard deviation of the next try, as far as is known."""
        return math.sqrt(self.doubt + self.scatter)


@dataclass(frozen=True, slots=True)
class Prior:
    """A belief before any row: a mean, the variances between and within rows, and how many rows
    it is worth."""

    mean: float
    between: float
    within: float
    rows: float


@dataclass(slots=True)
class Tally:
    """Sums over the rows that had tries of one kind; they are added in the rows' order."""

    rows: int = 0
    means: float = 0.0
    squares: float = 0.0
    inverses: float = 0.0  # of the number of tries
    degrees: int = 0
    deviations: float = 0.0

    def add(self, tries: Sequence[float]) -> None:
        if not tries:
            return
        mean = sum(tries) / len(tries)
        self.rows += 1
        self.means += mean
        self.squares += mean * mean
        self.inverses += 1 / len(tries)
        self.degrees += len(tries) - 1
        self.deviations += sum((value - mean) ** 2 for value in tries)

    def belief(self, prior: Prior) -> Belief:
        """Return the belief about a row of which nothing is known."""
        weight = prior.rows + self.rows
        scatter = (prior.rows * prior.within + self.deviations) / (prior.rows + self.degrees)
        scatter = max(scatter, _LEAST_SPREAD**2)
        mean = (prior.rows * prior.mean + self.means) / weight
        around = self.squares - 2 * mean * self.means + self.rows * mean * mean
        between = (prior.rows * prior.between + around - scatter * self.inverses) / weight
        between = max(between, _LEAST_SPREAD**2)
        return Belief(mean, between + (between + scatter) / weight, scatter)


class Hits:
    """The tries of each row and those of them with full marks. Rows differ in their odds by a beta
    distribution, whose likelihood is the same whether the number of tries was fixed or the first
    hit ended them. Mean and concentration are averages over a grid, weighed by a prior of `HITS`.
    """

    def __init__(self) -> None:
        self._rows: Counter[tuple[int, int]] = Counter()

    def add(self, tries: Sequence[float]) -> None:
        if tries:
            self._rows[round(sum(tries)), len(tries)] += 1

    def belief(self) -> Belief:
        """Return the belief about a row of which nothing is known."""
        points = [(mean, spread) for mean in _MEANS for spread in _CONCENTRATIONS]
        found = [self._likelihood(*point) for point in points]
        weights = [math.exp(one - max(found)) for one in found]
        mean = fsum(w * m for w, (m, _) in zip(weights, points, strict=True)) / fsum(weights)
        log = fsum(w * math.log(k) for w, (_, k) in zip(weights, points, strict=True))
        concentration = math.exp(log / fsum(weights))
        scatter = mean * (1 - mean) * concentration / (concentration + 1)
        return Belief(mean, scatter / concentration, scatter)

    def _likelihood(self, mean: float, concentration: float) -> float:
        hit, missed = mean * concentration, (1 - mean) * concentration
        prior = HITS.hits * math.log(mean) + HITS.misses * math.log(1 - mean)
        prior -= (math.log(concentration / HITS.concentration) / HITS.spread) ** 2 / 2
        usual = _log_beta(hit, missed)
        rows = sorted(self._rows.items())
        return prior + fsum(
            count * (_log_beta(hit + hits, missed + tries - hits) - usual)
            for (hits, tries), count in rows
        )


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


class HitsPrior(NamedTuple):
    """Hits and misses before any row, next to a grid that is even in the logarithm of the mean; and
    the concentration of the beta distribution, with the standard deviation of its logarithm."""

    hits: float
    misses: float
    concentration: float
    spread: float


HITS = HitsPrior(hits=1, misses=8, concentration=4, spread=0.7)
_MEANS = tuple(0.005 * 1.2**step for step in range(29))  # to 0.82
_CONCENTRATIONS = tuple(0.5 * 2 ** (step / 2) for step in range(11))  # to 16
DRAFTS = Prior(mean=0.5, between=0.09, within=0.04, rows=4)
REWRITES = Prior(mean=0.05, between=0.01, within=0.06, rows=8)


class Estimates(NamedTuple):
    """The beliefs about the drafts and rewrites of a row that has not begun."""

    full_marks: Belief
    drafts: Belief
    rewrites: Belief


@dataclass(slots=True)
class Lessons:
    """All that rows have shown so far, added in their order."""

    full_marks: Hits = field(default_factory=Hits)
    drafts: Tally = field(default_factory=Tally)
    rewrites: Tally = field(default_factory=Tally)

    def add(self, lesson: Lesson) -> None:
        self.full_marks.add(full_marks(lesson.drafts))
        self.drafts.add(others(lesson.drafts))
        self.rewrites.add(lesson.rewrites)

    @property
    def estimates(self) -> Estimates:
        return Estimates(
            self.full_marks.belief(),
            self.drafts.belief(DRAFTS),
            self.rewrites.belief(REWRITES),
        )


@cache
def before_any_row() -> Estimates:
    """Return the estimates that no row has taught; many rows ask for them again and again."""
    return Lessons().estimates


def gain_of_draft(full: float, mean: float, spread: float, best: float) -> float:
    """Return the expected gain over `best` of a draft that has full marks with this probability,
    and otherwise a normal score that counts up to 1."""
    full = min(max(full, 0.0), 1.0)
    otherwise = max(0.0, _above(mean, spread, best) - _above(mean, spread, HIGHEST))
    return full * max(0.0, HIGHEST - best) + (1 - full) * otherwise


def gain_of_rewrite(closing: float, parent: float, best: float) -> float:
    """Return the expected gain over `best` of rewriting a response, with the mean of its closing:
    most rewrites go nowhere, and those that do go at least `_STRIDE`."""
    closing = min(max(closing, 0.0), 1.0)
    stride = max(closing, _STRIDE)
    return closing / stride * max(0.0, parent + (HIGHEST - parent) * stride - best)


def _above(mean: float, spread: float, level: float) -> float:
    """Return E[max(0, X - level)] of a normal X."""
    if spread <= 0:
        return max(0.0, mean - level)
    z = (mean - level) / spread
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    return (mean - level) * (1 + math.erf(z / math.sqrt(2))) / 2 + spread * density
