"""Put several items of one response to a grader in one call: a verdict on each, by its name.

In words, each verdict stands in a block of its own, and is read from there as if it were a whole
reply. The tags of the blocks bear the response's code, so that nothing in the response can pass for
one, not even where the grader quotes it. In JSON each verdict is an entry of one object.

An item whose verdict is missing, there twice or unreadable is asked about again alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from refinecli import prompts as p
from refinecli.completers import gather
from refinecli.errors import CompletionError, FailureKind, UnsupportedError
from refinecli.grading import by_json
from refinecli.grading.scoring import ungraded
from refinecli.grading.verdict import (
    GradeOptions,
    Question,
    examples_of,
    read_json,
    read_text,
    text_of,
    verdict,
)
from refinecli.grading.verdict import most_calls as most_calls_of
from refinecli.text.patterns import SECONDS
from refinecli.text.reasoning import split_reasoning
from refinecli.types import (
    Completer,
    Completion,
    Draw,
    Example,
    Failure,
    Grade,
    JSONReply,
    Message,
    RubricItem,
    Usage,
    Wants,
)

# Failures of this one request or reply, which a request about a single item may not meet.
_OF_ONE_REPLY: tuple[FailureKind, ...] = (
    *("bad_reply", "bad_request", "content_filter", "context_length", "no_answer", "refused"),
    *("tool_calls", "unreadable"),
)
_LONGEST_NAME = 60


def grouped(questions: Sequence[Question], size: int) -> list[tuple[Question, ...]]:
    """Return the questions in the groups that are asked together, of at most `size`. Items that
    code grades, or whose verdict has a form of its own, stay alone."""
    together: list[Question] = []
    alone: list[Question] = []
    for one in questions:
        (together if size > 1 and takes_part(one.item) else alone).append(one)
    groups = [tuple(together[at : at + size]) for at in range(0, len(together), size)]
    groups += [(one,) for one in alone]
    return sorted(groups, key=lambda group: group[0].index)


def takes_part(item: RubricItem) -> bool:
    """Return True for an item that can be asked about together with others."""
    return item.asks_grader and by_json.takes_json(item)


def most_calls(items: Sequence[RubricItem], options: GradeOptions) -> int:
    """Return the most calls that the verdicts on a response can take: items that are asked together
    may each be asked again alone."""
    size, together = options.batch_items, sum(map(takes_part, items))
    batches = together // size + (together % size > 1) if size > 1 else 0
    return batches + sum(most_calls_of(item, options) for item in items)


async def verdicts(
    batch: Batch, grader: Completer, draw: Draw, draws: Sequence[Draw]
) -> tuple[tuple[Grade, ...], Usage]:
    """Return the grade of each item, and the usage of the calls; `draws` are those of the items
    asked alone. Errors are as for a single verdict."""
    try:
        grades, usage = await _together(batch, grader, draw)
    except CompletionError as error:
        if error.type not in _OF_ONE_REPLY:
            failure = Failure(error.type, error.message)
            return tuple(ungraded(q.index, q.item, failure) for q in batch.questions), Usage()
        grades, usage = {}, Usage()
    alone = [
        (question, own)
        for question, own in zip(batch.questions, draws, strict=True)
        if question.index not in grades
    ]
    found = await gather(verdict(question, grader, own) for question, own in alone)
    grades |= {grade.item: grade for grade, _ in found}
    usage = sum((more for _, more in found), usage)
    return tuple(grades[question.index] for question in batch.questions), usage


async def _together(batch: Batch, grader: Completer, draw: Draw) -> tuple[dict[int, Grade], Usage]:
    """Return the grades that could be read in the reply to one call, by their item's place."""
    for wants in batch.wants:

        def usable(reply: Completion, wants: Wants | None = wants) -> bool:
            return bool(batch.read(reply, wants))  # what is missing is another request

        ask = partial(grader, wants=wants) if wants else grader
        try:
            completion = await ask(batch.messages(wants), draw, usable)
        except UnsupportedError:
            continue
        return batch.read(completion, wants), completion.usage
    raise AssertionError("there is always a way to ask in words")


