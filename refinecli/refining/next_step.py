"""Choose the next step of the adaptive loop: a fresh draft, or a rewrite of a response that stands.

Each possible step has an expected gain over the best response so far, and a cost. What is believed
of each kind of step is drawn once from its distribution (Thompson 1933, doi.org/10.2307/2332286;
for this choice Inoue et al. 2025, arxiv.org/abs/2503.04412), and the step with the most gain for
its cost, by that draw, is taken. So what is known to be poor is left alone, and what is not known
yet gets its chance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from refinecli.refining.estimates import (
    Belief,
    Estimates,
    closings,
    full_marks,
    gain_of_draft,
    gain_of_rewrite,
    others,
)
from refinecli.refining.strategies import Rollout
from refinecli.types import Alternative, Choice, Iteration, Usage

# How much a row's closing from other parents counts for a parent that was not tried yet, in tries
# of its own: a parent's feedback is spent sooner than a row's luck.
_OF_ROW = 2.0
# How far draws go, in standard deviations of what is believed: a file of rows is short, and a step
# that only explores is paid for like any other. At 1, Thompson's, a useless kind of step was taken
# twice as often in the simulated worlds, and nothing was won for it.
_BOLDNESS = 0.5
_LEAST_COST = 1e-9
_CHARACTERS = 4  # a token, roughly


@dataclass(frozen=True, slots=True)
class Step:
    """A possible step: `parent` is the response to rewrite, None for a fresh draft. `gain` is what
    it is expected to add to the best score, `drawn` the same by one draw of what is believed."""

    parent: Iteration | None
    gain: float
    drawn: float
    cost: float

    @property
    def worth(self) -> float:
        """The drawn gain for the cost."""
        return self.drawn / max(self.cost, _LEAST_COST)

    def chosen_over(self, others: Sequence[Step]) -> Choice:
        """Return the choice as the record keeps it, with the best of the other kind."""
        unlike = [step for step in others if (step.parent is None) != (self.parent is None)]
        best = max(unlike, key=lambda step: step.worth, default=None)
        return Choice(
            round(self.gain, 4),
            _rounded(self.cost),
            best.as_alternative() if best else None,
        )

    def as_alternative(self) -> Alternative:
        parent = self.parent.iteration if self.parent else None
        return Alternative(parent, round(self.gain, 4), _rounded(self.cost))


def _rounded(cost: float) -> float:
    """Return a cost with four digits, the same on every machine."""
    return float(f"{cost:.4g}")


def possible_steps(
    iterations: Sequence[Iteration],
    estimates: Estimates,
    costs: Costs,
    rng: Random,
    *,
    redraws: bool,
) -> list[Step]:
    """Return all steps that could come next; a fresh draft only where it `redraws`."""
    best = max(it.score for it in iterations if it.score is not None)
    luck = rng.gauss(0, 1), rng.gauss(0, 1)  # both always, so that one option more changes no draw
    found = []
    if redraws:
        drafts = [it.score for it in iterations if it.role == "policy" and it.score is not None]
        full = estimates.full_marks.after(full_marks(drafts))
        known = estimates.drafts.after(others(drafts))
        gain = gain_of_draft(full.mean, known.mean, known.spread, best)
        by_draw = gain_of_draft(
            _drawn(full, luck[0]), _drawn(known, luck[0]), math.sqrt(known.scatter), best
        )
        found.append(Step(None, gain, by_draw, costs.of_draft))
    all_closings = closings(iterations)
    known = estimates.rewrites.after([closing for _, closing in all_closings])
    row = _drawn(known, luck[1])
    for parent in _standing(iterations):
        own = [closing for number, closing in all_closings if number == parent.iteration]
        expected, drawn = (_of_parent(mean, own) for mean in (known.mean, row))
        assert parent.score is not None
        gain = gain_of_rewrite(expected, parent.score, best)
        by_draw = gain_of_rewrite(drawn, parent.score, best)
        found.append(Step(parent, gain, by_draw, costs.of_rewrite(parent)))
    return found


def _drawn(known: Belief, luck: float) -> float:
    """Return a mean drawn from what is believed of it."""
    return known.mean + _BOLDNESS * luck * math.sqrt(known.doubt)


def _of_parent(row: float, own: Sequence[float]) -> float:
    return (_OF_ROW * row + sum(own)) / (_OF_ROW + len(own))


def _standing(iterations: Sequence[Iteration]) -> list[Iteration]:
    """Return the graded responses that could be rewritten, each text once."""
    texts: set[str] = set()
    found = []
    for it in iterations:
        if it.score is not None and it.response not in texts:
            texts.add(it.response)
            found.append(it)
    return found


# ------------------------------------------------------------------ costs


class Costs:
    """The costs of a row's steps, with their grades: from what its own steps took, and before there
    was any of that kind from what the first answer took and the lengths of texts. In tokens, or in
    money where the roles have prices."""

    def __init__(
        self, rollout: Rollout, iterations: Sequence[Iteration], request: Callable[[Iteration], str]
    ) -> None:
        self._prices = rollout.prices
        self._iterations = iterations
        self._request = request
        self._prompt = _tokens("".join(str(m.get("content")) for m in rollout.datapoint.convo))

    @property
    def of_draft(self) -> float:
        drafts = [self._spent(it) for it in self._iterations if it.role == "policy"]
        if drafts:
            return sum(drafts) / len(drafts)
        first = self._iterations[0]
        return self._cost("policy", self._written(first), first)

    def of_rewrite(self, parent: Iteration) -> float:
        rewrites = [it for it in self._iterations if it.role == "reviser" and _counted(it)]
        if rewrites:
            return sum(map(self._spent, rewrites)) / len(rewrites)
        like = self._written(self._iterations[0])  # the conversation, and an answer to it
        answer = like.completion_tokens - like.reasoning_tokens
        prompt = like.prompt_tokens + answer + _tokens(self._request(parent))
        return self._cost("reviser", replace(like, prompt_tokens=prompt), parent)

    def _written(self, it: Iteration) -> Usage:
        """Return what writing it took, or where that is not known the lengths of its texts."""
        if _counted(it):
            return it.usage - it.grading
        return Usage(1, self._prompt, _tokens(it.response))

    def _cost(self, role: str, writing: Usage, graded: Iteration) -> float:
        return self._prices.of(role, writing) + self._prices.of("grader", graded.grading)

    def _spent(self, it: Iteration) -> float:
        return self._cost("policy" if it.role == "policy" else "reviser", self._written(it), it)


def _counted(it: Iteration) -> bool:
    """Return False where the endpoint did not say what writing it took."""
    took = it.usage - it.grading
    return took.prompt_tokens > 0 and took.completion_tokens > 0


def _tokens(text: str) -> int:
    return len(text) // _CHARACTERS + 1
