"""Write a rubric for a prompt that has none: by a model, sifted by code, tried on two responses.

write   the writer's reply -> criteria; one retry where it cannot be read
sift    drop what is vague, repeated, too long or not answerable about one response
try     with a good and a bad response, grade both by each criterion: it stays only if the good one
        scores strictly better
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from refinecli import prompts as p
from refinecli.completers import ask_readable, draw_of, gather
from refinecli.data.output_lines import (
    Outcome,
    Provenance,
    Status,
    failed,
    made_with_record,
    usage_record,
)
from refinecli.errors import CompletionError
from refinecli.generators.criteria import distinct
from refinecli.generators.criterion_faults import fault
from refinecli.generators.shared_items import criterion_item
from refinecli.grading.grade import grade
from refinecli.grading.verdict import GradeOptions
from refinecli.item_defaults import item_fields
from refinecli.prompts.untrusted import harmless
from refinecli.text.json_text import loads
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completer, Completion, Datapoint, Grade, JSONObject, RubricItem, Usage

MOST_ITEMS = 24  # in one reply; with more the model has lost its thread
_MOST_WEIGHT = 10
_LONGEST_NAME = 40  # characters
_SHOWN = 80  # characters of a criterion in an error

# ------------------------------------------------------------------ records


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion, and its fate: `reason` is one word for why it was dropped; `scores` are the
    good and the bad response's, if both were graded."""

    text: str
    weight: int | float
    name: str = ""
    reason: str = ""
    why: str = ""
    scores: tuple[float, float] | None = None

    @property
    def item(self) -> JSONObject:
        """The criterion as a rubric item, in which nothing can end our own prompts' tags."""
        named = {"name": self.name} if self.name else {}
        return criterion_item(harmless(self.text), **named, weight=self.weight)


@dataclass(frozen=True, slots=True)
class Writing:
    """All criteria that were written for a prompt, in order; `failures` are the kinds of failures
    for which the grader gave no verdict on one of them."""

    criteria: tuple[Criterion, ...]
    usage: Usage = field(default=Usage())
    tried: bool = False
    failures: tuple[str, ...] = ()

    @property
    def kept(self) -> list[Criterion]:
        return [criterion for criterion in self.criteria if not criterion.reason]

    @property
    def dropped(self) -> Counter[str]:
        """The number of dropped criteria by reason."""
        return Counter(criterion.reason for criterion in self.criteria if criterion.reason)

    @property
    def usable(self) -> bool:
        """True if any criterion is left that a response can win by."""
        return any(criterion.weight > 0 for criterion in self.kept)

    @property
    def problem(self) -> str:
        """The explanation of why a rubric cannot be used."""
        reasons = ", ".join(f"{number} {reason}" for reason, number in self.dropped.most_common())
        left = "only faults are" if self.kept else "nothing is"
        first = next(criterion for criterion in self.criteria if criterion.reason)
        example = f"{first.text[:_SHOWN]!r}: {first.why}"
        return f"{left} left of its criteria ({reasons}), the first {example}"


# ------------------------------------------------------------------ the writer's reply


def read_criteria(completion: Completion) -> tuple[Criterion, ...]:
    """Read the criteria in a reply's last <rubric>; raise ValueError with what is wrong."""
    text = _rubric_of(split_reasoning(completion.text)[1])
    try:
        value = loads(text.encode())
    except ValueError as error:
        raise ValueError(f"what it gives as the rubric is not JSON: {error}") from None
    if isinstance(value, dict) and len(value) == 1:  # where a reply has to be an object
        (value,) = value.values()
    if not isinstance(value, list) or not value:
        raise ValueError("what it gives as the rubric is no list of criteria")
    if len(value) > MOST_ITEMS:
        raise ValueError(f"it has {len(value)} criteria, and {MOST_ITEMS} are the most")
    criteria = tuple(_criterion(entry, f"criterion {n}") for n, entry in enumerate(value, 1))
    if not any(criterion.weight > 0 for criterion in criteria):
        raise ValueError("no criterion has a weight above 0")
    return criteria


def _rubric_of(answer: str) -> str:
    """Return the content of the last <rubric>, or all of a reply that is JSON; without a code
    fence."""
    before, closed, _ = answer.rpartition("</rubric>")
    _, opened, block = before.rpartition("<rubric>")
    text = (block if closed and opened else answer).strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.removesuffix("```").partition("\n")[2].strip()
    if not opened and not text.startswith(("[", "{")):
        raise ValueError("nothing in it stands between <rubric> and </rubric>")
    return text


def _criterion(entry: object, which: str) -> Criterion:
    if not isinstance(entry, dict):
        raise ValueError(f"{which} is no object")
    text, weight, name = entry.get("criterion"), entry.get("weight"), entry.get("name")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'{which} has no text as "criterion"')
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ValueError(f'{which} has no number as "weight"')
    if not 0 < abs(weight) <= _MOST_WEIGHT:
        raise ValueError(f"the weight of {which} is neither 1 to 10 nor -1 to -10")
    label = " ".join(name.split())[:_LONGEST_NAME].strip() if isinstance(name, str) else ""
    return Criterion(_unicode(text.strip()), weight, _unicode(label))


def _unicode(text: str) -> str:
    """Replace halves of characters, which JSON can hold but no other command could read."""
    return text.encode("utf-8", "replace").decode()


