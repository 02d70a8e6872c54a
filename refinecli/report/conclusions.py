"""Put the figures into plain sentences; no gain is claimed that was not shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from refinecli.errors import option
from refinecli.report.alarms import graders_differ
from refinecli.report.baselines import ahead, differing, enough_differ
from refinecli.report.cases import UNGRADED_LOOPS
from refinecli.report.compared_in_words import (
    comparison,
    fails_now,
    passes_now,
    rubric_effect,
    traded,
)
from refinecli.report.gains import LEAST_DIFFERING
from refinecli.report.trades import Moved, trade
from refinecli.stats.draws import TOO_FEW
from refinecli.stats.wording import change, ends, number, plural
from refinecli.text.clean import one_line
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject

_FLATTERED = "these favour the run that chose among more of them. "
_FRESH = {"regraded": "regraded", "heldout": "graded by the held-out judge"}
_AGAIN = f"grade the responses again ({option('regrade')})"
_GRADE_BOTH = "`refinecli grade` both files with another grader to be sure"


def conclusions(figures: JSONObject, *, regraded: bool = False) -> list[str]:
    """Return the sentences that stand first; `regraded` is whether fresh grades were asked for,
    even if none could be read."""
    pair = figures["compared"]
    alone = pair is None or pair["refined"]
    return [
        *(_result(figures) if alone else comparison(pair)),
        *_same_again(figures, regraded),
        *_gain(figures, regraded),
        *_traded(figures),
        *_control(figures, regraded),
        *between_runs(figures),
    ]


def _refined(figures: JSONObject) -> bool:
    return len(figures["iterations"]) > 1


def _result(figures: JSONObject) -> Iterator[str]:
    score, passed = figures["score"], figures["pass_rate"]
    if score is None:
        yield "No datapoint has a score."
        return
    text = f"Score {number(score['mean'])}{_within(score)}"
    text += f", {passed['mean']:.1%} passed" if passed else ""
    yield text + f", over {plural(figures['scored'], 'datapoint')}."
    if again := figures["fresh_score"]:
        passed = figures["fresh_pass_rate"]
        rate = f", {passed['mean']:.1%} passed" if passed else ""
        yield f"A later `grade` of the same responses: {number(again['mean'])}{rate}."
    if not _refined(figures):
        failed, datapoints = figures["failed"], figures["runs"][-1]["datapoints"]
        why = "nothing was refined"
        if failed:
            why = f"{failed:,} of {plural(datapoints, 'datapoint')} failed before they were done"
        yield f"One response each: {why}, so there is no gain to report."


def _same_again(figures: JSONObject, regraded: bool) -> Iterator[str]:
    """Report fresh grades of single responses, which have no gain, next to the run's own score."""
    if _refined(figures) or not regraded:
        return
    again = [
        f"{number(score['mean'])}{_within(score)} {by}"
        for key, by in _FRESH.items()
        if (score := figures[f"{key}_score"])
    ]
    if again:
        yield f"The same responses: {', '.join(again)}."
    else:
        yield "They could not be regraded."


def _within(score: JSONObject) -> str:
    return f" (95%: {ends(score)})" if score["low"] is not None else ""


def _gain(figures: JSONObject, regraded: bool) -> Iterator[str]:
    gain = figures["loop_gain"]
    if gain is None or not _refined(figures):
        return
    if figures["too_few"]:
        yield (
            f"Loop gain {change(gain)} over {plural(figures['n'], 'datapoint')}: too few for an "
            f"interval (it takes {TOO_FEW} independent ones). Nothing is claimed."
        )
        return
    basis = figures["claim"]["basis"]
    if _by_code_alone(figures):
        yield from _by_code(figures)
    elif basis is None:
        yield from _in_the_loop_only(figures, regraded)
    else:
        yield from _regraded(figures, basis)


