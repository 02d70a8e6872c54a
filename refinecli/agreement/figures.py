"""Build the `agreement` object of a summary: every figure with its interval, or the reason for
none."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from statistics import pstdev
from typing import TypeAlias

import numpy as np

from refinecli.agreement import measures
from refinecli.agreement.conclusions import chance, conclusions
from refinecli.agreement.judged import Judged, Label, Vote
from refinecli.errors import spelled
from refinecli.stats.draws import Floats
from refinecli.stats.resampling import Clusters, Figure, Measure
from refinecli.types import JSONObject

_RANKS = ("spearman", "kendall")
_PART_VERDICTS = ("accuracy", "balanced_accuracy", "kappa")
_PART_SCORES = ("quadratic_kappa", "mae")
_RATER_VERDICTS = ("accuracy", "kappa")
_RATER_SCORES = ("exact", "quadratic_kappa", "mae")


class _Pairs:
    """A grader's verdicts or scores, or one rater's, paired with a label: rows to sum up."""

    def __init__(self, judged: Sequence[Judged] = ()) -> None:
        scales = {one.scale for one in judged}
        # Differences are on the scale of the scores if all have the same, else shares of it.
        self.scale = scales.pop() if len(scales) == 1 else (0.0, 1.0)
        self.shared = not scales
        self.x: list[float] = []
        self.y: list[float] = []
        self.weight: list[float] = []
        self.cluster: list[Hashable] = []

    def add(self, one: Judged, couples: Sequence[tuple[float, float]]) -> None:
        """Add some couples that together count as one."""
        for x, y in couples:
            self.x.append(x if self.shared else one.share(x))
            self.y.append(y if self.shared else one.share(y))
            self.weight.append(1 / len(couples))
            self.cluster.append(one.cluster)


def agreement(judged: Sequence[Judged], spell: Callable[[str], str] = spelled) -> JSONObject:
    """Measure how verdicts and scores agree with labels; some figures count unlabelled ones."""
    if _take_two_values(judged):
        judged = [_without_scores(one) for one in judged]
    verdicts, scores = _verdicts(judged), _scores(judged)
    found: JSONObject = {
        **_counts(judged),
        **_records(_verdict_figures(verdicts)),
        "auc": _auc(judged).record(),
        **_records(_score_figures(scores)),
        **_records(_rank_figures(scores)),
        **_records(_repeats(judged)),
        **_records(_between_jurors(judged)),
        **_records(_reliability(judged)),
    }
    found["chance"] = {
        "verdicts": chance(found["balanced_accuracy"], 0.5),
        "scores": chance(found["auc"], 0.5),
        "ranks": chance(found["spearman"], 0.0),
    }
    found["corrected_pass_rate"] = _corrected(judged, found["chance"]["verdicts"]).record()
    found["baselines"] = {
        "majority": _records(_majority(verdicts)),
        "raters": _one_against_one(judged, _between_raters),
        "grader_and_rater": _one_against_one(judged, _grader_and_rater),
    }
    found["coverage"] = _coverage(judged)
    found["tags"] = _parts(judged, lambda one: one.tags)
    found["files"] = _parts(judged, lambda one: [one.file] if one.file else [])
    found["jurors"] = _jurors(judged)
    found["conclusions"] = [spell(sentence) for sentence in conclusions(found)]
    return found


def _counts(judged: Sequence[Judged]) -> JSONObject:
    labelled = [one for one in judged if one.labels]
    return {
        "n": sum(one.met is not None for one in labelled),
        "clusters": len({one.cluster for one in labelled if one.met is not None}),
        "graded": sum(one.met is not None for one in judged),
        "labelled": len(labelled),
        "split": sum(one.gold is None and _has_verdict(one) for one in labelled),
        "raters": max((len(one.labels) for one in labelled), default=0),
        "scale": list(_Pairs(labelled).scale),
    }


def _has_verdict(one: Judged) -> bool:
    return any(label.met is not None for label in one.labels)


def _records(figures: Mapping[str, Figure]) -> JSONObject:
    return {name: figure.record() for name, figure in figures.items()}


def _some(measures: Mapping[str, Measure], names: Iterable[str]) -> dict[str, Measure]:
    return {name: measures[name] for name in names}


def _none(names: Iterable[str], reason: str) -> dict[str, Figure]:
    return {name: Figure(None, reason=reason) for name in names}


def _array(values: Iterable[float]) -> Floats:
    return np.asarray(list(values), dtype=np.float64)


# ------------------------------------------------------------------ verdicts


def _verdicts(judged: Iterable[Judged]) -> _Pairs:
    pairs = _Pairs()
    for one in judged:
        if one.met is not None and (gold := one.gold) is not None:
            pairs.add(one, [(float(one.met), float(gold))])
    return pairs


def _verdict_figures(
    pairs: _Pairs, wanted: Mapping[str, Measure] = measures.VERDICTS
) -> dict[str, Figure]:
    if not pairs.x:
        return _none(wanted, "nothing graded has a label that is a verdict")
    columns = measures.cells(_array(pairs.x), _array(pairs.y), _array(pairs.weight))
    return Clusters(pairs.cluster).of_sums(columns, wanted)


def _majority(pairs: _Pairs) -> dict[str, Figure]:
    return _verdict_figures(pairs, measures.MAJORITY)


def _auc(judged: Sequence[Judged]) -> Figure:
    rows = [
        (one.share(one.score), float(gold), one.cluster)
        for one in judged
        if one.score is not None and (gold := one.gold) is not None
    ]
    if not rows:
        return Figure(None, reason="nothing graded has a label that is a verdict")
    clusters = Clusters([cluster for _, _, cluster in rows])
    scores, golds = _array(score for score, _, _ in rows), _array(gold for _, gold, _ in rows)
    return clusters.of_ranks(scores, golds, measures.auc, "all labels are the same")


def _corrected(judged: Sequence[Judged], chance: str | None) -> Figure:
    """Return Rogan and Gladen's pass rate: corrected by the errors on the labelled part."""
    rows = [one for one in judged if one.met is not None]
    if not any(one.gold is not None for one in rows):
        return Figure(None, reason="nothing graded has a label that is a verdict")
    if chance in ("at chance", "worse than chance"):
        return Figure(None, reason=f"the verdicts are {chance}: they say nothing about a pass rate")
    met, gold = _array(bool(one.met) for one in rows), _array(bool(one.gold) for one in rows)
    labelled = _array(one.gold is not None for one in rows)
    columns = [*measures.cells(met, gold, labelled), met, np.ones_like(met)]
    clusters = Clusters([one.cluster for one in rows])
    return clusters.of_sums(columns, {"it": measures.CORRECTED})["it"]


