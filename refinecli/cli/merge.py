"""`refinecli merge`."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from refinecli.cli.options import OutputOptions, takes
from refinecli.stats.wording import plural
from refinecli.text.clean import as_line

if TYPE_CHECKING:
    from refinecli.data.sinks import Sink
    from refinecli.runs.shards import Part


@takes(out=OutputOptions)
def merge(
    out: OutputOptions,
    parts: Annotated[
        list[str],
        typer.Argument(metavar="PART", help="What `--shard` runs wrote, in any order."),
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only errors.")] = False,
) -> int:
    """Put the parts of a file together that runs with --shard wrote.

    \b
    refinecli refine in.jsonl --shard 1/2 -o part1.jsonl
    refinecli refine in.jsonl --shard 2/2 -o part2.jsonl
    refinecli merge part1.jsonl part2.jsonl -o out.jsonl

    The lines are those that one run over the whole file would have written.
    """
    from refinecli.data.sinks import Sink
    from refinecli.data.sources import Source
    from refinecli.runs.shards import parts_in_order
    from refinecli.runs.signals import Interrupted, execute

    in_order = parts_in_order(parts)
    sources = [Source(part) for part in parts]
    sink = Sink(out.output, force=out.force, sources=sources)
    try:
        execute(_write(in_order, sink))
        sink.commit()
        if sink.is_remote:
            execute(sink.deliver())
    except Interrupted as interrupted:
        return interrupted.code
    finally:
        sink.discard()
    if not quiet:
        rows = sum(part.record.rows for part in in_order)
        line = f"merge: {plural(rows, 'line')} of {plural(len(in_order), 'part')} in {sink.name}"
        print(as_line(line), file=sys.stderr)
    return 0


async def _write(parts: list[Part], sink: Sink) -> None:
    from refinecli.data.sources import in_daemon_thread
    from refinecli.runs.shards import lines_of

    await sink.open()
    lines = lines_of(parts)
    # In a thread, so that signals get through.
    while batch := await in_daemon_thread(lambda: list(islice(lines, 256))):
        for line in batch:
            await sink.write(line)
    await sink.drain()
