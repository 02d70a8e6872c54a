"""Print the agreement on a terminal: conclusions, then the figures, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from refinecli.errors import option
from refinecli.stats.wording import ends, number, plural
from refinecli.text.clean import one_line
from refinecli.types import JSONObject

_WIDTH = 80
_MOST_PARTS = 12
_JURY = ("jury_agreement", "jury_kappa", "jury_spread")
_NAMES = (
    *("accuracy", "balanced_accuracy", "kappa", "precision", "recall", "f1", "precision_unmet"),
    *("recall_unmet", "f1_unmet", "f1_macro", "base_rate", "auc"),
    *("exact", "within_one", "quadratic_kappa", "spearman", "kendall", "pearson", "mae", "bias"),
    *("repeat_agreement", "repeat_kappa", "repeat_spread", *_JURY, "ungraded_rate"),
    *("length_correlation", "length_correlation_gold", "corrected_pass_rate"),
)
_RATERS = (("grader_and_rater", "grader and one rater"), ("raters", "two raters"))


def lines(figures: JSONObject) -> Iterator[str]:
    """Yield the lines to print: conclusions, the figures there are, and why others are missing."""
    yield f"agreement over {plural(figures['n'], 'labelled grade')}" + _besides(figures)
    for sentence in figures["conclusions"]:
        yield from wrap(one_line(sentence), _WIDTH, initial_indent="  ", subsequent_indent="    ")
    if not figures["n"]:
        return
    yield ""
    yield from _rows(figures)
    yield from _missing(figures)


def _besides(figures: JSONObject) -> str:
    ungraded, split = figures["labelled"] - figures["n"], figures["split"]
    others = [f"{ungraded:,} ungraded"] if ungraded else []
    others += [f"{split:,} with raters split evenly"] if split else []
    return f" (besides: {', '.join(others)})" if others else ""


def _rows(figures: JSONObject) -> Iterator[str]:
    yield _row("", "value", "95%")
    for name in _NAMES:
        if figures[name]["value"] is not None:
            yield _figure(name.replace("_", " "), figures[name])
    for key, words in _RATERS:
        for name in ("kappa", "quadratic_kappa"):
            figure = figures["baselines"][key][name]
            if figure["value"] is not None:
                yield _figure(f"{name.replace('_', ' ')}, {words}", figure)
    for level in figures["coverage"] if len(figures["coverage"]) > 1 else ():
        share = f"votes {level['votes']:.0%} alike: {level['coverage']:.0%} of all"
        yield _figure(f"accuracy, {share}", level["accuracy"])
    for juror, part in figures["jurors"].items():
        for name in ("kappa", "quadratic_kappa"):
            if part[name]["value"] is not None:
                yield _figure(f"{name.replace('_', ' ')}, juror {one_line(juror)}", part[name])
    for kind in ("files", "tags"):
        yield from _parts(figures[kind], kind)


def _parts(parts: Sequence[Mapping[str, Any]], kind: str) -> Iterator[str]:
    for part in parts[:_MOST_PARTS]:
        for name in ("kappa", "quadratic_kappa"):
            if part[name]["value"] is not None:
                named = f"{name.replace('_', ' ')}, {one_line(part['name'])} (n {part['n']:,})"
                yield _figure(named, part[name])
    if len(parts) > _MOST_PARTS:
        yield f"  and {len(parts) - _MOST_PARTS:,} more {kind}; {option('summary')} has all"


def _figure(name: str, figure: Mapping[str, Any]) -> str:
    return _row(name, number(figure["value"]), ends(figure))


def _row(name: str, value: str, interval: str) -> str:
    name = name if len(name) <= 46 else name[:45] + "…"
    return f"  {name:<46}  {value:>7}  {interval:>17}".rstrip()


def _missing(figures: JSONObject) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for name in _NAMES:
        if figures[name]["value"] is None and (figures["jurors"] or name not in _JURY):
            reasons.setdefault(figures[name]["reason"], []).append(name.replace("_", " "))
    for reason, names in reasons.items():
        text = f"undefined: {', '.join(names)}: {reason}"
        yield from wrap(one_line(text), _WIDTH, initial_indent="  ", subsequent_indent="    ")
