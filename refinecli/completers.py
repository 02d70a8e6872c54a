"""Ask models: name each call's draw, derive its seed, make calls concurrently, and retry once for a
reply that can be read."""

from __future__ import annotations

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
    """Return the draw that a role's call for this datapoint in this iteration is."""
    id, times, convo_times = datapoint.id, datapoint.occurrence, datapoint.convo_occurrence
    return Draw(id, times, role, iteration, sample, convo_times)


def wire_seed(seed: int, draw: Draw) -> int:
    """Derive 31 bits from the run's seed and the draw, the same on every machine."""
    parts = [seed, draw.datapoint_id, draw.occurrence, draw.role, draw.iteration, draw.sample]
    data = json.dumps(parts).encode()
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "big") >> 1


async def gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all, like `asyncio.gather`, but cancel and await the rest before raising the first
    error; after a used-up budget, only await them."""
    coroutines = list(coroutines)
    if len(coroutines) == 1:  # the usual case, and a task takes a twentieth of a call's CPU
        return [await coroutines[0]]
    import asyncio  # by which time it is loaded; a command that asks nobody does without

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
    """Return what `read` finds in a reply, and the usage of the calls. Where `read` raises
    ValueError, ask once more with the problem filled into `again`, then raise CompletionError."""

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
        answer = split_reasoning(completion.text)[1] or "(no answer)"
        request = fill(again, problem=str(error))
    more: list[Message] = [
        *messages,
        {"role": "assistant", "content": answer},
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
