"""Every error a user can see, and the exit code each one ends in.

    RefineError
    ├── UsageError          2   a flag, a config value, a file: nothing was sent
    ├── InputError          2   one line of the input (an `error` record where the run continues)
    ├── CompletionError     -   one call failed for good: an ungraded item, a failed datapoint
    │   └── UnsupportedError -  the endpoint does not take a request of this kind: ask another way
    ├── RunError            3   no call can succeed: key refused, model unknown, nobody answers
    ├── OutputError         3   a result could not be written
    ├── BudgetError         4   what the user allowed to be spent is used up
    └── WaveError           5   requests are written to files, and wait for their replies

The library raises them; only `cli` turns them into exit codes. A message mentions an option by
`option("max_calls", 5)`, never as a flag: from Python the option is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeAlias

# What a failure is counted under, in summaries and in the `error` of an output line.
FailureKind: TypeAlias = Literal[
    # of one call
    "bad_reply",
    "bad_request",
    "connection",
    "content_filter",
    "context_length",
    "loading",
    "no_answer",
    "no_response",
    "no_rubric",
    "no_score",
    "offline",
    "rate_limit",
    "refused",
    "server",
    "timeout",
    "tool_calls",
    "unreadable",
    "unsupported",
    # of every call
    "auth",
    "connect",
    "local",
    "model_not_found",
    "not_found",
    "provider",
    "quota",
    "redirect",
    "unreachable",
]

# Around a mention, characters that no message has: what others wrote is cleaned of them.
_OPEN, _CLOSE = "\x0e", "\x0f"
_MENTION = re.compile(f"{_OPEN}([^={_OPEN}]+)=([^{_CLOSE}]*){_CLOSE}")


def option(name: str, value: object = "") -> str:
    """Mention an option in a message or a hint: `cli` shows `--max-calls 5`, everyone else sees
    `max_calls=5`. A name with a dot is a setting, which the command line sets with `--set`."""
    return f"{_OPEN}{name}={value}{_CLOSE}"


def spelled(text: str, spell: Callable[[str, str], str] | None = None) -> str:
    """Return the text with every mention of an option spelled out: as `spell(name, value)` does,
    or as an argument in Python."""
    return _MENTION.sub(lambda found: (spell or _argument)(found[1], found[2]), text)


def _argument(name: str, value: str) -> str:
    return f"{name}={value}" if value else name


class RefineError(Exception):
    """A failure that the user sees: what went wrong and, in `hint`, what to do about it.

    In `args` both still have their mentions of options, for code that spells them or raises the
    error as another.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)

    @property
    def message(self) -> str:
        """The mistake, in the words of a Python caller."""
        return spelled(self.args[0])

    @property
    def hint(self) -> str:
        """The advice, in the words of a Python caller."""
        return spelled(self.args[1])

    def __str__(self) -> str:
        return self.message


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
    """One call failed for good. Summaries count it under its `type`, such as `timeout`."""

    exit_code = 3

    def __init__(self, type: FailureKind, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.type: FailureKind = type


class UnsupportedError(CompletionError):
    """The endpoint refuses what this request asks for besides a reply, such as JSON or the
    probabilities of tokens; there is another way to ask."""

    def __init__(self, message: str) -> None:
        super().__init__("unsupported", message)


class RunError(RefineError):
    """A failure that every further call would share, so the run ends at once."""

    exit_code = 3

    def __init__(self, message: str, hint: str = "", *, type: FailureKind = "provider") -> None:
        super().__init__(message, hint)
        self.type: FailureKind = type


class OutputError(RefineError):
    """A result could not be written: the disk is full, or the file has appeared since the start."""

    exit_code = 3


class BudgetError(RefineError):
    """The calls, tokens or money that the user allowed are used up."""

    exit_code = 4


class WaveError(RefineError):
    """Requests are written to files, and the run cannot continue before their replies are there."""

    exit_code = 5
