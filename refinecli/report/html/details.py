"""Show one datapoint in full: its conversation, and each iteration with its changes and grades."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any, cast

from refinecli.prompts import message_text
from refinecli.report.html.text import fields, rows
from refinecli.report.rubric_copying import convo_of
from refinecli.text.clean import clean, one_line
from refinecli.text.word_diff import word_diff
from refinecli.types import JSONObject, Message

# Characters of one text. A page is for reading, and the run's file has the rest. It also bounds the
# time that comparing two responses takes.
_MOST = 20_000
_MOST_ASIDE = 6_000  # of a grader's reply, reasoning, an error


def conversation(record: JSONObject) -> list[Message]:
    """Return the prefix, whatever its name in the file."""
    value = convo_of(record)
    if isinstance(value, str):
        return [{"role": "user", "content": value}]
    return cast(list[Message], rows(value))


def detail(record: JSONObject) -> JSONObject:
    """Build what the page shows when a datapoint is opened; parts that are absent are left out."""
    refinement = fields(record.get("refinement"))
    iterations = rows(refinement.get("iterations"))
    if not iterations and record.get("response") is not None:
        grading = fields(record.get("grading"))
        score, grades = record.get("score"), grading.get("grades")
        iterations = [{"response": record["response"], "score": score, "grades": grades}]
    by_number = {_key(one.get("iteration")): one for one in iterations}
    best = by_number.get(_key(refinement.get("best_iteration")))
    return _present(
        {
            "convo": [
                {"role": one_line(str(one.get("role"))), "text": _text(message_text(one))}
                for one in conversation(record)
            ],
            "reference": _optional(record.get("reference")),
            "items": [_item(item) for item in rows(record.get("rubric_items"))],
            "iterations": [
                _iteration(one, by_number.get(_key(one.get("parent"))), best is one)
                for one in iterations
            ],
            "again": _graded_later(record) if refinement else None,
            "status": refinement.get("status") or fields(record.get("grading")).get("status"),
            "models": fields(refinement.get("models")),
            "error": _error(record.get("error")),
            "raw": _optional(record.get("raw")) if not iterations else None,
        }
    )


def _key(number: object) -> Hashable:
    """Return an iteration's number, or what a damaged or foreign file has in its place."""
    return number if isinstance(number, Hashable) else str(number)


def _present(value: JSONObject) -> JSONObject:
    return {key: part for key, part in value.items() if part not in (None, "", [], {}, False)}


def _text(text: str, most: int = _MOST) -> str:
    """Return the text in a form that can be shown: cut, and with what would act or hide made
    visible."""
    if len(text) > most:
        text = text[:most] + f"\n… {len(text) - most:,} more characters are in the run's file"
    return clean(text.replace("\r\n", "\n"))


def shown(value: object) -> str:
    """Return a text as the page shows it; empty where there is none."""
    return _optional(value) or ""


def _optional(value: object, most: int = _MOST) -> str | None:
    if value is None:
        return None
    return _text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), most)


def _error(value: object) -> str | None:
    error = fields(value)
    parts = [error.get("stage"), error.get("type"), error.get("message")]
    return _text(": ".join(str(part) for part in parts if part), _MOST_ASIDE) or None


def _item(item: JSONObject) -> JSONObject:
    check = item.get("check")
    return _present(
        {
            "text": _optional(item.get("rubric_str"), _MOST_ASIDE),
            "check": _optional(check, _MOST_ASIDE) if check else None,
            "reveal": item.get("reveal") if item.get("reveal") == "verdict" else None,
            "penalty": isinstance(weight := item.get("weight"), int | float) and weight < 0,
            "required": item.get("required") is True,
        }
    )


