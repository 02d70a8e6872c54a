"""Several commands in a pipe on one terminal: only the last draws, and nobody spoils its bar."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.terminal import Terminal

PLACED = """
import sys
from refinecli.display.shared_terminal import *
take_place(2)
print("placed", file=sys.stderr, flush=True)
for _ in iter(lambda: sys.__stdin__.buffer.raw.read(1), b""):
    print(is_last(2), free_to_draw(2), end=".", file=sys.stderr, flush=True)
"""
OURS = [sys.executable, "-c", PLACED]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.ours)


@contextmanager
def pipe(terminal: Terminal, *stages: list[str]) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run the stages with the terminal as standard error, each reading from the one before."""
    running: list[subprocess.Popen[bytes]] = []
    for number, stage in enumerate(stages):
        last = number == len(stages) - 1
        running.append(
            subprocess.Popen(
                stage,
                stdin=running[-1].stdout if running else subprocess.PIPE,
                stdout=subprocess.DEVNULL if last else subprocess.PIPE,
                stderr=terminal.theirs,
            )
        )
        if stage is OURS:
            terminal.read_until("placed")
            terminal.text = ""
    yield running
    for one in running:
        one.kill()
        one.wait()
        for stream in (one.stdin, one.stdout):
            if stream:
                stream.close()


def asked(terminal: Terminal, stage: subprocess.Popen[bytes]) -> str:
    """Have a stage say whether it is the last, and whether it may draw."""
    assert stage.stdin
    stage.stdin.write(b"?")
    stage.stdin.flush()
    terminal.read_until(".")
    said, terminal.text = terminal.text.strip().rstrip("."), ""
    return said


def test_one_before_another_of_ours_neither_draws_nor_is_last(terminal: Terminal) -> None:
    with pipe(terminal, OURS, OURS) as (first, _):
        assert asked(terminal, first) == "False False"


def test_one_that_is_read_by_a_foreign_program_is_the_last(terminal: Terminal) -> None:
    with pipe(terminal, OURS, ["cat"]) as (first, _):
        assert asked(terminal, first) == "True True"


def test_one_of_ours_behind_a_foreign_program_comes_later_too(terminal: Terminal) -> None:
    with pipe(terminal, OURS, ["cat"], OURS) as (first, *_):
        assert asked(terminal, first) == "False False"


def test_once_the_later_one_has_ended_the_earlier_is_the_last(terminal: Terminal) -> None:
    with pipe(terminal, OURS, OURS) as (first, second):
        assert asked(terminal, first) == "False False"
        second.kill()
        second.wait()
        assert asked(terminal, first) == "True True"
