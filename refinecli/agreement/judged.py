"""Hold what is compared: an item's verdict and score, and its labels."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Label:
    """One rater's label: a verdict, a score on the item's own scale, or both."""

    met: bool | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Vote:
    """One grade of several: `met` if it finds the criterion met, its raw score, and its juror where
    several graded."""

    met: bool
    score: float
    juror: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """One graded thing: an item of a response, or the response as a whole.

    `met` and `score` (on `scale`, like the labels' scores) are None where it stayed ungraded.
    `votes` are the single grades behind them, if there were several. Things with one `cluster` do
    not vary independently. `likely` is the grader's probability that the item passes, if it was
    asked for that; a `penalty` passes by not being met. `file` is its origin, if there are several.
    """

    cluster: Hashable
    met: bool | None
    score: float | None
    labels: tuple[Label, ...] = ()
    scale: tuple[float, float] = (0.0, 1.0)
    length: int = 0
    tags: tuple[str, ...] = ()
    votes: tuple[Vote, ...] = ()
    likely: float | None = None
    penalty: bool = False
    file: str = ""

    @property
    def gold(self) -> bool | None:
        """The verdict of most raters; None where they are split evenly, or gave none."""
        return majority([label.met for label in self.labels if label.met is not None])

    @property
    def gold_score(self) -> float | None:
        """The middle of the raters' scores; None unless each of them gave one."""
        scores = [label.score for label in self.labels if label.score is not None]
        return median(scores) if scores and len(scores) == len(self.labels) else None

    def share(self, score: float) -> float:
        """Return a score as a share of its scale, 0 to 1."""
        low, high = self.scale
        return (score - low) / (high - low)


def majority(votes: Sequence[bool]) -> bool | None:
    """Return the verdict of more than half; None for a tie, or without votes."""
    yes = sum(votes)
    return None if 2 * yes == len(votes) else 2 * yes > len(votes)
