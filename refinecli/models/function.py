"""A Python function as a model: it answers where an endpoint would."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from refinecli.errors import UnsupportedError, UsageError
from refinecli.models.budget import Amount, Limits
from refinecli.models.request import with_system
from refinecli.settings.roles import RoleSettings
from refinecli.types import Completion, Draw, Message, Usable, Wants

AnswerFunction: TypeAlias = Callable[[list[Any]], Awaitable[str | Completion]]


@dataclass(frozen=True, slots=True)
class FunctionModel:
    """A function that a caller wrote, and the name that it has as a model."""

    function: AnswerFunction
    name: str


class FunctionCompleter:
    """One role's Completer, which calls the function within the budget and `concurrency`.

    The call cache has nothing of it, since versions of a function cannot be distinguished.
    What it raises comes out as it is; a CompletionError fails this call alone.
    """

    def __init__(self, model: FunctionModel, role: RoleSettings, limits: Limits) -> None:
        self._model = model
        self._role = role
        self._limits = limits

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        if wants is not None:
            raise UnsupportedError(f"{self._model.name} is a function, which returns only text")
        limits = self._limits
        asked = with_system(self._role.system, messages)
        with await limits.reserve(lambda left: Amount(calls=1)) as reservation:
            async with limits.places:
                reservation.took = Amount(calls=1)
                limits.traffic.sent += 1
                completion = await self._answer(asked)
            usage = completion.usage
            reservation.took = Amount(1, usage.prompt_tokens + usage.completion_tokens)
            limits.count(usage, 0.0)
        return completion

    async def _answer(self, messages: list[Message]) -> Completion:
        answer: object = self._model.function(messages)
        if not inspect.isawaitable(answer):
            raise UsageError(
                f"{self._model.name} returned {_kind(answer)}, and nothing to await",
                "write it as an async function: async def f(messages) -> str",
            )
        answer = await answer
        if isinstance(answer, Completion):
            return answer
        if not isinstance(answer, str):
            raise UsageError(
                f"{self._model.name} returned {_kind(answer)}, not a string",
                "return the reply's text, or a Completion",
            )
        return Completion(answer, "stop")


def _kind(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"
