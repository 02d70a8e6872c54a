"""Define what is chosen of a run's responses, and the choices that several kinds share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Literal, TypeVar

from refinecli.export.offers import Offer, Response
from refinecli.types import JSONObject, Message

T = TypeVar("T")
Pairing = Literal["first-best", "best-worst", "steps", "all"]
PAIRINGS: tuple[Pairing, ...] = ("first-best", "best-worst", "steps", "all")

# A pair in which one response is more than twice as long teaches length. Of short answers it says
# nothing: `9` and `The sum is 9.` are eleven times apart.
LENGTH_RATIO = 2.0
_SHORT = 200  # characters
EPSILON = 1e-9  # scores are sums of floats: 0.45 may be 0.44999999999999996


@dataclass(frozen=True, slots=True)
class Selection:
    """The filters. `min_margin` is settled: given, or from the grader's noise; `length_ratio` is
    None for the default, which spares short responses."""

    min_score: float | None = None
    min_margin: float = 0.0
    pairs: Pairing = "first-best"
    max_per_prompt: int | None = None
    length_ratio: float | None = None
    confirmed: bool = False
    random: bool = False
    seed: int = 42

    def is_good(self, response: Response) -> bool:
        """Return whether it passed, or has the least score that is asked for."""
        if self.min_score is None:
            return response.passed
        return response.score >= self.min_score - EPSILON

    def may_be_chosen(self, response: Response) -> str:
        """Return the reason why a response cannot be the better one of a pair, if there is one."""
        if self.confirmed and not response.confirmed:
            return "unconfirmed"
        low = self.min_score is not None and response.score < self.min_score - EPSILON
        return "low" if low else ""

    def difference(self, better: Response, worse: Response) -> str:
        """Return the reason why two responses are too close, or too unlike in length, if so."""
        margin = better.score - worse.score
        if margin <= EPSILON:
            return "tie" if margin >= -EPSILON else "not_better"
        if margin < self.min_margin - EPSILON:
            return "margin"
        return "" if self.alike(better.text, worse.text) else "length"

    def alike(self, one: str, other: str) -> bool:
        """Return whether two texts are about as long."""
        short, long = sorted((len(one.strip()), len(other.strip())))
        if self.length_ratio is None:
            return long <= _SHORT or long <= LENGTH_RATIO * short
        return long <= self.length_ratio * short


@dataclass(frozen=True, slots=True)
class Example:
    """One example, of whatever kind, before it has a format: an `answer` to a prompt, maybe with a
    label, or a better answer and a `worse` one. `task` is what an example for RL has besides."""

    prompt: list[Message]
    answer: str = ""
    worse: str | None = None
    label: bool | None = None
    margin: float | None = None
    score: float | None = None
    task: JSONObject | None = None

    def stored(self) -> list[Any]:
        """Return it as JSON."""
        fields = (self.answer, self.worse, self.label, self.margin, self.score, self.task)
        return [self.prompt, *fields]


def distinct(found: Iterable[tuple[T, str]], dropped: Counter[str]) -> list[T]:
    """Return the first of each text; count the others."""
    seen: set[str] = set()
    kept = []
    for one, text in found:
        if text.strip() in seen:
            dropped["duplicate"] += 1
            continue
        seen.add(text.strip())
        kept.append(one)
    return kept


def best_first(
    found: Sequence[tuple[float, T]], most: int | None, dropped: Counter[str]
) -> list[T]:
    """Return at most that many, those with the highest value, in the order in which they came."""
    if most is None or len(found) <= most:
        return [one for _, one in found]
    dropped["over_cap"] += len(found) - most
    ranked = sorted(enumerate(found), key=lambda place: -place[1][0])[:most]
    return [one for _, (_, one) in sorted(ranked, key=itemgetter(0))]


def all_responses(offers: Sequence[Offer]) -> list[tuple[Response, str]]:
    return [(response, response.text) for offer in offers for response in offer.responses]
