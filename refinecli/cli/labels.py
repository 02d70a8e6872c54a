"""`grade --gold-field`: labels are checked before anything is sent, and compared at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from refinecli.errors import InputError, UsageError

if TYPE_CHECKING:
    from refinecli.agreement.records import Judged
    from refinecli.jsonl import Row
    from refinecli.progress import Reporter
    from refinecli.run import Input
    from refinecli.types import Grade, JSONObject


@dataclass
class Labels:
    """The labels of one run beside its grades. They are kept until the end, a few hundred bytes for
    each, under the number of their line: lines are finished in any order."""

    path: str
    judged: dict[int, list[Judged]] = field(default_factory=dict)
    unusable: int = 0

    def __post_init__(self) -> None:
        if find_spec("scipy") is None:
            raise UsageError("--gold-field needs scipy", "pip install 'refinecli[report]'")

    def check(self, rows: Input, keep_going: bool) -> None:
        """Read all labels of a file; each that is none is told, and that there are none at all."""
        from refinecli.agreement.gold import gold
        from refinecli.cli.options import complain

        bad = found = datapoints = 0
        for row in rows.all_rows():
            if row.datapoint is None:
                continue
            datapoints += 1
            try:
                found += any(gold(row.raw, self.path, row.datapoint))
            except InputError as error:
                bad += 1
                if not keep_going:
                    error.where = f"{rows.source.name}:{row.line}"
                    complain(error)
        if bad and not keep_going:
            raise UsageError(
                f"{bad} lines have labels that cannot be used; nothing was sent",
                "mend them, or add --keep-going: they count as unlabelled",
            )
        if datapoints and not found:
            raise UsageError(
                f"--gold-field {self.path}: no datapoint has such a field",
                "such as `gold`, or `rubric_items.gold` for a label of each item",
            )

    def add(self, row: Row, grades: Sequence[Grade]) -> None:
        from refinecli.agreement.gold import judged

        assert row.datapoint is not None
        try:
            self.judged[row.line] = judged(row.raw, self.path, row.datapoint, grades)
        except InputError:
            self.unusable += 1

    def figures(self) -> JSONObject:
        """All figures, the same in whatever order the lines were finished."""
        from refinecli.agreement.build import agreement

        return agreement([one for line in sorted(self.judged) for one in self.judged[line]])

    def tell(self, figures: JSONObject, reporter: Reporter) -> None:
        from refinecli.agreement.text import lines

        if self.unusable:
            reporter.notice(f"labels that cannot be used, taken for none: {self.unusable:,}")
        for line in lines(figures):
            reporter.notice(line)
