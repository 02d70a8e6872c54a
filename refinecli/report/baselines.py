"""Compare a run with baselines: its first answers, and other runs at equal cost.

Plain resampling, keeping the best, gains too: refining helps where it beats that at equal cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refinecli.errors import UsageError, option
from refinecli.refining.strategies import STRATEGIES
from refinecli.report.cases import Case, Key, Spent
from refinecli.report.gains import LEAST_DIFFERING, Regrade, differences, record
from refinecli.report.pairing import nothing_in_common, same_input, scored
from refinecli.report.runs import Run, responses
from refinecli.stats import statistics
from refinecli.types import JSONObject

# Tokens that count as equal: one draft more or less is often a step of some tenths.
EQUAL_COST = 0.95
_LEAST_POINTS = 1e-6  # sums of floats
_PER_POINT = ("cost_per_point", "calls_per_point")
_COSTS = ("calls", "tokens", "tokens_ratio", *_PER_POINT)


@dataclass(frozen=True, slots=True)
class _Pair:
    """A datapoint of the run with its final score, and the baseline's score and spending."""

    case: Case
    final: float
    score: float
    spent: Spent


def first_answer(run: Run, regraded: JSONObject | None = None) -> JSONObject | None:
    """Return the row of the run's own first responses; None where there is nothing to compare
    with."""
    if not any(len(case.steps) > 1 for case in run.cases):
        return None
    pairs = [
        _Pair(case, case.final, case.first, case.steps[0].spent)
        for case in run.cases
        if case.first is not None and case.final is not None
    ]
    row = _row("first answer", run.file, pairs) | {"regraded_gain_over_it": regraded}
    return row if _first_cost_known(run) else row | dict.fromkeys(_COSTS)


def _first_cost_known(run: Run) -> bool:
    """Return False where the first iteration's usage includes what was asked about it for the
    next."""
    loop = STRATEGIES.get(run.strategy)
    return loop is None or loop.feedback_by is None


def baseline(
    run: Run,
    other: Run,
    regraded: Mapping[Key, Regrade | None] | None = None,
    heldout: Mapping[Key, Regrade | None] | None = None,
) -> JSONObject:
    """Return the row of another run, paired with this one by datapoint. Fresh grades of a datapoint
    have the baseline's response as the first.

    Of a run that only drew drafts, the first n of each datapoint count, n being the fewest that
    cost as many tokens as the run: chosen by tokens alone, never by scores.
    """
    found = same_input(run, other, option("baseline", other.file))
    fresh = found.fresh and not regraded  # a later `grade` scored only the best draft
    both = list(scored(found, fresh=fresh))
    if not both:
        raise UsageError(
            f"{option('baseline', other.file)}: no scored datapoint in common with {run.file}",
            nothing_in_common(run, other),
        )
    there = [case for _, case, _, _ in both]
    drawn, enough = _drafts(other, [(here, case) for here, case, _, _ in both])
    drafts = drawn if fresh else enough
    pairs = [
        _Pair(here, mine, score, _spent(case, drafts))
        for here, case, mine, theirs in both
        if (score := theirs if drafts == drawn else _best(case, drafts)) is not None
    ]
    name = other.label if not drawn else f"{other.label}, best of {drafts}"
    row = _row(name, other.file, pairs) | found.record(run, other) | {"label": other.label}
    row |= {"fresh": fresh, "drafts": drafts or None, "drafts_drawn": drawn or None}
    row["drafts_at_equal_cost"] = enough or None
    for name, grades in (("regraded", regraded), ("heldout", heldout)):
        row |= _regraded(name, run, grades or {})
    if not all(case.refined for case in there):  # the cost of the answers is not recorded
        row |= dict.fromkeys(_COSTS)
    if not _first_cost_known(run):
        row |= dict.fromkeys(_PER_POINT)
    if fresh:  # the first answers have no such score
        row |= dict.fromkeys(_PER_POINT)
    row["left_out"] = len(run.cases) - len(pairs)
    return row


def _regraded(name: str, run: Run, grades: Mapping[Key, Regrade | None]) -> JSONObject:
    def gain(case: Case) -> float | None:
        return one.gain if (one := grades.get(case.key)) else None

    over = differences(run.cases, gain)
    return {
        f"{name}_n": len(over.values),
        f"{name}_gain_over_it": record(over.interval),
        f"{name}_differing": over.signs.differing,
    }


