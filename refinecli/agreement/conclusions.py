"""Put the figures into plain sentences; a grader at chance is called just that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from refinecli.errors import option
from refinecli.stats.resampling import SAME
from refinecli.stats.wording import ends, number, plural
from refinecli.types import JSONObject

_EQUAL = 1e-9
_MATTERS = 0.2  # a correlation with length that is worth mentioning


def chance(figure: Mapping[str, Any], at: float) -> str | None:
    """Compare a figure with what guessing gives; None where that is unknown."""
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None:
        return None
    if low is None and figure.get("reason") == SAME:
        low = high = value
    if low is None:
        return "at chance" if abs(value - at) < _EQUAL else None
    if low > at + _EQUAL:
        return "better than chance"
    return "worse than chance" if high < at - _EQUAL else "at chance"


def conclusions(figures: JSONObject) -> list[str]:
    """Return the sentences that stand first."""
    if not figures["n"]:
        overlap = "has a label was graded" if figures["labelled"] else "was graded has a label"
        return [f"Nothing that {overlap}: there is nothing to compare."]
    return [
        *_chance(figures),
        *_majority(figures),
        *_raters(figures),
        *_coverage(figures),
        *_length(figures),
        *_corrected(figures),
    ]


def shown(figure: Mapping[str, Any]) -> str:
    """Write a figure such as `0.812 (95%: 0.760 to 0.858)`."""
    value = number(figure["value"])
    return value if figure["low"] is None else f"{value} (95%: {ends(figure)})"


def _chance(figures: JSONObject) -> Iterator[str]:
    found, over = figures["chance"], plural(figures["n"], "labelled grade")
    balanced = figures["balanced_accuracy"]
    if balanced["value"] is not None:
        said = found["verdicts"] or "too few to say whether that is better than chance"
        yield f"Verdicts: {said}: balanced accuracy {shown(balanced)} over {over}; chance is 0.5."
    else:
        yield f"Verdicts: balanced accuracy is undefined: {balanced['reason']}."
    if found["verdicts"] == "at chance" and found["scores"] == "better than chance":
        yield (
            f"The scores are better than chance, AUC {shown(figures['auc'])}: another pass score "
            "would turn them into better verdicts; in mode logprobs "
            f"{option('calibrate', 'FILE')} finds one."
        )
    if figures["spearman"]["value"] is not None:
        said = found["ranks"] or "too few to say whether that is better than chance"
        yield f"Order of the scores: {said}: Spearman {shown(figures['spearman'])}; chance is 0."


def _majority(figures: JSONObject) -> Iterator[str]:
    accuracy, base = figures["accuracy"], figures["baselines"]["majority"]
    gain = base["gain_over_it"]
    if accuracy["value"] is None:
        return
    if gain["low"] is not None and gain["low"] > 0:
        than = "more than"
    elif gain["value"] < 0:
        than = "less than"
    else:
        than = "not shown to be more than"
    yield (
        f"Accuracy {shown(accuracy)}: {than} the {number(base['accuracy']['value'])} of always "
        "giving the commoner verdict."
    )


def _raters(figures: JSONObject) -> Iterator[str]:
    grader, raters = (figures["baselines"][key] for key in ("grader_and_rater", "raters"))
    for name, words in (("kappa", "Kappa"), ("quadratic_kappa", "Quadratic kappa")):
        if grader[name]["value"] is not None and raters[name]["value"] is not None:
            yield (
                f"{words} of the grader with a single rater: {shown(grader[name])}; of two raters "
                f"with each other: {shown(raters[name])}."
            )


def _coverage(figures: JSONObject) -> Iterator[str]:
    levels, who = figures["coverage"], "votes" if figures["jurors"] else "repeats"
    if len(levels) > 1:
        best, whole = levels[0], levels[-1]
        yield (
            f"Where all {who} agree ({best['coverage']:.0%} of them), accuracy is "
            f"{shown(best['accuracy'])}; everywhere {shown(whole['accuracy'])}."
            if best["votes"] > 1 - _EQUAL
            else f"There is nothing that all {who} agree on."
        )


def _length(figures: JSONObject) -> Iterator[str]:
    scores, gold = figures["length_correlation"], figures["length_correlation_gold"]
    if (
        scores["low"] is None
        or abs(scores["value"]) < _MATTERS
        or scores["low"] * scores["high"] < 0
    ):
        return
    labels = "" if gold["value"] is None else f"; for the labels it is {shown(gold)}"
    yield f"Scores correlate with length, Spearman {shown(scores)}{labels}."


def _corrected(figures: JSONObject) -> Iterator[str]:
    corrected = figures["corrected_pass_rate"]
    if corrected["value"] is not None and figures["graded"] > figures["n"]:
        yield (
            f"Corrected for the grader's errors, {shown(corrected)} of all "
            f"{plural(figures['graded'], 'grade')} are met."
        )
