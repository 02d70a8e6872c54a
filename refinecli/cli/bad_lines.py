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

_LISTED = 20  # bad lines; a file of the wrong kind has no others


class BadLines:
    """Complains about lines that cannot be used: the first of them, and how many more there are."""

    def __init__(self) -> None:
        self._count = 0

    def __call__(self, error: InputError) -> None:
        """Take one more."""
        self._count += 1
        if self._count <= _LISTED:
            complain(error)

    def say_rest(self) -> None:
        """Say how many were not shown, if any were not."""
        if self._count > _LISTED:
            print(f"error: and {plural(self._count - _LISTED, 'more line')}", file=sys.stderr)


def check_lines(rows: Input, keep_going: bool) -> Count:
    """Count the rows; list every line that cannot be used and raise UsageError if none may be."""
    from refinecli.runs.run import Count

    count = Count()
    for _ in counted(rows, count, keep_going):
        pass
    return count


def counted(rows: Input, count: Count, keep_going: bool) -> Iterator[Row]:
    """Yield the rows, counted; after the last one do as `check_lines` does."""
    listed = BadLines()
    yield from count.of(rows.all_rows(), (lambda error: None) if keep_going else listed)
    listed.say_rest()
    if count.bad and not keep_going:
        raise UsageError(
            f"{count.bad} of {plural(count.rows, 'line')} cannot be used; nothing was sent",
            "fix them, or add --keep-going to turn each into an `error` record",
        )
