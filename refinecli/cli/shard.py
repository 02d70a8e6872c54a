"""Find the part of an input that `--shard` names."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.cli.options import OutputOptions
    from refinecli.runs.run import Input
    from refinecli.runs.shards import PartOf, Shard


def shard_named(text: str | None) -> Shard | None:
    """Return the part that `--shard` names, if it is given; raises UsageError where it is none."""
    if text is None:
        return None
    from refinecli.runs.shards import shard_of

    return shard_of(text)


def part_of(shard: Shard, rows: Input, out: OutputOptions) -> tuple[Input, PartOf]:
    """Return the rows of the part, and what is known of it before it is worked on.

    Raises UsageError unless both the input and the output are regular files.
    """
    from refinecli.data.targets import target_of
    from refinecli.runs.shards import PartOf

    if rows.more or not rows.rereadable:
        raise UsageError(
            f"--shard {shard} needs one regular file to divide",
            "name one INPUT that every part can read",
        )
    target = target_of(out.output)
    if target is None:
        raise UsageError(f"--shard {shard} needs a file for its part", "name it: -o FILE")
    total = sum(1 for _ in islice(rows.source.read(), rows.limit))
    places = shard.rows(total)
    part = PartOf(shard, len(places), rows.limit, rows.source.digest())
    return rows._replace(skip=places.start, limit=places.stop), part
