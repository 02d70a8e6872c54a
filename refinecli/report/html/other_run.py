"""Put the older of two runs next to this one: its score and marks in each row of the page, its
response and grades in each datapoint."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from refinecli.report.html.details import grade, shown
from refinecli.report.html.rows import Row, rounded, sign
from refinecli.report.html.text import fields
from refinecli.report.rubric_changes import ItemPair
from refinecli.report.runs import Run
from refinecli.report.side_by_side import Pair, grade_of, side_by_side
from refinecli.text.clean import one_line
from refinecli.text.json_text import loads
from refinecli.text.word_diff import word_diff
from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class OtherRun:
    """The older of two runs, and its datapoints by the line where the newer one has them."""

    run: Run
    newer: str  # its label
    pairs: Mapping[int, Pair]

    @classmethod
    def of(cls, old: Run, new: Run) -> OtherRun:
        pairs = side_by_side(old, new).pairs
        return cls(old, new.label, {pair.new.line: pair for pair in pairs})

    def compared(self, row: Row, line: int) -> Row:
        """Return the row with what both runs have of it, by the grades that the report compares."""
        pair = self.pairs.get(line)
        if pair is None:
            return row
        (old, new), (was, now) = pair.scores, pair.passed
        before = (rounded(old), was, _signs(pair, 0))
        marks = _signs(pair, 1)
        return row._replace(before=before, final=rounded(new), passed=now, marks=marks)

    def rows(self, lines: Collection[int]) -> Mapping[int, bytes]:
        """Return the older run's own lines, by those of the newer; none if it was a stream."""
        source = self.run.source()
        if not source.rereadable:
            return {}
        wanted = {self.pairs[line].old.line: line for line in lines if line in self.pairs}
        return {wanted[line]: text for line, text in source.read() if line in wanted}

    def before(self, line: int, text: bytes, new: JSONObject) -> JSONObject:
        """Return what a datapoint shows side by side, of its lines in both files."""
        pair, old = self.pairs[line], fields(loads(text))
        was, now = (shown(row.get("response")) for row in (old, new))
        because = {flip.item: flip.because for flip in pair.flips}
        return {
            "scores": pair.scores,
            "changes": word_diff(was, now, full=True),
            "same": was == now,
            "items": [
                _item(item, old, new, pair.fresh) | {"because": because.get(item)}
                for item in pair.items
            ],
        }


def _signs(pair: Pair, side: int) -> str:
    """Return the marks of the newer rubric's items in one of the runs."""
    return "".join(_sign(pair, item, side) for item in pair.items if item.new is not None)


def _sign(pair: Pair, item: ItemPair, side: int) -> str:
    mark = pair.marks(item)[side]
    if mark is None:
        return "-"
    case, at = ((pair.old, item.old), (pair.new, item.new))[side]
    penalty = at is not None and case.items[at].weight < 0
    return sign(mark.passed, mark.score, skipped=mark.skipped, penalty=penalty)


def _item(item: ItemPair, old: JSONObject, new: JSONObject, fresh: bool) -> JSONObject:
    given = (grade_of(old, item.old, fresh), grade_of(new, item.new, fresh))
    return {
        "name": one_line(item.name),
        "edits": item.changes,
        "grades": [grade(one) if one else None for one in given],
    }
