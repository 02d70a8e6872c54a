"""Turn results into the JSON objects of an output line.

No time stamps, latencies or ports: equal replies give equal bytes.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from refinecli.errors import CompletionError
from refinecli.grading.scoring import response_passed, total_score
from refinecli.types import (
    Datapoint,
    Failure,
    Grade,
    Iteration,
    JSONObject,
    Refinement,
    Usage,
)

Status = Literal["done", "ungraded", "failed"]


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a result: the roles' models, a digest of all that shapes results, and what of
    that differs from the defaults, readable."""

    models: Mapping[str, str]
    settings: str
    shaped_by: JSONObject = field(default_factory=dict)


class Taken(NamedTuple):
    """A step of an adaptive loop: what it added to the best score, and its tokens."""

    kind: Literal["draft", "rewrite"]
    gain: float
    tokens: int


class Outcome(NamedTuple):
    """One output line, and what the summary counts of it.

    `failures` are words to count by, `winners` the roles that a selector preferred; `why` explains
    a failure to a person, `noisy` says that a model graded. `fell_back` counts verdicts by words
    because the probabilities were too vague, `votes_missing` the votes that grades were made
    without. A `gated` response failed before all items were asked about. `steps` are those that an
    adaptive loop chose; it `declined` where none promised enough.
    """

    record: JSONObject
    status: Status
    score: float | None = None
    initial_score: float | None = None
    passed: bool | None = None
    failures: tuple[str, ...] = ()
    winners: tuple[str, ...] = ()
    why: str = ""
    noisy: bool = False
    fell_back: int = 0
    votes_missing: int = 0
    gated: bool = False
    steps: tuple[Taken, ...] = ()
    declined: bool = False
    line: int = 0
    file: str = ""  # if there are several inputs


def refined(raw: JSONObject, refinement: Refinement, made_with: Provenance) -> Outcome:
    """Build the line of a datapoint after `refine`: the best response, its score, every
    iteration."""
    record = _without(raw, "grading", "error", "refinement", "response", "score")
    record |= {
        "response": refinement.best.response,
        "score": refinement.best.score,
        "refinement": refinement_record(refinement, made_with),
    }
    failures = _failures(refinement.best.grades)
    grades = [grade for iteration in refinement.iterations for grade in iteration.grades]
    if refinement.error:
        record["error"] = {**_failure(refinement.error), "stage": refinement.error.stage}
        failures = (refinement.error.type,)
    return Outcome(
        record=record,
        status=refinement.status,
        score=refinement.best.score,
        initial_score=refinement.initial_score,
        passed=refinement.passed,
        failures=failures if refinement.status != "done" else (),
        winners=tuple(_winners(refinement)),
        why=refinement.error.message if refinement.error else _why(refinement.best.grades),
        noisy=_by_model(grades),
        fell_back=_fell_back(grades),
        votes_missing=_votes_missing(grades),
        steps=tuple(_steps(refinement.iterations)),
        declined=refinement.declined is not None,
    )


def _steps(iterations: Sequence[Iteration]) -> Iterator[Taken]:
    best = iterations[0].score or 0.0
    for it in iterations:
        gain = max(0.0, (it.score or 0.0) - best)
        best += gain
        if it.choice:
            tokens = it.usage.prompt_tokens + it.usage.completion_tokens
            yield Taken("draft" if it.parent is None else "rewrite", gain, tokens)


def _winners(refinement: Refinement) -> Iterator[str]:
    """Yield whose response a selector preferred, each time it was asked; `tie` where it was
    undecided."""
    iterations = refinement.iterations
    for iteration in iterations:
        if iteration.selection and iteration.parent is not None:
            old = iterations[iteration.parent].role
            roles = {"new": iteration.role, "old": old, "tie": "tie"}
            yield roles[iteration.selection.winner]


def graded(
    raw: JSONObject,
    datapoint: Datapoint,
    grades: Sequence[Grade],
    usage: Usage,
    made_with: Provenance,
    threshold: float | None = None,
) -> Outcome:
    """Build the line of a datapoint after `grade`; a response passes by the `threshold`, if any."""
    score = total_score(datapoint.rubric_items, grades)
    passed = response_passed(datapoint, grades, threshold)
    status: Status = "ungraded" if any(grade.error for grade in grades) else "done"
    record = _without(raw, "error", "grading", "score")
    record |= {
        "score": score,
        "grading": {
            "status": status,
            "passed": passed,
            "grades": [grade_record(grade) for grade in grades],
            "usage": usage_record(usage),
            **made_with_record(made_with),
        },
    }
    return Outcome(
        record,
        status,
        score,
        None,
        passed,
        _failures(grades),
        why=_why(grades),
        noisy=_by_model(grades),
        fell_back=_fell_back(grades),
        votes_missing=_votes_missing(grades),
        gated=status == "done" and any(grade.skipped for grade in grades),
    )


