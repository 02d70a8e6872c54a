"""Write JUnit XML, which every CI can show: one testcase a datapoint and one a gate.

    file = JUnitFile(Path("junit.xml"), "refinecli grade", "in.jsonl")
    file.add(case_of(outcome))      # for each datapoint; nothing is kept in memory
    file.finish(Ending(summary, traffic, [GateCase("--fail-under 0.9", "score is 0.8")]))

Readers have expectations: Jenkins and GitLab show one <failure> or <error> a testcase, GitLab only
its text, and of two testcases with one name only the first; some read `time` without checking that
it exists.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from refinecli.data.output_lines import Outcome
from refinecli.data.repeats import Occurrences
from refinecli.errors import OutputError, UsageError, option
from refinecli.models.traffic import Traffic
from refinecli.runs.summary import Summary
from refinecli.text.clean import clean, one_line
from refinecli.types import JSONObject

# Characters that XML 1.0 cannot hold in any form and `clean` does not replace.
_NO_CHARACTERS = re.compile("[\ufffe\uffff]")
_LONGEST_NAME = 200
_LONGEST_MESSAGE = 300
_LONGEST_DETAIL = 2000  # of one item


@dataclass(frozen=True, slots=True)
class Case:
    """One datapoint as CI sees it: it passed, failed (`failure`), or is undecided (`error`).

    `message` is a line, `details` a line or more for each item that failed.
    """

    name: str
    line: int
    verdict: Literal["passed", "failure", "error"]
    kind: str = ""
    message: str = ""
    details: str = ""
    score: float | None = None
    file: str = ""  # if the run has several


@dataclass(frozen=True, slots=True)
class GateCase:
    """A threshold, and why it was missed, if it was."""

    name: str
    missed: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a run; `trouble` is what ended it early, if anything did."""

    summary: Summary
    traffic: Traffic
    gates: Sequence[GateCase] = ()
    trouble: str = ""


# ------------------------------------------------------------------ one datapoint


def case_of(outcome: Outcome) -> Case:
    """Turn an output line of `grade` into a case."""
    record, score = outcome.record, outcome.score
    given = record.get("id")
    name = f"line {outcome.line}" if given is None else one_line(str(given), _LONGEST_NAME)
    if outcome.status != "done":
        kind = outcome.failures[0] if outcome.failures else outcome.status
        reasons = list(_reasons(record))
        message = one_line("; ".join([outcome.status, *reasons]), _LONGEST_MESSAGE)
        details = "\n".join(reasons)
        return Case(name, outcome.line, "error", kind, message, details, file=outcome.file)
    if outcome.passed:
        return Case(name, outcome.line, "passed", score=score, file=outcome.file)
    failed = [grade for grade in _grades(record) if grade.get("passed") is False]
    names = ", ".join(str(grade.get("name")) for grade in failed)
    what = f"failed {names}" if failed else "below the threshold"
    known = "no score, gated" if score is None else f"score {score:.4g}"
    message = one_line(f"{known}: {what}", _LONGEST_MESSAGE)
    details = "\n".join(_detail(grade, record) for grade in failed)
    return Case(name, outcome.line, "failure", "not_passed", message, details, score, outcome.file)


def _reasons(record: JSONObject) -> Iterator[str]:
    """Yield why a datapoint failed or stayed ungraded, ignoring what an earlier run left."""
    error = record.get("error")
    if isinstance(error, dict):
        yield clean(str(error.get("message") or error.get("type")))[:_LONGEST_DETAIL]
        return
    for grade in _grades(record):
        error = grade.get("error")
        if isinstance(error, dict):
            reason = f"{grade.get('name')}: {error.get('type')}: {error.get('message')}"
            yield clean(reason)[:_LONGEST_DETAIL]


def _grades(record: JSONObject) -> list[JSONObject]:
    grading = record.get("grading")
    return grading["grades"] if isinstance(grading, dict) else []


def _detail(grade: JSONObject, record: JSONObject) -> str:
    required = record["rubric_items"][grade["item"]].get("required")
    head = f"{grade['name']} (score {grade['score']:.4g}{', required' if required else ''})"
    feedback = str(grade.get("feedback") or "").strip()
    return clean(f"{head}: {feedback}" if feedback else head)[:_LONGEST_DETAIL]


