"""`refinecli grade` in CI: gates on any figure, exit codes, the JUnit file, and the workflow in
`configs/ci`, whose own command runs here, offline.

`python -m tests.cli.test_gates` makes that workflow's call cache anew, which is needed when what a
grader is sent has changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import (
    CLEAN,
    REFINE,
    Result,
    Start,
    at,
    check_item,
    datapoint,
    item,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, Request, by_role, error

Cli = Callable[..., Result]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]
CI = Path(__file__).parents[2] / "configs" / "ci"
REMAKE = "the cache has no reply to what is asked now: python -m tests.cli.test_gates makes it anew"


def answered(*responses: str, **fields: Any) -> list[dict[str, Any]]:
    """Datapoints that code grades: `4` passes."""
    return [
        datapoint(id=f"row-{n}", response=text, rubric_items=[check_item("4")], **fields)
        for n, text in enumerate(responses)
    ]


def cases_in(path: Path) -> dict[str, ET.Element]:
    return {case.get("name", ""): case for case in ET.parse(path).iter("testcase")}


# ------------------------------------------------------------------ --require


@pytest.mark.parametrize(
    ("gates", "code"),
    [
        (["pass_rate>=0.75"], 0),
        (["pass_rate>0.75"], 1),
        (["score>=0.7", "ungraded<=0", "datapoints>=4"], 0),
        (["score>=0.7", "datapoints>4"], 1),
        (["errors.timeout<=0"], 0),
        (["calls<1", "prompt_tokens<=0"], 0),
    ],
)
def test_every_figure_of_the_summary_can_be_required(cli: Cli, gates: list[str], code: int) -> None:
    flags = [part for gate in gates for part in ("--require", gate)]
    result = cli("grade", *NOBODY, *flags, stdin=jsonl(answered("4", "4", "4", "5")))
    assert result.returncode == code, result.stderr
    assert ("is missed" in result.stderr) == (code == 1)


def test_each_missed_gate_is_told_with_the_figure(cli: Cli) -> None:
    gates = ["--fail-under", "0.9", "--require", "pass_rate >= 0.9", "--require", "failed<=0"]
    result = cli("grade", *NOBODY, *gates, stdin=jsonl(answered("4", "5")))
    assert "error: --fail-under 0.9 is missed: score is 0.5" in result.stderr
    assert "error: --require 'pass_rate >= 0.9' is missed: pass_rate is 0.5" in result.stderr
    assert "failed<=0" not in result.stderr


def test_a_missed_gate_does_not_contradict_itself(cli: Cli) -> None:
    rows = jsonl(answered(*"4" * 9, "5"))
    gates = ["--fail-under", "0.9000001", "--require", "pass_rate>=9.000001e-1"]
    result = cli("grade", *NOBODY, *gates, stdin=rows)
    assert result.returncode == 1
    assert "error: --fail-under 0.9000001 is missed: score is 0.9\n" in result.stderr
    assert "--require 'pass_rate>=9.000001e-1' is missed: pass_rate is 0.9\n" in result.stderr
    rows = jsonl(answered(*"4" * 2, "5"))
    result = cli("grade", *NOBODY, "--fail-under", "0.66670", stdin=rows)
    assert "error: --fail-under 0.66670 is missed: score is 0.66667\n" in result.stderr


@pytest.mark.parametrize("bound", ["1_0", "\u0663", "0x1", "90%", "0,9", "nan", "inf", "high", " "])
def test_a_bound_that_is_no_decimal_number_is_exit_2(cli: Cli, bound: str) -> None:
    for flags in (["--fail-under", bound], ["--require", f"score>={bound}"]):
        result = cli("grade", *NOBODY, *flags, stdin=jsonl(answered("4")))
        assert result.returncode == 2, flags
        assert result.stderr.startswith("error: "), flags
        assert "hint: " in result.stderr


def test_kinds_of_errors_are_counted(cli: Cli) -> None:
    rows = [*answered("4"), datapoint()]
    flags = ["--max-errors", "1", "--require", "errors.no_response<=0"]
    result = cli("grade", *NOBODY, *flags, stdin=jsonl(rows))
    assert result.returncode == 1
    assert "errors.no_response is 1" in result.stderr


@pytest.mark.parametrize(("most", "told"), [("90", 1), ("1", 0)])
def test_a_percentage_where_a_score_is_meant_is_told_before_anything_is_sent(
    cli: Cli, most: str, told: int
) -> None:
    rows = jsonl(answered("4"))
    words = f"{most}: scores end at 1, so none reaches it; did you mean 0.9?"
    result = cli("grade", *NOBODY, "--fail-under", most, "--dry-run", stdin=rows)
    assert result.stderr.count(f"--fail-under {words}") == told
    rows = jsonl([datapoint()])
    result = cli("refine", *NOBODY, "--threshold", most, "--dry-run", stdin=rows)
    assert result.stderr.count(f"--threshold {words}") == told


@pytest.mark.parametrize(
    ("gate", "why"),
    [
        ("pass_rate>=0", "there is no pass_rate: nothing was graded"),
        ("score<=1", "there is no score: nothing was graded"),
        ("cost<=1", "there is no cost: not all that was asked has an input_price and"),
        ("initial_score<=1", "there is no initial_score: only `refine` has one"),
    ],
)
def test_a_figure_that_is_null_misses_with_the_reason(cli: Cli, gate: str, why: str) -> None:
    result = cli("grade", *NOBODY, "--require", gate, stdin="")
    assert result.returncode == 1
    assert why in result.stderr


@pytest.mark.parametrize(
    ("gate", "hint"),
    [
        ("pas_rate>=0.9", "did you mean pass_rate"),
        ("errors.timeouts<=0", "did you mean errors.timeout"),
        ("errors<=0", "errors.server"),
        ("score.mean>=0.5", "score"),
        ("score=0.5", "METRIC, one of"),
        ("score>=high", "METRIC, one of"),
    ],
)
def test_a_gate_on_no_figure_is_told_before_anything_is_sent(
    cli: Cli, tmp_path: Path, gate: str, hint: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4")])
    with ChatServer(by_role("", "<score>1</score>")) as server:
        args = ["in.jsonl", "-o", "out.jsonl", "--junit", "junit.xml", "--require", gate]
        result = cli("grade", *at(server), *args)
        assert server.requests == []
    assert result.returncode == 2
    assert gate in result.stderr
    assert "--gate" not in result.stderr
    assert hint in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


# ------------------------------------------------------------------ exit codes


def test_exit_0_where_all_is_well(cli: Cli, tmp_path: Path) -> None:
    flags = ["--fail-under", "1", "--junit", "junit.xml"]
    result = cli("grade", *NOBODY, *flags, stdin=jsonl(answered("4")))
    assert result.returncode == 0, result.stderr
    assert [len(case) for case in cases_in(tmp_path / "junit.xml").values()] == [0, 0]


def test_exit_1_where_a_gate_is_missed(cli: Cli, tmp_path: Path) -> None:
    flags = ["--fail-under", "1", "--require", "failed<=0", "--junit", "junit.xml"]
    write_jsonl(tmp_path / "in.jsonl", answered("5"))
    result = cli("grade", "in.jsonl", *NOBODY, *flags)
    assert result.returncode == 1
    cases = cases_in(tmp_path / "junit.xml")
    assert [failure.tag for failure in cases["--fail-under 1"]] == ["failure"]
    assert len(cases["--require 'failed<=0'"]) == 0
    assert (cases["row-0"].get("file"), cases["row-0"].get("line")) == ("in.jsonl", "1")


def test_exit_3_outranks_1_and_the_datapoint_is_an_error(cli: Cli, tmp_path: Path) -> None:
    flags = ["--fail-under", "1", "--junit", "junit.xml"]
    rows = [*answered("5"), datapoint(id="silent")]
    result = cli("grade", *NOBODY, *flags, stdin=jsonl(rows))
    assert result.returncode == 3
    assert "--fail-under 1 is missed" in result.stderr
    (told,) = cases_in(tmp_path / "junit.xml")["silent"]
    assert (told.tag, told.get("type")) == ("error", "no_response")


def test_exit_3_where_the_key_is_refused(cli: Cli, tmp_path: Path) -> None:
    flags = ["--junit", "junit.xml", "--fail-under", "1"]
    with ChatServer(lambda request: error(401, "Incorrect API key")) as server:
        result = cli("grade", *at(server), *flags, stdin=jsonl([datapoint(response="4")]))
    assert result.returncode == 3
    (told,) = cases_in(tmp_path / "junit.xml")["the whole run"]
    assert (told.tag, told.get("type")) == ("error", "ended_early")
    assert "Incorrect API key" in (told.text or "")


def test_exit_4_where_a_budget_is_used_up(cli: Cli, tmp_path: Path) -> None:
    rows = [
        datapoint(id=n, response="4", convo=[{"role": "user", "content": str(n)}]) for n in range(3)
    ]
    flags = ["--max-calls", "1", "--concurrency", "1", "--junit", "junit.xml", "--fail-under", "1"]
    with ChatServer(by_role("", "<score>0</score>")) as server:
        result = cli("grade", *at(server), *flags, stdin=jsonl(rows))
    assert result.returncode == 4, result.stderr
    cases = cases_in(tmp_path / "junit.xml")
    assert [child.tag for child in cases["0"]] == ["failure"]
    assert [child.tag for child in cases["the whole run"]] == ["error"]
    assert "--fail-under 1" not in cases  # nobody knows


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_exit_130_and_143_where_a_signal_ends_it(
    start: Start, tmp_path: Path, number: int, code: int, word: str
) -> None:
    never = threading.Event()

    def judge(request: Request) -> str | Reply:
        return Reply("", wait_for=never) if "slow" in request.text else "<score>1</score>"

    rows = [datapoint(id=name, response=name) for name in ("quick", "slow")]
    write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(by_role("", judge)) as server:
        args = ["in.jsonl", "-o", "out.jsonl", "--junit", "junit.xml", "-v", *at(server)]
        process = start("grade", *args, stdin=subprocess.DEVNULL)
        for line in iter(process.stderr.readline, b""):
            if line.startswith(b"quick: done"):
                break
        server.wait_for_requests(2)
        assert not (tmp_path / "junit.xml").exists()
        process.send_signal(number)
        assert process.wait(30) == code
        never.set()
    cases = cases_in(tmp_path / "junit.xml")
    assert list(cases) == ["quick", "the whole run"]
    assert cases["the whole run"][0].text == word
    assert not (tmp_path / "junit.xml.partial").exists()


def test_a_reader_that_goes_away_leaves_no_half_report(start: Start, tmp_path: Path) -> None:
    process = start("grade", *NOBODY, "--junit", "junit.xml")
    row = jsonl(answered("4", pad="x" * 10_000)).encode()
    process.stdin.write(row)
    process.stdin.flush()
    assert process.stdout.readline()
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(row * 100)
        process.stdin.close()
    assert process.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ the file


def test_junit_replaces_what_an_earlier_run_left(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text("old")
    assert cli("grade", *NOBODY, "--junit", "junit.xml", stdin="").returncode == 0
    assert cases_in(tmp_path / "junit.xml") == {}


@pytest.mark.parametrize(
    "name", ["in.jsonl", "out.jsonl", "out.jsonl.cache", "s.json", "no/j", "."]
)
def test_junit_never_goes_over_another_file(cli: Cli, tmp_path: Path, name: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", answered("4"))
    flags = ["-o", "out.jsonl", "--summary", "s.json", "--junit", name]
    result = cli("grade", "in.jsonl", *NOBODY, *flags)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert f"--junit {name}" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_report_that_cannot_be_written_is_exit_3(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "junit.xml.partial").mkdir()
    result = cli("grade", *NOBODY, "--junit", "junit.xml", stdin="")
    assert result.returncode == 3
    assert "error: --junit junit.xml: " in result.stderr
    assert "Traceback" not in result.stderr


# ------------------------------------------------------------------ GitHub


def test_a_step_of_a_workflow_gets_annotations_and_a_summary(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [*answered("4", "5"), datapoint(id="silent")])
    step = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")}
    (tmp_path / "page.md").write_text("Before.\n")
    result = cli("grade", "in.jsonl", *NOBODY, "--fail-under", "0.9", env=step)
    assert result.returncode == 3
    commands = [line for line in result.stderr.splitlines() if line.startswith("::")]
    assert commands[0] == "::error title=refinecli grade::--fail-under 0.9 is missed: score is 0.5"
    assert commands[1].startswith("::error file=in.jsonl,line=3,title=silent::failed; there is no")
    assert commands[2].startswith("::warning file=in.jsonl,line=2,title=row-1::score 0: failed ")
    assert len(commands) == 3
    assert [row["id"] for row in read_jsonl(result.stdout)] == ["row-0", "row-1", "silent"]
    page = (tmp_path / "page.md").read_text()
    assert page.startswith("Before.\n### refinecli grade: in\\.jsonl\n")
    assert "| score | 0\\.500 of 1 |" in page
    assert "missed\\: score is 0\\.5" in page


def test_quiet_leaves_the_errors(cli: Cli) -> None:
    step = {"GITHUB_ACTIONS": "true"}
    flags = ["--fail-under", "1", "-q"]
    result = cli("grade", *NOBODY, *flags, stdin=jsonl(answered("5")), env=step)
    assert re.findall(r"^::\w+", result.stderr, re.MULTILINE) == ["::error"]


def test_elsewhere_nothing_is_said_to_github(cli: Cli) -> None:
    result = cli("grade", *NOBODY, "--fail-under", "1", stdin=jsonl(answered("5")))
    assert "::" not in result.stderr


# ------------------------------------------------------------------ the example


def workflow_command() -> str:
    """What the step `Grade` of the example runs, as it stands there."""
    text = (CI / "github.yml").read_text("utf-8")
    found = re.search(r"- name: Grade\n +run: \|\n((?: {10}.*\n)+)", text)
    assert found is not None
    return textwrap.dedent(found[1])


def run_step(folder: Path, command: str, env: dict[str, str]) -> Result:
    """Run it as GitHub would, in a checkout's place."""
    shutil.copytree(CI, folder / "configs" / "ci", dirs_exist_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{CLEAN['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", command],
        capture_output=True,
        text=True,
        cwd=folder,
        env=CLEAN | {"PATH": path} | env,
        timeout=60,
    )


def example_grader(request: Request) -> str:
    if "consult our website" in request.text:
        return "It says that an exchange is possible, but not how to ask for one.\n<score>0</score>"
    return "The customer knows what happens now and when.\n<score>1</score>"


def fill_cache(folder: Path) -> Result:
    """The example's cache, by its own command without --offline; the script is reached as a proxy,
    since replies are kept under the URL that is asked."""
    (folder / "configs" / "ci").mkdir(parents=True)
    with ChatServer(by_role("", example_grader)) as server:
        command = "rm -f configs/ci/replies.db\n" + workflow_command().replace(" --offline", "")
        return run_step(folder, command, {"http_proxy": f"http://127.0.0.1:{server.port}"})


def test_the_example_workflow_runs_offline_from_its_committed_cache(tmp_path: Path) -> None:
    step = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(tmp_path / "page.md")}
    before = (CI / "replies.db").read_bytes()
    result = run_step(tmp_path, workflow_command(), step)
    assert "offline" not in result.stderr, REMAKE
    assert result.returncode == 0, result.stderr
    assert "0 calls" in result.stderr
    assert (tmp_path / "configs" / "ci" / "replies.db").read_bytes() == before
    cases = cases_in(tmp_path / "junit.xml")
    assert {name for name, case in cases.items() if len(case)} == {"wrong-size"}
    assert len(cases) == 4 + 3
    assert "::warning file=configs/ci/answers.jsonl,line=4,title=wrong-size::" in result.stderr
    assert "wrong\\-size" in (tmp_path / "page.md").read_text()


def test_the_examples_cache_is_what_its_command_would_make(tmp_path: Path) -> None:
    offline, fresh = tmp_path / "offline", tmp_path / "fresh"
    offline.mkdir()
    made = fill_cache(fresh)
    assert made.returncode == 0, made.stderr
    assert run_step(offline, workflow_command(), {}).returncode == 0, REMAKE
    assert (fresh / "graded.jsonl").read_bytes() == (offline / "graded.jsonl").read_bytes()


def test_the_example_fails_when_an_answer_gets_worse_unseen(tmp_path: Path) -> None:
    spoil = "sed -i.old 's/An exchange is possible/Hm/' configs/ci/answers.jsonl\n"
    result = run_step(tmp_path, spoil + workflow_command(), {})
    assert result.returncode == 3
    assert "offline 1" in result.stderr


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(fill_cache(Path(place)).stderr, end="")
        shutil.copy(Path(place) / "configs" / "ci" / "replies.db", CI / "replies.db")


# ------------------------------------------------------------------ `grade.gate`


def test_behind_a_gate_the_rest_is_not_asked_and_the_pass_rate_is_over_all(
    cli: Cli, tmp_path: Path
) -> None:
    must, nice = item("Right?", name="right", required=True), item("Nice?", name="nice")
    rows = [
        datapoint(id=name, response=name, rubric_items=[nice, must, check_item("it")])
        for name in ("it is 4", "four", "it is 5")
    ]
    graded, summary, gate = tmp_path / "g.jsonl", tmp_path / "s.json", ["--set", "grade.gate=true"]

    def grader(request: Request) -> str:
        return f"<score>{int('it is 5' not in request.last)}</score>"

    flags = ["-o", str(graded), "--summary", str(summary), "--require", "pass_rate>=0.5"]
    with ChatServer(grader) as server:
        result = cli("grade", *at(server), *gate, *flags, stdin=jsonl(rows))
        assert len(server.requests) == 3
        for refused in (["--fail-under", "0.5"], ["--require", "score>=0.5"]):
            found = cli("grade", *at(server), *gate, *refused, stdin=jsonl(rows))
            assert (found.returncode, "grade.gate" in found.stderr) == (2, True)
        found = cli(*REFINE, *at(server), *gate, stdin=jsonl(rows))
        assert (found.returncode, "--set grade.gate" in found.stderr) == (2, True)
        assert len(server.requests) == 3
    assert result.returncode == 1
    assert "3 done (2 gated)" in result.stderr
    assert "score: 1.000 of 1, over the 1 not gated; 33.3% passed" in result.stderr
    figures = json.loads(summary.read_text())
    assert (figures["done"], figures["gated"], figures["ungraded"]) == (3, 2, 0)
    assert figures["errors"] == {}
    done = [row["grading"] for row in read_jsonl(graded)]
    assert [one["status"] for one in done] == ["done"] * 3
    assert [one["passed"] for one in done] == [True, False, False]
    assert [[grade["status"] for grade in one["grades"]] for one in done] == [
        ["graded", "graded", "graded"],
        ["skipped", "skipped", "graded"],
        ["skipped", "graded", "graded"],
    ]
    assert done[2]["usage"]["calls"] == 1
