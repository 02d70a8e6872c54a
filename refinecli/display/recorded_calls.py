"""Match recorded calls to the responses they wrote and the items they graded.

A call names its role, iteration and sample, but not its item. That follows from the messages, which
are built again here and compared; where two items ask exactly the same, from the kept reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from refinecli.grading.batch import Batch
from refinecli.grading.grade import groups_of
from refinecli.grading.verdict import GradeOptions, Question, ways
from refinecli.prompts import Prompts
from refinecli.refining.steps import response_of
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completion, Datapoint, Draw, Iteration, Message, Wants, juror_role


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a role and its reply: a completion, or `error` where none came. `wants` is what
    the request asked for besides a text."""

    draw: Draw
    messages: tuple[Message, ...]
    completion: Completion | None
    error: str = ""
    wants: Wants | None = None


class Ledger:
    """The calls of one datapoint, each handed out once; `rest` is what nobody asked for."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = list(calls)

    @property
    def first_messages(self) -> tuple[Message, ...]:
        """The messages that the policy was sent first; all drafts are sent the same."""
        return next((call.messages for call in self._calls if call.draw.role == "policy"), ())

    def rest(self) -> tuple[Call, ...]:
        return tuple(self._calls)

    def writer(self, iteration: Iteration) -> Call | None:
        """Return the call whose reply is the iteration's response; None for a given response, and
        for a critic's, which is a part of its reply."""
        if iteration.role in ("input", "critic"):
            return None
        number = _drawn_as(iteration)
        for call in sorted(self._calls, key=lambda call: call.draw.sample):
            if (call.draw.role, call.draw.iteration) != (iteration.role, number):
                continue
            if call.completion and response_of(call.completion)[1] == iteration.response:
                self._take([call])
                return call
        return None

    def of(self, role: str, iteration: Iteration) -> list[Call]:
        """Return a critic's or selector's calls on the way to an iteration, in the order of
        asking."""
        drawn = (role, iteration.iteration)
        calls = [call for call in self._calls if (call.draw.role, call.draw.iteration) == drawn]
        calls.sort(key=lambda call: call.draw.sample)
        self._take(calls)
        return calls

    def graders(
        self,
        datapoint: Datapoint,
        iteration: Iteration,
        writer: Call | None,
        prompts: Prompts,
        options: GradeOptions,
    ) -> list[list[list[Call]]]:
        """Return, for each item and each of its graders, the call of each way to ask and its retry,
        if any."""
        number = _drawn_as(iteration)
        sample = writer.draw.sample if writer else 0
        found, items = [], len(datapoint.rubric_items)
        groups = groups_of(datapoint, iteration.response, prompts, options, range(items))
        together = {one.index: Batch(group) for group in groups if len(group) > 1 for one in group}
        all_calls = self._calls
        for index, grade in enumerate(iteration.grades):
            question = Question(datapoint, iteration.response, index, prompts, options)
            asked = [] if question.item.check else [_turns(way) for way in ways(question)]
            chains: list[list[Call]] = []
            for vote in (grade.votes or (grade,)) if asked else ():
                role = juror_role(vote.juror) if vote.juror else "grader"
                mine = [
                    call
                    for call in all_calls
                    if (call.draw.role, call.draw.iteration) == (role, number)
                    and call.draw.sample // items == sample  # as `grade` numbers them
                ]
                batch = together.get(index)
                shared = list(_of_batch(batch, question, mine)) if batch else []
                left = [call for call in mine if any(call is one for one in self._calls)]
                alone = [call for way in asked for call in _chain(left, way, vote.reply)]
                self._take([*alone, *(call for call, _ in shared)])
                chains.append([*(part for _, part in shared), *alone])
            found.append([chain for chain in chains if chain])
        return found

    def _take(self, calls: Sequence[Call]) -> None:
        self._calls = [call for call in self._calls if not any(call is one for one in calls)]


def _drawn_as(iteration: Iteration) -> int:
    """Return the iteration in its calls' draws: for drafts 0, with their own sample number, since a
    failed draft shifts iteration numbers."""
    return 0 if iteration.parent is None else iteration.iteration


def _of_batch(
    batch: Batch, question: Question, calls: Sequence[Call]
) -> Iterator[tuple[Call, Call]]:
    """Yield each call about this item among others, and the same with no more than the item's part
    of the reply. Its messages are shown with the first item."""
    first = batch.questions[0]
    for wants in batch.wants:
        asked = _turns(batch.messages(wants))
        for call in calls:
            if _turns(call.messages) != asked or call.wants != wants:
                continue
            part = call
            if question.index != first.index:
                text = f"(asked in one call with {first.item.name}, where its input is)"
                part = replace(part, messages=({"role": "user", "content": text},))
            if reply := call.completion:
                said = batch.parts(reply, wants).get(question.index, "")
                part = replace(part, completion=replace(reply, text=said))
            yield call, part


def _chain(calls: Sequence[Call], asked: Sequence[Message], reply: str | None) -> list[Call]:
    chains = [[call, *_retry(call, calls)] for call in calls if _turns(call.messages) == asked]
    kept = (chain for chain in chains if (last := chain[-1].completion) and last.text == reply)
    return next(kept, chains[0] if chains else [])


def _retry(first: Call, calls: Sequence[Call]) -> Iterator[Call]:
    if first.completion is None:
        return
    asked = _turns(first.messages)
    answer = split_reasoning(first.completion.text)[1] or "(no answer)"
    for call in calls:
        turns = _turns(call.messages)
        if turns[:-2] == asked and len(turns) >= 2 and turns[-2].get("content") == answer:
            yield call
            return


def _turns(messages: Sequence[Message]) -> list[Message]:
    """Return the messages without system prompts, to which a role may have added its own."""
    return [message for message in messages if message["role"] != "system"]
