"""Follow a run of `grade`: gates, labels, JUnit and GitHub."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from refinecli.cli.closing import say_where
from refinecli.cli.grade_gates import verdict_on
from refinecli.text.clean import as_line
from refinecli.text.urls import clean_of_credentials

if TYPE_CHECKING:
    from refinecli.ci.junit import Case, Ending
    from refinecli.cli.gold_labels import Labels
    from refinecli.data.output_lines import Outcome
    from refinecli.display.reporter import Reporter
    from refinecli.runs.gates import Gate, Verdict
    from refinecli.runs.lifecycle import Ended
    from refinecli.runs.summary import Summary


class _Listener(Protocol):
    """Whoever follows the datapoints and the end: a JUnit file, GitHub."""

    def add(self, case: Case) -> None: ...
    def finish(self, ending: Ending) -> None: ...
    def discard(self) -> None: ...


@dataclass(eq=False)
class Watch:
    """The gates of one run, and those who follow how it goes."""

    gates: Sequence[Gate]
    listeners: Sequence[_Listener]
    labels: Labels | None = None
    calibrate: tuple[Path, float] | None = None  # where to, and what a pass needs now
    verdicts: list[Verdict] = field(default_factory=list)

    def written(self, outcome: Outcome) -> None:
        if not self.listeners:
            return
        from refinecli.ci.junit import case_of

        case = case_of(outcome)
        for listener in self.listeners:
            listener.add(case)

    def complete(self, summary: Summary) -> None:
        if self.labels:
            summary.agreement = self.labels.figures()

    def close(self, ended: Ended, reporter: Reporter) -> bool:
        """Say how good the grades are; return whether a gate is missed."""
        if ended.job.sink is None:  # a terminal, which gets this in place of lines
            print("\n".join(map(as_line, self._words(ended))))
        else:
            words = islice(self._words(ended), 1 if reporter.is_brief else None)
            for line in words:
                reporter.notice(line)
            if not reporter.is_brief:
                say_where(ended, reporter)
        useless = self._calibrated(ended, reporter)
        figures = ended.summary.figures(ended.traffic)
        self.verdicts = [verdict_on(gate, figures) for gate in self.gates]
        missed = [verdict for verdict in self.verdicts if not verdict.met]
        for verdict in missed:
            said = f"error: {verdict.gate.text} is missed: {verdict.reason}"
            print(as_line(said), file=sys.stderr)
        return bool(missed) or useless

    def _words(self, ended: Ended) -> Iterator[str]:
        from refinecli.display.closing import failures
        from refinecli.models.traffic import traffic_words

        summary = ended.summary
        score, passed = summary.score.value, summary.passed.value
        yield f"grade: {summary.counts}; {traffic_words(ended.traffic, summary.seconds)}"
        if score is not None and passed is not None:
            over = f", over the {summary.score.count:,} not gated" if summary.gated else ""
            yield f"score: {score:.3f} of 1{over}; {passed:.1%} passed"
        elif passed is not None:
            yield f"score: none, since all were gated; {passed:.1%} passed"
        yield from summary.notices
        if self.labels and summary.agreement is not None:
            yield from self.labels.words(summary.agreement)
        elif failed := failures(summary.highlights):
            yield failed

    def _calibrated(self, ended: Ended, reporter: Reporter) -> bool:
        """Write the threshold that fits the labels, if asked to; return whether there is none."""
        if not (self.labels and self.calibrate):
            return False
        if ended.too_many_errors:  # the same command continues, and may still write it
            reporter.notice(f"--calibrate: {self.calibrate[0]} is not written: too much failed")
            return False
        return self.labels.calibrate(*self.calibrate, reporter)

    def end(self, code: int, early: str, ended: Ended) -> None:
        """Report whatever a run ends in, but not what its reader did not wait for, nor one that
        was refused: nothing was sent."""
        if early and not code and self.gates:
            flags = ", ".join(gate.text for gate in self.gates)
            print(as_line(f"{flags}: not judged: {early}"), file=sys.stderr)
        if not self.listeners:
            return
        from refinecli.ci.junit import Ending, GateCase

        gates = [GateCase(verdict.gate.text, verdict.reason) for verdict in self.verdicts]
        for listener in self.listeners:
            if early and code in (0, 2):
                listener.discard()
            else:
                listener.finish(Ending(ended.summary, ended.traffic, gates, early))


def listeners_of(inputs: Sequence[str], junit: Path | None, *, quiet: bool) -> list[_Listener]:
    listeners: list[_Listener] = []
    name = ", ".join(clean_of_credentials(name) for name in inputs if name != "-") or None
    if os.environ.get("GITHUB_ACTIONS") == "true":
        from refinecli.ci.github import GitHub

        listeners.append(GitHub.here(os.environ, "grade", name, quiet=quiet))
    if junit is not None:
        from refinecli.ci.junit import JUnitFile

        listeners.append(JUnitFile(junit, "refinecli grade", name))
    return listeners
