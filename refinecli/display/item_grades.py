"""Show how one item of one response was graded: what was asked, what came back, the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

from rich.console import RenderableType

from refinecli.display.boxes import Body, Limit, Section, label
from refinecli.display.marks import colour, mark, notes_of, number, votes_of, what_passes
from refinecli.display.messages import ending, reply, turns
from refinecli.display.recorded_calls import Call, Ledger
from refinecli.grading import by_json
from refinecli.grading.scoring import extract
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.text.clean import one_line
from refinecli.text.reasoning import split_reasoning
from refinecli.types import (
    Completion,
    Datapoint,
    Grade,
    Iteration,
    JSONReply,
    Refinement,
    RubricItem,
    Wants,
)

_TOKENS = 6  # shown of those that could have come first
GRADER = "magenta"  # legible on dark and on light backgrounds


@dataclass(frozen=True, slots=True)
class Rollout:
    """Everything that a section of a transcript may need. Of a `stored` one there are no calls, and
    `only` is the item to show alone."""

    datapoint: Datapoint
    refinement: Refinement
    ledger: Ledger
    prompts: Prompts
    grading: GradeOptions
    limit: Limit
    threshold: float | None
    min_gain: float
    stored: bool = False
    only: str | None = None
    when: str = ""  # in place of the iteration, where there was but one

    def turn(self, iteration: Iteration) -> str:
        return self.when or f"iteration {iteration.iteration}"

    def shows(self, grade: Grade) -> bool:
        return self.only in (None, grade.name)


def item_section(
    rollout: Rollout, iteration: Iteration, index: int, chains: list[list[Call]]
) -> Section:
    item, grade = rollout.datapoint.rubric_items[index], iteration.grades[index]
    parts: list[RenderableType] = [label("criterion"), Body([("", item.rubric_str)], rollout.limit)]
    if grade.grader == "check":
        parts.append(label("graded by code, without a model"))
    elif grade.grader == "empty":
        parts.append(label("not sent to the grader: an empty response scores 0"))
    elif chains:
        for chain in chains:
            parts += _exchange(item, chain, rollout.limit)
    else:
        parts += _unrecorded(rollout, item, iteration, grade)
    parts += _verdict(rollout, item, grade)
    title = f"grade of {one_line(grade.name, 30)} ({index + 1} of {len(iteration.grades)}"
    return Section(f"{title}, {rollout.turn(iteration)})", parts, GRADER)


def _exchange(item: RubricItem, chain: list[Call], limit: Limit) -> list[RenderableType]:
    """Show what the grader was sent and replied; of a retry, what it adds to the first."""
    parts: list[RenderableType] = []
    sent, who = 0, chain[0].draw.role
    for place, call in enumerate(chain):
        again = place > 0 and call.messages[:sent] == chain[place - 1].messages
        ours = f"{who}'s input, second try, adds · " if again else f"{who}'s input · "
        parts += turns(call.messages[sent if again else 0 :], limit, ours)
        sent = len(call.messages)
        parts.append(label(f"{who}'s output"))
        if call.completion is None:
            parts += [label("✗ the call failed", "bold red"), Body([("", call.error)], limit)]
            continue
        parts += _output(item, call.completion, limit)
        problem = _problem(item, call.wants, call.completion)
        if problem and place < len(chain) - 1:
            parts += [label("no score could be read"), Body([("", problem)], limit)]
    return parts


def _problem(item: RubricItem, wants: Wants | None, completion: Completion) -> str:
    """Say why there is no score in a grader's reply."""
    if completion.first_tokens is not None:
        return "too little of the first token's probability is on a label"
    if isinstance(wants, JSONReply):
        return by_json.read(item, completion)[0].problem
    return extract(item, completion).problem


def _output(item: RubricItem, completion: Completion, limit: Limit) -> list[RenderableType]:
    """Show a grader's reply with its score marked, or the candidates for its first token."""
    if completion.first_tokens is not None:
        likely = sorted(completion.first_tokens, key=lambda token: -token[1])[:_TOKENS]
        odds = " · ".join(f"{one_line(token)} {exp(logprob):.3f}" for token, logprob in likely)
        return [
            label("first token, by probability"),
            Body([("", odds)], limit),
            ending(completion),
        ]
    thought, answer = split_reasoning(completion.text)
    reasoning = "\n".join(filter(None, (completion.reasoning, thought)))
    begin, end = extract(item, completion).span or (0, 0)
    pieces = [("", answer[:begin]), ("match", answer[begin:end]), ("", answer[end:])]
    return [*reply(reasoning, pieces, limit), ending(completion)]


def _unrecorded(
    rollout: Rollout, item: RubricItem, iteration: Iteration, grade: Grade
) -> list[RenderableType]:
    """Show a grade without a call: taken over from an equal response, or not recorded."""
    earlier = rollout.refinement.iterations[: iteration.iteration]
    same = next((it for it in earlier if it.response == iteration.response), None)
    why = f"taken over from iteration {same.iteration}: the same text" if same else "not recorded"
    parts: list[RenderableType] = []
    if same or not rollout.stored:
        parts.append(label(f"grader's call: {why}"))
    if grade.reply is not None:
        completion = Completion(grade.reply)
        parts += [label("grader's output"), *_output(item, completion, rollout.limit)[:-1]]
    return parts


def _verdict(rollout: Rollout, item: RubricItem, grade: Grade) -> list[RenderableType]:
    """Show the votes, the score, raw and normalised, and the verdict."""
    limit = rollout.limit
    if grade.error is not None:
        error = one_line(f"ungraded ({grade.error.type})")
        return [label(f"? {error}", "bold red"), Body([("", grade.error.message)], limit)]
    low, high = item.score_range
    raw, score = number(grade.raw_score), number(grade.score)
    text = f"{mark(grade.passed)} · score: {raw} (of {low:g} to {high:g}) → {score}, "
    text += what_passes(item, grade, rollout.grading)
    parts: list[RenderableType] = [label(votes_of(grade))] if grade.votes else []
    parts.append(label(text, colour(grade.passed)))
    if notes := notes_of(item):
        parts.append(label(notes))
    if grade.grader != "llm" and grade.feedback:
        parts.append(Body([("", grade.feedback)], limit))
    return parts