def failed(raw: JSONObject, error: CompletionError, stage: str) -> Outcome:
    """Build the line of a failed datapoint: its input fields and the reason."""
    record = _without(raw, "error")
    record["error"] = {"type": error.type, "message": error.message, "stage": stage}
    return Outcome(record, "failed", failures=(error.type,), why=error.message)


def _without(raw: JSONObject, *names: str) -> JSONObject:
    return {key: value for key, value in raw.items() if key not in names}


def _failures(grades: Sequence[Grade]) -> tuple[str, ...]:
    """Return each kind of grader failure once: a datapoint counts once under each."""
    return tuple(dict.fromkeys(grade.error.type for grade in grades if grade.error))


def _why(grades: Sequence[Grade]) -> str:
    """Name the first item without a verdict, and the reason."""
    return next((f"{grade.name}: {grade.error.message}" for grade in grades if grade.error), "")


def _by_model(grades: Sequence[Grade]) -> bool:
    return any(grade.grader == "llm" and not grade.skipped for grade in grades)


def _fell_back(grades: Sequence[Grade]) -> int:
    asked = [vote for grade in grades for vote in grade.votes or (grade,)]
    return sum(vote.mass is not None and not vote.probabilities for vote in asked)


def _votes_missing(grades: Sequence[Grade]) -> int:
    return sum(not vote.graded for grade in grades if grade.graded for vote in grade.votes)


def refinement_record(refinement: Refinement, made_with: Provenance) -> JSONObject:
    record: JSONObject = {
        "strategy": refinement.strategy,
        "status": refinement.status,
        "passed": refinement.passed,
        "stop_reason": refinement.stop_reason,
        "initial_score": refinement.initial_score,
        "best_iteration": refinement.best_iteration,
        "iterations": [_iteration(iteration) for iteration in refinement.iterations],
        "usage": usage_record(refinement.usage),
        **made_with_record(made_with),
    }
    if refinement.declined:
        record["declined"] = asdict(refinement.declined)
    if refinement.error:
        record["error"] = _failure(refinement.error)
    return record


def _iteration(iteration: Iteration) -> JSONObject:
    record: JSONObject = {
        "iteration": iteration.iteration,
        "parent": iteration.parent,
        "role": iteration.role,
        "response": iteration.response,
        "score": iteration.score,
        **({"passed": iteration.passed} if iteration.grades else {}),
        "accepted": iteration.accepted,
        "finish_reason": iteration.finish_reason,
        "grades": [grade_record(grade) for grade in iteration.grades],
        "feedback": iteration.feedback,
        "usage": usage_record(iteration.usage),
    }
    if iteration.reasoning:
        record["reasoning"] = iteration.reasoning
    if choice := iteration.choice:
        record["choice"] = asdict(choice)
    if selection := iteration.selection:
        record["selection"] = {
            "winner": selection.winner,
            "votes": list(selection.votes),
            "reasons": list(selection.reasons),
        }
    return record


def grade_record(grade: Grade) -> JSONObject:
    record: JSONObject = {
        "item": grade.item,
        "name": grade.name,
        "status": grade.status,
        "score": grade.score,
        "raw_score": grade.raw_score,
        "passed": grade.passed,
        "grader": grade.grader,
        "feedback": grade.feedback,
        "reply": grade.reply,
    }
    if grade.error:
        record["error"] = _failure(grade.error)
    if grade.mass is not None:
        record["mass"] = grade.mass
    if grade.probabilities:
        record["probabilities"] = dict(grade.probabilities)
    if grade.votes:
        record["disagreement"] = grade.disagreement
        record["votes"] = [_vote(vote) for vote in grade.votes]
    return record


def _vote(vote: Grade) -> JSONObject:
    names = {"score", "raw_score", "passed", "feedback", "reply", "error", "mass", "probabilities"}
    by = {"juror": vote.juror, "repeat": vote.repeat}
    return {key: value for key, value in by.items() if value is not None} | {
        key: value for key, value in grade_record(vote).items() if key in names
    }


def usage_record(usage: Usage) -> JSONObject:
    """Record calls and tokens; reasoning and cached tokens only where an endpoint reports them."""
    record: JSONObject = {
        "calls": usage.calls,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        record["reasoning_tokens"] = usage.reasoning_tokens
    if usage.cached_tokens:
        record["cached_tokens"] = usage.cached_tokens
    return record


def _failure(failure: Failure) -> JSONObject:
    return {"type": failure.type, "message": failure.message}


def made_with_record(made_with: Provenance) -> JSONObject:
    """Record models, the digest of the settings and, where they are not the defaults, the settings
    themselves."""
    record: JSONObject = {"models": dict(made_with.models), "settings": made_with.settings}
    if made_with.shaped_by:
        record["shaped_by"] = made_with.shaped_by
    return record
