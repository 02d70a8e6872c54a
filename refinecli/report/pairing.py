"""Find the datapoints that two runs have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from refinecli.errors import UsageError
from refinecli.report.cases import Case
from refinecli.report.runs import Run
from refinecli.types import JSONObject


@dataclass(frozen=True)
class Common:
    """Pairs with the same id and conversation. `other_prompt` counts those that share only the id;
    `other_rubric` counts the pairs that were graded by another rubric."""

    pairs: tuple[tuple[Case, Case], ...]
    other_prompt: int
    other_rubric: int

    @cached_property  # it looks at all pairs
    def fresh(self) -> bool:
        """True if a later `grade` scored both sides of any pair: then all are compared by such
        scores, and pairs that it left ungraded are left out."""
        return any(map(both_fresh, self.pairs))

    def record(self, one: Run, other: Run) -> JSONObject:
        """Record what may make scores differ besides the responses; who graded, if a model did."""
        asked = any(not item.by_code for pair in self.pairs for c in pair for item in c.items)
        graders = [run.fresh_grader if self.fresh else run.grader for run in (one, other)]
        return {
            "fresh": self.fresh,
            "other_conversation": self.other_prompt,
            "other_rubric": self.other_rubric,
            "graders": graders if asked else None,
        }


def common(one: Run, other: Run) -> Common:
    """Return the datapoints that both have, in the order of the first."""
    there = {case.key: case for case in other.cases}
    shared = [(case, there[case.key]) for case in one.cases if case.key in there]
    pairs = tuple((here, old) for here, old in shared if here.prompt == old.prompt)
    rubrics = sum(here.rubric != old.rubric for here, old in pairs)
    return Common(pairs, len(shared) - len(pairs), rubrics)


def same_input(one: Run, other: Run, name: str = "") -> Common:
    """Return the same, but raise where ids mean something else in the other file; `name` is how
    users know that file."""
    found = common(one, other)
    shared = len(found.pairs) + found.other_prompt
    if found.other_prompt > len(found.pairs):
        raise UsageError(
            f"{name or other.file}: {found.other_prompt:,} of {shared:,} ids that it shares with "
            f"{one.file} have a different conversation",
            "give files that come from the same input",
        )
    return found


def has_scores(run: Run) -> bool:
    return any(score is not None for case in run.cases for score in (case.final, case.fresh))


def nothing_in_common(one: Run, other: Run) -> str:
    """Say why no datapoint has a score in both."""
    for run in (other, one):
        if not has_scores(run):
            return f"no datapoint of {run.file} has a score"
    return "give files that come from the same datapoints"


def scored(found: Common, *, fresh: bool) -> Iterator[tuple[Case, Case, float, float]]:
    """Yield the pairs with the scores to compare: those of a later `grade`, or the run's own."""
    for here, there in found.pairs:
        mine, other = (case.fresh if fresh else case.final for case in (here, there))
        if mine is not None and other is not None:
            yield here, there, mine, other


def both_fresh(pair: tuple[Case, Case]) -> bool:
    return all(case.fresh is not None for case in pair)
