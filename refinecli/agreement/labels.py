"""Find the labels in a datapoint by a dotted path, and pair them with the grades.

    gold                    a label of the response as a whole
    rubric_items.gold       a label of each item
    labels.physicians.0     the first of several

The path leads to one label or to a list, one for each rater. A label is a verdict (true, "yes",
"fail", …) or a number on the scale of the grade.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from refinecli.agreement.judged import Judged, Label, Vote
from refinecli.errors import InputError
from refinecli.grading.by_probabilities import pass_probability
from refinecli.grading.scoring import item_passed, normalised, response_passed, total_score
from refinecli.types import Datapoint, Grade, JSONObject, RubricItem

_ITEMS = "rubric_items"
_YES = frozenset(("true", "yes", "y", "pass", "passed", "met"))
_NO = frozenset(("false", "no", "n", "fail", "failed", "unmet", "not met"))
_EPSILON = 1e-9


def judged(
    raw: JSONObject, path: str, datapoint: Datapoint, grades: Sequence[Grade]
) -> list[Judged]:
    """Pair a response's grades with their labels: item by item where the path leads into the items,
    without those skipped, else as a whole. Raise InputError where something else than a label is
    there."""
    labels = gold(raw, path, datapoint)
    if not _by_item(path):
        return [_whole(datapoint, grades, labels[0])]
    pairs = zip(grades, labels, strict=True)
    return [_item(datapoint, grade, found) for grade, found in pairs if not grade.skipped]


def gold(raw: JSONObject, path: str, datapoint: Datapoint) -> list[tuple[Label, ...]]:
    """Return the labels of each item, or those of the response as the only entry."""
    parts = path.split(".")
    items = datapoint.rubric_items
    if not _by_item(path):
        only = items[0] if len(items) == 1 else None
        return [tuple(_label(value, path, only) for value in _values(raw, parts))]
    written = raw.get(_ITEMS)
    own = written if isinstance(written, list) else []
    # Items of a --rubric file come after the datapoint's own, and have no labels.
    return [
        tuple(_label(value, path, item) for value in _values(one, parts[1:]))
        for item, one in zip(items, [*own, *[None] * len(items)], strict=False)
    ]


def _by_item(path: str) -> bool:
    return path.split(".")[0] == _ITEMS


def _values(value: Any, parts: Sequence[str]) -> Iterator[Any]:
    """Yield the values at the path; all entries of a list, unless the path names one."""
    if value is None:
        return
    if isinstance(value, list):
        if parts and parts[0].isdecimal():
            yield from (
                _values(value[int(parts[0])], parts[1:]) if int(parts[0]) < len(value) else ()
            )
            return
        for entry in value:
            yield from _values(entry, parts)
    elif not parts:
        yield value
    elif isinstance(value, dict):
        yield from _values(value.get(parts[0]), parts[1:])


# ------------------------------------------------------------------ one label


def _label(value: Any, path: str, item: RubricItem | None) -> Label:
    """Read a label of the item, or of a response with several, whose score is a share of 1."""
    if item and item.choices and isinstance(value, str) and item.raw_score(value) is not None:
        value = item.raw_score(value)
    if isinstance(value, str):
        value = _spoken(value.strip(), path)
    if isinstance(value, bool):
        return Label(met=value)
    if not isinstance(value, int | float):
        raise InputError(f"{path}: expected a label, found {type(value).__name__}", _HINT)
    low, high = item.score_range if item else (0.0, 1.0)
    if not low - _EPSILON <= value <= high + _EPSILON:
        of = "the item's score_range" if item else "the score of several items"
        shown = str(value)[:40] if isinstance(value, int) else f"{value:g}"  # of any size
        raise InputError(f"{path}: {shown} is outside {low:g} to {high:g}, {of}", _HINT)
    score = float(value)
    if item is None:  # 0 or 1: in between there is no pass score to compare with
        return Label({0.0: False, 1.0: True}.get(score), score)
    return Label(_met(item, item_passed(item, normalised(item, score))), score)


_HINT = "give true or false, yes or no, or a number on the scale of the grade"


def _spoken(text: str, path: str) -> bool | float:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{path}: {text[:80]!r} is not a label", _HINT) from None


def _met(item: RubricItem, passed: bool) -> bool:
    """Return whether the criterion is met, as labels say it; a penalty item passes by not meeting
    it."""
    return passed != item.penalty


# ------------------------------------------------------------------ paired with grades


def _item(datapoint: Datapoint, grade: Grade, labels: tuple[Label, ...]) -> Judged:
    item = datapoint.rubric_items[grade.item]
    return Judged(
        cluster=_cluster(datapoint),
        met=None if grade.passed is None else _met(item, grade.passed),
        score=None if grade.score is None else _on_scale(item, grade.score),
        labels=labels,
        scale=item.score_range,
        length=len(datapoint.response or ""),
        tags=_tags(datapoint),
        votes=tuple(
            Vote(_met(item, vote.passed), _on_scale(item, vote.score), vote.juror)
            for vote in grade.votes
            if vote.passed is not None and vote.score is not None
        ),
        likely=_likely(item, grade),
        penalty=item.penalty,
    )


def _likely(item: RubricItem, grade: Grade) -> float | None:
    return pass_probability(item, grade.probabilities) if grade.probabilities else None


def _on_scale(item: RubricItem, score: float) -> float:
    """Return a score on the item's scale; a check's raw score is its share, whatever the scale."""
    low, high = item.score_range
    return low + score * (high - low)


def _whole(datapoint: Datapoint, grades: Sequence[Grade], labels: tuple[Label, ...]) -> Judged:
    items = datapoint.rubric_items
    scale = items[0].score_range if len(items) == 1 else (0.0, 1.0)
    met, score = _verdict(datapoint, grades)
    # All items have the same jurors, equally often and in the same order, unless code grades them.
    several = max((grade.votes for grade in grades), key=len)
    votes = [
        (*_verdict(datapoint, [one.votes[n] if one.votes else one for one in grades]), vote.juror)
        for n, vote in enumerate(several)
    ]
    return Judged(
        cluster=_cluster(datapoint),
        met=met,
        score=score,
        labels=labels,
        scale=scale,
        length=len(datapoint.response or ""),
        tags=_tags(datapoint),
        votes=tuple(Vote(m, s, j) for m, s, j in votes if m is not None and s is not None),
        likely=_likely(items[0], grades[0]) if len(items) == 1 else None,
    )


def _verdict(datapoint: Datapoint, grades: Sequence[Grade]) -> tuple[bool | None, float | None]:
    items = datapoint.rubric_items
    score = total_score(items, grades)
    passed = response_passed(datapoint, grades, None)
    if score is None:  # the verdict on a response that was gated is known
        whole = all(grade.graded or grade.skipped for grade in grades)
        return (passed if whole else None), None
    return passed, _on_scale(items[0], score) if len(items) == 1 else score


def _cluster(datapoint: Datapoint) -> Hashable:
    """Return what varies independently: its group, or all rows with its id."""
    return datapoint.id if datapoint.group is None else ("group", datapoint.group)


def _tags(datapoint: Datapoint) -> tuple[str, ...]:
    tags = datapoint.tags
    return (tags,) if isinstance(tags, str) else tuple(tags or ())
