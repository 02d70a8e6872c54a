"""Completers that keep what goes through them, for a transcript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from refinecli.display.recorded_calls import Call
from refinecli.errors import CompletionError, UnsupportedError
from refinecli.models.request import with_system
from refinecli.settings.load import Settings
from refinecli.types import Completer, Completion, Draw, Message, Roles, Usable, Wants


@dataclass(frozen=True, slots=True)
class Recorder:
    """A completer that keeps what it was sent, its `system` message first, and what came back."""

    completer: Completer
    system: str | None
    calls: list[Call]

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        sent = tuple(with_system(self.system, messages))
        try:
            completion = await self.completer(messages, draw, usable, wants)
        except UnsupportedError:
            raise  # the next way to ask follows, and stderr says what is not sent
        except CompletionError as error:
            self.calls.append(Call(draw, sent, None, error.message, wants))
            raise
        self.calls.append(Call(draw, sent, completion, wants=wants))
        return completion


def recorded(roles: Roles, settings: Settings, calls: list[Call]) -> Roles:
    """Return the roles with every call kept in `calls`."""
    return roles.wrapped(lambda name, one: Recorder(one, settings.roles[name].system, calls))
