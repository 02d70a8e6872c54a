"""Estimate what grading a response sends, from its first prompt and the texts of its items: filling
in every prompt would take many times as long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refinecli.grading.batch import form_in_words, grouped
from refinecli.grading.gate import stages
from refinecli.grading.verdict import GradeOptions, Question
from refinecli.prompts import PENALTY, Prompts, message_text
from refinecli.types import Datapoint, Message

# A rough count for English text and most tokenizers; the true one needs the model's own.
CHARACTERS_PER_TOKEN = 4

# What stands around a criterion that is one of several: its tag with a name, and blank lines.
_AROUND = 30


@dataclass(frozen=True, slots=True)
class Sent:
    """The calls of graders, and the characters of their prompts."""

    calls: int = 0
    characters: int = 0

    def __add__(self, other: Sent) -> Sent:
        return Sent(self.calls + other.calls, self.characters + other.characters)

    def __mul__(self, times: int) -> Sent:
        return Sent(self.calls * times, self.characters * times)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Calls that grading is going to send, and those with all items of a stage `together` in one,
    of which the largest has `most` items."""

    sent: Sent = Sent()
    together: Sent = Sent()
    most: int = 0

    def __add__(self, other: Estimate) -> Estimate:
        most = max(self.most, other.most)
        return Estimate(self.sent + other.sent, self.together + other.together, most)

    def __mul__(self, times: int) -> Estimate:
        return Estimate(self.sent * times, self.together * times, self.most)


def estimate(
    datapoint: Datapoint, first: Sequence[Message], prompts: Prompts, options: GradeOptions
) -> Estimate:
    """Return the estimate for one response, of which `first` is the first prompt; repeated tries
    are not counted, and a gate lets everything through."""
    items = datapoint.rubric_items
    orders = stages(items) if options.gate else (range(len(items)),)
    asked = [
        [Question(datapoint, "", p, prompts, options) for p in places if items[p].check is None]
        for places in orders
    ]
    together = _groups(asked, len(items))
    now = together if options.batch_items >= len(items) else _groups(asked, options.batch_items)
    if not now:
        return Estimate()
    shared = sum(len(message_text(message)) for message in first) - _own(now[0])
    sent = _sent(now, shared)
    fewest = sent if now is together else _sent(together, shared)
    return Estimate(sent, fewest, max(map(len, together)))


def _groups(asked: Sequence[Sequence[Question]], size: int) -> list[tuple[Question, ...]]:
    return [group for some in asked for group in grouped(some, size)]


def _sent(groups: Sequence[Sequence[Question]], shared: int) -> Sent:
    return Sent(len(groups), sum(shared + _own(group) for group in groups))


def _own(group: Sequence[Question]) -> int:
    """Return the characters of a prompt that are not those of every prompt about the response."""
    if len(group) == 1:
        return _words(group[0])
    named = [_words(one) + len(one.item.name) + _AROUND for one in group]
    return _more(group[0]) + sum(named)


def _words(question: Question) -> int:
    item = question.item
    penalty = len(PENALTY) if item.penalty else 0
    return len(item.rubric_str) + penalty + len(item.grader_output_format_instruction)


def _more(question: Question) -> int:
    """Return how much longer the words around several criteria are than those around one."""
    prompts, reasons = question.prompts, question.reasons
    one = (prompts.grader_system, prompts.grader if reasons else prompts.verdict)
    several = (prompts.grader_batch_system, prompts.grader_batch, form_in_words("", "", reasons))
    return sum(map(len, several)) - sum(map(len, one))
