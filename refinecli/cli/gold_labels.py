"""Support `grade --gold-field`: check labels before anything is sent, and compare at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.cli.complaints import as_flags
from refinecli.errors import InputError, OutputError, UsageError
from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.agreement.calibration import Calibration
    from refinecli.agreement.judged import Judged
    from refinecli.data.rows import Row
    from refinecli.display.reporter import Reporter
    from refinecli.runs.run import Input
    from refinecli.stats.resampling import Figure
    from refinecli.types import Grade, JSONObject


@dataclass
class Labels:
    """The labels of one run and its grades.

    They are kept until the end, a few hundred bytes each, by file and line, since lines finish in
    any order.
    """

    path: str
    judged: dict[tuple[str, int], list[Judged]] = field(default_factory=dict)
    unusable: int = 0
    files: Sequence[str] = ()  # where there are several, in their order

    def __post_init__(self) -> None:
        if find_spec("scipy") is None:
            raise UsageError("--gold-field needs scipy", "run pip install 'refinecli[report]'")

    def check(self, rows: Input, keep_going: bool) -> None:
        """Read all labels of a file; report each that is invalid, and refuse a file without any."""
        from refinecli.agreement.labels import gold
        from refinecli.cli.complaints import complain

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
                    error.where = f"{row.file or rows.source.name}:{row.line}"
                    complain(error)
        if bad and not keep_going:
            raise UsageError(
                f"labels that cannot be used in {plural(bad, 'line')}; nothing was sent",
                "fix them, or add --keep-going to count them as unlabelled",
            )
        if datapoints and not found:
            raise UsageError(
                f"--gold-field {self.path}: no datapoint has such a field",
                "name one such as `gold`, or `rubric_items.gold` for a label of each item",
            )

    def add(self, row: Row, grades: Sequence[Grade]) -> None:
        from refinecli.agreement.labels import judged

        assert row.datapoint is not None
        try:
            found = judged(row.raw, self.path, row.datapoint, grades)
        except InputError:
            self.unusable += 1
            return
        if row.file:
            found = [replace(one, file=row.file) for one in found]
        self.judged[row.file, row.line] = found

    def figures(self) -> JSONObject:
        """Return all figures, the same whatever the order in which lines finished."""
        from refinecli.agreement.figures import agreement

        return agreement(self._in_order(), as_flags)

    def _in_order(self) -> list[Judged]:
        place = {name: number for number, name in enumerate(self.files)}
        lines = sorted(self.judged, key=lambda key: (place.get(key[0], 0), key[1]))
        return [one for line in lines for one in self.judged[line]]

    def calibrate(self, path: Path, before: float, reporter: Reporter) -> bool:
        """Write the threshold that fits the labels as a config file, if it is worth having; return
        True if it is not."""
        from refinecli.agreement.calibration import calibrate

        judged = self._in_order()
        found = calibrate(judged, before)
        if all(one.likely is None for one in judged):
            why = "no verdict came by probabilities"
        elif found is None:
            why = "the verdicts by probabilities have no labels of both kinds"
        elif found.chance != "better than chance":
            said = found.chance or "too few to say whether they are better than chance"
            why = (
                f"the probabilities are {said}: AUC {_worded(found.auc)} over {found.n}; more "
                "labels would show more"
            )
        else:
            for line in _calibrated(found):
                reporter.notice(line)
            _write(path, found)
            reporter.notice(f"{path} is written; use it with --config {path}")
            return False
        reporter.notice(f"--calibrate: {path} is not written: {why}")
        return True

    def words(self, figures: JSONObject) -> Iterator[str]:
        """Yield what to say about the figures."""
        from refinecli.agreement.table import lines

        if self.unusable:
            yield f"labels that cannot be used, ignored: {self.unusable:,}"
        yield from lines(figures)


def _worded(figure: Figure) -> str:
    from refinecli.agreement.conclusions import shown

    return shown(figure.record())


def _calibrated(found: Calibration) -> list[str]:
    """Put the worth of a calibration into words."""
    return [
        f"a pass needs {found.threshold!r} of the probability, by "
        f"{plural(found.n, 'labelled grade')} of {plural(found.clusters, 'datapoint')}",
        f"balanced accuracy {_worded(found.held_out)} by cross-validation, "
        f"{_worded(found.fitted)} on the labels that it was chosen on, "
        f"{_worded(found.before)} with the threshold so far",
    ]


def _write(path: Path, found: Calibration) -> None:
    lines = [
        "# Written by refinecli grade --calibrate; for the grader and the examples it ran with.",
        *(f"# {line}" for line in _calibrated(found)),
        "[grade]",
        'mode = "logprobs"',
        f"pass_probability = {found.threshold!r}",
    ]
    try:
        path.write_text("\n".join(lines) + "\n", "utf-8")
    except OSError as error:
        raise OutputError(f"--calibrate {path}: {error.strerror}") from None
