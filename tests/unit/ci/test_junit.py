"""The JUnit file: what CI is told of each datapoint, in XML that every reader takes."""

from __future__ import annotations

import ast
import re
import tracemalloc
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import refinecli
from refinecli.ci.junit import Case, Ending, GateCase, JUnitFile, case_of
from refinecli.data.output_lines import Outcome, Status, failed
from refinecli.errors import CompletionError, OutputError, UsageError
from refinecli.models.traffic import Traffic
from refinecli.runs.summary import ERROR_TYPES, Summary

HOSTILE = "\x00\x1b[31m\x85\ufffe\uffff\ud800 ]]> <b>&amp; \u202e\r\n\tübel 🙂"


def grade(name: str, passed: bool | None, **fields: Any) -> dict[str, Any]:
    score = None if passed is None else float(passed)
    return {"item": 0, "name": name, "passed": passed, "score": score, "feedback": "", **fields}


def outcome(*grades: dict[str, Any], id: Any = "a", line: int = 3, **item: Any) -> Outcome:
    """What `grade` made of a datapoint."""
    known = all(grade["passed"] is not None for grade in grades)
    status: Status = "done" if known else "ungraded"
    record = {"id": id, "rubric_items": [item], "grading": {"grades": list(grades)}}
    passed = all(grade["passed"] for grade in grades)
    failures = () if known else ("no_score",)
    score = 0.5 if known else None
    return Outcome(record, status, score, passed=passed, failures=failures, line=line)


def written(path: Path, cases: Sequence[Case], *gates: GateCase, trouble: str = "") -> ET.Element:
    file = JUnitFile(path, "refinecli grade", "data/in.jsonl")
    for case in cases:
        file.add(case)
    file.finish(Ending(Summary(), Traffic(), gates, trouble))
    return ET.parse(path).getroot()


# ------------------------------------------------------------------ a datapoint


def test_a_datapoint_that_passed_says_nothing() -> None:
    case = case_of(outcome(grade("sum", True)))
    assert (case.name, case.line, case.verdict, case.message) == ("a", 3, "passed", "")


def test_one_that_did_not_pass_is_a_failure_with_its_failed_items() -> None:
    grades = [
        grade("sum", False, feedback="It is 5.\nNot 4."),
        grade("tone", True),
        grade("form", False),
    ]
    case = case_of(outcome(*grades, required=True))
    assert (case.verdict, case.kind) == ("failure", "not_passed")
    assert case.message == "score 0.5: failed sum, form"
    assert case.details.splitlines() == [
        "sum (score 0, required): It is 5.",
        "Not 4.",
        "form (score 0, required)",
    ]


def test_one_that_stayed_ungraded_is_an_error_with_the_reason() -> None:
    error = {"type": "no_score", "message": "nothing in the reply matches"}
    case = case_of(outcome(grade("sum", None, error=error), grade("tone", False)))
    assert (case.verdict, case.kind) == ("error", "no_score")
    assert case.message == "ungraded; sum: no_score: nothing in the reply matches"


def test_one_that_failed_is_an_error_whatever_an_earlier_run_left_in_it() -> None:
    before = outcome(grade("sum", False)).record
    case = case_of(failed(before, CompletionError("timeout", "nobody answered"), "grade"))
    assert (case.verdict, case.kind) == ("error", "timeout")
    assert case.message == "failed; nobody answered"


def test_a_line_that_could_not_be_read_is_known_by_its_number() -> None:
    record = {"error": {"type": "input", "line": 7, "message": "not JSON"}, "raw": "{"}
    case = case_of(Outcome(record, "failed", failures=("input",), line=7))
    assert (case.name, case.kind, case.message) == ("line 7", "input", "failed; not JSON")


@pytest.mark.parametrize("error", [None, "text", {}, {"message": None}, {"type": ["x"]}])
def test_an_error_of_any_shape_is_told(error: object) -> None:
    case = case_of(Outcome({"id": 1, "error": error}, "failed", failures=("failed",)))
    assert (case.verdict, case.name) == ("error", "1")


def test_what_is_told_has_an_end() -> None:
    case = case_of(outcome(grade("x" * 999, False, feedback="y" * 99_999), id="z" * 9999))
    assert len(case.name) <= 200
    assert len(case.message) <= 300
    assert len(case.details) <= 2000


