"""Read a run's datapoints for the page: one short row each, and the details of some.

The file is read twice, line by line: first for the rows, among which those worth a closer look are
chosen, then for their details. The file may be foreign: whatever is missing or has another shape is
left out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from refinecli.data.sources import Source
from refinecli.errors import UsageError
from refinecli.prompts import message_text
from refinecli.report.html.details import conversation, detail
from refinecli.report.html.text import count, fields, rows
from refinecli.text.clean import one_line
from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

# Up to this many datapoints all have details; beyond, those most worth a look.
_ALL = 200
_FLIPPED, _WORST, _SAMPLE = 150, 50, 50
_MOST_BYTES = 24_000_000  # of details: a browser opens that, though a mail server may refuse it
_PROMPT = 120  # characters of a row's prompt

Outcome: TypeAlias = Literal[
    "fixed", "broken", "better", "worse", "same", "ungraded", "failed", "graded", "gated"
]


class Row(NamedTuple):
    """A datapoint in the table; `page.js` knows the order of the fields."""

    place: int
    id: str
    prompt: str
    group: str
    tags: str
    first: float | None
    final: float | None
    outcome: Outcome
    stopped: str
    iterations: int
    tokens: int
    detailed: bool = False


@dataclass(frozen=True, slots=True)
class RunPage:
    """A run's rows, the details of some by their row's index, and a description of those."""

    rows: list[Row]
    details: dict[int, JSONObject]
    embedded: str


def read_run(run: Path) -> RunPage:
    source = Source(str(run), most=None)  # the report has looked at it
    if not source.rereadable:
        raise UsageError(
            f"{run}: a page needs a file that can be read twice", "give a regular file"
        )
    found = [_row(index, record) for index, record in _records(source)]
    chosen, words = _worth_a_look(found)
    details: dict[int, JSONObject] = {}
    room = _MOST_BYTES
    for index, record in _records(source):
        if index in chosen and room > 0:
            details[index] = detail(record)
            room -= len(dumps(details[index]))
    if len(details) < len(chosen):
        words += f" Texts are long here, so only {len(details):,} of those {len(chosen):,} fit."
    return RunPage([row._replace(detailed=row.place in details) for row in found], details, words)


def _records(source: Source) -> Iterator[tuple[int, JSONObject]]:
    for index, (line, text) in enumerate(source.read()):
        try:
            record = loads(text)
        except ValueError as error:
            record = {"error": {"type": "input", "line": line, "message": str(error)}}
        yield index, fields(record)


# ------------------------------------------------------------------ a row


def _row(index: int, record: JSONObject) -> Row:
    refinement, grading = fields(record.get("refinement")), fields(record.get("grading"))
    made = refinement or grading
    iterations = rows(refinement.get("iterations"))
    first, final = _score(refinement.get("initial_score")), _score(record.get("score"))
    usage = fields(made.get("usage"))
    tokens = [usage.get(key) for key in ("prompt_tokens", "completion_tokens")]
    convo = conversation(record)
    error = fields(record.get("error"))
    line = error.get("line")
    given_id = record.get("id")
    return Row(
        place=index,
        id=one_line(str(given_id if given_id is not None else f"line {line or index + 1}"), 80),
        prompt=one_line(message_text(convo[-1])[: 4 * _PROMPT], _PROMPT) if convo else "",
        group=_words(record.get("group")),
        tags=_words(record.get("tags")),
        first=first,
        final=final,
        outcome=_outcome(record, first, final),
        stopped=one_line(str(error.get("type") or refinement.get("stop_reason") or ""), 40),
        iterations=len(iterations),
        tokens=sum(n for n in tokens if isinstance(n, int)),
    )


def _score(value: object) -> float | None:
    return round(value, 4) if isinstance(value, int | float) else None


def _words(value: object) -> str:
    parts = value if isinstance(value, list) else [value]
    return one_line(", ".join(str(part) for part in parts if part is not None), 60)


def _outcome(record: JSONObject, first: float | None, final: float | None) -> Outcome:
    refinement = fields(record.get("refinement"))
    made = refinement or fields(record.get("grading"))
    status = made.get("status")
    if record.get("error") or status == "failed":
        return "failed"
    if final is None and status == "done" and _skipped(made):
        return "gated"
    if status == "ungraded" or final is None:
        return "ungraded"
    if first is None:
        return "graded"
    before, after = _passed_before_and_after(record)
    if before is not None and after is not None and before != after:
        return "fixed" if after else "broken"
    return "same" if first == final else "better" if final > first else "worse"


def _skipped(graded: JSONObject) -> bool:
    return any(grade.get("status") == "skipped" for grade in rows(graded.get("grades")))


def _passed_before_and_after(record: JSONObject) -> tuple[bool | None, bool | None]:
    """Return whether the first and the returned response passed; None where that is unknown.

    Older records do not say so, nor the threshold, only whether a loop stopped at a pass.
    """
    refinement = fields(record.get("refinement"))
    iterations = rows(refinement.get("iterations"))
    best = next(
        (i for i in iterations if i.get("iteration") == refinement.get("best_iteration")), {}
    )
    if not iterations or not best:
        return None, None
    if "passed" in iterations[0] and "passed" in best:
        return iterations[0]["passed"], best["passed"]
    required = [item.get("required") is True for item in rows(record.get("rubric_items"))]
    before, after = (_all_passed(i, required) for i in (iterations[0], best))
    if refinement.get("stop_reason") == "passed":
        return best is iterations[0] or before, True
    return before, after


def _all_passed(iteration: JSONObject, required: Sequence[bool]) -> bool | None:
    grades = rows(iteration.get("grades"))
    if any(required) and len(required) == len(grades):
        grades = [grade for grade, counts in zip(grades, required, strict=True) if counts]
    verdicts = [grade.get("passed") for grade in grades]
    return None if None in verdicts or not verdicts else all(verdicts)


# ------------------------------------------------------------------ whose details


def _worth_a_look(found: Sequence[Row]) -> tuple[set[int], str]:
    """Choose the datapoints whose details are in the page, and describe them."""
    if len(found) <= _ALL:
        return {row.place for row in found}, "Each opens to its responses, grades and changes."
    draw = random.Random(0)
    flipped = [row.place for row in found if row.outcome in ("fixed", "broken")]
    scored = [(row.final, row.place) for row in found if row.final is not None]
    worst = [index for _, index in sorted(scored)[:_WORST]]
    shown_flipped = draw.sample(flipped, min(_FLIPPED, len(flipped)))
    chosen = {*shown_flipped, *worst}
    rest = [row.place for row in found if row.place not in chosen]
    chosen.update(sample := draw.sample(rest, min(_SAMPLE, len(rest))))
    of = "" if len(flipped) <= _FLIPPED else f" of the {len(flipped):,}"
    words = (
        f"All {len(found):,} are in the table. {len(chosen):,} of them open to their responses, "
        f"grades and changes: {len(shown_flipped):,}{of} that went from failing to passing or "
        f"back, the {count(len(worst), 'datapoint')} that scored worst, "
        f"and {len(sample):,} drawn at random."
    )
    return chosen, words
