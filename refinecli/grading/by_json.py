"""Get a verdict as a JSON object: ask an endpoint for it and read the reply."""

from __future__ import annotations

from typing import Any

import orjson

from refinecli.grading.scoring import PLAIN_NUMBER, Extraction
from refinecli.item_defaults import EXTRACTION_REGEX, INSTRUCTION, asking_for, naming
from refinecli.text.json_text import read_exactly
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completion, JSONObject, JSONReply, RubricItem


def takes_json(item: RubricItem) -> bool:
    """Return whether an item leaves the form of its verdict to us: one with its own regex or
    instruction keeps to that."""
    ours = {INSTRUCTION, asking_for(item.score_range)}
    if item.choices:
        ours = {naming(item.choices, fault=item.penalty)}
    return (
        item.extraction_regex == EXTRACTION_REGEX and item.grader_output_format_instruction in ours
    )


def wanted(item: RubricItem, *, reasons: bool) -> JSONReply:
    """Build the JSON that holds one verdict, without its range, which some endpoints refuse."""
    score: JSONObject = {"type": "number"}
    if item.choices:
        score = {"type": "string", "enum": list(item.choices)}
    properties = ({"reasons": {"type": "string"}} if reasons else {}) | {"score": score}
    schema: JSONObject = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return JSONReply(schema)


def instruction(item: RubricItem, *, reasons: bool) -> str:
    """Describe the form of the verdict, for models whose endpoint does not enforce it."""
    before = '"reasons": "what you say first", ' if reasons else ""
    return (
        f'Reply with one JSON object and nothing else: {{{before}"score": …}}, '
        f"where the score is {_meant(item)}."
    )


def answer(verdict: str | float, reasons: str | None) -> str:
    """Write the reply that an example stands for."""
    before = {} if reasons is None else {"reasons": reasons}
    return orjson.dumps({**before, "score": verdict}).decode()


def read(item: RubricItem, completion: Completion) -> tuple[Extraction, str]:
    """Read the raw score in a JSON reply, and its reasons. The reply must be the object and nothing
    else, so that a quoted object is never taken for the verdict."""
    if completion.cut_off:
        return Extraction(problem="the reply was cut off at the length limit"), ""
    value = _json(completion.text)
    if value is None:  # only now: its reasons may mention such tags
        value = _json(split_reasoning(completion.text)[1])
    if value is None:
        return Extraction(problem="the reply is not one JSON object"), ""
    if not isinstance(value, dict) or "score" not in value:
        return Extraction(problem="the reply is no JSON object with a score"), ""
    reasons = value.get("reasons")
    said = reasons.strip() if isinstance(reasons, str) else ""
    score = value["score"]
    if isinstance(score, bool) or not isinstance(score, str | int | float):
        return Extraction(problem=f"{str(score)[:80]!r} is no score"), ""
    if isinstance(score, str) and not item.choices and PLAIN_NUMBER.fullmatch(score.strip()):
        score = float(score)
    raw_score = item.raw_score(score)
    if raw_score is None:
        return Extraction(problem=f"{str(score)[:80]!r} is not {_meant(item)}"), said
    return Extraction(raw_score + 0.0), said


def _json(text: str) -> Any:
    """Parse a reply as JSON, also in a code fence; return None where it is not JSON."""
    text = text.strip(_BLANK)
    if fence := text[: len(text) - len(text.lstrip("`"))] or text[: 3 * text.startswith("~~~")]:
        text = _unfenced(text, fence[0])
    try:
        return read_exactly(text)
    except ValueError:
        return None


_BLANK = "\ufeff \t\r\n"


def _unfenced(text: str, mark: str) -> str:
    """Return the object in a code fence, whatever language the fence names."""
    text = text.strip(mark)
    begin, end = text.find("{"), text.rfind("}") + 1
    around = text[: max(begin, 0)].strip(_BLANK), text[end:].strip(_BLANK)
    is_one = 0 <= begin < end and not around[1] and len(around[0].split()) <= 1
    return text[begin:end] if is_one else text


def _meant(item: RubricItem) -> str:
    """Say in words what a score may be."""
    if item.choices:
        return f"one of {', '.join(orjson.dumps(name).decode() for name in item.choices)}"
    return "a number from {:g} to {:g}".format(*item.score_range)
