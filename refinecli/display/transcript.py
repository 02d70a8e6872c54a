"""Show a rollout's whole transcript.

    for part in transcript(datapoint, refinement, calls, prompts, grading, full=False):
        console.print(part, soft_wrap=plain(console))

Nothing here prints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import exp

from rich.console import RenderableType
from rich.text import Text

from refinecli.display.boxes import (
    Body,
    Columns,
    Limit,
    Section,
    label,
    plain,
    shown,
)
from refinecli.display.choices import kept_request, why_chosen, why_stopped
from refinecli.display.marks import (
    colour,
    mark,
    notes_of,
    number,
    preferred,
    tokens,
    verdict,
    votes_of,
    what_passes,
)
from refinecli.display.recorded_calls import Call, Ledger
from refinecli.grading import by_json
from refinecli.grading.scoring import extract
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts, message_text
from refinecli.refining.strategies import STRATEGIES
from refinecli.text.clean import clean, one_line
from refinecli.text.reasoning import split_reasoning
from refinecli.text.word_diff import Piece, word_diff
from refinecli.types import (
    Completion,
    Datapoint,
    Grade,
    Iteration,
    JSONObject,
    JSONReply,
    Message,
    Refinement,
    RubricItem,
    Wants,
)

__all__ = ["Call", "clean", "plain", "shown", "transcript"]

_LINES = 30  # of one text, unless it is shown in full
_TOKENS = 6  # shown of those that could have come first
_WRITER, _GRADER = "cyan", "magenta"  # legible on dark and on light backgrounds

_OPTIMISTIC = (
    "In-loop scores are optimistic, since the best of several noisy grades is kept; "
    "a separate `refinecli grade` is not."
)


@dataclass(frozen=True, slots=True)
class _Rollout:
    """Everything that a section of a transcript may need."""

    datapoint: Datapoint
    refinement: Refinement
    ledger: Ledger
    prompts: Prompts
    grading: GradeOptions
    limit: Limit
    threshold: float | None
    min_gain: float


def transcript(
    datapoint: Datapoint,
    refinement: Refinement | None,
    calls: Sequence[Call],
    prompts: Prompts,
    grading: GradeOptions,
    *,
    full: bool,
    hint: str = "",
    threshold: float | None = None,
    min_gain: float = 0.0,
) -> Iterator[RenderableType]:
    """Show all that happened to one datapoint, in order; without `full`, long texts are cut, with
    `hint` on how to see the rest.

    `refinement` is None where not even a first response could be had: the failed calls remain.
    """
    ledger, limit = Ledger(calls), Limit() if full else Limit(_LINES, hint)
    yield _prefix(datapoint, refinement, ledger, limit)
    if refinement is not None:
        rollout = _Rollout(
            datapoint, refinement, ledger, prompts, grading, limit, threshold, min_gain
        )
        for iteration in refinement.iterations:
            yield from _iteration(rollout, iteration)
    for call in ledger.rest():
        yield _other_call(call, limit)
    if refinement is not None:
        yield _result(rollout)


# ------------------------------------------------------------------ messages


def _prefix(
    datapoint: Datapoint, refinement: Refinement | None, ledger: Ledger, limit: Limit
) -> Section:
    given = refinement is not None and refinement.iterations[0].role == "input"
    title = f"{one_line(str(datapoint.id), 40)} · " + (
        "conversation" if given else "what the policy sees"
    )
    return Section(title, _turns(ledger.first_messages or datapoint.convo, limit))


def _turns(messages: Sequence[Message], limit: Limit, ours: str = "") -> list[RenderableType]:
    """Show each message's role, with its further keys, above its text; attachments are named
    there."""
    parts: list[RenderableType] = []
    attachments: list[JSONObject] = []
    for message in messages:
        known = ("role", "content", "tool_calls")
        more = [f"{key}={value}" for key, value in message.items() if key not in known]
        parts.append(label(one_line(ours + " · ".join([message["role"], *more]), 200)))
        parts.append(Body([("", message_text(message, attachments))], limit))
    return parts


def _other_call(call: Call, limit: Limit) -> Section:
    """Show a call that is not part of a response: a critic's, a selector's, a failed draft."""
    title = f"{call.draw.role} call (iteration {call.draw.iteration}, sample {call.draw.sample})"
    parts = _turns(call.messages, limit)
    if call.completion is None:
        parts += [label("✗ failed", "bold red"), Body([("", call.error)], limit)]
        return Section(f"{title} failed", parts, "red")
    parts.append(label("reply"))
    parts += _reply(call.completion.reasoning, [("", call.completion.text)], limit)
    return Section(title, [*parts, _ending(call.completion)])


def _reply(reasoning: str, pieces: list[Piece], limit: Limit) -> list[RenderableType]:
    """Show a reply's text below its reasoning, which is set apart."""
    parts: list[RenderableType] = []
    if reasoning:
        parts += [label("reasoning", "dim bold"), Body([("", reasoning)], limit, style="dim")]
        parts += [label("answer")] if pieces else []
    return [*parts, Body(pieces, limit)] if pieces else parts