# ------------------------------------------------------------------ scores


def _take_two_values(judged: Iterable[Judged]) -> bool:
    """Return whether the labels' scores are really verdicts."""
    scores = {
        one.share(label.score) for one in judged for label in one.labels if label.score is not None
    }
    return len(scores) <= 2


def _without_scores(one: Judged) -> Judged:
    return replace(one, labels=tuple(Label(met=label.met) for label in one.labels))


_NO_SCORES = "the labels are not scores: they take two values at most"


def _scores(judged: Sequence[Judged]) -> _Pairs:
    rows = [one for one in judged if one.score is not None and one.gold_score is not None]
    pairs = _Pairs(rows)
    for one in rows:
        if one.score is not None and (gold := one.gold_score) is not None:
            pairs.add(one, [(one.score, gold)])
    return pairs


def _score_figures(
    pairs: _Pairs, wanted: Mapping[str, Measure] = measures.SCORES
) -> dict[str, Figure]:
    if not pairs.x:
        return _none(wanted, _NO_SCORES)
    low, high = pairs.scale
    x, y = _array(pairs.x), _array(pairs.y)
    columns = measures.moments(
        (x - low) / (high - low), (y - low) / (high - low), x - y, _array(pairs.weight)
    )
    found = Clusters(pairs.cluster).of_sums(columns, wanted)
    if "within_one" in found and high - low <= 1:
        found["within_one"] = Figure(None, reason="the scale is no wider than one")
    return found


