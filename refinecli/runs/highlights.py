"""Keep the parts of a run that a person wants to see at its end: answers that changed most, items
that failed most."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from refinecli.data.output_lines import Outcome
from refinecli.data.stored_rows import latest_grades
from refinecli.types import JSONObject

_MOST = 3  # pairs
_CHARACTERS = 400  # of a text: no terminal shows more in a line
_NAMES = 1000  # of items that are counted; where each row has names of its own, none says much


class Pair(NamedTuple):
    """The first response of a datapoint and the one returned, with their scores and the names of
    the items that failed at first and pass now."""

    id: str
    before: float
    after: float
    first: str
    best: str
    mended: tuple[str, ...]

    @property
    def gain(self) -> float:
        return self.after - self.before


@dataclass(slots=True, eq=False)
class Highlights:
    """The comparison of first and returned responses, the largest gains, and the items by their
    failures, in constant memory."""

    better: int = 0
    equal: int = 0
    worse: int = 0
    tried: bool = False  # whether any row has a second response
    largest: list[Pair] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    graded: int = 0  # rows whose items were counted

    def add(self, outcome: Outcome) -> None:
        """Take in one output line; they come in order."""
        grades = () if outcome.status == "failed" else latest_grades(outcome.record)
        if grades:
            self.graded += 1
            failed = dict.fromkeys(grade["name"] for grade in grades if grade["passed"] is False)
            counted = self.failures
            if failed:
                counted.update(name for name in failed if name in counted or len(counted) < _NAMES)
        refinement = outcome.record.get("refinement")
        if outcome.score is None or outcome.initial_score is None or refinement is None:
            return
        self.tried = self.tried or len(refinement["iterations"]) > 1
        gain = outcome.score - outcome.initial_score
        self.better += gain > 0
        self.equal += gain == 0
        self.worse += gain < 0
        if gain > 0 and (len(self.largest) < _MOST or gain > self.largest[-1].gain):
            self.largest.append(_pair(outcome, refinement))
            self.largest.sort(key=lambda pair: -pair.gain)
            del self.largest[_MOST:]

    @property
    def failed_most(self) -> str:
        """The items that failed most, such as `coverage 5, length 2`; "" where none failed."""
        return ", ".join(f"{name} {count:,}" for name, count in self.failures.most_common(_MOST))


def _pair(outcome: Outcome, refinement: JSONObject) -> Pair:
    iterations: Sequence[JSONObject] = refinement["iterations"]
    first, best = iterations[0], iterations[refinement["best_iteration"]]
    assert outcome.score is not None
    assert outcome.initial_score is not None
    mended = [
        new["name"]
        for old, new in zip(first["grades"], best["grades"], strict=False)
        if not old["passed"] and new["passed"]
    ]
    return Pair(
        str(outcome.record.get("id", "")),
        outcome.initial_score,
        outcome.score,
        first["response"][:_CHARACTERS],
        best["response"][:_CHARACTERS],
        tuple(mended),
    )