# ------------------------------------------------------------------ the file

# What the schema of Jenkins and what GitLab reads know; `file` and `line` are read by GitLab and
# others, and passed over by Jenkins's junit step.
SUITE = {"name", "tests", "failures", "errors", "skipped", "time"}
CASE = {"name", "classname", "time", "file", "line"}


def test_the_file_has_what_readers_expect(tmp_path: Path) -> None:
    cases = [
        Case("a", 1, "passed"),
        Case("b", 2, "failure", "not_passed", "score 0", "sum (score 0): no"),
        Case("c", 3, "error", "timeout", "failed; nobody answered"),
    ]
    gates = GateCase("--fail-under 0.9", "score is 0.5"), GateCase("--require 'failed<=1'")
    root = written(tmp_path / "j.xml", cases, *gates)
    assert root.tag == "testsuites"
    (suite,) = root
    assert (suite.tag, set(suite.attrib)) == ("testsuite", SUITE)
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["5", "2", "1", "0"]
    assert float(suite.get("time", "")) >= 0
    assert {case.tag for case in suite} == {"testcase"}
    for case in suite:
        assert set(case.attrib) <= CASE
        assert float(case.get("time", "")) == 0
        assert [child.tag for child in case] in ([], ["failure"], ["error"])
        for child in case:
            assert set(child.attrib) == {"type", "message"}
            assert child.text
    first, second, third, missed, met = suite
    assert (first.get("classname"), first.get("name")) == ("data/in.jsonl", "a")
    assert (first.get("file"), first.get("line")) == ("data/in.jsonl", "1")
    assert (second[0].tag, second[0].text) == ("failure", "sum (score 0): no")
    assert (third[0].tag, third[0].text) == ("error", "failed; nobody answered")
    assert (missed.get("classname"), missed.get("name")) == ("gates", "--fail-under 0.9")
    assert (missed[0].tag, missed[0].get("message")) == ("failure", "score is 0.5")
    assert len(met) == 0


def test_names_are_told_apart(tmp_path: Path) -> None:
    # GitLab passes over all but the first of a name.
    cases = [Case(name, 1, "passed") for name in ("a", "b", "a", "a")]
    (suite,) = written(tmp_path / "j.xml", cases)
    assert [case.get("name") for case in suite] == ["a", "b", "a (2)", "a (3)"]


@pytest.mark.parametrize(
    "ids",
    [
        ["x (2)", "x", "x"],
        ["x", "x", "x (2)", "x (2)", "x", "x (3)"],
        ["a\ufffe", "a", "a\uffff"],
        ["\ufffe", "\uffff", "", " ", "line 2"],
        ["the whole run", "--fail-under 1", "--fail-under 1"],
    ],
)
def test_no_testcase_hides_behind_another_of_its_name(tmp_path: Path, ids: list[str]) -> None:
    cases = [case_of(outcome(grade("sum", True), id=id, line=n)) for n, id in enumerate(ids)]
    (suite,) = written(tmp_path / "j.xml", cases, GateCase("--fail-under 1", "no"), trouble="so")
    names = [case.get("name", "") for case in suite]
    assert len(set(names)) == len(names)
    assert all(name.strip() for name in names)


def test_a_blank_name_is_the_line(tmp_path: Path) -> None:
    cases = [Case(name, line, "passed") for line, name in enumerate(["", "\uffff", " "], 4)]
    (suite,) = written(tmp_path / "j.xml", cases)
    assert [case.get("name") for case in suite] == ["line 4", "line 5", "line 6"]


def test_thousands_of_one_name_are_told_apart_from_its_numbers(tmp_path: Path) -> None:
    numbered = [Case(f"x ({n})", n, "passed") for n in range(2, 5_000)]
    cases = [*numbered, *[Case("x", 1, "passed")] * 10_000]
    (suite,) = written(tmp_path / "j.xml", cases)
    assert len({case.get("name") for case in suite}) == len(cases)


