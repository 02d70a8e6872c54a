"""Each role's completer, made of its settings: at once, or when it is first called."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from refinecli.models.wrappers import Juror, Jury, TryOnly
from refinecli.settings.load import Settings
from refinecli.settings.roles import RoleSettings
from refinecli.types import Completer, Completion, Draw, Message, Usable, Wants

if TYPE_CHECKING:
    from refinecli.models.budget import Limits
    from refinecli.models.chat import Chat
    from refinecli.models.endpoint import Log
    from refinecli.models.function import FunctionModel
    from refinecli.models.resolve import Resolver


class RoleCompleters(NamedTuple):
    """Makes completers, of the role's own function where there is one; `settled` holds the roles
    that ask an endpoint, as they were resolved."""

    settings: Settings
    chat: Chat
    resolve: Resolver
    jury: Jury
    limits: Limits
    log: Log
    functions: Mapping[str, FunctionModel]
    settled: dict[str, RoleSettings]

    async def make(self, role: RoleSettings) -> Completer:
        """Settle the role and return its completer."""
        completer: Completer
        if function := self.functions.get(role.name):
            from refinecli.models.function import FunctionCompleter  # for Python callers

            completer = FunctionCompleter(function, role, self.limits)
        else:
            settled, key, place = await self.resolve(role)
            self.settled[role.name] = settled
            completer = self.chat.completer(settled, self.settings.run.seed, key=key, place=place)
            if role.weights and role in self.settings.graders:
                completer = TryOnly(completer, self.log)
        return Juror(role.name, completer, self.jury) if role.is_juror else completer


class Lazy:
    """A completer that is made at its first call: what is never asked is never started."""

    def __init__(self, make: Callable[[], Awaitable[Completer]]) -> None:
        self._make = make
        self._made: Completer | None = None
        self._lock = asyncio.Lock()

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        async with self._lock:
            if self._made is None:
                self._made = await self._make()
        return await self._made(messages, draw, usable, wants)
