"""GitHub Actions: annotations that nothing breaks out of, and a page of Markdown that is inert."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from refinecli.ci.github import GitHub, report_gates
from refinecli.ci.junit import Case, Ending, GateCase
from refinecli.data.output_lines import Outcome
from refinecli.models.traffic import Traffic
from refinecli.runs.summary import Summary

HOSTILE = "50%,\r\n::error::x\n\x1b[31m::stop-commands::y, title=z:\u202e"
MARKDOWN = "# a | b\n![x](http://e/x.png) <img src=x> `c` **d** @team https://e.example/\\"


def unescaped(text: str, *marks: str) -> str:
    """As the runner reads it."""
    for mark in ("%0D", "%0A", *marks):
        text = text.replace(mark, chr(int(mark[1:], 16)))
    return text.replace("%25", "%")


def ending(*gates: GateCase, trouble: str = "") -> Ending:
    summary = Summary()
    summary.add(Outcome({}, "done", score=0.5))
    summary.add(Outcome({}, "failed", failures=("timeout",)))
    return Ending(summary, Traffic(sent=3), gates, trouble)


def not_passed(name: str, score: float, line: int = 1) -> Case:
    return Case(name, line, "failure", "not_passed", f"score {score:g}", f"sum: {name}", score)


def error(name: str) -> Case:
    return Case(name, 2, "error", "timeout", "failed; nobody answered")


def told(
    capsys: pytest.CaptureFixture[str], github: GitHub, *cases: Case, end: Ending | None = None
) -> list[str]:
    """The lines on standard error; nothing goes to standard output, which is for data."""
    for case in cases:
        github.add(case)
    github.finish(end or ending())
    out, err = capsys.readouterr()
    assert out == ""
    return err.split("\n")[:-1]


# ------------------------------------------------------------------ annotations


def test_what_fails_the_step_comes_first_then_the_worst(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gates = GateCase("--fail-under 0.9", "score is 0.5"), GateCase("--require 'failed<=9'")
    cases = [not_passed("fair", 0.6), error("silent"), not_passed("bad", 0.1)]
    lines = told(
        capsys, GitHub("grade", "in.jsonl"), *cases, end=ending(*gates, trouble="terminated")
    )
    assert lines == [
        "::error title=refinecli grade::--fail-under 0.9 is missed: score is 0.5",
        "::error title=refinecli grade::terminated",
        "::error file=in.jsonl,line=2,title=silent::failed; nobody answered",
        "::warning file=in.jsonl,line=1,title=bad::score 0.1%0Asum: bad",
        "::warning file=in.jsonl,line=1,title=fair::score 0.6%0Asum: fair",
    ]


def test_no_more_than_github_shows(capsys: pytest.CaptureFixture[str]) -> None:
    cases = [error(f"e{n}") for n in range(50)]
    cases += [not_passed(f"w{n}", 1 - n / 100) for n in range(50)]
    gate = GateCase("--fail-under 1", "score is 0.5")
    lines = told(capsys, GitHub("grade", "in.jsonl"), *cases, end=ending(gate))
    names = [line.partition("title=")[2].partition("::")[0] for line in lines]
    assert names[:10] == ["refinecli grade", *(f"e{n}" for n in range(9))]
    assert names[10:] == [f"w{n}" for n in range(49, 39, -1)]


def test_of_equally_bad_ones_the_first_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    lines = told(capsys, GitHub("grade"), *(not_passed(f"w{n}", 0) for n in range(50)))
    assert [line.partition("::score")[0] for line in lines] == [
        f"::warning title=w{n}" for n in range(10)
    ]


def test_nothing_breaks_out_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    case = Case(HOSTILE, 1, "error", HOSTILE, HOSTILE)
    gate = GateCase(HOSTILE, HOSTILE)
    lines = told(capsys, GitHub("grade", HOSTILE), case, end=ending(gate, trouble=HOSTILE))
    assert len(lines) == 3
    shown = "50%,␍\n::error::x\n␛[31m::stop-commands::y, title=z:<U+202E>"
    found = re.fullmatch(r"::error file=([^,:]*),line=1,title=([^,:]*)::(.*)", lines[2])
    assert found is not None
    file, title, message = found.groups()
    assert unescaped(file, "%3A", "%2C") == unescaped(title, "%3A", "%2C") == shown
    assert unescaped(message) == shown


def test_a_message_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = told(capsys, GitHub("grade"), Case("a", 1, "error", "k", "\n" * 99_999))
    assert len(line) < 5000


def test_the_file_is_named_as_the_repository_knows_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "repo" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "repo" / "data")
    step = {"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": str(tmp_path / "repo")}
    for source, place in [
        ("in.jsonl", "data/in.jsonl"),
        (str(tmp_path / "repo" / "in.jsonl"), "in.jsonl"),
        ("../../made.jsonl", "../../made.jsonl"),
    ]:
        github = GitHub.here(step, "grade", source, quiet=False)
        (line,) = told(capsys, github, error("a"))
        assert line.startswith(f"::error file={place},line=2,")


# ------------------------------------------------------------------ the page


def test_the_page_has_the_figures_the_gates_and_the_worst(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("Another step's.\n")
    gates = GateCase("--fail-under 0.9", "score is 0.5"), GateCase("--require 'failed<=9'")
    github = GitHub("grade", "in.jsonl", page)
    told(capsys, github, not_passed("bad", 0.1, 7), error("silent"), end=ending(*gates))
    text = re.sub(r"\\(.)", r"\1", page.read_text("utf-8"))
    assert text.startswith("Another step's.\n### refinecli grade: in.jsonl\n")
    rows = re.findall(r"^\| (.*) \|$", text, re.MULTILINE)
    assert "datapoints | 2 datapoints: 1 done, 1 failed" in rows
    assert "score | 0.500 of 1" in rows
    assert "errors | timeout 1" in rows
    assert "--fail-under 0.9 | missed: score is 0.5" in rows
    assert "--require 'failed<=9' | met" in rows
    assert rows[-2:] == ["silent | 2 |  | failed; nobody answered", "bad | 7 | 0.1 | sum: bad"]


def test_the_page_stays_short(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    cases = [not_passed("n" * 999, 0.0) for _ in range(999)]
    told(capsys, GitHub("grade", "in.jsonl", page), *cases)
    assert page.stat().st_size < 10_000
    assert page.read_text().count("| 1 | 0 |") == 10


def test_markdown_in_data_is_only_text(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    case = Case(MARKDOWN, 1, "failure", "k", MARKDOWN, MARKDOWN, 0.0)
    told(capsys, GitHub("grade", MARKDOWN, page), case, end=ending(trouble=MARKDOWN))
    text = page.read_text("utf-8")
    # Every mark of it that could mean anything stands behind a backslash of its own.
    own = re.sub(r"\\[!-/:-@\[-`{-~]", "", text)
    assert not set(own) & set("[]<>`@\\!")
    assert own.count("#") == 3
    assert own.count("**") == 2
    lines = [line for line in own.split("\n") if line.startswith("| ")]
    assert {line.count("|") for line in lines} == {3, 5}


def test_a_page_that_cannot_be_written_is_told_and_no_more(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lines = told(capsys, GitHub("grade", None, tmp_path / "no" / "page.md"))
    assert len(lines) == 1
    assert lines[0].startswith("GITHUB_STEP_SUMMARY ")


def test_the_gates_of_a_report_are_annotations_and_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.md"
    gates = [GateCase("--gate 'gain>=0.1'", "it is 0.05"), GateCase("--gate 'n>=1'")]
    report_gates({"GITHUB_STEP_SUMMARY": str(page)}, "report", "out\n::error::.jsonl", gates)
    lines = capsys.readouterr().err.splitlines()
    said = "::error title=refinecli report::--gate 'gain>=0.1' is missed: it is 0.05"
    assert lines == [said]
    text = page.read_text("utf-8")
    assert text.startswith("### refinecli report: out ")
    assert "missed" in text
    assert "| met |" in text


def test_one_that_was_gated_is_among_the_worst(capsys: pytest.CaptureFixture[str]) -> None:
    gated = Case("gated", 3, "failure", "not_passed", "no score, gated: failed sum", "sum")
    cases = [not_passed("better", 0.5), gated, not_passed("bad", 0.0)]
    lines = told(capsys, GitHub("grade"), *cases)
    assert [re.search("title=([a-z]+)", line)[1] for line in lines] == ["gated", "bad", "better"]  # type: ignore[index]
