"""Compute what an edited rubric changed: its items, the grades that were asked for again, and the
part of the scores' difference that is owed to it alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from refinecli.report.gains import record
from refinecli.report.rubric_changes import ItemPair
from refinecli.report.runs import Run
from refinecli.report.side_by_side import Pair, SideBySide, read_rows
from refinecli.stats import statistics
from refinecli.text.clean import one_line
from refinecli.types import JSONObject

_TEXT = 600  # characters of an item's criterion
_LISTED = 100  # changes; where each row has a rubric of its own, there may be any number
# The fields of an item that a change may be in, besides its name and its criterion.
_FIELDS = (
    *("weight", "required", "pass_score", "score_range", "choices", "check"),
    *("extraction_regex", "grader_output_format_instruction", "examples"),
)


def rubric_effect(both: SideBySide, old: Run, new: Run) -> JSONObject | None:
    """Return the changes of the rubric and their effect; None where no rubric changed."""
    changed = [pair for pair in both.pairs if not pair.same_rubric]
    if not changed:
        return None
    same = [pair for pair in changed if pair.same_response]
    others = [pair for pair in changed if not pair.same_response]
    found = _found(changed)
    flips = [
        flip.passes for pair in changed for flip in pair.flips if flip.because in ("rubric", "both")
    ]
    return {
        "datapoints": len(changed),
        "changed": len(found),
        "changes": list(_changes(found, old, new)),
        "calls": _calls(changed),
        "flips": {"now_pass": sum(flips), "now_fail": len(flips) - sum(flips)},
        "same_response": _parts(same),
        "other_response": _parts(others),
    }


# ------------------------------------------------------------------ what changed


@dataclass(slots=True)
class _Change:
    """A change of an item, the same in all its `datapoints`, with the first as an example."""

    pair: Pair
    item: ItemPair
    datapoints: int = 0


def _found(changed: Sequence[Pair]) -> list[_Change]:
    """Find each change once: of items with the same names, and of the same kind."""
    found: dict[tuple[Any, ...], _Change] = {}
    for pair in changed:
        for item in pair.items:
            if item.changes:
                key = item.old_name, item.name, item.changes, *_counting(pair, item)
                found.setdefault(key, _Change(pair, item)).datapoints += 1
    return list(found.values())


def _changes(found: Sequence[_Change], old: Run, new: Run) -> Iterator[JSONObject]:
    keys = {change.pair.key for change in found[:_LISTED]}
    before, after = read_rows(old, keys), read_rows(new, keys)
    for change in found[:_LISTED]:
        item, key = change.item, change.pair.key
        was = _fields(before.get(key, {}), item.old)
        now = _fields(after.get(key, {}), item.new)
        yield {
            "name": item.name,
            **({"old_name": item.old_name} if item.old_name != item.name else {}),
            "changes": list(item.changes),
            "datapoints": change.datapoints,
            "text": [_text(was), _text(now)],
            "fields": {
                name: [was.get(name), now.get(name)]
                for name in _FIELDS
                if was and now and was.get(name) != now.get(name)
            },
        }


def _counting(pair: Pair, item: ItemPair) -> Iterator[object]:
    for rubric, at in ((pair.old.items, item.old), (pair.new.items, item.new)):
        if at is not None:
            yield rubric[at].weight, rubric[at].required, rubric[at].pass_score


def _fields(row: JSONObject, at: int | None) -> JSONObject:
    items = row.get("rubric_items") or ()
    return items[at] if at is not None and at < len(items) else {}


def _text(item: JSONObject) -> str | None:
    return one_line(str(item["rubric_str"]), _TEXT) if "rubric_str" in item else None


# ------------------------------------------------------------------ what it cost


def _calls(changed: Sequence[Pair]) -> int | None:
    """Count the calls that the grades of edited and added items rest on; None where the records do
    not say: a jury, repeats, or a grader that was asked once more."""
    calls = 0
    for pair in changed:
        case = pair.new
        asked = 0 if not case.words else sum(not item.by_code for item in case.items)
        spent = case.spent.calls - (case.refined and case.steps[0].role == "policy")
        edited = sum(
            not item.same_question and not case.items[item.new].by_code
            for item in pair.items
            if item.new is not None and case.words
        )
        if len(case.steps) > 1 or case.fresh is not None or spent not in (1, asked):
            return None
        calls += edited if spent == asked else min(edited, 1)  # all items in one call
    return calls


# ------------------------------------------------------------------ what it did to the scores


def _parts(pairs: Sequence[Pair]) -> JSONObject | None:
    """Split the differences of the scores: the part on `alike`, the items that both rubrics ask in
    the same way, by their old weights, and the `rest`. For one and the same response the first is
    the grader's contradicting itself, and the rest is owed to the rubric alone."""
    found = [
        (pair.new.cluster, whole, part)
        for pair in pairs
        if (whole := pair.difference) is not None and (part := _alike(pair)) is not None
    ]
    if not found:
        return None
    clusters = [cluster for cluster, _, _ in found]
    return {
        "n": len(found),
        "gain": record(statistics.mean([whole for _, whole, _ in found], clusters)),
        "alike": record(statistics.mean([part for _, _, part in found], clusters)),
        "rest": record(statistics.mean([whole - part for _, whole, part in found], clusters)),
    }


def _alike(pair: Pair) -> float | None:
    weights = sum(item.weight for item in pair.old.items if item.weight > 0)
    total = 0.0
    for item in pair.items:
        if not item.same_question:
            continue
        old, new = pair.marks(item)
        if old is None or new is None or old.score is None or new.score is None:
            return None
        total += pair.old.items[item.old or 0].weight * (new.score - old.score)
    return total / weights if weights else None