def _by_code(figures: JSONObject) -> Iterator[str]:
    shown = "A gain" if figures["claim"]["gain"] else "No gain is shown"
    yield (
        f"{shown}: {change(figures['loop_gain'])}. All items are graded by code, so there is no "
        "grader noise: keeping the best response does not inflate the gain on these checks."
    )
    gain, signs = figures["loop_gain"], figures["sign_test"]
    if not figures["claim"]["gain"] and gain["low"] is not None and gain["low"] > 0:
        few = plural(signs["wins"] + signs["losses"], "datapoint")
        yield f"It rests on {few}; a claim takes {LEAST_DIFFERING} that differ."
    elif not figures["claim"]["gain"]:
        yield from _could_find(figures)


def _in_the_loop_only(figures: JSONObject, regraded: bool) -> Iterator[str]:
    kept, gain = figures["kept_by_score"], figures["loop_gain"]
    why = (
        "the best of several noisy grades is kept, so this is optimistic"
        if kept
        else "one grade of each response, by one grader"
    )
    if gain["low"] is not None and gain["low"] <= 0:
        yield f"No gain is shown: {change(gain)} in the loop ({why})."
        yield from _could_find(figures)
        return
    yield f"Loop gain {change(gain)}: {why}."
    step = "the responses could not be regraded" if regraded else _AGAIN
    yield f"It is not shown to be more than grader noise: {step}."


def _regraded(figures: JSONObject, basis: str) -> Iterator[str]:
    by, gain, loop = _FRESH[basis], figures[f"{basis}_gain"], figures["loop_gain"]
    if figures["claim"]["gain"]:
        own = number(loop["mean"], signed=True)
        yield f"A gain: {change(gain)} {by}; the loop itself found {own}."
    elif gain["high"] is not None and gain["high"] < 0:
        yield f"A loss: {change(gain)} {by}{_loop_found(loop, gain)}."
    else:
        yield f"No gain is shown: {change(gain)} {by}{_loop_found(loop, gain)}."
        yield from _could_find(figures)
    judged = figures["heldout_gain"]
    if basis != "regraded" or not figures["claim"]["gain"]:
        return
    if not judged:
        yield (
            "An error that the grader repeats in other words counts as a gain here: a held-out "
            "[judge] of another model family would show it."
        )
    else:
        low = judged["low"]
        agrees = "finds it too" if low is not None and low > 0 else "does not find it"
        yield f"The held-out judge {agrees}: {change(judged)}."


def _loop_found(loop: JSONObject, gain: JSONObject) -> str:
    if change(loop) == change(gain):
        return ", as in the loop"
    more = number(loop["mean"]) != number(gain["mean"]) and loop["mean"] > gain["mean"]
    return f", {'though' if more else 'and'} the loop found {change(loop)}"


def _could_find(figures: JSONObject) -> Iterator[str]:
    if figures["detectable"] is not None:
        yield (
            f"With {plural(figures['n'], 'datapoint')}, a gain of "
            f"{number(figures['detectable'])} as this grader sees it would be found four times in "
            "five; the true gain behind it may be larger."
        )


def _traded(figures: JSONObject) -> Iterator[str]:
    """Say what the final responses gained at the expense of what."""
    moved = [
        Moved(
            item["name"],
            item["first"]["mean"],
            item["final"]["mean"],
            item["gain"],
            item["penalty"],
        )
        for item in figures["items"]
        if item["first"] and item["final"] and item["gain"]
    ]
    yield from trade(moved)


