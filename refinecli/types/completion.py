"""Define requests to models and their replies."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

from refinecli.types.datapoint import JSONObject, Message

# The way in which votes on one item become one grade.
Combine: TypeAlias = Literal["median", "majority"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Calls and tokens; cached ones are part of the prompt's, reasoning ones of the reply's."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    cached_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        if not (
            self.calls
            or self.prompt_tokens
            or self.completion_tokens
            or self.reasoning_tokens
            or self.cached_tokens
        ):  # as at the start of each sum, several times a row, and a new one takes a microsecond
            return other
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            self.cached_tokens + other.cached_tokens,
        )

    def __sub__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls - other.calls,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            self.reasoning_tokens - other.reasoning_tokens,
            self.cached_tokens - other.cached_tokens,
        )


@dataclass(frozen=True, slots=True)
class Completion:
    """A raw reply: its text, what the endpoint kept apart as reasoning, and how it ended.

    `first_tokens` are the tokens that could have come first, each with the natural logarithm of its
    probability; None where they were not asked for, or not given.
    """

    text: str
    finish_reason: str | None = None
    reasoning: str = ""
    usage: Usage = Usage(calls=1)
    first_tokens: tuple[tuple[str, float], ...] | None = None

    @property
    def cut_off(self) -> bool:
        """True where the reply ended because it reached a length limit."""
        return self.finish_reason == "length"


class Draw(NamedTuple):
    """The identity of a call: everything that its seed may be derived from.

    Equal requests of rows with equal conversations differ in `convo_occurrence`, those of one row
    in `iteration` or `sample`.
    """

    datapoint_id: str | int
    occurrence: int
    role: str
    iteration: int
    sample: int = 0
    convo_occurrence: int = 0


# What takes long may be awaited.
Usable: TypeAlias = Callable[[Completion], bool | Awaitable[bool]]


class JSONReply(NamedTuple):
    """Ask for a reply that is one JSON object: one of this `schema`, or any."""

    schema: JSONObject | None = None
    name: str = "verdict"  # of the schema, which some endpoints insist on


class FirstTokens(NamedTuple):
    """Ask for the likeliest `alternatives` to each token of a reply of at most `max_tokens`."""

    alternatives: int
    max_tokens: int


# Requests may want these besides a text. Not every endpoint gives each of them.
Wants: TypeAlias = JSONReply | FirstTokens


class Completer(Protocol):
    """One role's model: messages in, one reply out; CompletionError where none can be had.

    A new reply that is not `usable` to the caller is returned all the same, but not kept for anyone
    else; by default a reply is usable unless it was cut off. UnsupportedError where the endpoint is
    known not to give what the request `wants`.
    """

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion: ...
