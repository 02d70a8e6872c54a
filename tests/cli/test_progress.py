"""What a person sees on standard error while a command runs."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from refinecli.display.shared_terminal import free_to_draw
from tests.conftest import REFINE, Result, Start, at, datapoint, jsonl, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request
from tests.support.terminal import Terminal

Cli = Callable[..., Result]
DRAWS = ("\x1b[1A", "\x1b[2K", "\x1b[?25l")  # up, erase, hide the cursor


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.ours)


def held_until(event: threading.Event) -> Callable[[Request], Reply]:
    """A server that answers well, but nothing before the event."""
    return lambda r: Reply("<score>1</score>" if r.is_grading else "4", wait_for=event)


@pytest.mark.parametrize("env", [{}, {"NO_COLOR": "1"}, {"FORCE_COLOR": "1"}])
def test_a_terminal_shows_a_bar_and_what_is_printed_stands_above_it(
    start: Start, terminal: Terminal, tmp_path: Path, env: dict[str, str]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=f"row-{n}") for n in range(3)])
    seen = threading.Event()
    with ChatServer(held_until(seen)) as server:
        process = start(
            *(*REFINE, "in.jsonl", "-v", "--concurrency", "2", *at(server)),
            stdin=subprocess.DEVNULL,
            stderr=terminal.theirs,
            env={"TERM": "xterm-256color", "COLUMNS": "80"} | env,
        )
        terminal.read_until("2 in flight")
        seen.set()
        out = process.stdout.read().decode()
        assert process.wait(60) == 0
    shown = terminal.read_all()
    assert [row["id"] for row in read_jsonl(out)] == ["row-0", "row-1", "row-2"]
    assert "0/3" in shown
    # The bar is taken away before the last words, and the cursor is there after each frame.
    *_, last_words = shown.split("\x1b[2K")
    assert "row-2: done, score 1" in shown
    assert "score: 1.000 at first, 1.000 at best, of 1\r\n" in last_words
    assert "in flight" not in last_words
    hidden, brought_back = shown.rfind("\x1b[?25l"), shown.rfind("\x1b[?25h")
    assert hidden < brought_back
    assert bool(re.search(r"\x1b\[[\d;]*3\d", shown)) == ("NO_COLOR" not in env)


@pytest.mark.parametrize(
    ("flags", "env"), [((), {"TERM": "dumb"}), (("-q",), {"TERM": "xterm-256color"})]
)
def test_a_dumb_terminal_and_a_quiet_run_get_no_bar(
    start: Start, terminal: Terminal, flags: tuple[str, ...], env: dict[str, str]
) -> None:
    with ChatServer(lambda r: "<score>1</score>" if r.is_grading else "4") as server:
        process = start(*REFINE, *at(server), *flags, stderr=terminal.theirs, env=env)
        process.communicate(jsonl([datapoint()]).encode(), timeout=60)
    shown = terminal.read_all()
    assert "\x1b" not in shown
    assert bool(shown) == (not flags)


def test_a_log_has_no_cursor_movements_though_colour_is_forced(cli: Cli) -> None:
    with ChatServer(lambda r: "<score>1</score>" if r.is_grading else "4") as server:
        env = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
        result = cli(*REFINE, *at(server), "--show", stdin=jsonl([datapoint()]), env=env)
    assert "first draft" in result.stderr
    assert not any(code in result.stderr for code in DRAWS)


HOLDS_THE_TERMINAL = """
import sys
from refinecli.display.shared_terminal import free_to_draw
print(free_to_draw(2), flush=True)
sys.stdin.read()
"""


def test_of_two_processes_on_a_terminal_one_draws(terminal: Terminal) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS_THE_TERMINAL],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=terminal.theirs,
    ) as other:
        assert other.stdout
        assert other.stdout.readline() == b"True\n"
        assert not free_to_draw(terminal.theirs)
        other.communicate()
    assert free_to_draw(terminal.theirs)
    fcntl.lockf(terminal.theirs, fcntl.LOCK_UN)
    terminal.read_all()