def _ending(completion: Completion) -> Text:
    """Show how the reply ended and its tokens."""
    notes = [tokens(completion.usage)]
    if completion.finish_reason not in ("stop", None):
        notes.insert(0, f"finish_reason: {completion.finish_reason}")
    return label(" · ".join(notes), "bold" if len(notes) > 1 else "dim")


# ------------------------------------------------------------------ one iteration


def _iteration(rollout: _Rollout, iteration: Iteration) -> Iterator[RenderableType]:
    """Show an iteration in the order of events: a critic's version is graded after it was
    chosen."""
    writer = rollout.ledger.writer(iteration)
    chains = rollout.ledger.graders(
        rollout.datapoint, iteration, writer, rollout.prompts, rollout.grading
    )
    by = STRATEGIES[rollout.refinement.strategy].feedback_by
    if iteration.choice:
        yield Section(f"choice (iteration {iteration.iteration})", why_chosen(iteration), _WRITER)
    for role in ("critic", "selector") if by == "selector" else ("critic",):
        yield from _calls_of(rollout, role, iteration)
    if iteration.role == "reviser":
        yield _request(rollout, iteration, writer)
    yield _response(iteration, writer, rollout.limit)
    if iteration.parent is not None:
        yield _diff(rollout, iteration)
    if iteration.role == "critic":
        yield from _selected(rollout, iteration)
    for index, asked in enumerate(chains):
        yield _item(rollout, iteration, index, asked)
    if iteration.grades:
        yield _scores(rollout, iteration)
    if iteration.role != "critic":
        yield from _selected(rollout, iteration)


def _calls_of(rollout: _Rollout, role: str, iteration: Iteration) -> Iterator[Section]:
    for call in rollout.ledger.of(role, iteration):
        yield _other_call(call, rollout.limit)


def _selected(rollout: _Rollout, iteration: Iteration) -> Iterator[Section]:
    """Show a selector's choice between the new response and the old, asked in both orders."""
    yield from _calls_of(rollout, "selector", iteration)
    if iteration.selection is None:
        return
    votes = " and ".join(iteration.selection.votes)
    choice = f"voted {votes}: {preferred(iteration.selection)}"
    title = f"selection (iteration {iteration.iteration})"
    yield Section(title, [label(choice, colour(iteration.accepted))], _GRADER)


def _request(rollout: _Rollout, iteration: Iteration, writer: Call | None) -> Section:
    kept = kept_request(rollout.refinement, iteration)
    text = message_text(writer.messages[-1]) if writer else kept
    where = f"after the conversation and the response of iteration {iteration.parent}"
    if STRATEGIES[rollout.refinement.strategy].history:
        where = "after the conversation and each response so far, with its feedback"
    parts: list[RenderableType] = [label(where, "dim"), Body([("", text)], rollout.limit)]
    return Section(f"rewrite request (iteration {iteration.iteration})", parts, _WRITER)


def _response(iteration: Iteration, writer: Call | None, limit: Limit) -> Section:
    parts = _reply(iteration.reasoning, [("", iteration.response)], limit)
    if iteration.role == "input":
        parts.append(label("given with the datapoint", "dim"))
    elif writer and writer.completion:
        parts.append(_ending(writer.completion))
    elif iteration.finish_reason not in ("stop", None):
        parts.append(label(f"finish_reason: {iteration.finish_reason}"))
    chosen_draft = iteration.choice and iteration.parent is None
    what = "fresh draft" if chosen_draft else "response"
    return Section(f"{what} (iteration {iteration.iteration})", parts, _WRITER)


def _diff(rollout: _Rollout, iteration: Iteration) -> Section:
    assert iteration.parent is not None
    old = rollout.refinement.iterations[iteration.parent].response
    title = f"changes from iteration {iteration.parent} to {iteration.iteration}"
    if old == iteration.response:
        return Section(title, [label("none: the same text", "dim")], _WRITER)
    pieces = word_diff(old, iteration.response, full=not rollout.limit.lines)
    return Section(title, [Body(pieces, rollout.limit.doubled())], _WRITER)


# ------------------------------------------------------------------ one item


def _item(rollout: _Rollout, iteration: Iteration, index: int, chains: list[list[Call]]) -> Section:
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
    return Section(f"{title}, iteration {iteration.iteration})", parts, _GRADER)


def _exchange(item: RubricItem, chain: list[Call], limit: Limit) -> list[RenderableType]:
    """Show what the grader was sent and replied; of a retry, what it adds to the first."""
    parts: list[RenderableType] = []
    sent, who = 0, chain[0].draw.role
    for place, call in enumerate(chain):
        again = place > 0 and call.messages[:sent] == chain[place - 1].messages
        ours = f"{who}'s input, second try, adds · " if again else f"{who}'s input · "
        parts += _turns(call.messages[sent if again else 0 :], limit, ours)
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
            _ending(completion),
        ]
    thought, answer = split_reasoning(completion.text)
    reasoning = "\n".join(filter(None, (completion.reasoning, thought)))
    begin, end = extract(item, completion).span or (0, 0)
    pieces = [("", answer[:begin]), ("match", answer[begin:end]), ("", answer[end:])]
    return [*_reply(reasoning, pieces, limit), _ending(completion)]


