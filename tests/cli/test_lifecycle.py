"""Five commands ask models, and run alike: what ends one of them early, what is kept of it, what
continues it, and what its exit code says."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Result, Start, at, datapoint, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request
from tests.support.report_files import row

Cli = Callable[..., Result]
RUBRIC = f"<rubric>{json.dumps([{'criterion': 'Names the number four', 'weight': 5}])}</rubric>"


@dataclass(frozen=True)
class Command:
    """A command that works on one datapoint of in.jsonl, and the calls that takes."""

    args: tuple[str, ...]
    line: dict[str, Any]
    calls: int

    def __str__(self) -> str:
        return " ".join(self.args[:2])


COMMANDS = [
    Command(("refine", "in.jsonl"), datapoint(id="x"), 2),
    Command(
        ("grade", "in.jsonl"),
        datapoint(id="x", response="4", rubric_items=[{"rubric_str": "a?"}, {"rubric_str": "b?"}]),
        2,
    ),
    Command(("debug-rollout", "in.jsonl"), datapoint(id="x"), 2),
    Command(
        ("generate-data", "rubrics", "--from", "in.jsonl", "--contrast", "good,bad"),
        {"prompt": "Which number comes after three? Name it.", "good": "Four.", "bad": "WRONG"},
        3,
    ),
    Command(("report", "in.jsonl", "--regrade", "--repeats", "1"), row(0, [0.0, 1.0]), 2),
]
each_command = pytest.mark.parametrize("command", COMMANDS, ids=str)


def answer(request: Request) -> str:
    if "<rubric>" in request.text:
        return RUBRIC
    if request.is_grading:
        return f"Because.\n<score>{int('WRONG' not in request.text)}</score>"
    return "It is 4."


def no_verdict(request: Request) -> str:
    return "I cannot say." if answer(request) != "It is 4." else "It is 4."


def args_of(command: Command, folder: Path, server: ChatServer, *more: str) -> list[str]:
    """The command's arguments, one call after the other, with replies kept in kept.db."""
    write_jsonl(folder / "in.jsonl", [command.line])
    calm = ["--set", "policy.retries=0", "--concurrency", "1", "--cache", "kept.db"]
    return [*command.args, *at(server), *calm, *more]


def in_order(text: str, *parts: str) -> None:
    place = 0
    for part in parts:
        found = text.find(part, place)
        assert found >= 0, f"{part!r} does not come after the others in:\n{text}"
        place = found + len(part)


def continued(cli: Cli, text: str) -> Result:
    """Run the command that the text says would continue."""
    line = next(line for line in text.splitlines() if line.startswith("  refinecli "))
    return cli(*shlex.split(line)[1:])


@each_command
def test_a_run_says_in_its_exit_code_that_all_went_well(
    cli: Cli, tmp_path: Path, command: Command
) -> None:
    with ChatServer(answer) as server:
        result = cli(*args_of(command, tmp_path, server, "--summary", "s.json"))
        assert len(server.requests) == command.calls
    assert result.returncode == 0, result.stderr
    assert result.stdout
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["datapoints"], summary["done"], summary["calls"]) == (1, 1, command.calls)


@each_command
def test_a_summary_that_cannot_be_written_is_exit_3_and_the_results_are_there(
    cli: Cli, tmp_path: Path, command: Command
) -> None:
    with ChatServer(answer) as server:
        args = args_of(command, tmp_path, server)
        lost = cli(*args, "--summary", "/dev/full")
        assert lost.returncode == 3, lost.stderr
        assert "--summary /dev/full: No space left" in lost.stderr
        sent = len(server.requests)
        whole = cli(*args)
        assert len(server.requests) == sent
    assert lost.stdout == whole.stdout != ""


@each_command
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_keeps_its_replies_and_says_how_to_go_on(
    start: Start, cli: Cli, tmp_path: Path, command: Command, number: int, code: int
) -> None:
    never = threading.Event()

    def second_waits(request: Request) -> Reply:
        return Reply(answer(request), wait_for=never if request.number == 1 else None)

    with ChatServer(second_waits) as server:
        args = args_of(command, tmp_path, server, "--summary", "s.json")
        process = start(*args, stdin=subprocess.DEVNULL)
        server.wait_for_requests(2)  # one at a time: the first has been answered and kept
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        never.set()
        assert (process.returncode, out) == (code, b"")
        in_order(
            err.decode(),
            "interrupted" if code == 130 else "terminated",
            "so far: 2 calls",
            "no datapoint was finished",
            "every reply is kept in kept.db; this continues:",
        )
        assert json.loads((tmp_path / "s.json").read_text())["datapoints"] == 0
        again = continued(cli, err.decode())
        assert again.returncode == 0, again.stderr
        # The one that was waited for may have been sent for nothing, and is asked for again.
        assert len(server.requests) == command.calls + 1


@each_command
def test_a_budget_ends_a_run_with_4_and_as_much_again_continues_it(
    cli: Cli, tmp_path: Path, command: Command
) -> None:
    allowed = command.calls - 1
    with ChatServer(answer) as server:
        ended = cli(*args_of(command, tmp_path, server, "--max-calls", str(allowed)))
        assert (ended.returncode, ended.stdout) == (4, ""), ended.stderr
        in_order(
            ended.stderr,
            f"error: --max-calls {allowed} is used up",
            f"so far: {allowed} call",
            "no datapoint was finished",
            "every reply is kept in kept.db; this continues, with as much again to spend:",
        )
        again = continued(cli, ended.stderr)
        assert again.returncode == 0, again.stderr
        assert len(server.requests) == command.calls


@each_command
def test_without_a_cache_a_run_that_ended_early_says_what_would_have_kept_it(
    cli: Cli, tmp_path: Path, command: Command
) -> None:
    with ChatServer(answer) as server:
        args = args_of(command, tmp_path, server, "--max-calls", "1")
        at_cache = args.index("--cache")
        ended = cli(*args[:at_cache], *args[at_cache + 2 :])
    assert ended.returncode == 4, ended.stderr
    if command.args[0] == "report":  # it always keeps them
        assert "every reply is kept in in.jsonl.regrade.cache" in ended.stderr
    else:
        assert "hint: add --cache FILE, and the same command can continue" in ended.stderr


@each_command
def test_a_datapoint_that_stays_without_a_result_is_exit_3_unless_it_may(
    cli: Cli, tmp_path: Path, command: Command
) -> None:
    with ChatServer(no_verdict) as server:
        args = args_of(command, tmp_path, server)
        failed = cli(*args)
        assert failed.returncode == 3, failed.stderr
        assert failed.stdout
        in_order(
            failed.stderr,
            "error: 1 of 1 datapoint failed or stayed ungraded (",
            "--max-errors allows 0",
            "hint: run the same command to ask again for what failed, and only for that: ",
        )
        sent = len(server.requests)
        allowed = cli(*args, "--max-errors", "1")
        assert allowed.returncode == 0, allowed.stderr
        assert len(server.requests) > sent


@each_command
def test_a_refused_key_ends_a_run_with_3(cli: Cli, tmp_path: Path, command: Command) -> None:
    with ChatServer(lambda request: Reply(status=401, raw=b"{}")) as server:
        ended = cli(*args_of(command, tmp_path, server))
    assert (ended.returncode, ended.stdout) == (3, ""), ended.stderr
    in_order(ended.stderr, "error: ", "so far: 1 call", "no datapoint was finished")
