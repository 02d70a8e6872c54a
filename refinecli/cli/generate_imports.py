"""Import the rows of another project's file, one by one, and count those that cannot be used."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from refinecli.cli.bad_lines import BadLines
from refinecli.errors import InputError, UsageError
from refinecli.generators import Task
from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.generators.reading import Entry
    from refinecli.settings.sections import RunOptions
    from refinecli.types import JSONObject


@dataclass
class Import:
    """The rows of a file as a task's datapoints, with `--keep-going` an `error` record for each
    that cannot be used. Without it they are listed, and no datapoint follows the first of them."""

    task: Task
    entries: Iterable[Entry]
    run: RunOptions
    keep_going: bool
    with_response: bool
    rows: int = 0
    bad: int = 0
    listed: BadLines = field(default_factory=BadLines)

    def datapoints(self, most: int | None) -> Iterator[JSONObject]:
        for entry in islice(self.entries, most):
            self.rows += 1
            try:
                made = list(self.task.read([(entry.where, entry.object())], self.with_response))
            except InputError as error:
                self.bad += 1
                if self.keep_going:
                    yield entry.unreadable(error)
                else:
                    self.listed(error)
                continue
            if self.keep_going or not self.bad:
                yield from made

    def check(self) -> None:
        """Raise UsageError where rows were listed, before any file appears."""
        if self.bad and not self.keep_going:
            self.listed.say_rest()
            raise UsageError(
                f"{self.bad} of {plural(self.rows, 'line')} cannot be used",
                "fix them, or add --keep-going to turn each into an `error` record",
            )

    def code(self) -> int:
        """Return the exit code, and say so where more rows could not be used than may be."""
        allowed = self.run.errors_allowed(self.rows)
        if self.bad <= allowed:
            return 0
        print(
            f"error: {self.bad} of {plural(self.rows, 'line')} cannot be used, and became `error` "
            f"records; --max-errors allows {allowed:g}",
            file=sys.stderr,
        )
        return 3