def _iteration(one: JSONObject, parent: JSONObject | None, best: bool) -> JSONObject:
    usage = fields(one.get("usage"))
    return _present(
        {
            "iteration": _text(str(one.get("iteration", 0))),
            "parent": _optional(one.get("parent")),
            "role": _optional(one.get("role")),
            "accepted": one.get("accepted") is True,
            "best": best,
            "choice": _choice(one.get("choice")),
            "cut_off": one.get("finish_reason") == "length",
            **_response(one, parent),
            "grades": [grade(given) for given in rows(one.get("grades"))],
            "selection": _selection(fields(one.get("selection"))),
            "feedback": _optional(one.get("feedback")),
            "reasoning": _optional(one.get("reasoning"), _MOST_ASIDE),
            "calls": usage.get("calls"),
            "tokens": sum(
                n
                for key in ("prompt_tokens", "completion_tokens")
                if isinstance(n := usage.get(key), int)
            ),
        }
    ) | {"score": _number(one.get("score"))}


def _response(one: JSONObject, parent: JSONObject | None) -> JSONObject:
    """Return the response's text or, with a parent, its difference, from which the text follows."""
    text = shown(one.get("response"))
    if parent is None:
        return {"text": text}
    pieces = word_diff(shown(parent.get("response")), text, full=True)
    # The difference marks changed line breaks by arrows: not to be taken for the text's own.
    return {"changes": pieces, "text": text if "↵" in text else None}


def grade(given: JSONObject) -> JSONObject:
    """Return a grade as the page shows it."""
    passed = given.get("passed")
    return _present(
        {
            "item": given.get("item"),
            "name": _text(str(given.get("name"))),
            "verdict": _verdict(given, passed),
            "grader": given.get("grader"),
            "feedback": _optional(given.get("feedback"), _MOST_ASIDE),
            "reply": _optional(given.get("reply"), _MOST_ASIDE),
            "error": _error(given.get("error")),
            "votes": [_vote(vote) for vote in rows(given.get("votes"))],
        }
    ) | {"score": given.get("score")}


def _vote(vote: JSONObject) -> JSONObject:
    """Return one of the grades that were counted together, by who gave it."""
    by = [f"{name} {vote[name]}" for name in ("juror", "repeat") if vote.get(name) is not None]
    return grade(vote | {"name": ", ".join(by), "votes": None})


def _verdict(grade: JSONObject, passed: object) -> str:
    if passed is None:
        return "skipped" if grade.get("status") == "skipped" else "ungraded"
    return "passed" if passed else "failed"


def _graded_later(record: JSONObject) -> JSONObject:
    """Return the grades that a later `grade` gave the returned response."""
    grading = fields(record.get("grading"))
    grades = [grade(given) for given in rows(grading.get("grades"))]
    return {"score": _number(record.get("score")), "grades": grades} if grades else {}


def regraded(replies: JSONObject) -> JSONObject:
    """Return the fresh grades of a datapoint by role, those of each repeat."""
    return {
        role: {
            "scores": given["scores"],
            **{
                side: [[grade(one) for one in repeat] for repeat in given[side]]
                for side in ("first", "final")
            },
        }
        for role, given in replies.items()
    }


def _choice(value: object) -> JSONObject:
    """Return why an adaptive loop took this step: the gain and the tokens that it expected, and
    those of the best step of the other kind."""
    choice, instead = fields(value), fields(fields(value).get("instead"))
    if not choice:
        return {}
    numbers = {key: _number(choice.get(key)) for key in ("gain", "cost")}
    if not instead:
        return numbers
    other = {key: _number(instead.get(key)) for key in ("gain", "cost")}
    return numbers | {"instead": other | {"parent": _optional(instead.get("parent"))}}


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _selection(selection: JSONObject) -> JSONObject:
    def texts(key: str) -> list[str]:
        value: Any = selection.get(key)
        return [_text(str(part), _MOST_ASIDE) for part in value] if isinstance(value, list) else []

    winner = _optional(selection.get("winner"))
    return _present({"winner": winner, "votes": texts("votes"), "reasons": texts("reasons")})
