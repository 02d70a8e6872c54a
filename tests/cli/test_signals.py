"""SIGINT and SIGTERM: what was finished is kept, in whole lines, and stderr says how to go on."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import threading
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
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, Request, by_role

Cli = Callable[..., Result]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]


def rows_named(*names: str) -> list[dict[str, Any]]:
    return [datapoint(id=n, convo=[{"role": "user", "content": f"name {n}"}]) for n in names]


def held(release: threading.Event, names: str = "c") -> Callable[[Request], str | Reply]:
    """Answer everyone at once but the named, who wait for the event."""

    def answer(request: Request) -> str | Reply:
        waits = any(f"name {name}" in request.last for name in names)
        return Reply(request.last, wait_for=release if waits else None)

    return answer


def read_until(pipe: Any, text: str) -> str:
    """Lines of the pipe up to the one that holds the text."""
    read = ""
    for line in iter(pipe.readline, b""):
        read += line.decode()
        if text in read:
            return read
    raise AssertionError(f"{text!r} never came: {read}")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_run_keeps_whole_lines_and_says_how_to_go_on(
    start: Start, cli: Cli, tmp_path: Path, number: int, code: int
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows_named("a", "b", "c", "d"))
    never = threading.Event()
    args = [*REFINE, "in.jsonl", "-o", "out.jsonl", "--summary", "summary.json", "-v"]
    with ChatServer(by_role(held(never, "cd"))) as server:
        process = start(*args, *at(server), stdin=subprocess.DEVNULL)
        # From here on both are written and the others wait: `-v` tells each line after writing it.
        shown = read_until(process.stderr, "b: done")
        server.wait_for_requests(6)
        assert not (tmp_path / "out.jsonl").exists()
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        text = shown + err.decode()
        assert (process.returncode, out) == (code, b"")
        assert "Traceback" not in text
        assert ("interrupted" if code == 130 else "terminated") in text
        assert "2 datapoints" in text
        assert "out.jsonl.partial" in text
        assert not (tmp_path / "out.jsonl").exists()
        kept = (tmp_path / "out.jsonl.partial").read_text()
        assert kept.endswith("\n")
        assert [row["id"] for row in read_jsonl(kept)] == ["a", "b"]
        summary = json.loads((tmp_path / "summary.json").read_text())
        assert (summary["datapoints"], summary["done"]) == (2, 2)

        # The command that continues is told; it gives what an uninterrupted run would have given.
        never.set()
        told = shlex.split(text[text.index("  refinecli refine") :].splitlines()[0])
        assert told[1:] == [*args, *at(server)]
        continued = cli(*told[1:])
        assert continued.returncode == 0, continued.stderr
        whole = cli(*REFINE, *at(server), "in.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == whole.stdout


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_pipe_has_whole_lines(
    start: Start, tmp_path: Path, number: int, code: int
) -> None:
    never = threading.Event()
    with ChatServer(by_role(held(never, "cd"))) as server:
        process = start(*REFINE, *at(server))
        process.stdin.write(jsonl(rows_named("a", "b", "c", "d")).encode())
        process.stdin.flush()
        first = [process.stdout.readline() for _ in range(2)]
        server.wait_for_requests(6)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        never.set()
    assert process.returncode == code
    assert [json.loads(line)["id"] for line in first] == ["a", "b"]
    assert out == b""
    assert b"2 datapoints" in err
    assert b"standard output" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_run_that_waits_for_input_is_interrupted_at_once(
    start: Start, number: int, code: int
) -> None:
    with ChatServer(by_role("4")) as server:
        process = start(*REFINE, *at(server))
        process.stdin.write(jsonl([datapoint()]).encode())
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(number)
        assert process.wait(30) == code


def test_nothing_is_left_of_a_run_that_had_finished_nothing(start: Start, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows_named("c"))
    never = threading.Event()
    with ChatServer(by_role(held(never))) as server:
        process = start(*REFINE, "in.jsonl", "-o", "out.jsonl", *at(server))
        server.wait_for_requests(1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        never.set()
    assert process.returncode == 130
    assert b"interrupted" in err
    assert b"partial" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_file_is_absent_after_kill_9(start: Start, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows_named("a", "c"))
    never = threading.Event()
    with ChatServer(by_role(held(never))) as server:
        process = start(*REFINE, "in.jsonl", "-o", "out.jsonl", *at(server))
        server.wait_for_requests(3)
        process.kill()
        process.wait(30)
        never.set()
    assert not (tmp_path / "out.jsonl").exists()


# ------------------------------------------------------------------ a reader that does not read


def _graded_by_code(count: int, size: int) -> bytes:
    rows = [
        datapoint(id=n, response="4", pad="x" * size, rubric_items=[check_item("4")])
        for n in range(count)
    ]
    return jsonl(rows).encode()


def _fed(process: Any, data: bytes) -> threading.Thread:
    """Write it all to standard input, which stays open."""

    def feed() -> None:
        try:
            process.stdin.write(data)
            process.stdin.flush()
        except OSError:
            pass

    thread = threading.Thread(target=feed)
    thread.start()
    return thread


def _stuck(process: Any) -> None:
    """Wait until nothing moves any more, by what `-v` says: standard output is full."""
    while select.select([process.stderr], [], [], 1)[0]:
        assert os.read(process.stderr.fileno(), 1 << 16), "it ended"


@pytest.mark.parametrize(("count", "size"), [(6, 40_000), (4000, 500)], ids=["few", "many"])
def test_a_pipe_that_is_full_when_the_signal_comes_still_gets_whole_lines(
    start: Start, count: int, size: int
) -> None:
    process = start("grade", *NOBODY, "-v")
    feeder = _fed(process, _graded_by_code(count, size))
    read_until(process.stderr, "\n5: done")
    _stuck(process)
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(2)  # it may wait for us to read, and if it does not, what was written is whole
    out, err = process.stdout.read(), process.stderr.read().decode()
    assert process.wait(30) == 143
    feeder.join()
    assert out.endswith(b"\n")
    ids = [row["id"] for row in read_jsonl(out.decode())]
    assert ids == list(range(len(ids)))
    said = re.search(r"finished: (\d+) datapoints: |the lines of the first (\d+)", err)
    assert said is not None, err
    told = int(said[1] or said[2])
    # The line that the signal came upon may be written and not counted.
    assert told <= len(ids) <= told + 1, f"it said: {err}"


def test_a_second_signal_ends_what_the_first_could_not(start: Start) -> None:
    process = start("grade", *NOBODY, "-v")
    feeder = _fed(process, _graded_by_code(6, 40_000))
    read_until(process.stderr, "\n5: done")
    process.send_signal(signal.SIGINT)  # cannot write the rest: nobody reads
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) in (130, 143)
    feeder.join()


# ------------------------------------------------------------------ the other commands


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_debug_rollout_is_interrupted(start: Start, tmp_path: Path, number: int, code: int) -> None:
    never = threading.Event()
    with ChatServer(by_role(lambda r: Reply("4", wait_for=never))) as server:
        process = start("debug-rollout", "-o", "out.txt", *at(server), stdin=subprocess.DEVNULL)
        server.wait_for_requests(1)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        never.set()
    assert (process.returncode, out) == (code, b"")
    assert (b"interrupted" if code == 130 else b"terminated") in err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_generate_data_is_interrupted(start: Start, tmp_path: Path) -> None:
    process = start("generate-data", "addition", "-n", "300000", "-o", "x.jsonl")
    while not list(tmp_path.glob("*.partial")):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err.decode()
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_signal_before_the_run_has_begun_is_no_traceback(tmp_path: Path) -> None:
    # The first line of a named pipe is waited for by --dry-run, outside of any event loop.
    process = subprocess.Popen(
        [sys.executable, "-c", _IN_DRY_RUN],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=CLEAN,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    read_until(process.stderr, "reading")
    process.send_signal(signal.SIGINT)
    err = process.stderr.read()
    process.stdin.close()
    process.stderr.close()
    assert process.wait(30) == 130
    assert b"Traceback" not in err


# Where the tests run in the background of a script, its shell has them ignore SIGINT.
_IN_DRY_RUN = """
import signal, sys, refinecli.__main__, refinecli.runs.run
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = ["refinecli", "refine", "--model", "m", "--base-url", "http://x/v1", "--dry-run"]
before = refinecli.runs.run.Input.all_rows
def all_rows(self):
    print("reading", file=sys.stderr, flush=True)
    return before(self)
refinecli.runs.run.Input.all_rows = all_rows
refinecli.__main__.main()
"""
