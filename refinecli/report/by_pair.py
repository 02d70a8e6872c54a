"""Compute what changed from one run to another, by rubric item, by tag and in length, and list the
verdicts that flipped."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from refinecli.report.cases import Key
from refinecli.report.gains import record
from refinecli.report.rubric_changes import ItemPair
from refinecli.report.runs import Run
from refinecli.report.side_by_side import Flip, Pair, SideBySide, read_rows, reason
from refinecli.stats import statistics
from refinecli.text.clean import one_line
from refinecli.types import JSONObject

_MOST_FLIPPED = 100  # datapoints whose flips are listed with the graders' reasons
_REASON = 600  # characters of one
_MOST_TAGS = 100


@dataclass(slots=True)
class _Sides:
    """Old and new values, paired, and what is counted of them."""

    old: list[float] = field(default_factory=list)
    new: list[float] = field(default_factory=list)
    clusters: list[Hashable] = field(default_factory=list)
    now_pass: int = 0
    now_fail: int = 0

    def add(self, old: float, new: float, cluster: Hashable) -> None:
        self.old.append(old)
        self.new.append(new)
        self.clusters.append(cluster)

    def record(self, sign: int = 1) -> JSONObject:
        gain = [sign * (new - old) for old, new in zip(self.old, self.new, strict=True)]
        return {
            "n": len(gain),
            "old": sum(self.old) / len(gain) if gain else None,
            "new": sum(self.new) / len(gain) if gain else None,
            "gain": record(statistics.mean(gain, self.clusters)) if gain else None,
        }


def items(pairs: Sequence[Pair]) -> list[JSONObject]:
    """Return a row for each item that both rubrics have, with its grades where both responses were
    graded on it. A positive gain is an improvement: a penalty's is how far it fell."""
    columns: dict[tuple[str, str, bool], _Sides] = {}
    changes: dict[tuple[str, str, bool], set[str]] = {}
    for pair in pairs:
        for item in pair.items:
            if item.old is None or item.new is None:
                continue
            key = item.old_name, item.name, pair.new.items[item.new].weight < 0
            column = columns.setdefault(key, _Sides())
            changes.setdefault(key, set()).update(item.changes)
            _add(column, pair, item)
    return [
        {
            "name": name,
            **({"old_name": old_name} if old_name != name else {}),
            "penalty": penalty,
            "changes": sorted(changes[old_name, name, penalty]),
            **column.record(-1 if penalty else 1),
            "now_pass": column.now_pass,
            "now_fail": column.now_fail,
        }
        for (old_name, name, penalty), column in columns.items()
    ]


def _add(column: _Sides, pair: Pair, item: ItemPair) -> None:
    old, new = pair.marks(item)
    if old is None or new is None or old.score is None or new.score is None:
        return
    column.add(old.score, new.score, pair.new.cluster)
    column.now_pass += bool(not old.passed and new.passed)
    column.now_fail += bool(old.passed and not new.passed)


def tags(pairs: Sequence[Pair]) -> list[JSONObject]:
    """Return a row for each tag, the most frequent first."""
    columns: dict[str, _Sides] = {}
    for pair in pairs:
        old, new = pair.scores
        if old is None or new is None:
            continue
        for tag in dict.fromkeys(pair.new.tags):
            column = columns.setdefault(tag, _Sides())
            column.add(old, new, pair.new.cluster)
            column.now_pass += pair.flip > 0
            column.now_fail += pair.flip < 0
    frequent = sorted(columns.items(), key=lambda entry: -len(entry[1].old))[:_MOST_TAGS]
    return [
        {"name": tag, **column.record(), "now_pass": column.now_pass, "now_fail": column.now_fail}
        for tag, column in frequent
    ]


def length(pairs: Sequence[Pair]) -> JSONObject | None:
    """Return the mean words of the responses, and how many times as long the new ones are."""
    old = [float(pair.old.words) for pair in pairs]
    new = [float(pair.new.words) for pair in pairs]
    if not sum(old):
        return None
    return {
        "old": sum(old) / len(old),
        "new": sum(new) / len(new),
        "ratio": record(statistics.ratio(new, old, [pair.new.cluster for pair in pairs])),
    }


# ------------------------------------------------------------------ flips


def flips(both: SideBySide, old: Run, new: Run) -> JSONObject:
    """Count the verdicts on items that flipped, and list those of the first datapoints, with the
    graders' reasons where the files can be read again."""
    counted = [flip.passes for pair in both.pairs for flip in pair.flips]
    shown = both.flipped[:_MOST_FLIPPED]
    keys = {pair.key for pair in shown}
    before, after = read_rows(old, keys), read_rows(new, keys)
    return {
        "verdicts": {"now_pass": sum(counted), "now_fail": len(counted) - sum(counted)},
        "datapoints": len(both.flipped),
        "listed": [_flipped(pair, before, after, both.fresh) for pair in shown],
    }


def _flipped(
    pair: Pair, before: dict[Key, JSONObject], after: dict[Key, JSONObject], fresh: bool
) -> JSONObject:
    old, new = before.get(pair.key, {}), after.get(pair.key, {})
    return {
        "id": pair.key[0],
        "occurrence": pair.key[1],
        "passed": list(pair.passed),
        "scores": list(pair.scores),
        "same_response": pair.same_response,
        "items": [_flip(flip, old, new, fresh) for flip in pair.flips],
    }


def _flip(flip: Flip, old: JSONObject, new: JSONObject, fresh: bool) -> JSONObject:
    item = flip.item
    return {
        "item": item.name,
        "passes": flip.passes,
        "scores": [flip.old.score, flip.new.score],
        "because": flip.because,
        "reasons": [
            one_line(reason(old, item.old, fresh), _REASON),
            one_line(reason(new, item.new, fresh), _REASON),
        ],
    }
