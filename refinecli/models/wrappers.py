"""The jurors of a run: one that cannot be asked any more has no votes, and the others go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from refinecli.errors import CompletionError, RunError
from refinecli.types import Completer, Completion, Draw, Message, Usable, Wants

if TYPE_CHECKING:
    from refinecli.models.chat import Chat
    from refinecli.models.endpoint import Log

# What no waiting mends: the setup is wrong, or the account is empty.
_FOR_THE_USER = frozenset(
    {"auth", "bad_request", "local", "model_not_found", "not_found", "quota", "redirect"}
)


class Jury:
    """Who of the jury is lost, and when that ends the run: grades need more than half of them."""

    def __init__(self, size: int, chat: Chat, log: Log) -> None:
        self._size = size
        self._chat = chat
        self._log = log
        self._lost: set[str] = set()

    def lose(self, name: str, error: RunError) -> None:
        """A juror cannot be asked any more; raises the error where it is for the user to mend, or
        too few are left."""
        if name in self._lost:
            return
        if error.type in _FOR_THE_USER or 2 * (len(self._lost) + 1) >= self._size:
            self._chat.end(error)
            raise error
        self._lost.add(name)
        self._log.notice(f"{name} is lost, the others grade without it: {error.message}")


class Juror:
    """A juror's completer: where nobody answers, that is a vote less and not the end of the run."""

    def __init__(self, name: str, completer: Completer, jury: Jury) -> None:
        self._name = name
        self._completer = completer
        self._jury = jury

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        try:
            return await self._completer(messages, draw, usable, wants)
        except RunError as error:
            self._jury.lose(self._name, error)
            kind = "connection" if error.type in ("connect", "unreachable") else error.type
            raise CompletionError(kind, error.message, error.hint) from None