# ------------------------------------------------------------------ write, sift, try


async def write_rubric(
    datapoint: Datapoint,
    given: Sequence[str],
    grader: Completer,
    prompts: p.Prompts,
) -> Writing:
    """Return sifted criteria for a datapoint, besides those that it is `given`. Raise
    CompletionError where no rubric could be had."""
    messages = p.rubric_messages(prompts, datapoint)
    draw = draw_of(datapoint, "grader", 0)

    def read(completion: Completion) -> Writing:
        criteria = read_criteria(completion)
        writing = Writing(sifted(criteria, given, has_reference=bool(datapoint.reference)))
        if not writing.usable:  # the retry may give a better one
            raise ValueError(writing.problem)
        return writing

    writing, usage = await ask_readable(grader, messages, draw, read, prompts.rubric_retry)
    return replace(writing, usage=usage)


def sifted(
    criteria: Sequence[Criterion], given: Sequence[str], *, has_reference: bool
) -> tuple[Criterion, ...]:
    """Return the criteria with faulty ones marked as dropped; of two that are alike, the later
    one."""
    earlier = list(given)
    result = []
    for criterion in criteria:
        if found := fault(criterion.text, earlier, has_reference=has_reference):
            criterion = replace(criterion, reason=found[0], why=found[1])
        else:
            earlier.append(criterion.text)
        result.append(criterion)
    return tuple(result)


async def tried(
    writing: Writing,
    datapoint: Datapoint,
    responses: tuple[str, str],
    grader: Completer,
    prompts: p.Prompts,
    options: GradeOptions,
) -> Writing:
    """Try the remaining criteria on a good and a bad response."""
    items = [
        RubricItem.model_validate(item_fields(criterion.item, index))
        for index, criterion in enumerate(writing.kept)
    ]
    asked = datapoint.model_copy(update={"rubric_items": tuple(items)})
    (good, good_usage), (bad, bad_usage) = await gather(
        grade(asked, response, grader, prompts, options) for response in responses
    )
    verdicts = iter(zip(good, bad, strict=True))
    criteria = tuple(
        criterion if criterion.reason else _compared(criterion, *next(verdicts))
        for criterion in writing.criteria
    )
    errors = [one.error.type for one in (*good, *bad) if one.error]
    usage = writing.usage + good_usage + bad_usage
    return Writing(criteria, usage, tried=True, failures=tuple(dict.fromkeys(errors)))


def _compared(criterion: Criterion, good: Grade, bad: Grade) -> Criterion:
    """Judge a criterion by its grades of both responses. Without both verdicts it has not shown its
    worth and is dropped too, but with its own reason, since another try may keep it."""
    for grade_, which in ((good, "good"), (bad, "bad")):
        if grade_.error:
            why = f"no verdict on the {which} response: {grade_.error.message}"
            return replace(criterion, reason="undecided", why=why)
    assert good.score is not None
    assert bad.score is not None
    criterion = replace(criterion, scores=(good.score, bad.score))
    if criterion.weight * good.score > criterion.weight * bad.score:
        return criterion
    why = f"the good response has {good.score:g} by it, the bad one {bad.score:g}"
    return replace(criterion, reason="no_contrast", why=why)


# ------------------------------------------------------------------ what comes out


def outcome(
    raw: JSONObject, given: Sequence[JSONObject], writing: Writing, made_with: Provenance
) -> Outcome:
    """Return the row with its rubric, given items before written ones. It is ungraded where the
    grader left a criterion undecided, and failed where nothing is left."""
    kept = writing.kept
    record = {key: value for key, value in raw.items() if key not in ("error", "rubric_writing")}
    status: Status = "ungraded" if writing.failures else "done"
    about = {
        "status": status,
        "written": len(writing.criteria),
        "dropped": [_dropped(criterion) for criterion in writing.criteria if criterion.reason],
        **({"contrast": _contrast(kept, len(given))} if writing.tried else {}),
        "usage": usage_record(writing.usage),
        **made_with_record(made_with),
    }
    if not writing.usable:
        about["status"] = "failed"
        error = CompletionError("no_rubric", f"the rubric: {writing.problem}")
        return failed(record | {"rubric_writing": about}, error, "rubric")
    record |= {"rubric_items": [*given, *_named(kept)], "rubric_writing": about}
    why = next((one.why for one in writing.criteria if one.reason == "undecided"), "")
    return Outcome(
        record,
        status,
        failures=writing.failures,
        why=why,
        noisy=writing.tried,
    )


def _named(kept: Sequence[Criterion]) -> list[JSONObject]:
    """Return the items, with distinct names for those that have one."""
    names = distinct(criterion.name for criterion in kept if criterion.name)
    return [
        (replace(criterion, name=next(names)) if criterion.name else criterion).item
        for criterion in kept
    ]


def _dropped(criterion: Criterion) -> JSONObject:
    record: JSONObject = {
        "rubric_str": criterion.text,
        "weight": criterion.weight,
        "reason": criterion.reason,
        "why": criterion.why,
    }
    return {"name": criterion.name, **record} if criterion.name else record


def _contrast(kept: Sequence[Criterion], first: int) -> list[JSONObject]:
    """Record the scores of the two responses by each kept item, by its number."""
    return [
        {"item": first + index, "good": criterion.scores[0], "bad": criterion.scores[1]}
        for index, criterion in enumerate(kept)
        if criterion.scores
    ]