def test_hostile_text_is_still_xml_and_acts_nowhere(tmp_path: Path) -> None:
    case = Case(HOSTILE, 1, "failure", HOSTILE, HOSTILE, HOSTILE)
    (suite,) = written(tmp_path / "j.xml", [case], GateCase(HOSTILE, HOSTILE), trouble=HOSTILE)
    raw = (tmp_path / "j.xml").read_text("utf-8")
    assert not re.search(
        "[^\\t\\n\\x20-\\x7e\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]", raw
    )
    shown = "␀␛[31m\\x85<U+D800> ]]> <b>&amp; <U+202E>␍\n\tübel 🙂"
    told = suite[0][0]
    for text in (suite[0].get("name"), told.get("type"), told.get("message"), told.text):
        assert text == shown


def test_an_early_end_is_an_error_of_its_own(tmp_path: Path) -> None:
    (suite,) = written(tmp_path / "j.xml", [Case("a", 1, "passed")], trouble="interrupted")
    assert suite[-1].get("name") == "the whole run"
    assert (suite[-1][0].tag, suite[-1][0].text) == ("error", "interrupted")
    assert suite.get("errors") == "1"


def test_it_appears_when_it_is_whole(tmp_path: Path) -> None:
    file = JUnitFile(tmp_path / "j.xml", "s", None)
    assert list(tmp_path.iterdir()) == []
    file.add(Case("a", 1, "passed"))
    assert [path.name for path in tmp_path.iterdir()] == ["j.xml.partial"]
    file.finish(Ending(Summary(), Traffic()))
    assert [path.name for path in tmp_path.iterdir()] == ["j.xml"]


def test_what_is_discarded_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text("old")
    file = JUnitFile(tmp_path / "j.xml", "s", None)
    file.add(Case("a", 1, "passed"))
    file.discard()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_from_standard_input_there_is_no_file_to_point_to(tmp_path: Path) -> None:
    file = JUnitFile(tmp_path / "j.xml", "s", None)
    file.add(Case("a", 1, "passed"))
    file.finish(Ending(Summary(), Traffic()))
    (case,) = ET.parse(tmp_path / "j.xml").iter("testcase")
    assert case.attrib == {"classname": "<stdin>", "name": "a", "time": "0"}


def test_a_device_is_no_place_for_it() -> None:
    with pytest.raises(UsageError, match="junit=/dev/null"):
        JUnitFile(Path("/dev/null"), "s", None)


def test_a_disk_that_is_full_is_told(tmp_path: Path) -> None:
    file = JUnitFile(tmp_path / "no" / "j.xml", "s", None)
    with pytest.raises(OutputError, match=r"junit=.*j\.xml"):
        file.add(Case("a", 1, "passed"))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_datapoints(tmp_path: Path) -> None:
    file = JUnitFile(tmp_path / "j.xml", "s", "in.jsonl")
    tracemalloc.start()
    try:
        for number in range(5_000):
            file.add(Case(f"row {number}", number, "failure", "k", "m" * 50, "d" * 200))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    file.finish(Ending(Summary(), Traffic()))
    assert (tmp_path / "j.xml").stat().st_size > 1_700_000
    assert peak < 600_000  # the names take some 20 bytes each
    suite = next(ET.parse(tmp_path / "j.xml").iter("testsuite"))
    assert (suite.get("tests"), suite.get("failures")) == ("5000", "5000")


# ------------------------------------------------------------------ kinds of errors


@pytest.mark.slow
def test_every_kind_of_error_can_be_required() -> None:
    """The first argument of what is raised, wherever it is a literal."""
    makers = {"CompletionError", "RetryableError", "Failure"}
    kinds = {
        node.args[0].value
        for path in Path(refinecli.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in makers
        and node.args
        and isinstance(node.args[0], ast.Constant)
    }
    assert {"no_score", "bad_reply"} <= kinds
    assert kinds <= set(ERROR_TYPES)


def test_one_that_was_gated_is_a_failure_without_a_score() -> None:
    skipped = grade("tone", None, status="skipped")
    made = outcome(grade("sum", False, feedback="It is 5."), skipped, required=True)
    made = made._replace(status="done", score=None, passed=False, failures=(), gated=True)
    case = case_of(made)
    assert (case.verdict, case.score) == ("failure", None)
    assert case.message == "no score, gated: failed sum"
    assert case.details == "sum (score 0, required): It is 5."
