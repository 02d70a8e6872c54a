"""What all that ask models share: which draw a call is, its seed, calls side by side, and a reply
that must hold something: asked for, read, and asked for once more where it could not be read."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

from refinecli.errors import BudgetError, CompletionError
from refinecli.prompts.templates import fill
from refinecli.text.reasoning import split_reasoning
from refinecli.types import Completer, Completion, Datapoint, Draw, Message, Usage

T = TypeVar("T")


def draw_of(datapoint: Datapoint, role: str, iteration: int, sample: int = 0) -> Draw:
    """Which draw of this datapoint a role's call in an iteration is."""
    id, times, convo_times = datapoint.id, datapoint.occurrence, datapoint.convo_occurrence
    return Draw(id, times, role, iteration, sample, convo_times)


def wire_seed(seed: int, draw: Draw) -> int:
    """31 bits from the run's seed and the draw, the same on every machine."""
    parts = [seed, draw.datapoint_id, draw.occurrence, draw.role, draw.iteration, draw.sample]
    data = json.dumps(parts).encode()
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "big") >> 1


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """`asyncio.gather`, but the first error cancels and awaits the rest before it comes out;
    a used-up budget only awaits them."""
    coroutines = list(coroutines)
    if len(coroutines) == 1:  # the usual case, and a task takes a twentieth of a call's CPU
        return [await coroutines[0]]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    except BudgetError:  # what is in flight is paid for
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


async def ask_readable(
    completer: Completer,
    messages: list[Message],
    draw: Draw,
    read: Callable[[Completion], T],
    again: str,
) -> tuple[T, Usage]:
    """What `read` finds in a reply, and what the calls took. It raises ValueError where it finds
    nothing: then one more try, with the problem filled in `again`; then CompletionError."""

    def readable(completion: Completion) -> bool:
        try:
            _read_whole(completion, read)
        except ValueError:
            return False
        return True

    completion = await completer(messages, draw, readable)
    usage = completion.usage
    try:
        return _read_whole(completion, read), usage
    except ValueError as error:
        said = split_reasoning(completion.text)[1] or "(no answer)"
        request = fill(again, problem=str(error))
    more: list[Message] = [
        *messages,
        {"role": "assistant", "content": said},
        {"role": "user", "content": request},
    ]
    completion = await completer(more, draw, readable)
    try:
        return _read_whole(completion, read), usage + completion.usage
    except ValueError as error:
        raise CompletionError("unreadable", f"the {draw.role}'s reply: {error}") from None


def _read_whole(completion: Completion, read: Callable[[Completion], T]) -> T:
    if completion.cut_off:
        raise ValueError("the reply was cut off at the length limit")
    return read(completion)
