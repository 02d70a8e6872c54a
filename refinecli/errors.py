"""Every error a user can see, and the exit code each one ends in.

    RefineError
    ├── UsageError          2   a flag, a config value, a file: nothing was sent
    ├── InputError          2   one line of the input (an `error` record where the run goes on)
    ├── CompletionError     -   one call failed for good: an ungraded item, a failed datapoint
    │   └── UnsupportedError -  the endpoint does not take a request of this kind: ask otherwise
    ├── RunError            3   no call can succeed: key refused, model unknown, nobody answers
    ├── OutputError         3   a result could not be written
    └── BudgetError         4   what the user allowed to be spent is used up

The core raises them, `cli` turns them into exit codes, nobody else looks.
"""

from __future__ import annotations


class RefineError(Exception):
    """What went wrong, and in `hint` what the user can do about it."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(RefineError):
    """The command, its config or its files are wrong; nothing was sent."""

    exit_code = 2


class InputError(RefineError):
    """One line of the input cannot be used; `where` is `path:line`."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "", *, where: str = "", line: int = 0) -> None:
        super().__init__(message, hint)
        self.where = where
        self.line = line


class CompletionError(RefineError):
    """One call failed for good. `type` is what summaries count it under, such as `timeout`."""

    exit_code = 3

    def __init__(self, type: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.type = type


class UnsupportedError(CompletionError):
    """The endpoint does not take what this request asks for beyond a reply, such as a JSON reply or
    the probabilities of its tokens; there is another way to ask."""

    def __init__(self, message: str) -> None:
        super().__init__("unsupported", message)


class RunError(RefineError):
    """A failure that every further call would share, so the run ends at once."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "", *, type: str = "provider") -> None:
        super().__init__(message, hint)
        self.type = type


class OutputError(RefineError):
    """A result could not be written: the disk is full, the file has appeared meanwhile."""

    exit_code = 3


class BudgetError(RefineError):
    """The calls, tokens or money that the user allowed are used up."""

    exit_code = 4
