"""Raise alarms: signs that a gain may not be what it seems."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from refinecli.errors import option
from refinecli.report.baselines import EQUAL_COST
from refinecli.report.cases import Case
from refinecli.report.gains import Regrades, differences
from refinecli.report.runs import Run
from refinecli.stats import statistics
from refinecli.stats.wording import change, plural
from refinecli.types import JSONObject

_LONGER = 1.1  # graders prefer length; from a tenth more it begins to matter
_COPIED = 0.01  # share of the final responses
_UNGRADED = 0.05  # share of the datapoints, or of an item's grades


def alarms(run: Run, figures: JSONObject, regraded: Regrades | None = None) -> list[JSONObject]:
    """Return everything that should make a reader look twice."""
    found = [
        *_length(run.cases),
        *_copied(run.cases),
        *_noisy(run.cases, regraded),
        *_gated(run),
        *_ungraded(run, figures),
        *_failed(run),
        *_unequal(figures),
        *_not_alike(figures),
        *_mixed(run),
    ]
    return [{"type": kind, "message": message} for kind, message in found]


def _length(cases: Sequence[Case]) -> Iterator[tuple[str, str]]:
    scored = [case for case in cases if case.first is not None and case.final is not None]
    first = [float(case.steps[0].characters) for case in scored]
    final = [float(case.steps[case.best].characters) for case in scored]
    growth = statistics.ratio(final, first, [case.cluster for case in scored])
    if growth and growth.low is not None and growth.low > _LONGER:
        yield (
            "length",
            f"The final responses are {growth.mean:.2f} times as long as the first "
            f"({growth.low:.2f} to {growth.high:.2f}). Graders tend to prefer the longer of two.",
        )


def _copied(cases: Sequence[Case]) -> Iterator[tuple[str, str]]:
    copied = [case for case in cases if case.copied]
    if copied and len(copied) >= _COPIED * len(cases):
        yield (
            "rubric_copied",
            f"{plural(len(copied), 'final response')} of {len(cases):,} have phrases of the rubric "
            f"that are in neither the first response nor the prompt, such as {copied[0].key[0]}.",
        )


def _noisy(cases: Sequence[Case], regraded: Regrades | None) -> Iterator[tuple[str, str]]:
    """Warn of a gain where repeated grades of one text disagree, but not where they agree."""
    spreads = {
        key: regrade.spread
        for key, regrade in (regraded or {}).items()
        if regrade.spread is not None
    }
    if not spreads:
        return
    middle = median(spreads.values())

    def gain(case: Case, *, noisy: bool) -> float | None:
        spread, regrade = spreads.get(case.key), (regraded or {}).get(case.key)
        if spread is None or (spread > middle) != noisy or regrade is None:
            return None
        if regrade.final is None or regrade.first is None:
            return None
        return regrade.final - regrade.first

    noisy = differences(cases, lambda case: gain(case, noisy=True))
    calm = differences(cases, lambda case: gain(case, noisy=False))
    there, elsewhere = noisy.interval, calm.interval
    if noisy.is_gain and not calm.is_gain and there and elsewhere:
        yield (
            "noisy_gain",
            f"The gain is where the grader agrees least with itself: {change(there.record())} "
            f"there, {change(elsewhere.record())} elsewhere.",
        )


def _gated(run: Run) -> Iterator[tuple[str, str]]:
    """Warn of a score that leaves out those that failed."""
    if run.gated:
        yield (
            "gated",
            f"{run.gated:,} of {plural(run.datapoints, 'datapoint')} failed what grade.gate asks "
            "first and have no score: scores are over the others, the pass rate over all.",
        )


def _ungraded(run: Run, figures: JSONObject) -> Iterator[tuple[str, str]]:
    missing = run.datapoints - figures["scored"] - run.gated
    if missing > _UNGRADED * run.datapoints:
        yield (
            "ungraded",
            f"{missing:,} of {plural(run.datapoints, 'datapoint')} have no score "
            f"({run.ungraded:,} ungraded, {run.failed:,} failed); the others may differ from them.",
        )
    refined = [case for case in run.cases if case.refined and case.final is not None]
    unpaired = sum(case.first is None for case in refined)
    if unpaired > _UNGRADED * len(refined):
        yield (
            "ungraded_first",
            f"{unpaired:,} of {plural(len(refined), 'datapoint')} with a score have none for "
            f"their first response: gains are over the other {figures['n']:,}.",
        )
    for item in figures["items"]:
        if item["ungraded"] > _UNGRADED * (item["n"] + item["ungraded"]) and item["n"]:
            yield (
                "ungraded_item",
                f"The item {item['name']} stayed ungraded in {item['ungraded']:,} of "
                f"{plural(item['n'] + item['ungraded'], 'datapoint')}.",
            )


def _unequal(figures: JSONObject) -> Iterator[tuple[str, str]]:
    for row in figures["baselines"]:
        share = row["tokens_ratio"]
        if row.get("drafts") and share is not None and share < EQUAL_COST:
            yield (
                "unequal_cost",
                f"{row['name']} used {share:.0%} of the run's tokens: not an equal-cost control. "
                f"Draw more drafts than {row['drafts_drawn']}.",
            )
        elif row.get("drafts") and row["drafts"] > row["drafts_at_equal_cost"]:
            used = "" if share is None else f" used {share:.0%} of the run's tokens"
            yield (
                "unequal_cost",
                f"{row['name']}, regraded with all its drafts,{used}: with "
                f"`{option('drafts', row['drafts_at_equal_cost'])}` it would have cost as much.",
            )


def _failed(run: Run) -> Iterator[tuple[str, str]]:
    if run.failed <= _UNGRADED * run.datapoints:
        return
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in run.failures.items())
    text = (
        f"{run.failed:,} of {plural(run.datapoints, 'datapoint')} failed before they were done "
        f"({kinds})"
    )
    kept = len(run.cases) > run.datapoints - run.failed
    yield (
        "failed",
        f"{text}; scores are for the responses they had by then." if kept else f"{text}.",
    )


def _not_alike(figures: JSONObject) -> Iterator[tuple[str, str]]:
    """Warn of what may set two runs apart besides their responses."""
    run = figures["runs"][-1]["label"]
    pairs = [(run, row["label"], row) for row in figures["baselines"] if "label" in row]
    if pair := figures["compared"]:
        pairs.append((pair["new"], pair["old"], pair))
    for one, other, found in pairs:
        if count := found["other_conversation"]:
            yield (
                "other_conversation",
                f"{one} and {other}: {plural(count, 'datapoint')} with the same id but a different "
                "conversation are left out.",
            )
        if count := found["other_rubric"]:
            yield (
                "other_rubric",
                f"{one} and {other} have different rubrics for {count:,} of the same "
                "conversations: their scores may differ by the rubrics alone.",
            )
        if graders_differ(found):
            mine, theirs = (
                "several graders" if name == "mixed" else name for name in found["graders"]
            )
            yield (
                "other_grader",
                f"{one} was graded by {mine}, {other} by {theirs}: their scores may differ by the "
                "grader alone.",
            )


def graders_differ(found: JSONObject) -> bool:
    """Return whether two runs are known to be graded by different models."""
    if found.get("regraded_gain_over_it"):  # one grader graded both sides
        return False
    mine, theirs = found.get("graders") or (None, None)
    return bool(mine and theirs and mine != theirs)


def _mixed(run: Run) -> Iterator[tuple[str, str]]:
    if "mixed" in (run.strategy, run.settings):
        yield (
            "mixed",
            f"{run.file} has results of different settings: no mean describes any one.",
        )
