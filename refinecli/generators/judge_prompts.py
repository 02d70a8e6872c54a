"""Read datapoints from prompts written for Prometheus judges."""

from __future__ import annotations

import re

from refinecli.generators.criteria import entries
from refinecli.generators.reading import Columns, present
from refinecli.generators.shared_items import five_point_item
from refinecli.types import JSONObject

_INSTRUCTION = "###The instruction to evaluate:"
_RESPONSE = "###Response to evaluate:"
_REFERENCE = "###Reference Answer (Score 5):"
_RUBRIC = "###Score Rubrics:"
_FEEDBACK = "###Feedback:"
# The answer stands between the other parts and may hold any text: the headings before it are the
# first of their kind, those after it the last.
_PARTS = re.compile(
    rf"(?:\A|.*?\n){re.escape(_INSTRUCTION)}\n(?P<instruction>.*?)"
    rf"\n{re.escape(_RESPONSE)}\n(?P<response>.*)"
    rf"\n{re.escape(_RUBRIC)}\n(?P<rubric>.*)",
    re.DOTALL,
)
_DIALOGUE = (
    "Here is a previous dialogue between an assistant and an user. Generate a human preferable "
    "response by the assistant."
)
_TURN = re.compile(r"(?:\n|^)\n*(User|Assistant):")


def is_judge_prompt(row: JSONObject) -> bool:
    """Return whether the row holds a judge prompt, without the columns it was built from."""
    text = row.get("instruction")
    return row.get("orig_instruction") is None and isinstance(text, str) and _INSTRUCTION in text


def judged_datapoint(columns: Columns) -> JSONObject:
    """Return the answer to be judged, with its instruction, its rubric and its scores."""
    found = _PARTS.fullmatch(columns.text("instruction"))
    if found is None or not found["instruction"].strip():
        headings = f"{_INSTRUCTION} … {_RESPONSE} … {_RUBRIC} …"
        raise columns.fault("instruction", "some parts of a judge prompt are missing", headings)
    response, heading, reference = found["response"].rpartition(f"\n{_REFERENCE}\n")
    if not heading:
        response, reference = reference, ""
    tags = [columns.optional_text(name) for name in ("category", "response_source")]
    return present(
        {
            "id": columns.row.get("id"),
            "convo": _conversation(found["instruction"].strip()),
            "reference": reference.strip() or None,
            "response": response.strip(),
            "group": _group(columns),
            "tags": [tag for tag in tags if tag] or None,
            "gold": entries(columns, "gpt4_score", "a number from 1 to 5", _is_score) or None,
            "rubric_items": [_item(columns, found["rubric"])],
        }
    )


def _conversation(text: str) -> list[JSONObject]:
    """Return the turns of a written-out dialogue, if the assistant's is next; else the text as it
    is."""
    if text.startswith(f"{_DIALOGUE}\n"):
        before, *turns = _TURN.split(text.removeprefix(_DIALOGUE))
        speakers, texts = turns[::2], [turn.strip() for turn in turns[1::2]]
        pairs = len(speakers) // 2
        in_turn = not before.strip() and speakers == ["User", "Assistant"] * pairs
        if in_turn and pairs and not texts.pop() and all(texts):
            return [
                {"role": speaker.lower(), "content": text}
                for speaker, text in zip(speakers[:-1], texts, strict=True)
            ]
    return [{"role": "user", "content": text}]


def _group(columns: Columns) -> str | int | None:
    index = columns.row.get("idx")
    if isinstance(index, bool) or not isinstance(index, str | int | None):
        raise columns.fault("idx", "expected a string or a whole number")
    return index


def _item(columns: Columns, rubric: str) -> JSONObject:
    """Build the 1-5 item: `[criterion]`, then `Score 1: …` to `Score 5: …`, each on its own
    lines."""
    rubric = rubric.partition(f"\n{_FEEDBACK}")[0]
    criterion, *descriptions = re.split(r"\nScore [1-5]:", f"\n{rubric.strip()}")
    criterion = criterion.strip()
    if len(descriptions) != 5 or not criterion or not all(map(str.strip, descriptions)):
        raise columns.fault("instruction", "its rubric must be a criterion and five scores")
    if criterion.startswith("[") and criterion.endswith("]"):
        criterion = criterion[1:-1]
    parts = {f"score{n}": text for n, text in enumerate(descriptions, 1)}
    written = Columns(columns.where, {"criterion": criterion} | parts, "instruction: ")
    return five_point_item(written, "criterion", "score{}")


def _is_score(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 5
