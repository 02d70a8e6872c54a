"""Compare two runs, datapoint by datapoint, or follow quality over several."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.errors import UsageError
from refinecli.report import by_pair
from refinecli.report.cases import Case
from refinecli.report.gains import differences, loop_gain, record
from refinecli.report.pairing import common, has_scores
from refinecli.report.rubric_effect import rubric_effect
from refinecli.report.runs import Run
from refinecli.report.side_by_side import Pair, marks_of, passed_of, score_of, side_by_side
from refinecli.stats import statistics
from refinecli.types import JSONObject


def compared(old: Run, new: Run) -> JSONObject | None:
    """Compare the datapoints that both runs scored: the difference new minus old, and the flips
    between failed and passed with an exact (McNemar's) test; None where one run has no score at
    all."""
    both = side_by_side(old, new)
    if not has_scores(old) or not has_scores(new):
        return None
    pairs = [pair for pair in both.pairs if pair.difference is not None]
    if not pairs:
        raise UsageError(
            f"{old.file} and {new.file} have no scored datapoint in common",
            "give files that come from the same datapoints",
        )
    return {
        "old": old.label,
        "new": new.label,
        "n": len(pairs),
        "refined": any(len(case.steps) > 1 for run in (old, new) for case in run.cases),
        **set_apart(old.shaped_by, new.shaped_by),
        "left_out": len(old.cases) + len(new.cases) - 2 * len(pairs),
        "only_old": [name_of(case) for case in both.only_old],
        "only_new": [name_of(case) for case in both.only_new],
        **both.common.record(new, old),
        **_difference(pairs),
        **_flips(both.pairs),
        "same_responses": sum(pair.same_response for pair in pairs),
        "items": by_pair.items(both.pairs),
        "tags": by_pair.tags(pairs),
        "length": by_pair.length(pairs),
        "rubric": rubric_effect(both, old, new),
        "flips": by_pair.flips(both, old, new),
    }


def _difference(pairs: Sequence[Pair]) -> JSONObject:
    clusters = [pair.new.cluster for pair in pairs]
    change = [pair.difference or 0.0 for pair in pairs]
    old, new = zip(*(pair.scores for pair in pairs), strict=True)
    return {
        "old_score": record(statistics.mean(old, clusters)),
        "new_score": record(statistics.mean(new, clusters)),
        "gain": record(statistics.mean(change, clusters)),
        "sign_test": statistics.sign_test(change, clusters).record(),
        "detectable": statistics.detectable(change, clusters),
    }


def _flips(pairs: Sequence[Pair]) -> JSONObject:
    decided = [pair for pair in pairs if None not in pair.passed]
    clusters = [pair.new.cluster for pair in decided]
    old, new = ([bool(pair.passed[side]) for pair in decided] for side in (0, 1))
    return {
        "old_pass_rate": record(statistics.proportion(old, clusters)),
        "new_pass_rate": record(statistics.proportion(new, clusters)),
        "now_pass": [name_of(pair.new) for pair in decided if pair.flip > 0],
        "now_fail": [name_of(pair.new) for pair in decided if pair.flip < 0],
        "flip_test": statistics.sign_test([pair.flip for pair in decided], clusters).record(),
    }


def trend(runs: Sequence[Run]) -> list[JSONObject]:
    """Return a row for each run, in the order given.

    `change` is against the run before it with the same strategy and models, over the datapoints
    that both scored. Where a later `grade` scored all runs, those scores are shown, except for
    gains.
    """
    fresh = all(any(case.fresh is not None for case in run.cases) for run in runs)
    rows = []
    latest: dict[tuple[str, str], Run] = {}
    for run in runs:
        series = (run.strategy, str(sorted(run.models.items())))
        before = latest.get(series)
        row = _trend_row(run, fresh)
        row["change"] = record(_change(run, before, fresh)) if before else None
        rows.append(row)
        latest[series] = run
    return rows


def pass_rate(cases: Sequence[Case], *, fresh: bool = False) -> JSONObject | None:
    """Return the share of the datapoints that passed."""
    passed = [bool(passed_of(case, fresh)) for case in cases]
    return record(statistics.proportion(passed, [case.cluster for case in cases]))


def _trend_row(run: Run, fresh: bool) -> JSONObject:
    score = differences(run.cases, lambda case: score_of(case, fresh))
    gain = differences(run.cases, loop_gain)
    graded = [case for case in run.cases if passed_of(case, fresh) is not None]
    return {
        "label": run.label,
        "date": run.date,
        "file": run.file,
        "strategy": run.strategy,
        "models": run.models,
        "fresh": fresh,
        "n": len(score.values),
        "score": record(score.interval),
        "pass_rate": pass_rate(graded, fresh=fresh),
        "loop_gain": record(gain.interval),
        "items": _item_means(run.cases, fresh),
    }


def _change(run: Run, before: Run, fresh: bool) -> statistics.Interval | None:
    pairs = [
        (after - old, here.cluster)
        for here, there in common(run, before).pairs
        if (after := score_of(here, fresh)) is not None
        and (old := score_of(there, fresh)) is not None
    ]
    return statistics.mean([d for d, _ in pairs], [c for _, c in pairs])


def _item_means(cases: Sequence[Case], fresh: bool) -> list[JSONObject]:
    sums: dict[str, tuple[float, int]] = {}
    for case in cases:
        marks = marks_of(case, fresh)
        for item, mark in zip(case.items, marks, strict=bool(marks)):
            if mark.score is not None:
                total, n = sums.get(item.name, (0.0, 0))
                sums[item.name] = (total + mark.score, n + 1)
    return [{"name": name, "n": n, "score": total / n} for name, (total, n) in sums.items()]


def set_apart(old: JSONObject, new: JSONObject) -> JSONObject:
    """Return the settings that differ, each with its old and its new value; null is the default."""
    names = sorted(old.keys() | new.keys())
    pairs = {name: [old.get(name), new.get(name)] for name in names}
    differ = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    return {"settings": differ} if differ else {}


def name_of(case: Case) -> str | int:
    """Return a datapoint's id, with the number of its row where several have it."""
    return case.key[0] if not case.key[1] else f"{case.key[0]} ({case.key[1] + 1})"
