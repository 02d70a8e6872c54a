"""Find what was probably meant otherwise in a rubric item that can be used as it is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import lru_cache

from refinecli.item_defaults import EXTRACTION_REGEX, INSTRUCTION, range_of, shortest
from refinecli.text.patterns import last_match
from refinecli.types import JSONObject, RubricItem

_ITEM_KEYS = frozenset(RubricItem.model_fields)


def slip(items: Sequence[JSONObject]) -> str:
    """Name the first probable slip in the rubric items: a key close to one of ours, which changes
    nothing, or two that contradict each other."""
    for index, item in enumerate(items):
        if problem := _contradiction(item):
            return f"rubric_items[{index}].{problem}"
        if item.keys() <= _ITEM_KEYS:
            continue
        for key in item:
            if key not in _ITEM_KEYS and (close := _close_to(key)):
                return f"rubric_items[{index}].{key} is ignored; did you mean {close}?"
    return ""


def _contradiction(item: JSONObject) -> str:
    given, choices = item.get("score_range"), item.get("choices")
    instruction = item.get("grader_output_format_instruction")
    if given and choices:
        own = given == [0, len(choices) - 1]
        return "" if own else "score_range is ignored: the choices are the scale"
    if given and instruction and (asked := range_of(instruction)) and asked != given:
        low, high, other_low, other_high = map(shortest, (*given, *asked))
        return (
            f"score_range is {low} to {high}, but its instruction asks for a score between "
            f"{other_low} and {other_high}"
        )
    pattern = item.get("extraction_regex")
    own = pattern and pattern != EXTRACTION_REGEX
    asks_ours = instruction in (None, INSTRUCTION)
    if own and asks_ours and not item.get("check") and not _finds_default(pattern):
        return (
            "extraction_regex does not find <score>1</score>, which the grader is asked for: say "
            "what it is to write in grader_output_format_instruction"
        )
    return ""


@lru_cache(maxsize=256)
def _finds_default(pattern: str) -> bool:
    try:
        return last_match(pattern, "<score>1</score>") is not None
    except TimeoutError:
        return True


@lru_cache(maxsize=1024)  # every row has the same keys, and comparing them is slow
def _close_to(key: str) -> str | None:
    return next(iter(difflib.get_close_matches(key, _ITEM_KEYS, n=1, cutoff=0.8)), None)
