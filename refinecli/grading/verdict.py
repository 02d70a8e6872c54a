"""Put one rubric item to a grader: try the ways to ask in turn, and return the grade.

    logprobs    the first token's probabilities, where the endpoint gives them
    json        one JSON object, by schema, else in JSON mode
    text        the item's own format, read by its regex

A way that an endpoint refuses is not tried there again. Each way but the first has one retry, which
names what was wrong with the reply.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, with_config

from refinecli import prompts as p
from refinecli.errors import CompletionError, UnsupportedError
from refinecli.grading import by_json, by_probabilities
from refinecli.grading.scoring import extract, graded, normalised, ungraded
from refinecli.grading.slow_work import CHARACTERS_AT_ONCE, SECONDS_AT_ONCE, in_thread
from refinecli.text.patterns import SECONDS, verdict_in
from refinecli.types import (
    Combine,
    Completer,
    Completion,
    Datapoint,
    Draw,
    Example,
    Failure,
    FirstTokens,
    Grade,
    JSONReply,
    Message,
    RubricItem,
    Usage,
)

if TYPE_CHECKING:
    from refinecli.grading import by_classifier

# The most that providers give; some give only 5.
_ALTERNATIVES = (20, 5)
# Reads a verdict; TimeoutError where that takes longer than fewer seconds than the limit.
Read: TypeAlias = Callable[["Question", Completion, float], Grade]
# A label, and white space that may precede it.
_LABEL_TOKENS = 4


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True, slots=True)
class GradeOptions:
    """`[grade]`: the form of a verdict: with reasons before it, alone, or by probabilities; as text
    or as JSON.

    `examples` precede the question, `pass_probability` is how likely a pass must be where
    probabilities decide, and `combine` says what several votes amount to. Up to `batch_items` items
    of a response are asked about in one call. With `gate` what a response must pass comes first.
    With `prefix_lead` one item of several with a long prompt in common does.
    """

    mode: Literal["explain", "verdict", "logprobs"] = "explain"
    format: Literal["text", "json"] = "text"
    examples: tuple[Example, ...] = ()
    pass_probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    combine: Combine = "median"
    batch_items: Annotated[int, Field(ge=1)] = 1
    gate: bool = False
    prefix_lead: bool = True


@dataclass(frozen=True, slots=True)
class Question:
    """One item of one response, and the form of its verdict."""

    datapoint: Datapoint
    response: str
    index: int
    prompts: p.Prompts
    options: GradeOptions

    @property
    def item(self) -> RubricItem:
        return self.datapoint.rubric_items[self.index]

    @property
    def reasons(self) -> bool:
        """True unless the grader is to give its verdict alone."""
        return self.options.mode != "verdict"

    @property
    def by_probabilities(self) -> bool:
        return self.options.mode == "logprobs" and bool(by_probabilities.labels_of(self.item))

    @property
    def of_classifier(self) -> by_classifier.Asked | None:
        """The question as one to a classifier, if the item names one."""
        how = self.item.classifier
        if how is None:
            return None
        from refinecli.grading import by_classifier  # which most rubrics do without

        likely = self.options.pass_probability
        return by_classifier.Asked(self.datapoint, self.response, self.index, how, likely)

    @property
    def by_json(self) -> bool:
        return self.options.format == "json" and by_json.takes_json(self.item)


def most_calls(item: RubricItem, options: GradeOptions) -> int:
    """Return the most calls that one verdict can take; a refusal costs an extra call once in a
    run."""
    if item.check is not None:
        return 0
    if item.classifier is not None:
        return 1
    return 3 if options.mode == "logprobs" and by_probabilities.labels_of(item) else 2


def ways(question: Question) -> list[list[Message]]:
    """Return each way's first messages, in the order they are tried."""
    if (asked := question.of_classifier) is not None:
        return [asked.messages()]
    found = [label_messages(question)] if question.by_probabilities else []
    found += [json_messages(question)] if question.by_json else []
    return [*found, text_messages(question)]


def first_messages(question: Question) -> list[Message]:
    """Return what the grader is sent first."""
    return ways(question)[0]


