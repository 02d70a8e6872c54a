"""Build what the reviser is sent: the conversation, the best response, what failed and what must
stay."""

from __future__ import annotations

import re
from collections.abc import Sequence

from refinecli.prompts.conversation import NO_ANSWER
from refinecli.prompts.templates import Prompts, fill
from refinecli.types import Datapoint, Grade, Iteration, Message, RubricItem

# Earlier rewrites that a request mentions, and how much of each: a reminder, not a transcript.
_TRIED = 3
_QUOTED = 200  # characters


def rewrite_request(
    prompts: Prompts,
    datapoint: Datapoint,
    grades: Sequence[Grade],
    *,
    cut_off: bool,
    tried: Sequence[Iteration] = (),
) -> str:
    """Say what failed in the best response so far and why, and what must stay.

    About an item whose `reveal` is `verdict` the reviser learns only that something hidden is not
    met. `tried` are earlier rewrites of the same response; of those that did not help it is shown
    how they begin and what they fail.
    """
    problems, keep, hidden = shown_problems(datapoint, grades), [], 0
    for item, grade in zip(datapoint.rubric_items, grades, strict=True):
        if not grade.graded:
            continue
        if item.reveal == "verdict":
            hidden += not grade.passed
        elif grade.passed:
            keep.append(_bullet(f"Avoided: {item.rubric_str}" if item.penalty else item.rubric_str))
    if not problems and not hidden:  # all passed, but the score is below the threshold
        problems = _not_perfect(datapoint, grades)
    if hidden:
        problems.append(_hidden(hidden))
    if cut_off:
        problems.append(_bullet("Your answer broke off at the length limit. Make it shorter."))
    if poor := _tried(datapoint, tried):
        problems.append(f"\nThese answers were tried in its place and are no better:\n{poor}")
    return fill(prompts.rewrite, problems="\n".join(problems), keep="\n".join(keep))


def shown_problems(datapoint: Datapoint, grades: Sequence[Grade]) -> list[str]:
    """Say of each item that failed what it asks and why it failed, without those that the policy
    may not see."""
    return [
        _problem(item, grade, datapoint.reference)
        for item, grade in zip(datapoint.rubric_items, grades, strict=True)
        if item.reveal == "full" and grade.graded and not grade.passed
    ]


def _tried(datapoint: Datapoint, rewrites: Sequence[Iteration]) -> str:
    """Describe the rewrites that were not accepted, the last of them, each text once."""
    poor = {it.response: it for it in rewrites if not it.accepted and it.score is not None}
    return "\n".join(_attempt(datapoint, it) for it in list(poor.values())[-_TRIED:])


def _attempt(datapoint: Datapoint, rewrite: Iteration) -> str:
    failed = [
        f'"{" ".join(item.rubric_str.split())}"'
        for item, grade in zip(datapoint.rubric_items, rewrite.grades, strict=True)
        if item.reveal == "full" and grade.graded and not grade.passed
    ]
    text = " ".join(rewrite.response.split())
    quoted = text if len(text) <= _QUOTED else f"{text[:_QUOTED].rstrip()}…"
    return _bullet(f"{quoted or NO_ANSWER}\n" + (f"Failed: {'; '.join(failed)}" if failed else ""))


def rewrite_messages(datapoint: Datapoint, response: str, request: str) -> list[Message]:
    """Return the conversation as it was, then the answer and the request as two more turns."""
    return [
        *datapoint.convo,
        {"role": "assistant", "content": response or NO_ANSWER},
        {"role": "user", "content": request},
    ]


def _problem(item: RubricItem, grade: Grade, reference: str | None) -> str:
    lines = [f"Avoid this: {item.rubric_str}" if item.penalty else item.rubric_str]
    if grade.feedback and not _quotes(grade.feedback, reference):
        lines.append(f"Problem: {grade.feedback}")
    if grade.grader == "llm" and grade.raw_score is not None and item.score_range != (0, 1):
        lines.append(
            "Rated {:g} on a scale of {:g} to {:g}.".format(grade.raw_score, *item.score_range)
        )
    return _bullet("\n".join(lines))


def _not_perfect(datapoint: Datapoint, grades: Sequence[Grade]) -> list[str]:
    return [
        _problem(item, grade, datapoint.reference)
        for item, grade in zip(datapoint.rubric_items, grades, strict=True)
        if item.reveal == "full" and grade.score != (0 if item.penalty else 1)
    ]


def _quotes(feedback: str, reference: str | None) -> bool:
    """Return whether a grader gives away the reference, which only graders may see."""
    words = (reference or "").split()
    if not words:
        return False
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    return re.search(pattern, feedback, re.IGNORECASE) is not None


def _hidden(count: int) -> str:
    if count == 1:
        return _bullet("A requirement that you are not shown is not met. Check the answer afresh.")
    return _bullet(
        f"{count} requirements that you are not shown are not met. Check the answer afresh."
    )


def _bullet(text: str) -> str:
    return "- " + text.strip().replace("\n", "\n  ")
