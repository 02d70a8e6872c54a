"""Read what a line of a run offers to training: its conversation, and each response that can be
used, with its score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from refinecli.models.reply import is_whole
from refinecli.report.cases import grader_of, models_of, strategy_of
from refinecli.text.json_text import digest
from refinecli.text.reasoning import split_leading_reasoning
from refinecli.types import Datapoint, JSONObject, Message, classifier_in

# Why a response, a row or a pair does not go in, in the words that a person reads.
REASONS = {
    "failed": "datapoints that failed",
    "not_graded": "not graded",
    "cut_off": "cut off, or without a good ending",
    "empty": "empty",
    "unconfirmed": "not confirmed by a later grade",
    "not_passed": "not passed",
    "low": "below the least score",
    "duplicate": "duplicates",
    "over_cap": "beyond the most of a prompt",
    "alone": "without another response to the prompt",
    "first_is_best": "prompts whose first response is the best",
    "tie": "pairs with equal scores",
    "margin": "pairs within the least margin",
    "length": "pairs of too unequal lengths",
    "not_better": "not better than what they are set against",
    "no_critique": "rewrites without a critique of their own",
    "no_request": "rewrites whose request is not on record",
    "reference": "of rows with a reference, which a critique may quote",
    "attachments": "with images or files, which the format cannot hold",
    "roles": "with turns that do not alternate, which the reader would empty",
    "unicode": "with halves of characters, which the format cannot hold",
    "tools": "with tool calls, which the format cannot hold",
}


@dataclass(frozen=True, slots=True)
class Response:
    """A response that can be used: whole, graded and not empty. `number` and `parent` are its
    iteration's; `confirmed` says that a later `grade` passed it."""

    text: str
    score: float
    passed: bool
    number: int = 0
    parent: int | None = None
    accepted: bool = True
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """The offer of one line. Scores can be compared within a `scale`: equal rubrics and graders."""

    prompt: list[Message]
    scale: str
    group: str | int | None
    strategy: str
    responses: tuple[Response, ...]
    raw: JSONObject

    def stored(self) -> JSONObject:
        """Return it as JSON."""
        return {
            "prompt": self.prompt,
            "scale": self.scale,
            "group": self.group,
            "strategy": self.strategy,
            "responses": [
                [r.text, r.score, r.passed, r.number, r.parent, r.accepted, r.confirmed]
                for r in self.responses
            ],
            "raw": self.raw,
        }

    @classmethod
    def restored(cls, value: JSONObject) -> Offer:
        """Return what `stored` was made of."""
        responses = tuple(Response(*fields) for fields in value.pop("responses"))
        return cls(**value, responses=responses)


def result_of(raw: JSONObject) -> JSONObject | None:
    """Return a row's refinement, or else its grading; None where it has neither."""
    for name in ("refinement", "grading"):
        if isinstance(result := raw.get(name), dict):
            return result
    return None


def has_failed(raw: JSONObject) -> bool:
    """Return True for a row that has to be done again."""
    result = result_of(raw)
    return isinstance(raw.get("error"), dict) or bool(result and result.get("status") == "failed")


def scale_of(datapoint_items: object, result: JSONObject) -> str:
    """Return what makes scores comparable: the rubric, and who graded where code did not."""
    models, by = models_of(result), graders_in(result)
    asked = [grader_of(models) if "llm" in by else ""]
    if "classifier" in by:
        asked += [f"{role} {model}" for role, model in models.items() if classifier_in(role)]
    return digest([datapoint_items, *asked])


def graders_in(result: JSONObject) -> set[str]:
    """Return what kinds of graders gave a result its grades."""
    iterations = result.get("iterations") or [result]
    return {grade.get("grader") for one in iterations for grade in one.get("grades") or ()}


def responses_of(raw: JSONObject, dropped: Counter[str]) -> tuple[Response, ...]:
    """Return a row's responses that can be used; count the others by reason."""
    result = result_of(raw)
    if result is None:
        return ()
    found = []
    for response, ending, later in _graded(raw, result):
        if reason := _unusable(raw, response, ending):
            dropped[reason] += 1
            continue
        score, passed = response["score"], response.get("passed")
        found.append(
            Response(
                response["response"],
                float(score),
                _all_passed(response) if passed is None else passed is True,
                int(response.get("iteration", 0)),
                response.get("parent"),
                response.get("accepted") is not False,
                later,
            )
        )
    return tuple(found)


def _graded(raw: JSONObject, result: JSONObject) -> Iterator[tuple[JSONObject, str | None, bool]]:
    """Yield each response of a row, with its ending, and whether a later grade confirms it."""
    grading = raw.get("grading")
    confirmed = isinstance(grading, dict) and grading.get("passed") is True
    if "iterations" not in result:
        said = split_leading_reasoning(raw.get("response") or "")[1]  # as it was graded
        response = {"response": said, "score": raw.get("score"), **result}
        yield response, None, confirmed
        return
    best = result.get("best_iteration")
    for number, iteration in enumerate(result["iterations"]):
        parent = iteration.get("parent")
        if iteration["iteration"] != number or not (parent is None or 0 <= parent < number):
            raise ValueError(f"iteration {number} is out of order")
        later = confirmed and iteration.get("iteration") == best
        yield iteration, iteration.get("finish_reason"), later


def _unusable(raw: JSONObject, response: JSONObject, ending: str | None) -> str:
    if has_failed(raw):
        return "failed"
    if not is_whole(ending):
        return "cut_off"
    if not response["response"].strip():
        return "empty"
    score = response.get("score")
    return "" if isinstance(score, int | float) else "not_graded"


def _all_passed(response: JSONObject) -> bool:
    """Return whether every item passed, for records that do not say whether the response did."""
    grades = response.get("grades") or ()
    return bool(grades) and all(grade.get("passed") is True for grade in grades)


def offer_of(
    raw: JSONObject, datapoint: Datapoint, prompt: Sequence[Message], dropped: Counter[str]
) -> Offer:
    """Return what a row offers; `prompt` is its conversation as it goes into training data."""
    result = result_of(raw) or {}
    return Offer(
        list(prompt),
        scale_of(raw["rubric_items"], result),
        datapoint.group,
        strategy_of(result),
        responses_of(raw, dropped),
        raw,
    )


def without_replies(refinement: JSONObject) -> JSONObject:
    """Return a refinement without what its graders wrote in full, the most of a record."""
    iterations = [
        {
            **{key: value for key, value in iteration.items() if key not in ("usage", "reasoning")},
            "grades": [
                {key: value for key, value in grade.items() if key not in ("reply", "votes")}
                for grade in iteration.get("grades") or ()
            ],
        }
        for iteration in refinement.get("iterations") or ()
    ]
    return {**refinement, "iterations": iterations}
