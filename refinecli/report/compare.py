"""Two runs: which datapoints flipped. Several: how quality moved over time."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.errors import UsageError
from refinecli.report import statistics
from refinecli.report.gains import differences, loop_gain, record
from refinecli.report.runs import Case, Run, both_fresh, paired
from refinecli.types import JSONObject


def compared(old: Run, new: Run) -> JSONObject:
    """The datapoints that both runs scored: the difference new less old, and the flips between
    failed and passed with an exact (McNemar's) test."""
    pairs = list(paired(new.cases, old.cases))
    fresh = any(map(both_fresh, pairs))
    scored = [
        (here, after - before)
        for here, there in pairs
        if (after := _score(here, fresh)) is not None
        and (before := _score(there, fresh)) is not None
    ]
    if not scored:
        raise UsageError(
            f"{old.file} and {new.file} have no scored datapoint in common",
            "both must come from the same datapoints",
        )
    known = {here.key for here, _ in scored}
    flips = [
        (here, _pass(here, fresh) - _pass(there, fresh))
        for here, there in pairs
        if here.key in known
    ]
    clusters = [here.cluster for here, _ in scored]
    change = [difference for _, difference in scored]
    return {
        "old": old.label,
        "new": new.label,
        "n": len(scored),
        "left_out": len(old.cases) + len(new.cases) - 2 * len(scored),
        "fresh": fresh,
        "gain": record(statistics.mean(change, clusters)),
        "sign_test": statistics.sign_test(change, clusters).record(),
        "now_pass": [_name(here) for here, flip in flips if flip > 0],
        "now_fail": [_name(here) for here, flip in flips if flip < 0],
        "flip_test": statistics.sign_test([flip for _, flip in flips], clusters).record(),
        "detectable": statistics.detectable(change, clusters),
    }


def trend(runs: Sequence[Run]) -> list[JSONObject]:
    """A row for each run, in the order given; `change` is against the run before it with the same
    strategy and models, over the datapoints that both scored."""
    rows = []
    latest: dict[tuple[str, str], Run] = {}
    for run in runs:
        series = (run.strategy, str(sorted(run.models.items())))
        rows.append(_trend_row(run, latest.get(series)))
        latest[series] = run
    return rows


def pass_rate(cases: Sequence[Case]) -> JSONObject | None:
    """The share of the datapoints that passed."""
    passed = [case.passed for case in cases]
    return record(statistics.proportion(passed, [case.cluster for case in cases]))


def _trend_row(run: Run, before: Run | None) -> JSONObject:
    final = differences(run.cases, lambda case: case.final)
    gain = differences(run.cases, loop_gain)
    scored = [case for case in run.cases if case.final is not None]
    return {
        "label": run.label,
        "date": run.date,
        "file": run.file,
        "strategy": run.strategy,
        "models": run.models,
        "n": len(final.values),
        "score": record(final.interval),
        "pass_rate": pass_rate(scored),
        "loop_gain": record(gain.interval),
        "change": record(_change(run, before)) if before else None,
        "items": _item_means(run.cases),
    }


def _change(run: Run, before: Run) -> statistics.Interval | None:
    pairs = [
        (here.final - there.final, here.cluster)
        for here, there in paired(run.cases, before.cases)
        if here.final is not None and there.final is not None
    ]
    return statistics.mean([d for d, _ in pairs], [c for _, c in pairs])


def _item_means(cases: Sequence[Case]) -> list[JSONObject]:
    sums: dict[str, tuple[float, int]] = {}
    for case in cases:
        for item, mark in zip(case.items, case.steps[case.best].marks, strict=True):
            if mark.score is not None:
                total, n = sums.get(item.name, (0.0, 0))
                sums[item.name] = (total + mark.score, n + 1)
    return [{"name": name, "n": n, "score": total / n} for name, (total, n) in sums.items()]


def _score(case: Case, fresh: bool) -> float | None:
    return case.fresh if fresh else case.final


def _pass(case: Case, fresh: bool) -> int:
    return int(case.fresh_passed if fresh else case.passed)


def _name(case: Case) -> str | int:
    return case.key[0] if not case.key[1] else f"{case.key[0]} ({case.key[1] + 1})"
