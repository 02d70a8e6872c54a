"""Get a verdict as a JSON object: ask an endpoint for it and read the reply."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
    if item.extraction_regex != EXTRACTION_REGEX:
        return False
    asked = item.grader_output_format_instruction
    if item.choices:
        return asked == naming(item.choices, fault=item.penalty)
    return asked == INSTRUCTION or asked == asking_for(item.score_range)


def wanted(item: RubricItem, *, reasons: bool) -> JSONReply:
    """Build the JSON that holds one verdict, without its range, which some endpoints refuse."""
    return JSONReply(_schema(item, reasons=reasons))


def wanted_of_several(items: Mapping[str, RubricItem], *, reasons: bool) -> JSONReply:
    """Build the JSON that holds a verdict on each item, by its name."""
    return JSONReply(_object({name: _schema(one, reasons=reasons) for name, one in items.items()}))


def _schema(item: RubricItem, *, reasons: bool) -> JSONObject:
    score: JSONObject = {"type": "number"}
    if item.choices:
        score = {"type": "string", "enum": list(item.choices)}
    return _object(({"reasons": {"type": "string"}} if reasons else {}) | {"score": score})


def _object(properties: JSONObject) -> JSONObject:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def instruction(item: RubricItem, *, reasons: bool) -> str:
    """Describe the form of the verdict, for models whose endpoint does not enforce it."""
    before = '"reasons": "what you say first", ' if reasons else ""
    return (
        f'Reply with one JSON object and nothing else: {{{before}"score": …}}, '
        f"where the score is {_meant(item)}."
    )


def scale(item: RubricItem) -> str:
    """Say below a criterion what its score may be."""
    return f"Its score is {_meant(item)}."


def instruction_of_several(name: str, *, reasons: bool) -> str:
    """Describe the form of several verdicts, for models whose endpoint does not enforce it."""
    before = '"reasons": "what you say first", ' if reasons else ""
    return (
        "Reply with one JSON object and nothing else. For each criterion it has an entry, by the "
        f"criterion's name, in that order: {{{orjson.dumps(name).decode()}: {{{before}"
        '"score": …}, …}.'
    )


def answer(verdict: str | float, reasons: str | None) -> str:
    """Write the reply that an example stands for."""
    return orjson.dumps(_entry(verdict, reasons)).decode()


def answer_of_several(name: str, verdict: str | float, reasons: str | None) -> str:
    """Write the same in the form of several verdicts."""
    return orjson.dumps({name: _entry(verdict, reasons)}).decode()


def _entry(verdict: str | float, reasons: str | None) -> JSONObject:
    return {**({} if reasons is None else {"reasons": reasons}), "score": verdict}


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


def read_several(completion: Completion) -> dict[str, str]:
    """Return the JSON of each verdict by its name, but of none that a reply has twice; nothing
    where the reply is not one JSON object."""
    value = _json(completion.text, _without_doubles)
    if value is None:
        value = _json(split_reasoning(completion.text)[1], _without_doubles)
    found = value if isinstance(value, dict) else {}
    return {name: json.dumps(one, ensure_ascii=False) for name, one in found.items()}


def _without_doubles(text: str) -> Any:
    """Parse JSON, leaving out each key that its object has twice; raise ValueError where it is not
    JSON."""
    read_exactly(text)  # its rules hold here too
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _unique(pairs: Sequence[tuple[str, Any]]) -> JSONObject:
    times = Counter(name for name, _ in pairs)
    return {name: value for name, value in pairs if times[name] == 1}


def _json(text: str, parse: Callable[[str], Any] = read_exactly) -> Any:
    """Parse a reply as JSON, also in a code fence; return None where it is not JSON."""
    text = text.strip(_BLANK)
    if fence := text[: len(text) - len(text.lstrip("`"))] or text[: 3 * text.startswith("~~~")]:
        text = _unfenced(text, fence[0])
    try:
        return parse(text)
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