def _control(figures: JSONObject, regraded: bool) -> Iterator[str]:
    """Compare with plain resampling: a gain is due to refining only where that gains less at equal
    cost."""
    if not _refined(figures) or figures["loop_gain"] is None:
        return
    rows = [row for row in figures["baselines"] if "drafts" in row]  # not the run's own first
    noisy = [] if _by_code_alone(figures) else [row for row in rows if not _honest(row)]
    for row in rows:
        ratio = row["tokens_ratio"]
        at = "" if ratio is None else f" at {ratio:.0%} of the tokens"
        n, all_of_it = row["regraded_n"] or row["n"], row["n"] + row["left_out"]
        at += f", over {n:,} of {plural(all_of_it, 'datapoint')}" if n < all_of_it else ""
        verdict = " by the loops' own grades" if row in noisy else _shown(row)
        yield f"Against {row['name']}{at}: {change(ahead(row))}{verdict}."
    if noisy:
        sure = "It could not be regraded." if regraded else f"To be sure, {_AGAIN}."
        yield f"Nothing is claimed from that: {_FLATTERED}{sure}"
    if not any(row["drafts"] for row in rows) and not figures["only_drafts"]:
        yield (
            "Plain resampling gains too: compare with a run of the strategy best-of-n "
            f"({option('baseline', 'FILE')})."
        )


def _honest(row: JSONObject) -> bool:
    """Return whether the compared grades had no part in choosing the responses."""
    return bool(row["fresh"] or row["regraded_gain_over_it"])


def _shown(row: JSONObject) -> str:
    over, by = ahead(row), " regraded" if _honest(row) else ""
    if over["low"] is None:
        return by
    if graders_differ(row):
        return f"{by} by different graders, so nothing is claimed from it"
    better, worse = over["low"] > 0, over["high"] < 0
    if (better or worse) and not enough_differ(row):
        few = plural(differing(row), "datapoint")
        return f"{by}, by {few} that differ: too few to claim anything"
    if row["drafts"]:
        dear = row["drafts"] > row["drafts_at_equal_cost"]
        beats = "resampling beats refining" if worse else "refining is not shown to beat resampling"
        beats = "refining beats resampling" if better else f"{beats}{', at more cost' * dear}"
        return f"{by}, {beats}"
    return f"{by}, {'better' if better else 'worse' if worse else 'no difference is shown'}"


def _by_code_alone(figures: JSONObject) -> bool:
    return bool(figures["claim"]["basis"] == "code")


def between_runs(figures: JSONObject) -> Iterator[str]:
    """Yield what is said of two runs besides what is said of either."""
    pair = figures["compared"]
    if pair is None:
        yield from _not_compared(figures)
        return
    if pair["refined"]:
        flips = pair["flip_test"]
        yield (
            f"{pair['new']} against {pair['old']}: {change(pair['gain'])}"
            f"{' regraded' if pair['fresh'] else ''} over {plural(pair['n'], 'datapoint')}; "
            f"{passes_now(flips['wins'])}, {fails_now(flips['losses'])} "
            f"(p = {flips['p_value']:.3g})."
        )
    yield from traded(pair)
    yield from rubric_effect(pair)
    if settings := pair.get("settings"):
        yield f"Their settings differ in {'; '.join(map(_difference, settings.items()))}."
    chosen = [run for run in figures["runs"] if run["strategy"] not in ("grade", *UNGRADED_LOOPS)]
    if pair["refined"] and chosen and not pair["fresh"] and not _by_code_alone(figures):
        yield f"That is by the loops' own grades: {_FLATTERED}{_GRADE_BOTH}."


def _difference(setting: tuple[str, Sequence[object]]) -> str:
    name, values = setting
    return f"{name} ({' → '.join(map(_value, values))})"


def _value(value: object) -> str:
    """Write a value as it is recorded: a long text by its beginning and its digest."""
    if value is None:
        return "default"
    if isinstance(value, dict) and value.keys() == {"digest", "begins"}:
        return f"{_value(value['begins'])}, digest {value['digest']}"
    text = value if isinstance(value, str) else dumps(value).decode()
    return one_line(text, 60)


def _not_compared(figures: JSONObject) -> Iterator[str]:
    trend = figures["trend"] or ()
    empty = [row["label"] for row in trend if not row["n"]]
    if len(trend) == 2 and empty:
        old, new = (row["label"] for row in trend)
        yield f"{new} and {old} are not compared: no datapoint of {' or '.join(empty)} has a score."