async def verdict(question: Question, grader: Completer, draw: Draw) -> tuple[Grade, Usage]:
    """Return the item's grade, ungraded with the reason where there is none, and the usage of the
    calls.

    RunError and BudgetError, which every further call would share, are raised.
    """
    if (asked := question.of_classifier) is not None:
        from refinecli.grading import by_classifier

        return await by_classifier.verdict(asked, grader, draw)
    usage, mass = Usage(), None
    grade: Grade | None
    try:
        if question.by_probabilities:
            grade, usage = await _by_probabilities(question, grader, draw)
            if grade is not None and grade.graded:
                return grade, usage
            mass = grade.mass if grade else 0.0  # no probabilities, so none on a label
        grade, more = await _in_words(question, grader, draw)
    except CompletionError as error:
        failure = Failure(error.type, error.message)
        return replace(ungraded(question.index, question.item, failure), mass=mass), usage
    return grade if mass is None else replace(grade, mass=mass), usage + more


# ------------------------------------------------------------------ by probabilities


async def _by_probabilities(
    question: Question, grader: Completer, draw: Draw
) -> tuple[Grade | None, Usage]:
    """Grade by probabilities: None where the endpoint gives none; ungraded where too little is on
    labels."""
    messages = label_messages(question)
    for alternatives in _ALTERNATIVES:
        wants = FirstTokens(alternatives, _LABEL_TOKENS)
        try:
            completion = await grader(
                messages, draw, lambda reply: _likely(question, reply).graded, wants
            )
        except UnsupportedError:
            continue
        return _likely(question, completion), completion.usage
    return None, Usage()


def _likely(question: Question, completion: Completion) -> Grade:
    item, labels = question.item, by_probabilities.labels_of(question.item)
    reading = by_probabilities.read(labels, completion.first_tokens or ())
    if reading.mass < by_probabilities.ENOUGH:
        failure = Failure("no_score", f"the labels have {reading.mass:.2f} of the probability")
        return replace(ungraded(question.index, item, failure, completion.text), mass=reading.mass)
    raw_score = by_probabilities.expected(item, reading)
    likely = by_probabilities.pass_probability(item, reading.probabilities)
    return Grade(
        item=question.index,
        name=item.name,
        score=normalised(item, raw_score),
        raw_score=raw_score,
        passed=likely >= question.options.pass_probability,
        grader="llm",
        reply=completion.text,
        mass=reading.mass,
        probabilities=reading.probabilities,
    )


def label_messages(question: Question) -> list[Message]:
    """Build what is sent to a grader whose first token is the verdict."""
    item, labels = question.item, by_probabilities.labels_of(question.item)
    return p.grader_messages(
        question.prompts,
        question.datapoint,
        question.response,
        item,
        reasons=False,
        instruction=p.label_instruction(item, [label.text for label in labels]),
        examples=[(one, _label(item, one)) for one in examples_of(question)],
    )


# ------------------------------------------------------------------ in words


async def _in_words(question: Question, grader: Completer, draw: Draw) -> tuple[Grade, Usage]:
    """Ask for JSON where that is wanted, the item leaves its form to us and the endpoint takes it;
    otherwise ask in the item's own format."""
    if question.by_json:
        by_schema = by_json.wanted(question.item, reasons=question.reasons)
        for wants in (by_schema, JSONReply()):
            ask = partial(grader, wants=wants)
            instruction = by_json.instruction(question.item, reasons=question.reasons)
            try:
                return await _asked(
                    question, ask, draw, json_messages(question), read_json, instruction
                )
            except UnsupportedError:
                continue
    instruction = question.item.grader_output_format_instruction
    return await _asked(question, grader, draw, text_messages(question), read_text, instruction)


async def _asked(
    question: Question,
    grader: Completer,
    draw: Draw,
    messages: list[Message],
    read: Read,
    instruction: str,
) -> tuple[Grade, Usage]:
    """Return the verdict that `read` finds in the reply, or in the reply to one retry."""
    replies = _Replies(question, read)
    completion = await grader(messages, draw, replies.has_score)
    usage, verdict = completion.usage, await replies.verdict_on(completion)
    if verdict.error is None:
        return verdict, usage
    problem = verdict.error.message
    again = p.grader_retry_messages(
        question.prompts, messages, completion.text, problem, instruction
    )
    try:
        completion = await grader(again, draw, replies.has_score)
    except CompletionError as error:
        failure = Failure(error.type, error.message)
        return ungraded(question.index, question.item, failure), usage
    return await replies.verdict_on(completion), usage + completion.usage


