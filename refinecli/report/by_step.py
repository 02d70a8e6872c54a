"""Build the table of an adaptive loop's steps: what its drafts and its rewrites brought for their
tokens, and how its choice between them changed over the rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from refinecli.report.cases import Case
from refinecli.report.gains import record
from refinecli.report.runs import Run
from refinecli.runs.learning import rows_used
from refinecli.stats import statistics
from refinecli.types import JSONObject

KINDS = ("draft", "rewrite")
# Steps in a row of the choice over the rows: a share of fewer says nothing.
_FEW = 20
STEP_NOTES = (
    "the steps after the first drafts, of all rows; added: to the best scores, in sum, by the "
    "loop's own grades, and for a 1,000 tokens; improved: share of the steps that beat all before "
    "them",
    "learn from: how many rows, from the first; groups of few steps are joined",
)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """A step that the loop chose: the place of its row, and what it added to the best score."""

    place: int
    cluster: Hashable
    kind: str
    gain: float
    tokens: int


def steps(run: Run) -> JSONObject | None:
    """Return the figures of the steps after the first drafts; None where none was chosen.

    Gains are those of the loop's own grades, as in the run's summary.
    """
    chosen = [step for case in run.cases for step in _chosen(case)]
    if not chosen:
        return None
    own = run.shaped_by.get("refine.learn") is False or "refine.learned" in run.shaped_by
    rows = run.cases[-1].place + 1
    by_place = [_choice(group, rows, learns=not own) for group in _groups(chosen)]
    return {kind: _brought(kind, chosen) for kind in KINDS} | {"by_place": by_place}


def _chosen(case: Case) -> Iterator[_Chosen]:
    best = case.steps[0].score or 0.0
    for step in case.steps:
        gain = max(0.0, (step.score or 0.0) - best)
        best += gain
        if step.chosen:
            kind = "draft" if step.parent is None else "rewrite"
            yield _Chosen(case.place, case.cluster, kind, gain, step.spent.tokens)


def _brought(kind: str, chosen: Iterable[_Chosen]) -> JSONObject:
    own = [step for step in chosen if step.kind == kind]
    gain, tokens = sum((step.gain for step in own), 0.0), sum(step.tokens for step in own)
    improved = statistics.proportion([step.gain > 0 for step in own], [s.cluster for s in own])
    return {
        "count": len(own),
        "gain": gain,
        "tokens": tokens,
        "gain_per_1000_tokens": 1000 * gain / tokens if tokens else None,
        "improved": record(improved),
    }


def learned_from(row: JSONObject) -> str:
    """Write how many rows the rows of a group learn from."""
    if row["learned_from"] is None:
        return "-"
    least, most = row["learned_from"]["least"], row["learned_from"]["most"]
    return f"{most:,}" if least == most else f"{least:,}-{most:,}"


# ------------------------------------------------------------------ over the rows


def _groups(chosen: Sequence[_Chosen]) -> list[list[_Chosen]]:
    """Group the steps by what their rows may learn from, as `runs.learning` has it; a group of few
    steps is joined to the one before it, the first to the one after it."""
    groups: list[list[_Chosen]] = []
    for _, alike in groupby(chosen, lambda step: rows_used(step.place)):
        group = list(alike)
        if groups and (len(groups[-1]) < _FEW or len(group) < _FEW):
            groups[-1] += group
        else:
            groups.append(group)
    return groups


def _choice(group: Sequence[_Chosen], rows: int, *, learns: bool) -> JSONObject:
    """Return the share of rewrites among these steps. Rows are counted from 1, all of those that
    learn as these do, whether they took a step or not."""
    first, last = rows_used(group[0].place), rows_used(group[-1].place)
    rewrites = [step.kind == "rewrite" for step in group]
    return {
        "from": 2 * first + 1 if first else 1,
        "to": min(max(2, 4 * last), rows),
        "learned_from": {"least": first, "most": last} if learns else None,
        "count": len(group),
        "rewrites": sum(rewrites),
        "share": record(statistics.proportion(rewrites, [step.cluster for step in group])),
    }
