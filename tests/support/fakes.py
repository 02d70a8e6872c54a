"""Stand-ins for what the core is handed: models that answer from a script, and small datapoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refinecli.data.rows import read_row
from refinecli.item_defaults import item_fields
from refinecli.types import (
    Completion,
    Datapoint,
    Draw,
    Message,
    Refinement,
    Roles,
    RubricItem,
    Usable,
    Usage,
    Wants,
)


@dataclass(frozen=True)
class Call:
    """One call of a completer: what it was sent, and as which draw."""

    messages: list[Message]
    draw: Draw
    wants: Wants | None = None

    @property
    def last(self) -> str:
        """The text of the last message."""
        return text_of(self.messages[-1])

    @property
    def text(self) -> str:
        """All that was sent, as one text."""
        return "\n".join(text_of(message) for message in self.messages)

    @property
    def graded_response(self) -> str:
        return between(text_of(self.messages[1]), "response")

    @property
    def criterion(self) -> str:
        return between(text_of(self.messages[1]), "criterion")


Answer = str | Completion | Exception
Script = Sequence[Answer] | Callable[[Call], Answer]


@dataclass
class Scripted:
    """A Completer that answers from a script: a list in order, or a function of the call."""

    script: Script
    usage: Usage = field(default=Usage(1, 100, 10))
    calls: list[Call] = field(default_factory=list)

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        call = Call(list(messages), draw, wants)
        self.calls.append(call)
        if callable(self.script):
            answer = self.script(call)
        else:
            assert len(self.calls) <= len(self.script), f"an unexpected call: {call.last}"
            answer = self.script[len(self.calls) - 1]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, str):
            return Completion(answer, "stop", usage=self.usage)
        return answer


def nobody() -> Scripted:
    """A completer that must not be called."""
    return Scripted([])


def score(number: object, why: str = "") -> str:
    """A grader's reply that gives a score in the default form."""
    return f"{why}\n<score>{number}</score>"


def scores(by_response: Mapping[str, object]) -> Scripted:
    """A grader that scores each response as the mapping says; an exception there is raised."""

    def answer(call: Call) -> Answer:
        found = by_response[call.graded_response]
        if isinstance(found, Exception):
            return found
        return score(found, f"About {call.graded_response}.")

    return Scripted(answer)


def roles(
    policy: Script | Scripted,
    reviser: Script | Scripted,
    grader: Scripted,
    critic: Script | Scripted = (),
    selector: Script | Scripted = (),
) -> Roles:
    def completer(script: Script | Scripted) -> Scripted:
        return script if isinstance(script, Scripted) else Scripted(script)

    return Roles(
        completer(policy), completer(reviser), grader, completer(critic), completer(selector)
    )


def text_of(message: Message) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "\n".join(str(part.get("text", "")) for part in content)


def between(text: str, tag: str) -> str:
    """What stands in the last <tag> of a prompt of ours, which may have a nonce in its name."""
    found = re.findall(rf"<({tag}(?:-[0-9a-f]{{12}})?)>\n(.*?)\n</\1>", text, re.DOTALL)
    return found[-1][1] if found else ""


def without_nonce(text: str) -> str:
    """The prompt with the same name for all responses' tags."""
    return re.sub("(?<=response-)[0-9a-f]{12}(?=>)", "NONCE", text)


# ------------------------------------------------------------------ data


def rubric_item(index: int = 0, **fields: Any) -> RubricItem:
    """A rubric item as a data file would give it."""
    given = {"rubric_str": "Is it good?", **fields}
    return RubricItem.model_validate(item_fields(given, index))


def datapoint(*items: dict[str, Any], **fields: Any) -> Datapoint:
    """A datapoint as a line would give it; without items it has one that a model grades."""
    line = {
        "id": "d1",
        "convo": [{"role": "user", "content": "Say something good."}],
        "rubric_items": [{"rubric_str": "Is it good?", **item} for item in items or ({},)],
        **fields,
    }
    row = read_row(json.dumps(line).encode(), 1, "test.jsonl")
    assert row.error is None, row.error
    assert row.datapoint is not None
    return row.datapoint


def responses(refinement: Refinement) -> list[str]:
    return [iteration.response for iteration in refinement.iterations]
