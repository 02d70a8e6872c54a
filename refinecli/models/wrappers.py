"""Wrap completers in completers: jurors, the embedded model as a grader, and a grader next to
classifiers."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refinecli.errors import CompletionError, FailureKind, RunError, option
from refinecli.types import Completer, Completion, Draw, Message, Usable, Wants, classifier_in

if TYPE_CHECKING:
    from refinecli.models.endpoint import Log
    from refinecli.models.retries import Ending

# Waiting does not cure these: the setup is wrong, or the account is empty.
_FOR_THE_USER: frozenset[FailureKind] = frozenset(
    {"auth", "bad_request", "local", "model_not_found", "not_found", "quota", "redirect"}
)


class Jury:
    """The jurors that are lost, and when that ends the run: grades need more than half of them."""

    def __init__(self, size: int, ending: Ending, log: Log) -> None:
        self._size = size
        self._ending = ending
        self._log = log
        self._lost: set[str] = set()

    def lose(self, name: str, error: RunError) -> None:
        """Do without a juror that cannot be asked any more; raise the error if the user must fix
        it, or if too few are left."""
        if name in self._lost:
            return
        if error.type in _FOR_THE_USER or 2 * (len(self._lost) + 1) >= self._size:
            self._ending.end(error)
            raise error
        self._lost.add(name)
        self._log.notice(f"{name} is lost, the others grade without it: {error.message}")


class Juror:
    """A juror's completer: where nobody answers, a vote is missing and the run continues."""

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
            raise CompletionError(kind, *error.args) from None


class TryOnly:
    """The embedded model as a grader: its first verdict comes with a warning."""

    def __init__(self, grader: Completer, log: Log) -> None:
        self._grader = grader
        self._log: Log | None = log

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        if self._log:
            self._log.notice(
                "the local model grades: a model this small often gives no readable verdict, and "
                "cannot write a rubric; it is for trying things out: name a real grader with "
                f"{option('grader_model')}"
            )
            self._log = None
        return await self._grader(messages, draw, usable, wants)


class Routed:
    """A grader next to which classifiers answer for the items that name them."""

    def __init__(self, grader: Completer, classifiers: Mapping[str, Completer]) -> None:
        self._grader = grader
        self._classifiers = classifiers

    def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Coroutine[Any, Any, Completion]:
        # It only passes a call on, without one more coroutine around it.
        return self._answering(classifier_in(draw.role))(messages, draw, usable, wants)

    def _answering(self, name: str | None) -> Completer:
        if name is None:
            return self._grader
        if name not in self._classifiers:
            known = ", ".join(self._classifiers) or "none"
            raise RunError(
                f"a rubric item names the classifier {name!r}, and the settings have {known}",
                f"set it up in a section [classifier.{name}]",
                type="not_found",
            )
        return self._classifiers[name]
