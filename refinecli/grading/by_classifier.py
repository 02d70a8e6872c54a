"""Grade an item by a classifier: its score is the probability of a label."""

from __future__ import annotations

import json
from dataclasses import dataclass

from refinecli.errors import CompletionError
from refinecli.grading.scoring import ungraded
from refinecli.text.clean import one_line
from refinecli.types import (
    ByClassifier,
    Completer,
    Completion,
    Datapoint,
    Draw,
    Failure,
    Grade,
    Message,
    RubricItem,
    Usage,
    classifier_role,
)

_CERTAIN = 1.0  # the default `pass_score`, which no probability reaches


@dataclass(frozen=True, slots=True)
class Asked:
    """One item of one response, and how likely the label must be where the item leaves it open."""

    datapoint: Datapoint
    response: str
    index: int
    how: ByClassifier
    pass_probability: float

    @property
    def item(self) -> RubricItem:
        return self.datapoint.rubric_items[self.index]

    def messages(self) -> list[Message]:
        """Return what the classifier is shown: the response, or the conversation with it."""
        said: Message = {"role": "assistant", "content": self.response}
        return [said] if self.how.sees == "response" else [*self.datapoint.convo, said]


async def verdict(asked: Asked, grader: Completer, draw: Draw) -> tuple[Grade, Usage]:
    """Return the item's grade, ungraded with the reason where there is none, and the usage. The
    grader's completer hands on what is drawn for the role of a classifier."""
    of_classifier = draw._replace(role=classifier_role(asked.how.name), iteration=0, sample=0)
    try:
        completion = await grader(asked.messages(), of_classifier)
    except CompletionError as error:
        failure = Failure(error.type, error.message)
        return ungraded(asked.index, asked.item, failure), Usage()
    return _read(asked, completion), completion.usage


def _read(asked: Asked, completion: Completion) -> Grade:
    item, how, found = asked.item, asked.how, json.loads(completion.text)
    if how.label not in found:
        labels = one_line(", ".join(found), 200)
        problem = f"{how.name} gave no probability of the label {how.label}; it has {labels}"
        return ungraded(asked.index, item, Failure("no_score", problem), completion.text)
    probability = float(found[how.label])
    low, high = item.score_range
    return Grade(
        item=asked.index,
        name=item.name,
        score=probability,
        raw_score=low + probability * (high - low),
        passed=_passed(asked, probability),
        grader="classifier",
        reply=completion.text,
        probabilities={str(label): float(value) for label, value in found.items()},
    )


def _passed(asked: Asked, probability: float) -> bool:
    """Return whether it is likely enough, by the item's own `pass_score` or else as any verdict by
    probabilities; for a penalty item, unlikely enough."""
    own = asked.item.pass_score
    enough = own if own < _CERTAIN else asked.pass_probability
    return probability <= 1 - enough if asked.item.penalty else probability >= enough
