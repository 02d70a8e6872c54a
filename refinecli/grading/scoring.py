"""Turn a grader's reply into a score, and item scores into the score of a response.

The extraction ladder lives only here. Each rung either holds or gives the reason; nothing is
clamped and nothing is guessed, because a guess is a grade that nobody gave:

    ended whole -> reasoning removed -> last match of the item's regex -> plain number -> in range

That the last verdict counts and that an unreadable one is a failure of the grader, not of the
answer, follows inspect_ai's scorers; the regex and its first group are tinker-cookbook's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from refinecli.text.patterns import SECONDS, last_match, opening_of
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completion, Datapoint, Failure, Grade, RubricItem

# tinker-cookbook's older default; greedy, it spans from the first tag to the last.
_GREEDY_DEFAULT = "<score>(.*)</score>"
PLAIN_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
# Scores such as (3 - 1) / 4 are floats; a pass must not depend on their last bit.
_EPSILON = 1e-9


class Extraction(NamedTuple):
    """A raw score with its span in the reply's answer, or the reason why there is none."""

    raw_score: float | None = None
    span: tuple[int, int] | None = None
    problem: str = ""


def extract(item: RubricItem, completion: Completion, seconds: float = SECONDS) -> Extraction:
    """Read the raw score in a grader's reply, between the ends of the item's `score_range`.

    Raise TimeoutError where that takes longer than fewer seconds than the limit.
    """
    if completion.cut_off:
        return Extraction(problem="the reply was cut off at the length limit")
    _, verdict = split_reasoning(completion.text)
    if not verdict.strip():
        return Extraction(problem="the reply is empty")
    pattern = item.extraction_regex
    if pattern == _GREEDY_DEFAULT:
        pattern = "<score>(.*?)</score>"
    try:
        match = last_match(pattern, verdict, seconds)
    except TimeoutError:
        if seconds < SECONDS:
            raise
        return Extraction(problem=f"{pattern!r} took longer than {SECONDS} s on the reply")
    if match is None:
        return Extraction(problem=f"nothing in the reply matches {pattern!r}")
    # A pattern without a group means its whole match.
    groups = range(1, match.re.groups + 1)
    group = next((g for g in groups if match.group(g) is not None), None if groups else 0)
    if group is None:
        return Extraction(problem=f"the group of {pattern!r} is empty in its last match")
    begin, end = match.span(group)
    if (opening := opening_of(pattern)) and (named := verdict.rfind(opening, begin, end)) >= 0:
        begin = named + len(opening)  # "I write it between <score> tags: <score>1</score>"
    text, span = verdict[begin:end].strip(), (begin, end)
    if item.choices:
        return _choice(text, span, item)
    return _number(text, span, item.score_range)


def _choice(text: str, span: tuple[int, int], item: RubricItem) -> Extraction:
    place = item.raw_score(text)
    if place is None:
        return Extraction(
            problem=f"{text[:80]!r} is none of the choices {', '.join(item.choices or ())}"
        )
    return Extraction(place, span)


def _number(text: str, span: tuple[int, int], score_range: tuple[float, float]) -> Extraction:
    if not PLAIN_NUMBER.fullmatch(text):
        return Extraction(problem=f"{text[:80]!r} is not a plain number")
    low, high = score_range
    value = float(text) + 0.0  # no negative zero
    if not low <= value <= high:
        return Extraction(problem=f"{text[:80]} is outside {low:g} to {high:g}")
    return Extraction(value, span)


def normalised(item: RubricItem, raw_score: float) -> float:
    """Return a raw score as a share of its range, 0 to 1."""
    low, high = item.score_range
    return (raw_score - low) / (high - low)


def item_passed(item: RubricItem, score: float) -> bool:
    """Return whether an item score (0..1) is good enough; a penalty item passes with a low
    score."""
    if item.penalty:
        return score <= 1 - item.pass_score + _EPSILON
    return score >= item.pass_score - _EPSILON