# ------------------------------------------------------------------ the file


class JUnitFile:
    """The file, written as `FILE.partial` and moved into place when it is complete.

    `source` is the file that the datapoints come from, if it is one. The counts stand at the
    beginning, where room is left for them.
    """

    def __init__(self, path: Path, suite: str, source: str | None) -> None:
        if path.exists() and not path.is_file():  # the counts could not be written to a pipe
            raise UsageError(f"{option('junit', path)}: is not a file", "name a file")
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._suite = suite
        self._source = source
        self._counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        self._names = Occurrences()
        self._file: BinaryIO | None = None
        self._seconds = 0.0
        self._room = len(self._opening()) + 16 * (len(self._counts) + 1)

    def add(self, case: Case) -> None:
        """Write one datapoint."""
        source = case.file or self._source
        name = case.name if _safe(case.name).strip() else f"line {case.line}"
        element = self._testcase(name, source or "<stdin>")
        if source:
            element.set("file", _safe(source))
            element.set("line", str(case.line))
        if case.verdict != "passed":
            self._add_problem(element, case.verdict, case.kind, case.message, case.details)
        self._write(element)

    def finish(self, ending: Ending) -> None:
        """Write the gates, and what ended the run early, if anything did; then the file appears."""
        self._seconds = ending.summary.seconds
        for gate in ending.gates:
            element = self._testcase(gate.name, "gates")
            if gate.missed:
                self._add_problem(element, "failure", "gate", gate.missed, gate.missed)
            self._write(element)
        if ending.trouble:
            element = self._testcase("the whole run", self._suite)
            self._add_problem(element, "error", "ended_early", ending.trouble, ending.trouble)
            self._write(element)
        try:
            file = self._opened()
            file.write(b"</testsuite>\n</testsuites>\n")
            file.seek(0)
            file.write(self._head())
            file.close()
            self._partial.replace(self._path)
        except OSError as error:
            raise self._cannot(error) from None

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._partial.unlink(missing_ok=True)

    def _testcase(self, name: str, group: str) -> ET.Element:
        self._counts["tests"] += 1
        attributes = {"classname": _safe(group), "name": self._unused(_safe(name)), "time": "0"}
        # No time of its own: replies may come from a cache, and items are graded concurrently.
        return ET.Element("testcase", attributes)

    def _unused(self, name: str) -> str:
        """Return the name, numbered if it was written before; `a (2)` may itself be a datapoint's
        name."""
        again = self._names.next(name)
        if not again:
            return name
        while self._names.next(numbered := f"{name} ({again + 1})"):
            again = self._names.next(name)
        return numbered

    def _add_problem(
        self, case: ET.Element, verdict: str, kind: str, message: str, text: str
    ) -> None:
        self._counts["failures" if verdict == "failure" else "errors"] += 1
        problem = ET.SubElement(case, verdict, {"type": _safe(kind), "message": _safe(message)})
        problem.text = _safe(text or message)

    def _write(self, element: ET.Element) -> None:
        try:
            self._opened().write(ET.tostring(element, "unicode").encode() + b"\n")
        except OSError as error:
            raise self._cannot(error) from None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = open(self._partial, "wb")  # noqa: SIM115 - until the run is over
            self._file.write(self._head())
        return self._file

    def _head(self) -> bytes:
        """Return the head, always of the same length: blanks inside a tag mean nothing."""
        start = b'<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n'
        return start + self._opening().ljust(self._room) + b">\n"

    def _opening(self) -> bytes:
        counts = {name: str(count) for name, count in self._counts.items()}
        attributes = {"name": _safe(self._suite), **counts, "time": f"{self._seconds:.3f}"}
        element = ET.Element("testsuite", attributes)
        return ET.tostring(element, "unicode").encode().removesuffix(b" />")

    def _cannot(self, error: OSError) -> OutputError:
        return OutputError(f"{option('junit', self._path)}: {error.strerror}")


def _safe(text: Any) -> str:
    """Return a text that XML 1.0 can hold, with controls shown as symbols."""
    return _NO_CHARACTERS.sub("", clean(str(text)))
