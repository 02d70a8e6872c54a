"""Report to GitHub Actions: annotations at the datapoints' lines, and a summary on the run's page.

The runner looks for workflow commands in both streams of a step; since standard output carries
data, they are written to standard error. It shows ten errors and ten warnings of a step.
"""

from __future__ import annotations

import heapq
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Literal

from refinecli.ci.junit import Case, Ending, GateCase
from refinecli.models.traffic import Traffic, traffic_words
from refinecli.runs.summary import Summary
from refinecli.text.clean import as_line, clean, one_line

_SHOWN = 10  # annotations of a kind shown per step; more would only fill the log
_LONGEST = 1000  # characters of an annotation
_CELL = 160  # characters in a cell of a table


@dataclass(slots=True)
class GitHub:
    """The report on one run; it remembers the few datapoints that can be shown."""

    command: str
    source: str | None = None
    summary_file: Path | None = None
    workspace: Path | None = None
    quiet: bool = False
    _errors: list[Case] = field(init=False, default_factory=list)
    _worst: list[tuple[float, int, Case]] = field(init=False, default_factory=list)  # a heap
    _added: int = field(init=False, default=0)

    @classmethod
    def here(
        cls, environment: Mapping[str, str], command: str, source: str | None, *, quiet: bool
    ) -> GitHub:
        """Report on the step that has this environment."""
        page, workspace = (
            Path(value) if (value := environment.get(name)) else None
            for name in ("GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE")
        )
        return cls(command, source, page, workspace, quiet)

    def add(self, case: Case) -> None:
        """Look at one datapoint."""
        self._added += 1
        if case.verdict == "error" and len(self._errors) < _SHOWN:
            self._errors.append(case)
        elif case.verdict == "failure":
            # Keep the worst, and of equals the first: the heap's head is the best of them. One that
            # was gated failed what it must not.
            badness = inf if case.score is None else -case.score
            heapq.heappush(self._worst, (badness, -self._added, case))
            if len(self._worst) > _SHOWN:
                heapq.heappop(self._worst)

    def finish(self, ending: Ending) -> None:
        """Write everything: what fails the step first, then the datapoints, the worst first."""
        sys.stderr.write("".join(f"{line}\n" for line in self._annotations(ending)))
        sys.stderr.flush()
        if self.summary_file is None:
            return
        _append(self.summary_file, self._page(ending))

    def discard(self) -> None:
        """Write nothing."""

    # -------------------------------------------------------------- annotations

    def _annotations(self, ending: Ending) -> Iterator[str]:
        title = f"refinecli {self.command}"
        texts = [f"{gate.name} is missed: {gate.missed}" for gate in ending.gates if gate.missed]
        texts += [ending.trouble] if ending.trouble else []
        errors = [_command("error", text, title=title) for text in texts]
        errors += [self._annotation("error", case) for case in self._errors]
        yield from errors[:_SHOWN]
        if not self.quiet:
            yield from (self._annotation("warning", case) for case in self._ranked)

    @property
    def _ranked(self) -> list[Case]:
        return [case for *_, case in sorted(self._worst, key=lambda entry: entry[:2], reverse=True)]

    def _annotation(self, kind: Literal["error", "warning"], case: Case) -> str:
        text = case.message if case.verdict == "error" else f"{case.message}\n{case.details}"
        source = case.file or self.source
        if not source:
            return _command(kind, text, title=case.name)
        place = {"file": self._place(source), "line": str(case.line)}
        return _command(kind, text, **place, title=case.name)

    def _place(self, source: str) -> str:
        """Return the file's path in the repository, wherever the step runs."""
        file = Path(source).resolve()
        if self.workspace and file.is_relative_to(self.workspace.resolve()):
            return file.relative_to(self.workspace.resolve()).as_posix()
        return source

    # -------------------------------------------------------------- the summary

    def _page(self, ending: Ending) -> Iterator[str]:
        where = f": {_inert(self.source)}" if self.source else ""
        yield f"### refinecli {self.command}{where}\n"
        if ending.trouble:
            yield f"**It ended early:** {_inert(ending.trouble)}\n"
        yield from _table(("figure", "value"), _figures(ending.summary, ending.traffic))
        yield from _gates(ending.gates)
        cases = [*self._errors, *self._ranked][:_SHOWN]
        if cases:
            worst = [
                (
                    c.name,
                    _line(c),
                    "" if c.score is None else f"{c.score:.4g}",
                    _why(c),
                )
                for c in cases
            ]
            yield from _table(("worst", "line", "score", "why"), worst)


def report_gates(
    environment: Mapping[str, str], command: str, source: str, gates: Sequence[GateCase]
) -> None:
    """Report the gates of a command that reads results: those missed, and all on the run's page."""
    title = f"refinecli {command}"
    missed = [gate for gate in gates if gate.missed]
    for gate in missed[:_SHOWN]:
        print(
            _command("error", f"{gate.name} is missed: {gate.missed}", title=title),
            file=sys.stderr,
        )
    if gates and (page := environment.get("GITHUB_STEP_SUMMARY")):
        _append(Path(page), [f"### {title}: {_inert(source)}\n", *_gates(gates)])


def _append(page: Path, lines: Iterable[str]) -> None:
    try:
        with page.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
    except OSError as error:  # the results exist and matter more
        print(as_line(f"GITHUB_STEP_SUMMARY {page}: {error.strerror}"), file=sys.stderr)


def _gates(gates: Sequence[GateCase]) -> Iterator[str]:
    if gates:
        rows = [(g.name, f"missed: {g.missed}" if g.missed else "met") for g in gates]
        yield from _table(("gate", ""), rows)


def _line(case: Case) -> str:
    return f"{case.file}:{case.line}" if case.file else str(case.line)


def _figures(summary: Summary, traffic: Traffic) -> Iterator[tuple[str, str]]:
    yield "datapoints", summary.counts
    if summary.score.value is not None:
        yield "score", f"{summary.score.value:.3f} of 1"
    if summary.passed.value is not None:
        yield "passed", f"{summary.passed.value:.1%}"
    if summary.errors:
        kinds = summary.errors.most_common(_SHOWN)
        yield "errors", ", ".join(f"{kind} {count}" for kind, count in kinds)
    yield "took", traffic_words(traffic, summary.seconds)


def _why(case: Case) -> str:
    if case.verdict == "error":
        return case.message
    return case.details or case.message


def _command(name: str, text: str, **properties: str) -> str:
    """Build a workflow command, in which nothing can end the line, a property or the command."""
    data = _escaped(clean(text)[:_LONGEST])
    named = (
        f"{key}={_escaped(clean(value)).replace(':', '%3A').replace(',', '%2C')}"
        for key, value in properties.items()
    )
    return f"::{name} {','.join(named)}::{data}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(_inert(one_line(cell, _CELL)) for cell in row)} |"
    yield ""


def _inert(text: str) -> str:
    """Escape a text, whatever Markdown or HTML it has: no link, image or heading."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", one_line(text))
