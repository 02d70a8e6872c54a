"""Put two runs side by side: which rows belong together, which verdicts flipped and why.

    both = side_by_side(old, new)
    for pair in both.pairs: ...                     # scores and verdicts, without any text
    rows = read_rows(new, {pair.key for pair in …})  # the lines of a few, by reading the file again
    reason(rows[pair.key], flip.item.new, both.fresh)

The pairs are made of Cases, so that files of a million lines fit; texts are read for the rows that
are shown.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from refinecli.report.cases import Case, Key, Mark
from refinecli.report.pairing import Common, same_input
from refinecli.report.rubric_changes import ItemPair, item_pairs
from refinecli.report.runs import Run
from refinecli.text.json_text import loads
from refinecli.types import JSONObject

# The only thing that a verdict depends on and that differs; "grader" where nothing does.
Because: TypeAlias = Literal["response", "rubric", "both", "grader"]


@dataclass(frozen=True, slots=True)
class Flip:
    """An item of which one response passed and the other failed."""

    item: ItemPair
    old: Mark
    new: Mark
    because: Because

    @property
    def passes(self) -> bool:
        """True if it failed before and passes now."""
        return self.new.passed is True


@dataclass(frozen=True, slots=True)
class Pair:
    """One datapoint in both runs, compared by the grades of a later `grade` if `fresh`."""

    old: Case
    new: Case
    fresh: bool = False

    @property
    def key(self) -> Key:
        return self.new.key

    @property
    def same_response(self) -> bool:
        return self.old.answer == self.new.answer

    @property
    def same_rubric(self) -> bool:
        return not any(item.changes for item in self.items)

    @property
    def scores(self) -> tuple[float | None, float | None]:
        """The old and the new score."""
        return score_of(self.old, self.fresh), score_of(self.new, self.fresh)

    @property
    def difference(self) -> float | None:
        old, new = self.scores
        return None if old is None or new is None else new - old

    @property
    def passed(self) -> tuple[bool | None, bool | None]:
        """The old and the new verdict on the whole response; None where it is not known."""
        return passed_of(self.old, self.fresh), passed_of(self.new, self.fresh)

    @property
    def flip(self) -> int:
        """1 where the response passes now and failed before, -1 the other way round."""
        old, new = self.passed
        return 0 if old is None or new is None else new - old

    @property
    def items(self) -> tuple[ItemPair, ...]:
        return item_pairs(self.old, self.new)

    @property
    def flips(self) -> tuple[Flip, ...]:
        """The items whose verdict flipped, in the order of the new rubric."""
        return tuple(self._flips())

    def marks(self, item: ItemPair) -> tuple[Mark | None, Mark | None]:
        """Return an item's old and new grade; None where the rubric does not have it."""
        old, new = marks_of(self.old, self.fresh), marks_of(self.new, self.fresh)
        return (
            None if item.old is None or not old else old[item.old],
            None if item.new is None or not new else new[item.new],
        )

    def _flips(self) -> Iterator[Flip]:
        for item in self.items:
            old, new = self.marks(item)
            if old is None or new is None or None in (old.passed, new.passed):
                continue
            if old.passed != new.passed:
                yield Flip(item, old, new, self._because(item))

    def _because(self, item: ItemPair) -> Because:
        # Of a reweighting, only the score that passes can flip an item's own verdict.
        judged = self.old.items[item.old or 0].pass_score, self.new.items[item.new or 0].pass_score
        rubric = not item.same_question or judged[0] != judged[1]
        if rubric:
            return "rubric" if self.same_response else "both"
        return "grader" if self.same_response else "response"


@dataclass(frozen=True)
class SideBySide:
    """The rows of two runs. An id with another conversation in the other file is `common`'s to
    count, and in neither list."""

    common: Common
    pairs: tuple[Pair, ...]
    only_old: tuple[Case, ...]
    only_new: tuple[Case, ...]

    @cached_property
    def fresh(self) -> bool:
        """True if the grades of a later `grade` are compared."""
        return self.common.fresh

    @cached_property
    def flipped(self) -> tuple[Pair, ...]:
        """The pairs in which any verdict flipped: first those of which the whole response passes or
        fails now, and of these the greatest differences of score."""
        found = [pair for pair in self.pairs if pair.flip or pair.flips]
        return tuple(sorted(found, key=lambda p: (not p.flip, -abs(p.difference or 0.0))))


def side_by_side(old: Run, new: Run) -> SideBySide:
    """Pair the rows of two runs by id and occurrence, in the order of the new one; raise where ids
    mean something else in the other file."""
    found = same_input(new, old)
    fresh = found.fresh
    here, there = ({case.key for case in run.cases} for run in (new, old))
    return SideBySide(
        found,
        tuple(Pair(before, after, fresh) for after, before in found.pairs),
        tuple(case for case in old.cases if case.key not in here),
        tuple(case for case in new.cases if case.key not in there),
    )


def score_of(case: Case, fresh: bool) -> float | None:
    """Return a case's score, that of a later `grade` if `fresh`."""
    return case.fresh if fresh else case.final


def passed_of(case: Case, fresh: bool) -> bool | None:
    """Return whether its response passed; None where that is not known."""
    known = score_of(case, fresh) is not None or (case.fresh_gated if fresh else case.gated)
    return (case.fresh_passed if fresh else case.passed) if known else None


def marks_of(case: Case, fresh: bool) -> tuple[Mark, ...]:
    """Return the grades of the response that was kept, one for each item."""
    return case.fresh_marks if fresh else case.steps[case.best].marks


# ------------------------------------------------------------------ texts


def read_rows(run: Run, wanted: Collection[Key]) -> dict[Key, JSONObject]:
    """Return the lines of some rows, by reading the run's file again; none where that was standard
    input or another thing that can be read only once."""
    lines = {case.line: case.key for case in run.cases if case.key in wanted}
    found: dict[Key, JSONObject] = {}
    if not lines or not (source := run.source()).rereadable:
        return found
    for number, line in source.read():
        if number in lines:
            found[lines[number]] = loads(line)
            if len(found) == len(lines):
                break
    return found


def grade_of(row: JSONObject, item: int | None, fresh: bool = False) -> JSONObject:
    """Return the record of an item's grade of the response that a row returns; empty where there is
    none. `fresh` asks for that of a later `grade`."""
    refinement = row.get("refinement")
    if isinstance(refinement, dict) and not fresh:
        graded = refinement["iterations"][refinement["best_iteration"]]
    else:
        graded = row.get("grading") or {}
    return next((grade for grade in graded.get("grades") or () if grade["item"] == item), {})


def reason(row: JSONObject, item: int | None, fresh: bool = False) -> str:
    """Return why the grader gave an item its grade, in its own words: untrusted text."""
    grade = grade_of(row, item, fresh)
    return str(grade.get("feedback") or "")
