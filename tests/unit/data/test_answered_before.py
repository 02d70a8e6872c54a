"""What a call cache would have saved is counted by comparing a file with the one it replaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.answered_before import answered_before

ITEMS = [{"rubric_str": "A?"}, {"rubric_str": "B?"}]


def graded(items: list[dict[str, Any]] = ITEMS, **fields: Any) -> dict[str, Any]:
    grades = [
        {"item": index, "grader": "llm", "reply": "<score>1</score>"} for index in range(len(items))
    ]
    grading = {"grades": grades, "settings": "a1"}
    return {"prompt": "Hi", "response": "Ho", "rubric_items": items, "grading": grading, **fields}


@pytest.mark.parametrize(
    ("later", "saved"),
    [
        (graded(), 2),
        (graded([ITEMS[1], {"rubric_str": "C?"}]), 1),
        (graded(response="Hu"), 0),
        (graded(prompt="Ha"), 0),
        (graded(grading={"grades": graded()["grading"]["grades"], "settings": "b2"}), 0),
        (graded(grading={"grades": [{"item": 0, "grader": "code", "reply": None}]}), 0),
        ({"error": {"type": "input"}, "raw": "{"}, 0),
        (graded(grading=[1]), 0),
        (graded(rubric_items=[]), 0),
    ],
)
def test_a_vote_on_the_same_is_counted(tmp_path: Path, later: dict[str, Any], saved: int) -> None:
    old, new = tmp_path / "out.jsonl", tmp_path / "out.jsonl.partial"
    old.write_text(json.dumps(graded()) + "\n")
    new.write_text(json.dumps(later) + "\n")
    assert answered_before(old, new) == saved


def test_each_vote_of_a_jury_is_a_call_and_a_packed_file_is_not_compared(tmp_path: Path) -> None:
    row = graded(ITEMS[:1])
    row["grading"]["grades"][0]["votes"] = [{}, {}, {}]
    old, new = tmp_path / "out.jsonl", tmp_path / "new.jsonl"
    for path in (old, new):
        path.write_text(json.dumps(row) + "\n")
    assert answered_before(old, new) == 3
    old.write_bytes(b"\x1f\x8b packed")
    assert answered_before(old, new) == 0