class Batch(NamedTuple):
    """Questions about one response that are asked together."""

    questions: tuple[Question, ...]

    @property
    def wants(self) -> tuple[JSONReply | None, ...]:
        """The ways to ask, in the order that they are tried; None stands for words."""
        if self.questions[0].options.format != "json":
            return (None,)
        items = dict(zip(self.names, (one.item for one in self.questions), strict=True))
        reasons = self.questions[0].reasons
        return (by_json.wanted_of_several(items, reasons=reasons), JSONReply(), None)

    @property
    def names(self) -> tuple[str, ...]:
        """The items' names in the call, none of them twice in a datapoint."""
        names = _told_apart(tuple(i.name for i in self.questions[0].datapoint.rubric_items))
        return tuple(names[question.index] for question in self.questions)

    def messages(self, wants: Wants | None) -> list[Message]:
        """Build what the grader is sent."""
        one = self.questions[0]
        names = dict(zip((q.index for q in self.questions), self.names, strict=True))
        reasons = one.reasons

        def criterion(question: Question) -> p.Criterion:
            item = question.item
            own = by_json.scale(item) if wants else item.grader_output_format_instruction
            return p.Criterion(names[question.index], item, own)

        def form(code: str, name: str) -> str:
            if wants:
                return by_json.instruction_of_several(name, reasons=reasons)
            return form_in_words(code, name, reasons)

        return p.batch_messages(
            one.prompts,
            one.datapoint,
            one.response,
            [criterion(question) for question in self.questions],
            form,
            [
                (example, criterion(question), partial(_answer, question, example, wants))
                for example, question in self._examples()
            ],
        )

    def _examples(self) -> list[tuple[Example, Question]]:
        """Return the examples for any of the items, each once, with the first item that it is
        for."""
        found: list[tuple[Example, Question]] = []
        for question in self.questions:
            new = [one for one in examples_of(question) if all(one != seen for seen, _ in found)]
            found += [(one, question) for one in new]
        return found

    def parts(self, reply: Completion, wants: Wants | None) -> Mapping[int, str]:
        """Return the part of the reply that is about each item, by the item's place."""
        if reply.cut_off:
            return {}
        if wants:
            found = list(by_json.read_several(reply).items())
        else:
            one = self.questions[0]
            found = _blocks(reply.text, p.code_of(one.datapoint, one.response))
        names = [_same(name) for name, _ in found]
        by_name = {_same(name): part for name, part in found if names.count(_same(name)) == 1}
        return {
            question.index: by_name[_same(name)]
            for question, name in zip(self.questions, self.names, strict=True)
            if _same(name) in by_name
        }

    def read(self, reply: Completion, wants: Wants | None) -> dict[int, Grade]:
        """Return each grade that can be read in the reply, by its item's place."""
        read = read_json if wants else read_text
        parts = self.parts(reply, wants)
        grades = [
            read(question, Completion(parts[question.index]), SECONDS)
            for question in self.questions
            if question.index in parts
        ]
        return {grade.item: grade for grade in grades if grade.graded}


# ------------------------------------------------------------------ names


@lru_cache(maxsize=256)
def _told_apart(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that can stand in a tag, none of them twice: numbered where it has been
    before."""
    found: list[str] = []
    for name in names:
        plain = " ".join(re.sub(r'[<>"&\\\x00-\x20]+', " ", name).split())[:_LONGEST_NAME].strip()
        numbered, number = plain or "item", 1
        while any(_same(numbered) == _same(other) for other in found):
            number += 1
            numbered = f"{plain or 'item'} ({number})"
        found.append(numbered)
    return tuple(found)


def _same(name: str) -> str:
    """Return what two spellings of one name have in common."""
    return " ".join(name.split()).casefold()


# ------------------------------------------------------------------ in words


def form_in_words(code: str, name: str, reasons: bool) -> str:
    """Describe the form of a reply, with the first item's name."""
    verdict = "your verdict on it, once, as the text below that criterion asks for it"
    inside = f"({verdict})"
    if reasons:
        inside = (
            "(in one to three sentences, what in the response meets that criterion or falls short "
            f"of it, so that its author would know what to change)\n({verdict})"
        )
    tag = f"{p.GRADE_TAG}-{code}"
    return (
        "Take the criteria one after the other, in that order, each by itself alone. For each of "
        "them write one block with its name, like this one for the first, and nothing outside of "
        f'these blocks:\n\n<{tag} name="{name}">\n{inside}\n</{tag}>'
    )


def _blocks(text: str, code: str) -> list[tuple[str, str]]:
    """Return the name and the text of each block in a reply."""
    tag = rf"{p.GRADE_TAG}-{code}"
    opening = rf"""<{tag}\s+name\s*=\s*(["'])([^<>\n]*?)\1\s*>"""
    _, *found = re.split(opening, split_reasoning(text)[1], flags=re.IGNORECASE)
    closing = re.compile(rf"</{tag}\s*>", re.IGNORECASE)
    return [
        (name, closing.split(block, 1)[0].strip())
        for name, block in zip(found[1::3], found[2::3], strict=True)
    ]


def _answer(question: Question, example: Example, wants: Wants | None, code: str, name: str) -> str:
    """Write the reply that an example stands for."""
    reasons = example.reasons if question.reasons else None
    if wants:
        return by_json.answer_of_several(name, example.score, reasons)
    inside = text_of(question.item, example, reasons=question.reasons)
    tag = f"{p.GRADE_TAG}-{code}"
    return f'<{tag} name="{name}">\n{inside}\n</{tag}>'