def graded(
    index: int, item: RubricItem, completion: Completion, found: Extraction, raw_score: float
) -> Grade:
    """Build the grade that an LLM's reply amounts to."""
    score = normalised(item, raw_score)
    return Grade(
        item=index,
        name=item.name,
        score=score,
        raw_score=raw_score,
        passed=item_passed(item, score),
        grader="llm",
        feedback=explanation(completion.text, found, item) or None,
        reply=completion.text,
    )


def explanation(reply: str, found: Extraction, item: RubricItem) -> str:
    """Return the grader's reasons: its reply without its thinking, without the verdict and without
    the format instruction, which concerns nobody else."""
    rest = _without_verdict(split_reasoning(reply)[1], found)
    return rest.replace(item.grader_output_format_instruction, "").strip()


def _without_verdict(answer: str, found: Extraction) -> str:
    if found.span is None:
        return answer
    begin, end = found.span
    # Remove the verdict's own line; where it is the only line, only its number and tags.
    line_begin = answer.rfind("\n", 0, begin) + 1
    line_end = answer.find("\n", end) if "\n" in answer[end:] else len(answer)
    rest = (answer[:line_begin] + answer[line_end:]).strip()
    return rest or re.sub(r"<[^<>\n]{0,40}>", "", answer[:begin] + answer[end:]).strip()


def ungraded(index: int, item: RubricItem, failure: Failure, reply: str | None = None) -> Grade:
    """Return a grade without a verdict: the item has no score, and therefore neither has the
    response."""
    return Grade(index, item.name, None, None, None, _grader_of(item), None, reply, failure)


def _grader_of(item: RubricItem) -> Literal["llm", "check", "classifier"]:
    if item.classifier:
        return "classifier"
    return "llm" if item.check is None else "check"


def skipped(index: int, item: RubricItem) -> Grade:
    """Return the grade of an item that nobody was asked about, since another decided."""
    return Grade(index, item.name, None, None, None, _grader_of(item), skipped=True)


def total_score(items: Sequence[RubricItem], grades: Sequence[Grade]) -> float | None:
    """Return Σ weight·score ÷ Σ positive weights, unclipped; None where any item is ungraded or
    was skipped."""
    total = 0.0
    for item, grade in zip(items, grades, strict=True):
        if grade.score is None:
            return None
        total += item.weight * grade.score
    return total / weight_of(items)


def weight_of(items: Sequence[RubricItem]) -> float:
    """Return the sum of the positive weights, by which scores are divided; of penalties alone, as a
    person asks about one, the sum of theirs."""
    positive = sum(item.weight for item in items if item.weight > 0)
    return positive or sum(abs(item.weight) for item in items)


def response_passed(
    datapoint: Datapoint, grades: Sequence[Grade], threshold: float | None
) -> bool | None:
    """Return whether every required item passed and the score reaches the threshold; with neither,
    whether every item passed.

    False as soon as a graded item decides it, None while an ungraded one leaves it open: ungraded
    is never a pass. An empty response never passes, nor does one of which items were skipped.
    """
    items = datapoint.rubric_items
    if any(grade.grader == "empty" or grade.skipped for grade in grades):
        return False
    required = [grade for item, grade in zip(items, grades, strict=True) if item.required]
    if not required and threshold is None:
        required = list(grades)
    if any(grade.passed is False for grade in required):
        return False
    if threshold is not None and _best_score(items, grades) < threshold - _EPSILON:
        return False
    return None if any(grade.score is None for grade in grades) else True


def _best_score(items: Sequence[RubricItem], grades: Sequence[Grade]) -> float:
    """Return the score that the response may still reach, with the best grades for all that is
    ungraded; the score itself where nothing is."""
    total = 0.0
    for item, grade in zip(items, grades, strict=True):
        best = float(not item.penalty) if grade.score is None else grade.score
        total += item.weight * best
    return total / sum(item.weight for item in items if item.weight > 0)
