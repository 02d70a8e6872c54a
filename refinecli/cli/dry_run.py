"""Do a `--dry-run`: show what would be sent first, and the most calls besides cached ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import TYPE_CHECKING

from refinecli.data.rows import Row
from refinecli.errors import UsageError
from refinecli.grading.estimate import CHARACTERS_PER_TOKEN, Estimate, Sent
from refinecli.prompts import message_text
from refinecli.stats.wording import plural
from refinecli.text.clean import as_line, as_lines
from refinecli.types import Message

if TYPE_CHECKING:
    from refinecli.cli.waves_ahead import WavesAhead
    from refinecli.data.output_lines import Outcome
    from refinecli.models.engine import Engine
    from refinecli.runs.plan import Plan
    from refinecli.runs.run import Work


# The number of a row's calls that the cache answers, and whether those are all.
Cached = Callable[[Row], tuple[int, bool]]


def describe(
    rows: Iterable[Row], name: str, plan: Plan, cached: Cached, waves: WavesAhead | None = None
) -> int:
    """Print what would be sent on standard error, once all rows of the input of that name have been
    read; return the exit code."""
    datapoints = calls = replayed = characters = bad = 0
    first: list[tuple[str, list[Message]]] = []
    grading = Estimate()
    notes: dict[str, str] = {}
    for row in rows:
        for note in row.notes:
            notes.setdefault(note, f"{row.file or name}:{row.line}: {note}")
        if row.datapoint is None:
            bad += 1
            continue
        datapoints += 1
        hits, all_hit = cached(row)
        replayed += hits
        if all_hit:
            continue
        calls += (most := plan.calls(row.datapoint) - hits)
        prompts = plan.prompts(row.datapoint)
        characters += sum([len(message_text(m)) for _, messages in prompts for m in messages])
        grading += (estimate := plan.grading(row.datapoint, prompts))
        if waves:
            waves.add(row.datapoint, plan, most, prompts, estimate)
        first = first or prompts
    for line in (*plan.warnings, *notes.values()):
        print(as_line(line), file=sys.stderr)
    for messages, roles in _by_prompt(first):
        print_prompt(" and the ".join(roles), messages)
    closing = [_graded(grading)] if grading.sent.calls else []
    for line in (*closing, *(waves.lines() if waves else ())):
        print(as_line(line), file=sys.stderr)
    tokens = characters // CHARACTERS_PER_TOKEN
    unreadable = f" ({plural(bad, 'line')} cannot be used)" if bad else ""
    cached_ones = f" ({replayed:,} more are cached)" if replayed else ""
    print(
        f"dry run: {plural(datapoints, 'datapoint')}{unreadable}, at most "
        f"{plural(calls, 'call')}{cached_ones}, not counting retries; about {tokens:,} prompt "
        f"tokens for the first round (characters ÷ {CHARACTERS_PER_TOKEN}, replies not counted). "
        "Nothing was sent.",
        file=sys.stderr,
    )
    return 0


def _graded(grading: Estimate) -> str:
    """Say what it takes to grade a response of each datapoint, and what fewer calls would."""
    now, together = grading.sent, grading.together
    calls = plural(now.calls, "call")
    words = f"grading a response of each: about {_tokens(now)} prompt tokens in {calls}"
    if together.calls == now.calls or together.characters >= now.characters:
        return words
    saved = 1 - together.characters / now.characters
    return (
        f"{words}; with grade.batch_items={grading.most} about {_tokens(together)} in "
        f"{together.calls:,}, {saved:.0%} less (`refinecli help grading` says what it may cost)"
    )


def _tokens(sent: Sent) -> str:
    return f"{sent.characters // CHARACTERS_PER_TOKEN:,}"


@contextmanager
def replayed(
    opened: Callable[[], AbstractAsyncContextManager[Engine]],
    begin: Callable[[Engine], Work],
) -> Iterator[Cached]:
    """Find out what the cache answers, by running each row on its replies alone, as far as they go.
    `opened` gives an engine that sends nothing, `begin` the work on a row."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()

        async def start() -> Cached:
            try:
                engine = await stack.enter_async_context(opened())
            except UsageError:  # the cache does not know which model an endpoint serves
                return nothing_cached
            work, traffic = begin(engine), engine.limits.traffic

            def cached(row: Row) -> tuple[int, bool]:
                before, missing = traffic.replayed, traffic.missing
                runner.run(_finished(work(row)))
                return traffic.replayed - before, traffic.missing == missing

            return cached

        try:
            yield runner.run(start())
        finally:
            runner.run(stack.aclose())


def nothing_cached(row: Row) -> tuple[int, bool]:
    return 0, False


async def _finished(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome


def _by_prompt(
    prompts: Iterable[tuple[str, list[Message]]],
) -> list[tuple[list[Message], list[str]]]:
    """Return each prompt once, with the roles that it goes to: jurors mostly get the same one."""
    found: list[tuple[list[Message], list[str]]] = []
    for role, messages in prompts:
        same = next((roles for other, roles in found if other == messages), None)
        if same is None:
            found.append((messages, [role]))
        else:
            same.append(role)
    return found


def print_prompt(role: str, messages: list[Message]) -> None:
    for message in messages:
        print(f"== to the {role}: {message['role']} ==", file=sys.stderr)
        print(as_lines(message_text(message)), file=sys.stderr)
    print(file=sys.stderr)