def _unrecorded(
    rollout: _Rollout, item: RubricItem, iteration: Iteration, grade: Grade
) -> list[RenderableType]:
    """Show a grade without a call: taken over from an equal response, or not recorded."""
    earlier = rollout.refinement.iterations[: iteration.iteration]
    same = next((it for it in earlier if it.response == iteration.response), None)
    why = f"taken over from iteration {same.iteration}: the same text" if same else "not recorded"
    parts: list[RenderableType] = [label(f"grader's call: {why}")]
    if grade.reply is not None:
        completion = Completion(grade.reply)
        parts += [label("grader's output"), *_output(item, completion, rollout.limit)[:-1]]
    return parts


def _verdict(rollout: _Rollout, item: RubricItem, grade: Grade) -> list[RenderableType]:
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


# ------------------------------------------------------------------ scores and result


def _scores(rollout: _Rollout, iteration: Iteration) -> Section:
    """Show the items' scores times their weights, the sum, and whether that was good enough."""
    rows = []
    pairs = list(zip(rollout.datapoint.rubric_items, iteration.grades, strict=True))
    for item, grade in pairs:
        part = None if grade.score is None else item.weight * grade.score
        row = [grade.name, number(grade.score), f"{item.weight:g}", number(part)]
        rows.append([*row, mark(grade.passed), notes_of(item)])
    header = ("item", "score", "× weight", "=", "verdict", "")
    passed = iteration.passed
    lines: list[RenderableType] = [label(_sum(iteration.score, pairs))]
    if iteration.score is not None:
        lines.append(label(f"{verdict(passed)} ({_needs(rollout)})", colour(passed)))
    if iteration.iteration:
        lines.append(_accepted(rollout, iteration))
    title = f"scores (iteration {iteration.iteration})"
    return Section(title, [Columns(header, rows), *lines], _GRADER)


def _needs(rollout: _Rollout) -> str:
    """Say what a response must do to pass."""
    needs = []
    if any(item.required for item in rollout.datapoint.rubric_items):
        needs.append("every required item")
    if rollout.threshold is not None:
        needs.append(f"a score of at least {rollout.threshold:g}")
    return "needs " + (" and ".join(needs) or "every item")


def _sum(score: float | None, pairs: list[tuple[RubricItem, Grade]]) -> str:
    if score is None:
        missing = sum(not grade.graded for _, grade in pairs)
        return f"score: none, {missing} of {len(pairs)} items ungraded"
    weights = sum(item.weight for item, _ in pairs if item.weight > 0)
    total = sum(item.weight * (grade.score or 0) for item, grade in pairs)
    return f"score: {number(total)} ÷ {weights:g} (positive weights) = {number(score)}"


def _accepted(rollout: _Rollout, iteration: Iteration) -> Text:
    """Show whether it is the best so far, with the score of the best before it."""
    earlier = rollout.refinement.iterations[: iteration.iteration]
    before = [it for it in earlier if it.accepted and it.grades]
    best = before[-1]
    step = f"{number(best.score)} (iteration {best.iteration}) → {number(iteration.score)}"
    if not STRATEGIES[rollout.refinement.strategy].by_grade:
        return label(f"kept, whatever its score: {step}")
    if iteration.accepted:
        return label(f"✓ accepted: {step}", "bold green")
    picked = iteration.selection or (iteration.score or 0) > (best.score or 0)
    why = "the selector did not prefer it" if picked else "it is not better"
    return label(f"✗ not accepted, {why}: {step}", "bold red")


def _result(rollout: _Rollout) -> Section:
    refinement = rollout.refinement
    best, initial = refinement.best, refinement.initial_score
    by_grade = STRATEGIES[refinement.strategy].by_grade
    what = "best" if by_grade else "kept"
    parts: list[RenderableType] = [
        *why_stopped(refinement, rollout.min_gain),
        label(f"{what}: iteration {best.iteration}, score {number(best.score)}"),
        label(verdict(refinement.passed), colour(refinement.passed)),
    ]
    if refinement.error is not None:
        parts.append(label(f"✗ {refinement.error.type}", "bold red"))
        parts.append(Body([("", refinement.error.message)], Limit(_LINES)))
    if best.score is not None and initial is not None and best.score > initial:
        parts.append(label(f"gain: {number(initial)} → {number(best.score)}"))
        parts += [Text(_OPTIMISTIC)] if by_grade else []
    usage = refinement.usage
    parts.append(label(f"{usage.calls:,} calls · {tokens(usage)}", "dim"))
    return Section("result", parts, "green" if refinement.passed else "red")
