"""Define the results of work on a response: grades, and the iterations of a refinement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from refinecli.errors import FailureKind
from refinecli.types.completion import Usage
from refinecli.types.datapoint import Datapoint


@dataclass(frozen=True, slots=True)
class Failure:
    """The reason why something failed; `type` is one word to count by, `stage` the role that was
    asked."""

    type: FailureKind
    message: str
    stage: str = "grader"


@dataclass(frozen=True, slots=True)
class Grade:
    """One item's verdict on one response. An ungraded item has no score, not a score of 0.

    `votes` are the grades that it is made of, if there were several; each names its `juror` and,
    where that was asked repeatedly, its `repeat`. Where the first token's probabilities were asked
    for, `mass` is the labels' share, 0 to 1; where they are the verdict, `probabilities` holds each
    label's. An item that was `skipped`, since another decided, has no score either.
    """

    item: int
    name: str
    score: float | None
    raw_score: float | None
    passed: bool | None
    grader: Literal["llm", "check", "classifier", "empty"]
    feedback: str | None = None
    reply: str | None = None
    error: Failure | None = None
    votes: tuple[Grade, ...] = ()
    juror: str | None = None
    repeat: int | None = None
    mass: float | None = None
    probabilities: Mapping[str, float] | None = None
    skipped: bool = False

    @property
    def graded(self) -> bool:
        return self.error is None and not self.skipped

    @property
    def status(self) -> Literal["graded", "ungraded", "skipped"]:
        if self.skipped:
            return "skipped"
        return "graded" if self.error is None else "ungraded"

    @property
    def disagreement(self) -> float:
        """The share of the graded votes with a different verdict."""
        cast = [vote for vote in self.votes if vote.graded]
        return sum(vote.passed != self.passed for vote in cast) / len(cast) if cast else 0.0


@dataclass(frozen=True, slots=True)
class Grading:
    """One response with its grades, one for each rubric item, and what they amount to: no score
    where any item is ungraded or skipped. `usage` is what the calls took."""

    datapoint: Datapoint
    response: str
    grades: tuple[Grade, ...]
    score: float | None
    passed: bool | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Selection:
    """A selector's pick between a new response and the old one, asked in both orders: different
    votes make a tie."""

    votes: tuple[Literal["new", "old"], ...]
    reasons: tuple[str, ...]

    @property
    def winner(self) -> Literal["new", "old", "tie"]:
        return self.votes[0] if len(set(self.votes)) == 1 else "tie"


@dataclass(frozen=True, slots=True)
class Alternative:
    """A step that was possible: a rewrite of `parent`, or with None a fresh draft. `gain` is what
    it was expected to add to the best score, `cost` is in tokens, or in money where roles have
    prices."""

    parent: int | None
    gain: float
    cost: float


@dataclass(frozen=True, slots=True)
class Choice:
    """The gain and the cost that an adaptive loop expected of the step that it took, and the best
    step of the other kind, None where there was none."""

    gain: float
    cost: float
    instead: Alternative | None


@dataclass(frozen=True, slots=True)
class Iteration:
    """One response and its grades, none where its strategy does not grade it; `feedback` is the
    text that a rewrite of it was given. `passed` is None too while an ungraded item leaves it
    open. `grading` is the part of `usage` that its grades took; `choice` says why an adaptive loop
    took this step."""

    iteration: int
    parent: int | None
    role: Literal["input", "policy", "reviser", "critic"]
    response: str
    score: float | None
    accepted: bool
    finish_reason: str | None
    grades: tuple[Grade, ...]
    feedback: str | None
    usage: Usage
    reasoning: str = ""
    selection: Selection | None = None
    passed: bool | None = None
    grading: Usage = field(default=Usage())
    choice: Choice | None = None


StopReason: TypeAlias = Literal[
    "passed", "max_iterations", "plateau", "repeated", "ungraded", "failed"
]


@dataclass(frozen=True, slots=True)
class Refinement:
    """All that happened to one datapoint; the response kept is that of `best_iteration`. Where an
    adaptive loop ended because no step promised enough, `declined` is the one that promised
    most."""

    status: Literal["done", "ungraded", "failed"]
    stop_reason: StopReason
    iterations: tuple[Iteration, ...]
    best_iteration: int
    passed: bool | None
    error: Failure | None = None
    usage: Usage = field(default=Usage())
    strategy: str = "refine"
    declined: Alternative | None = None

    @property
    def best(self) -> Iteration:
        return self.iterations[self.best_iteration]

    @property
    def initial_score(self) -> float | None:
        return self.iterations[0].score
