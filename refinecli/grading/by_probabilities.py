"""Derive a verdict from the probabilities of a reply's first token instead of the drawn token.

The grader is asked for one label: `yes` or `no`, a whole number, or the letter of a choice. The
score is the average of the labels' values, each weighted by the probability that the model gives it
(G-Eval, Liu et al. 2023, arxiv.org/abs/2303.16634).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import exp
from string import ascii_uppercase
from typing import NamedTuple

from refinecli.grading.scoring import item_passed, normalised
from refinecli.types import RubricItem

# Providers give at most 20 alternatives; 11 labels leave room for their spellings.
_MOST_LABELS = 11
# Characters that a token may have around its label: ` Yes`, `**yes**`, `A)`; and white space as
# spelled in tokenizers' files, which some servers give: `\u0120yes`, `\u2581yes`.
_AROUND = " \t\r\n*_\"'`.,:;()[]<>\u0120\u010a\u010d\u2581"
# The most that probabilities may sum to, allowing for rounding; more is not a distribution.
_ALL = 1.02
# With less probability on labels the model meant something else, and the rest is not a verdict.
ENOUGH = 0.9


class Label(NamedTuple):
    """One verdict as the grader is to write it, and its raw score."""

    text: str
    value: float


class Reading(NamedTuple):
    """Each label's probability, and their sum, 0 to 1."""

    probabilities: Mapping[str, float]
    mass: float


def labels_of(item: RubricItem) -> tuple[Label, ...]:
    """Return the verdicts that an item can be given in one token, lowest first; none where its
    scale has too many steps."""
    return _labels(item.choices, *item.score_range)


@lru_cache(maxsize=256)
def _labels(choices: tuple[str, ...] | None, low: float, high: float) -> tuple[Label, ...]:
    if choices:
        return tuple(Label(ascii_uppercase[i], float(i)) for i in range(len(choices)))
    if (low, high) == (0, 1):
        return (Label("no", 0.0), Label("yes", 1.0))
    if low.is_integer() and high.is_integer() and low >= 0 and high - low < _MOST_LABELS:
        return tuple(Label(str(n), float(n)) for n in range(int(low), int(high) + 1))
    return ()


def read(labels: Iterable[Label], first_tokens: Iterable[tuple[str, float]]) -> Reading:
    """Return how likely each label is, from tokens with their log probabilities; no label is likely
    where these cannot be probabilities."""
    found: dict[str, float] = {}
    for token, logprob in first_tokens:
        text = token.strip(_AROUND).casefold()
        found[text] = found.get(text, 0.0) + exp(logprob)
    names = [label.text for label in labels]
    found.pop("", None)  # white space alone begins no label
    if sum(found.values()) > _ALL:
        found = {}
    sure = {name: _sure(name, names, found) for name in names}
    return Reading(sure, min(1.0, sum(sure.values())))


def _sure(name: str, names: Iterable[str], found: Mapping[str, float]) -> float:
    """Return a label's probability; 0 where its token may be the beginning of a longer label, as 1
    is of 10 for models that write digit by digit."""
    longer = [other for other in names if other != name and other.startswith(name)]
    if any(other.casefold() not in found for other in longer):
        return 0.0
    return found.get(name.casefold(), 0.0)


def expected(item: RubricItem, reading: Reading) -> float:
    """Return the raw score: the labels' values, weighted by their share of the mass."""
    probabilities = reading.probabilities
    total = sum(probabilities[label.text] * label.value for label in labels_of(item))
    low, high = item.score_range
    return min(high, max(low, total / sum(probabilities.values())))  # divisions round


def pass_probability(item: RubricItem, probabilities: Mapping[str, float]) -> float:
    """Return the share of the mass that is on labels by which the item passes."""
    passing = sum(
        probabilities[label.text]
        for label in labels_of(item)
        if item_passed(item, normalised(item, label.value))
    )
    return passing / sum(probabilities.values())