def _rank_figures(pairs: _Pairs) -> dict[str, Figure]:
    if not pairs.x:
        return _none(_RANKS, _NO_SCORES)
    clusters, x, y = Clusters(pairs.cluster), _array(pairs.x), _array(pairs.y)
    return {
        "spearman": clusters.of_ranks(x, y, measures.spearman, measures.FLAT),
        "kendall": clusters.of_ranks(x, y, measures.kendall, measures.FLAT),
    }


# ------------------------------------------------------------------ reliability


def _repeats(judged: Sequence[Judged]) -> dict[str, Figure]:
    """Compare two grades of one thing by the same grader."""
    rows = [
        (one.cluster, votes)
        for one in judged
        for votes in _by_juror(one).values()
        if len(votes) > 1
    ]
    if not rows:
        return _none(measures.REPEATS, "nothing was graded twice")
    columns = [
        _array(1.0 for _ in rows),
        _array(_pairs_that_agree([vote.met for vote in votes]) for _, votes in rows),
        _array(float(np.mean([vote.met for vote in votes])) for _, votes in rows),
        _array(pstdev([vote.score for vote in votes]) for _, votes in rows),
    ]
    return Clusters([cluster for cluster, _ in rows]).of_sums(columns, measures.REPEATS)


def _between_jurors(judged: Sequence[Judged]) -> dict[str, Figure]:
    """Compare two jurors' grades of one thing."""
    rows = [(one.cluster, list(_by_juror(one).values())) for one in judged]
    rows = [(cluster, jurors) for cluster, jurors in rows if len(jurors) > 1]
    if not rows:
        return _none(measures.JURY, "nothing was graded by several jurors")
    met = [[float(np.mean([v.met for v in votes])) for votes in jurors] for _, jurors in rows]
    scores = [[float(np.mean([v.score for v in votes])) for votes in jurors] for _, jurors in rows]
    columns = [
        _array(1.0 for _ in rows),
        _array(_jurors_that_agree(shares) for shares in met),
        _array(float(np.mean(shares)) for shares in met),
        _array(map(pstdev, scores)),
    ]
    return Clusters([cluster for cluster, _ in rows]).of_sums(columns, measures.JURY)


def _by_juror(one: Judged) -> dict[str | None, list[Vote]]:
    found: dict[str | None, list[Vote]] = {}
    for vote in one.votes:
        found.setdefault(vote.juror, []).append(vote)
    return found


def _jurors_that_agree(shares: Sequence[float]) -> float:
    """Return how often votes of two jurors are equal, from each one's share of yes."""
    return float(np.mean([a * b + (1 - a) * (1 - b) for a, b in combinations(shares, 2)]))


def _pairs_that_agree(votes: Sequence[bool]) -> float:
    n, yes = len(votes), sum(votes)
    return (yes * (yes - 1) + (n - yes) * (n - yes - 1)) / (n * (n - 1))


def _reliability(judged: Sequence[Judged]) -> dict[str, Figure]:
    graded = [one for one in judged if one.score is not None]
    labelled = [one for one in judged if _gold_number(one) is not None]
    return {
        "ungraded_rate": _ungraded_rate(judged),
        "length_correlation": _with_length(graded, [one.share(one.score or 0.0) for one in graded]),
        "length_correlation_gold": _with_length(
            labelled, [_gold_number(one) or 0.0 for one in labelled]
        ),
    }


def _ungraded_rate(judged: Sequence[Judged]) -> Figure:
    if not judged:
        return Figure(None, reason="nothing was graded")
    missing = _array(one.met is None for one in judged)
    share = Measure(lambda s: s[..., 0], lambda s: s[..., 1], "nothing was graded", share=True)
    clusters = Clusters([one.cluster for one in judged])
    return clusters.of_sums([missing, np.ones_like(missing)], {"it": share})["it"]


def _gold_number(one: Judged) -> float | None:
    if (score := one.gold_score) is not None:
        return one.share(score)
    return None if one.gold is None else float(one.gold)