def kept_responses(run: Run, other: Run) -> dict[Key, str]:
    """Return a baseline's response to each of the run's datapoints: of drafts, the one with the
    best score in its loop among those that count."""
    found = same_input(run, other, option("baseline", other.file))
    both = [(here, case) for here, case, _, _ in scored(found, fresh=False)]
    drawn, drafts = _drafts(other, both)
    wanted = {case.key for _, case in both}

    def chosen(case: Case) -> int:
        if drafts == drawn or drafts >= len(case.steps):
            return case.best
        scores = [step.score for step in case.steps[:drafts]]
        return max(range(drafts), key=lambda at: (scores[at] is not None, scores[at] or 0, -at))

    return {case.key: text for case, text in responses(other, chosen) if case.key in wanted}


def run_cost(run: Run) -> JSONObject:
    """Return the run's own row, to show next to its baselines."""
    pairs = [
        _Pair(case, case.final, case.final, case.spent)
        for case in run.cases
        if case.first is not None and case.final is not None
    ]
    row = _row(run.label, run.file, pairs) if pairs else {}
    if not _first_cost_known(run):
        row |= dict.fromkeys(_PER_POINT)
    return {key: row.get(key) for key in ("n", "score", *_COSTS) if key != "tokens_ratio"}


def ahead(row: JSONObject) -> JSONObject:
    """Return what the run scores above a baseline, by fresh grades on both sides where there are
    any."""
    gain: JSONObject = row.get("regraded_gain_over_it") or row.get("gain_over_it") or {}
    return gain


def differing(row: JSONObject) -> int:
    """Count the independent units that differ in what `ahead` returns."""
    key = "regraded_differing" if row.get("regraded_gain_over_it") else "differing"
    return int(row.get(key) or 0)


def enough_differ(row: JSONObject) -> bool:
    """Return whether anything may be claimed from what `ahead` returns."""
    return differing(row) >= LEAST_DIFFERING


# ------------------------------------------------------------------ inside


def _drafts(other: Run, both: Sequence[tuple[Case, Case]]) -> tuple[int, int]:
    """Return how many drafts a run drew and how many of them count, if it only drew drafts; else
    0."""
    if not other.only_drafts or not both:
        return 0, 0
    there = [case for _, case in both]
    drawn = max(len(case.steps) for case in there)
    return drawn, _matching(there, drawn, sum(case.spent.tokens for case, _ in both))


def _matching(cases: Sequence[Case], drawn: int, tokens: int) -> int:
    """Return the fewest drafts that cost as many tokens; all where even those cost fewer."""
    for drafts in range(1, drawn):
        if sum(_spent(case, drafts).tokens for case in cases) >= EQUAL_COST * tokens:
            return drafts
    return drawn


def _spent(case: Case, drafts: int) -> Spent:
    if not drafts or drafts >= len(case.steps):
        return case.spent
    return sum((step.spent for step in case.steps[:drafts]), Spent())


def _best(case: Case, drafts: int) -> float | None:
    scores = [step.score for step in case.steps[:drafts] if step.score is not None]
    return max(scores, default=None)


def _row(name: str, file: str, pairs: Sequence[_Pair]) -> JSONObject:
    clusters = [pair.case.cluster for pair in pairs]
    over = [pair.final - pair.score for pair in pairs]
    spent = sum((pair.spent for pair in pairs), Spent())
    tokens = sum(pair.case.spent.tokens for pair in pairs)
    return {
        "name": name,
        "file": file,
        "n": len(pairs),
        "score": record(statistics.mean([pair.score for pair in pairs], clusters)),
        "run_score": record(statistics.mean([pair.final for pair in pairs], clusters)),
        "gain_over_it": record(statistics.mean(over, clusters)),
        "differing": statistics.sign_test(over, clusters).differing,
        "calls": spent.calls,
        "tokens": spent.tokens,
        "tokens_ratio": spent.tokens / tokens if tokens else None,
        **_cost_per_point(pairs, spent),
    }


def _cost_per_point(pairs: Sequence[_Pair], spent: Spent) -> JSONObject:
    """Return the extra tokens and calls a datapoint for each 0.01 scored above the run's first
    answers; null where nothing was gained."""
    cost: JSONObject = dict.fromkeys(_PER_POINT)
    if any(pair.case.first is None for pair in pairs):
        return cost
    points = 100 * sum(pair.score - (pair.case.first or 0) for pair in pairs)
    first = sum((pair.case.steps[0].spent for pair in pairs), Spent())
    if points > _LEAST_POINTS and spent.tokens > first.tokens:
        cost["cost_per_point"] = (spent.tokens - first.tokens) / points
        cost["calls_per_point"] = (spent.calls - first.calls) / points
    return cost
