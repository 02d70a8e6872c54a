"""Compare two runs, datapoint by datapoint, or follow quality over several."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.errors import UsageError
from refinecli.report.cases import Case
from refinecli.report.gains import differences, loop_gain, record
from refinecli.report.pairing import common, has_scores, same_input, scored
from refinecli.report.runs import Run
from refinecli.stats import statistics
from refinecli.types import JSONObject


def compared(old: Run, new: Run) -> JSONObject | None:
    """Compare the datapoints that both runs scored: the difference new minus old, and the flips
    between failed and passed with an exact (McNemar's) test; None where one run has no score at
    all."""
    found = same_input(new, old)
    if not has_scores(old) or not has_scores(new):
        return None
    pairs = list(scored(found, fresh=found.fresh))
    if not pairs:
        raise UsageError(
            f"{old.file} and {new.file} have no scored datapoint in common",
            "give files that come from the same datapoints",
        )
    flips = [
        (here, _pass(here, found.fresh) - _pass(there, found.fresh))
        for here, there in found.pairs
        if _decided(here, found.fresh) and _decided(there, found.fresh)
    ]
    clusters = [here.cluster for here, _, _, _ in pairs]
    change = [after - before for _, _, after, before in pairs]
    return {
        "old": old.label,
        "new": new.label,
        "n": len(pairs),
        **set_apart(old.shaped_by, new.shaped_by),
        "left_out": len(old.cases) + len(new.cases) - 2 * len(pairs),
        **found.record(new, old),
        "gain": record(statistics.mean(change, clusters)),
        "sign_test": statistics.sign_test(change, clusters).record(),
        "now_pass": [_name(here) for here, flip in flips if flip > 0],
        "now_fail": [_name(here) for here, flip in flips if flip < 0],
        "flip_test": statistics.sign_test(
            [flip for _, flip in flips], [here.cluster for here, _ in flips]
        ).record(),
        "detectable": statistics.detectable(change, clusters),
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
    passed = [bool(_pass(case, fresh)) for case in cases]
    return record(statistics.proportion(passed, [case.cluster for case in cases]))


def _trend_row(run: Run, fresh: bool) -> JSONObject:
    score = differences(run.cases, lambda case: _score(case, fresh))
    gain = differences(run.cases, loop_gain)
    graded = [case for case in run.cases if _decided(case, fresh)]
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
        if (after := _score(here, fresh)) is not None and (old := _score(there, fresh)) is not None
    ]
    return statistics.mean([d for d, _ in pairs], [c for _, c in pairs])


def _item_means(cases: Sequence[Case], fresh: bool) -> list[JSONObject]:
    sums: dict[str, tuple[float, int]] = {}
    for case in cases:
        marks = case.fresh_marks if fresh else case.steps[case.best].marks
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


def _score(case: Case, fresh: bool) -> float | None:
    return case.fresh if fresh else case.final


def _decided(case: Case, fresh: bool) -> bool:
    """Return True where it is known whether the response passed."""
    gated = case.fresh_gated if fresh else case.gated
    return gated or _score(case, fresh) is not None


def _pass(case: Case, fresh: bool) -> int:
    return int(case.fresh_passed if fresh else case.passed)


def _name(case: Case) -> str | int:
    return case.key[0] if not case.key[1] else f"{case.key[0]} ({case.key[1] + 1})"