def _with_length(judged: Sequence[Judged], numbers: Sequence[float]) -> Figure:
    reason = "the scores or the lengths are all the same"
    if not judged:
        return Figure(None, reason=reason)
    lengths = _array(one.length for one in judged)
    clusters = Clusters([one.cluster for one in judged])
    return clusters.of_ranks(_array(numbers), lengths, measures.spearman, reason)


# ------------------------------------------------------------------ raters

# From the grader's value and the raters', the couples to compare.
_Couples: TypeAlias = Callable[[float, Sequence[float]], Sequence[tuple[float, float]]]


def _one_against_one(judged: Sequence[Judged], couples: _Couples) -> JSONObject:
    """Compare single raters, not their majority, over what has several labels, so that a grader and
    a rater are on the same terms. Each thing counts once, however many couples it makes."""
    rows = [one for one in judged if len(one.labels) > 1 and one.met is not None]
    verdicts, scores = _Pairs(), _Pairs(rows)
    for one in rows:
        met = [float(label.met) for label in one.labels if label.met is not None]
        if len(met) == len(one.labels):
            verdicts.add(one, couples(float(one.met or 0), met))
        if one.gold_score is not None and one.score is not None:
            given = [label.score for label in one.labels if label.score is not None]
            scores.add(one, couples(one.score, given))
    return {
        "n": max(len(set(verdicts.cluster)), len(set(scores.cluster))),
        **_records(_verdict_figures(verdicts, _some(measures.VERDICTS, _RATER_VERDICTS))),
        **_records(_score_figures(scores, _some(measures.SCORES, _RATER_SCORES))),
    }


def _between_raters(_: float, labels: Sequence[float]) -> Sequence[tuple[float, float]]:
    return list(permutations(labels, 2))


def _grader_and_rater(grader: float, labels: Sequence[float]) -> Sequence[tuple[float, float]]:
    return [(grader, label) for label in labels]


# ------------------------------------------------------------------ parts


def _coverage(judged: Sequence[Judged]) -> list[JSONObject]:
    """Return the accuracy where at least a given share of the repeats agree, and how much of
    everything that is."""
    rows = [
        (max(_share_met(one), 1 - _share_met(one)), one)
        for one in judged
        if len(one.votes) > 1 and one.met is not None and one.gold is not None
    ]
    found = []
    for level in sorted({round(share, 9) for share, _ in rows}, reverse=True):
        kept = [one for share, one in rows if share >= level - 1e-9]
        found.append(
            {
                "votes": level,
                "n": len(kept),
                "coverage": len(kept) / len(rows),
                "accuracy": _verdict_figures(
                    _verdicts(kept), _some(measures.VERDICTS, ["accuracy"])
                )["accuracy"].record(),
            }
        )
    return found


def _share_met(one: Judged) -> float:
    return sum(vote.met for vote in one.votes) / len(one.votes)


def _parts(judged: Sequence[Judged], names: Callable[[Judged], Iterable[str]]) -> list[JSONObject]:
    """Split by tag or by file, each part with its name."""
    by_name: dict[str, list[Judged]] = {}
    for one in judged:
        if one.labels and one.met is not None:
            for name in dict.fromkeys(names(one)):
                by_name.setdefault(name, []).append(one)
    return [{"name": name, **_part(rows)} for name, rows in by_name.items()]


def _jurors(judged: Sequence[Judged]) -> JSONObject:
    """Compare each juror separately: every vote of its own with the labels."""
    by_juror: dict[str, list[Judged]] = {}
    for one in judged:
        for vote in one.votes if one.labels else ():
            if vote.juror is not None:
                single = replace(one, met=vote.met, score=vote.score, votes=())
                by_juror.setdefault(vote.juror, []).append(single)
    return {juror: _part(rows) for juror, rows in by_juror.items()}


def _part(rows: Sequence[Judged]) -> JSONObject:
    """Return the chief figures of a part of what was graded and has labels."""
    return {
        "n": len(rows),
        **_records(_verdict_figures(_verdicts(rows), _some(measures.VERDICTS, _PART_VERDICTS))),
        **_records(_score_figures(_scores(rows), _some(measures.SCORES, _PART_SCORES))),
    }
