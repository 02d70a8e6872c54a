"""`refinecli report` as a user meets it: what it prints, writes, and ends in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import termios
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from rich.cells import cell_len

from tests.conftest import CLEAN, REFINECLI, Result, at, check_item, datapoint, jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Request, by_role
from tests.support.report_files import Row, failed_row, graded_row, row
from tests.support.terminal import Terminal

Cli = Callable[..., Result]


def gained(n: int = 40, **fields: object) -> list[Row]:
    return [row(i, [[0.0, 1.0], [float(i % 2), 1.0]], items=[{}, {}]) | fields for i in range(n)]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return write_jsonl(tmp_path / "out.jsonl", gained())


def test_conclusions_come_first_and_a_table_for_each_question(cli: Cli, out: Path) -> None:
    result = cli("report", out)
    assert (result.returncode, result.stderr) == (0, "")
    headings = re.findall(r"^[A-Z][^:.\n]*$", result.stdout, re.MULTILINE)
    assert headings == [
        "In short",
        "Gains, final minus first response",
        "Iterations",
        "Rubric items",
        "Baselines",
    ]
    assert "\x1b" not in result.stdout
    assert "optimistic" in result.stdout
    assert "+0.250 (95%: +0.175 to +0.325)" in result.stdout


NAMES = ["x" * 200, "名前" * 30, "[red]bold[/red]", "bell\x07 and \x1b[31mred"]


def test_every_line_fits_80_columns_whatever_the_names(cli: Cli, tmp_path: Path) -> None:
    items = [{"name": name, "reveal": "verdict"} for name in NAMES]
    rows = [row(i, [[0.0] * 4, [1.0] * 4], items=items, tokens=10**7) for i in range(30)]
    for line in rows:
        line["refinement"]["models"] = {"policy": "a-model/" + "y" * 100, "grader": NAMES[3]}
    drafts = [row(i, [0.0, 1.0], drafts=True) for i in range(25)]
    run = write_jsonl(tmp_path / f"{'z' * 100}.jsonl", rows)
    other = write_jsonl(tmp_path / "best-of-n-with-a-long-name-indeed.jsonl", drafts)
    result = cli("report", run, other, "--baseline", other, "--gate", "loop_gain>=2")
    assert result.returncode == 1
    assert [line for line in result.stdout.splitlines() if cell_len(line) > 80] == []
    assert "\x1b" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[red]bold[/red]" in result.stdout


def test_json_holds_all_figures(cli: Cli, out: Path, tmp_path: Path) -> None:
    to_file = cli("report", out, "--json", tmp_path / "report.json")
    to_stdout = cli("report", out, "--json", "-")
    figures = json.loads(to_stdout.stdout)
    assert json.loads((tmp_path / "report.json").read_text()) == figures
    assert "In short" in to_file.stdout
    assert figures["loop_gain"].keys() == {"mean", "low", "high"}
    assert figures["regraded_gain"] is None
    assert figures.keys() >= {
        *("n", "loop_gain", "regraded_gain", "heldout_gain", "optimism", "judge_gap"),
        *("iterations", "items", "baselines", "alarms"),
    }


def test_html_is_a_page_with_the_figures_and_the_datapoints(
    cli: Cli, out: Path, tmp_path: Path
) -> None:
    result = cli("report", out, "--baseline", out, "--html", "report.html", "--gate", "n>=40")
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "report.html").read_text()
    assert "+0.250" in page
    assert "dp-39" in page


def test_equal_files_give_equal_bytes(cli: Cli, out: Path) -> None:
    assert cli("report", out, "--json", "-").stdout == cli("report", out, "--json", "-").stdout


@pytest.mark.parametrize("args", [[], ["-"]], ids=str)
def test_standard_input_is_read(cli: Cli, out: Path, args: list[str]) -> None:
    result = cli("report", *args, stdin=out.read_text())
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("stdin: refine")


def test_grade_outputs_are_reported_and_compared(cli: Cli, tmp_path: Path) -> None:
    old = write_jsonl(tmp_path / "old.jsonl", [graded_row(i, float(i % 2)) for i in range(40)])
    new = write_jsonl(tmp_path / "new.jsonl", [graded_row(i, float(i > 1)) for i in range(40)])
    result = cli("report", old, new, "--label", "2026-11-01", "--label", "2026-11-08")
    assert result.returncode == 0, result.stderr
    gate = cli("report", old, new, "--gate", "compared.items.way-0.gain.low>0.2")
    assert gate.returncode == 0, gate.stderr
    said = " ".join(result.stdout.split())
    assert "2026-11-08 scores higher than 2026-11-01: 0.500 → 0.950, +0.450 (95%: " in said
    assert "19 better, 20 equal, 1 worse" in said
    assert "fail now: dp-1 " in said
    assert "One response each" not in said


# ------------------------------------------------------------------ gates


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["loop_gain>=0.2", "items.way-0.gain.low>0"], 0),
        (["loop_gain>=0.2", "loop_gain>=0.9"], 1),
        (["regraded_gain.low>=0"], 1),
        (["compared.gain>=0"], 1),
        (["iterations.-1.score>=0.7", "baselines.first answer.gain_over_it.low>0"], 0),
        (["claim.gain<=0", "too_few<=0"], 0),
        (["claim.gain>=1"], 1),
        (["regrade.ungraded<=0"], 1),
    ],
    ids=str,
)
def test_gates_decide_the_exit_code(cli: Cli, out: Path, gates: Sequence[str], code: int) -> None:
    result = cli("report", out, *(arg for gate in gates for arg in ("--gate", gate)))
    assert result.returncode == code, result.stderr
    assert ("MISSED" in result.stdout) is ("is missed" in result.stderr) is bool(code)


def test_gates_are_among_the_figures(cli: Cli, out: Path) -> None:
    figures = json.loads(cli("report", out, "--json", "-", "--gate", "n>=40").stdout)
    assert figures["gates"] == [{"gate": "n>=40", "value": 40, "met": True}]


def test_a_pull_request_is_gated_on_two_runs(cli: Cli, tmp_path: Path) -> None:
    main = write_jsonl(tmp_path / "main.jsonl", [row(i, [float(i % 2)]) for i in range(60)])
    worse = write_jsonl(tmp_path / "worse.jsonl", [row(i, [float(i % 4 == 1)]) for i in range(60)])
    gate = ["--gate", "compared.gain.low>=-0.05"]
    assert cli("report", main, main, *gate).returncode == 0
    result = cli("report", main, worse, *gate)
    assert result.returncode == 1
    assert "'compared.gain.low>=-0.05' is missed: compared.gain.low is -0." in result.stderr


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["out.jsonl", "--gate", "loop_gian>0"], "did you mean loop_gain"),
        (["out.jsonl", "--gate", "loop_gain.lwo>0"], "did you mean loop_gain.low"),
        (["out.jsonl", "--gate", "loop_gain"], "not a gate"),
        (["out.jsonl", "--label", "a", "--label", "b"], "2 labels for 1 file"),
        (["out.jsonl", "missing.jsonl"], "missing.jsonl: No such file"),
        (["-", "-"], "standard input can be read only once"),
        (["-", "--baseline", "-"], "standard input can be read only once"),
        (["out.jsonl", "--json", "out.jsonl"], "is one of the files to be read"),
        (["out.jsonl", "--html", "out.jsonl"], "is one of the files to be read"),
        (["out.jsonl", "--html", "-"], "--html needs files"),
        (["-", "--html", "report.html"], "--html needs files"),
        (["out.jsonl", "--html", "no/such/folder.html"], "folder.html: No such file"),
        (["out.jsonl", "--json", "no/such/folder.json"], "--json no/such/folder.json"),
        (["data.jsonl"], "`refinecli refine` or `refinecli grade`"),
        (["broken.jsonl"], "broken.jsonl:2: not JSON"),
        (["out.jsonl", "other.jsonl"], "in common"),
        (["out.jsonl", "--baseline", "other.jsonl"], "in common"),
    ],
    ids=str,
)
def test_what_cannot_be_reported_is_exit_2_and_says_why(
    cli: Cli, out: Path, tmp_path: Path, args: list[str], said: str
) -> None:
    before = out.read_bytes()
    write_jsonl(tmp_path / "data.jsonl", [datapoint()])
    write_jsonl(tmp_path / "other.jsonl", [row(i, [1.0]) for i in range(900, 930)])
    (tmp_path / "broken.jsonl").write_text(jsonl(gained(1)) + '{"id": ')
    result = cli("report", *args)
    assert result.returncode == 2, result.stdout
    assert said in result.stderr
    assert out.read_bytes() == before


@pytest.mark.parametrize("flag", ["--json", "--html"])
def test_only_a_report_is_replaced_unless_forced(
    cli: Cli, out: Path, tmp_path: Path, flag: str
) -> None:
    target = tmp_path / "report"
    target.write_text('{"precious": 1}')
    refused = cli("report", out, flag, target)
    assert refused.returncode == 2
    assert "exists and is not a report" in refused.stderr
    assert "use --force to replace it" in refused.stderr
    assert target.read_text() == '{"precious": 1}'
    assert cli("report", out, flag, target, "--force").returncode == 0
    assert cli("report", out, flag, target).returncode == 0


@pytest.mark.parametrize(
    ("metric", "needs"),
    [
        ("regraded_gain", "--regrade"),
        ("regrade.ungraded", "--regrade"),
        ("compared.gain.low", "two RUNs, both with scores"),
    ],
)
def test_a_figure_that_is_missing_says_what_it_takes(
    cli: Cli, out: Path, metric: str, needs: str
) -> None:
    result = cli("report", out, "--gate", f"{metric}>=0")
    assert result.returncode == 1
    assert f"is null\n  hint: give it {needs}\n" in result.stderr


def test_without_scipy_the_way_to_it_is_named(cli: Cli, out: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    site.mkdir()
    (site / "usercustomize.py").write_text("import sys\nsys.modules['scipy'] = None\n")
    (site / "sitecustomize.py").write_text("import sys\nsys.modules['scipy'] = None\n")
    result = cli("report", out, env={"PYTHONPATH": str(site)})
    assert result.returncode == 2
    assert "pip install 'refinecli[report]'" in result.stderr


def test_a_file_of_failures_only_is_told_as_that(cli: Cli, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "out.jsonl", [failed_row(i) for i in range(3)])
    result = cli("report", path)
    assert result.returncode == 0, result.stderr
    assert "No datapoint has a score." in result.stdout
    assert "3 failed" in result.stdout


@pytest.mark.parametrize("failed", ["old.jsonl", "new.jsonl"])
def test_beside_a_run_that_failed_altogether_the_other_is_reported(
    cli: Cli, tmp_path: Path, failed: str
) -> None:
    for name in ("old.jsonl", "new.jsonl"):
        write_jsonl(tmp_path / name, gained(30))
    write_jsonl(tmp_path / failed, [failed_row(i) for i in range(30)])
    result = cli("report", "old.jsonl", "new.jsonl", "--html", "page.html")
    assert result.returncode == 0, result.stderr
    told = f"new.jsonl and old.jsonl are not compared: no datapoint of {failed} has a score."
    assert told in " ".join(result.stdout.split())
    missed = cli("report", "old.jsonl", "new.jsonl", "--gate", "compared.gain.low>=-0.05")
    assert missed.returncode == 1
    assert "compared is null\n  hint: give it two RUNs, both with scores\n" in missed.stderr


@pytest.mark.parametrize(("run", "other"), [("out.jsonl", "no.jsonl"), ("no.jsonl", "out.jsonl")])
def test_a_baseline_without_scores_is_not_taken_for_one_of_other_datapoints(
    cli: Cli, out: Path, tmp_path: Path, run: str, other: str
) -> None:
    write_jsonl(tmp_path / "no.jsonl", [failed_row(i) for i in range(30)])
    result = cli("report", run, "--baseline", other)
    assert result.returncode == 2
    assert "hint: no datapoint of no.jsonl has a score" in result.stderr


# ------------------------------------------------------------------ with the real loops


def anyone(request: Request) -> str:
    """Every role at once: an answer, an improved one, a judgement."""
    better = "The dog runs in the rain." if request.number % 3 else "The dog sleeps."
    return f"Better: 2 <improved>{better}</improved> <best>1</best>"


@pytest.mark.parametrize(
    "strategy", ["refine", "best-of-n", "self-refine", "rm-gallery", "writer-critic"]
)
def test_what_every_strategy_writes_can_be_reported(
    cli: Cli, tmp_path: Path, strategy: str
) -> None:
    items = [check_item("dog"), check_item("rain")]
    rows = [
        {"id": i, "convo": [{"role": "user", "content": f"Write {i}."}], "rubric_items": items}
        for i in range(24)
    ]
    with ChatServer(by_role(anyone, lambda request: "<score>1</score>")) as server:
        made = cli(
            *("refine", "--strategy", strategy, *at(server), "-o", "out.jsonl", "--max-errors", 99),
            stdin=jsonl(rows),
        )
    assert made.returncode == 0, made.stderr
    result = cli("report", "out.jsonl", "--json", tmp_path / "report.json")
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "report.json").read_text())
    assert figures["runs"][0]["strategy"] == strategy
    if strategy in ("refine", "best-of-n"):
        assert figures["n"] == 24
        assert figures["claim"]["basis"] == "code"


def test_one_file_cannot_be_page_and_figures_both(cli: Cli, out: Path) -> None:
    result = cli("report", str(out), "--html", "x", "--json", "./x")
    assert result.returncode == 2
    assert "--html and --json name the same file" in result.stderr


def test_a_reader_that_goes_away_is_no_missed_gate(out: Path) -> None:
    command = [*REFINECLI, "report", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert (process.returncode, said) == (0, b"")


def test_a_comment_for_a_pull_request_is_written_and_named(
    cli: Cli, out: Path, tmp_path: Path
) -> None:
    outputs = ["--markdown", "comment.md", "--json", "figures.json"]
    for _ in range(2):  # it may be written again
        result = cli("report", out, out, *outputs)
        assert result.returncode == 0, result.stderr
        assert result.stderr == "wrote figures.json\nwrote comment.md\n"
    text = (tmp_path / "comment.md").read_text("utf-8")
    assert text.startswith("<!-- refinecli report -->\n\n### `out.jsonl` against `out.jsonl`\n")
    assert cli("report", out, out, "--markdown", "-", "-q").stdout == text
    both = cli("report", out, "--markdown", "-", "--json", "-")
    assert "--markdown and --json name both standard output" in both.stderr
    (tmp_path / "notes.md").write_text("mine")
    kept = cli("report", out, "--markdown", "notes.md")
    assert (kept.returncode, (tmp_path / "notes.md").read_text()) == (2, "mine")


@pytest.mark.parametrize("width", [80, 140])
def test_a_terminal_is_used_in_its_width(tmp_path: Path, width: int) -> None:
    name = "the name of an item that is shown whole where there is room"
    rows = [row(n, [0.0, float(n % 2)], items=({"name": name},)) for n in range(24)]
    write_jsonl(tmp_path / "out.jsonl", rows)
    terminal = Terminal()
    termios.tcsetwinsize(terminal.theirs, (24, width))
    env = {name: value for name, value in CLEAN.items() if name != "COLUMNS"} | {"TERM": "xterm"}
    command = [*REFINECLI, "report", str(tmp_path / "out.jsonl")]
    pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, stdout=terminal.theirs, env=env, check=True, timeout=60, **pipes)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", terminal.read_all())
    os.close(terminal.ours)
    assert 70 < max(map(len, shown.splitlines())) <= width
    assert (name in shown) is (width == 140)
