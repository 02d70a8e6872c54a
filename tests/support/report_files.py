"""Output files as `refine` writes them, made by hand: scores in, lines out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def row(
    number: int,
    scores: Sequence[float | Sequence[float | None] | None],
    *,
    best: int | None = None,
    items: Sequence[Row] = ({},),
    drafts: bool = False,
    texts: Sequence[str] = (),
    tokens: int = 100,
    **fields: Any,
) -> Row:
    """A line with an iteration for each of `scores`: one for all items, or one for each item.

    Iterations rewrite the best so far, or with `drafts` are drafts; `tokens` is what each one took.
    """
    items = [
        {"rubric_str": f"Is it good in way {i}?", "name": f"way-{i}"} | item
        for i, item in enumerate(items)
    ]
    iterations: list[Row] = []
    kept = 0
    for at, given in enumerate(scores):
        marks = given if isinstance(given, Sequence) else [given] * len(items)
        graded = all(mark is not None for mark in marks)
        score = sum(mark or 0 for mark in marks) / len(marks) if graded else None
        kept_score = iterations[kept]["score"] if iterations else None
        accepted = not at or (score is not None and (kept_score is None or score > kept_score))
        iterations.append(
            {
                "iteration": at,
                "parent": None if drafts or not at else kept,
                "role": "policy" if drafts or not at else "reviser",
                "response": texts[at] if texts else f"answer {at} to question {number}",
                "score": score,
                "accepted": accepted,
                "finish_reason": "stop",
                "grades": [grade(i, items[i]["name"], mark) for i, mark in enumerate(marks)],
                "feedback": None,
                "usage": usage(1 + len(items), tokens),
            }
        )
        kept = at if accepted else kept
    kept = kept if best is None else best
    score = iterations[kept]["score"]
    passed = all(g["passed"] for g in iterations[kept]["grades"])
    return {
        "id": f"dp-{number}",
        "convo": [{"role": "user", "content": f"Question {number}?"}],
        "rubric_items": items,
        "response": iterations[kept]["response"],
        "score": score,
        "refinement": {
            "status": "done" if score is not None else "ungraded",
            "stop_reason": "passed" if passed else "max_iterations",
            "initial_score": iterations[0]["score"],
            "best_iteration": kept,
            "strategy": "best-of-n" if drafts else "refine",
            "iterations": iterations,
            "usage": usage(len(scores) * (1 + len(items)), tokens * len(scores)),
            "models": {"policy": "small", "grader": "large"},
            "settings": "0123456789abcdef",
        },
    } | fields


def grade(item: int, name: str, score: float | None) -> Row:
    record: Row = {
        "item": item,
        "name": name,
        "status": "graded" if score is not None else "ungraded",
        "score": score,
        "raw_score": score,
        "passed": None if score is None else score >= 1,
        "grader": "llm",
        "feedback": None,
        "reply": "",
    }
    if score is None:
        record["error"] = {"type": "no_score", "message": "no score in the reply"}
    return record


def graded_row(number: int, score: float | None, **fields: Any) -> Row:
    """A line as `grade` writes it."""
    made = row(number, [score])
    made.pop("refinement")
    grading = {
        "status": "done" if score is not None else "ungraded",
        "grades": [grade(0, "way-0", score)],
        "usage": usage(1, 50),
        "models": {"grader": "large"},
        "settings": "fedcba9876543210",
    }
    return made | {"grading": grading} | fields


def graded(
    number: int,
    scores: Mapping[str, float | None],
    *,
    items: Sequence[Row] | None = None,
    said: str | None = None,
    **fields: Any,
) -> Row:
    """A line as `grade` writes it, with a score for each item by its name; `said` is the grader's
    reason for each."""
    made = graded_row(number, None, response=f"answer to question {number}")
    given = items or [{"name": name, "rubric_str": f"Is it {name}?"} for name in scores]
    weights = [float(item.get("weight", 1)) for item in given]
    grades = [
        grade(at, item["name"], mark) | {"feedback": said}
        for at, (item, mark) in enumerate(zip(given, scores.values(), strict=True))
    ]
    whole = None not in scores.values()
    total = sum(w * (mark or 0.0) for w, mark in zip(weights, scores.values(), strict=True))
    made["grading"] |= {
        "status": "done" if whole else "ungraded",
        "passed": all(one["passed"] for one in grades) if whole else None,
        "grades": grades,
        "usage": usage(len(grades), 50 * len(grades)),
    }
    score = total / sum(w for w in weights if w > 0) if whole else None
    return made | {"rubric_items": list(given), "score": score} | fields


def failed_row(number: int) -> Row:
    made = row(number, [1.0])
    for name in ("refinement", "response", "score"):
        made.pop(name)
    return made | {"error": {"type": "timeout", "message": "no answer", "stage": "policy"}}


def usage(calls: int, tokens: int) -> Row:
    return {"calls": calls, "prompt_tokens": tokens - tokens // 4, "completion_tokens": tokens // 4}
