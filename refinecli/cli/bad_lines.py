"""Check the rows of a command before anything is sent, and list the lines that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from refinecli.cli.complaints import complain
from refinecli.errors import InputError, UsageError
from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.data.rows import Row
    from refinecli.runs.run import Count, Input

LISTED = 20  # bad lines; a file of the wrong kind has no others


def check_lines(rows: Input, keep_going: bool) -> Count:
    """Count the rows; list every line that cannot be used and raise UsageError if none may be."""
    from refinecli.runs.run import Count

    count = Count()
    for _ in counted(rows, count, keep_going):
        pass
    return count


def counted(rows: Input, count: Count, keep_going: bool) -> Iterator[Row]:
    """Yield the rows, counted; after the last one do as `check_lines` does."""
    shown = 0

    def show(error: InputError) -> None:
        nonlocal shown
        shown += 1
        if shown <= LISTED:
            complain(error)

    yield from count.of(rows.all_rows(), (lambda error: None) if keep_going else show)
    if count.bad > LISTED and not keep_going:
        print(f"error: and {plural(count.bad - LISTED, 'more line')}", file=sys.stderr)
    if count.bad and not keep_going:
        raise UsageError(
            f"{count.bad} of {plural(count.rows, 'line')} cannot be used; nothing was sent",
            "fix them, or add --keep-going to turn each into an `error` record",
        )