@dataclass(slots=True)
class _Replies:
    """The replies to a question, each of which is read once, though asked about twice."""

    question: Question
    read: Read
    judged: list[tuple[Completion, Grade]] = field(default_factory=list)

    async def verdict_on(self, completion: Completion) -> Grade:
        verdict = self._at_once(completion)
        return await self._in_time(completion) if verdict is None else verdict

    def has_score(self, completion: Completion) -> bool | Awaitable[bool]:
        verdict = self._at_once(completion)
        return self._has_score_in_time(completion) if verdict is None else verdict.graded

    def _at_once(self, completion: Completion) -> Grade | None:
        """Return the verdict; None where the event loop would have to wait for it."""
        for seen, verdict in self.judged:
            if seen is completion:
                return verdict
        if len(completion.text) > CHARACTERS_AT_ONCE:
            return None
        try:
            verdict = self.read(self.question, completion, SECONDS_AT_ONCE)
        except TimeoutError:
            return None
        self.judged.append((completion, verdict))
        return verdict

    async def _in_time(self, completion: Completion) -> Grade:
        verdict = await in_thread(partial(self.read, self.question, completion, SECONDS))
        self.judged.append((completion, verdict))
        return verdict

    async def _has_score_in_time(self, completion: Completion) -> bool:
        return (await self._in_time(completion)).graded


def text_messages(question: Question) -> list[Message]:
    """Build what is sent to a grader that answers in the item's own format."""
    item = question.item
    shown = examples_of(question)
    examples = [(one, text_of(item, one, reasons=question.reasons)) for one in shown]
    return p.grader_messages(
        question.prompts,
        question.datapoint,
        question.response,
        item,
        reasons=question.reasons,
        examples=[(one, reply) for one, reply in examples if reply is not None],
    )


def json_messages(question: Question) -> list[Message]:
    """Build what is sent to a grader that answers with a JSON object."""
    reasons = question.reasons
    return p.grader_messages(
        question.prompts,
        question.datapoint,
        question.response,
        question.item,
        reasons=reasons,
        instruction=by_json.instruction(question.item, reasons=reasons),
        examples=[
            (one, by_json.answer(one.score, one.reasons if reasons else None))
            for one in examples_of(question)
        ],
    )


def read_text(question: Question, completion: Completion, seconds: float) -> Grade:
    """Return the grade in a reply in the item's own format."""
    found = extract(question.item, completion, seconds)
    if found.raw_score is None:
        failure = Failure("no_score", found.problem)
        return ungraded(question.index, question.item, failure, completion.text)
    return graded(question.index, question.item, completion, found, found.raw_score)


def read_json(question: Question, completion: Completion, seconds: float) -> Grade:
    """Return the grade in a reply that is a JSON object."""
    found, reasons = by_json.read(question.item, completion)
    if found.raw_score is None:
        failure = Failure("no_score", found.problem)
        return ungraded(question.index, question.item, failure, completion.text)
    grade = graded(question.index, question.item, completion, found, found.raw_score)
    return replace(grade, feedback=reasons or None)


# ------------------------------------------------------------------ examples


def examples_of(question: Question) -> list[Example]:
    """Return the examples for this item: those of the file that fit its scale, only those of its
    own criterion if there are any; then those in the item."""
    item = question.item
    fit = [one for one in question.options.examples if item.raw_score(one.score) is not None]
    own = [example for example in fit if example.rubric_str == item.rubric_str]
    return [*(own or fit), *item.examples]


def _label(item: RubricItem, example: Example) -> str:
    """Return the label nearest to an example's score, which may lie between two labels."""
    raw_score = item.raw_score(example.score)
    assert raw_score is not None
    labels = by_probabilities.labels_of(item)
    return min(labels, key=lambda label: abs(label.value - raw_score)).text


def text_of(item: RubricItem, example: Example, *, reasons: bool) -> str | None:
    """Write the reply that an example stands for; None where the item's regex does not show its
    form."""
    verdict = verdict_in(item.extraction_regex, example.verdict)
    before = [example.reasons] if reasons and example.reasons else []
    return None if verdict is None else "\n".join([*before, verdict])
