"""What tests share: the command as a subprocess, a datapoint, files of JSONL."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.forked import ForkedCommand, ForkedProcess
from tests.support.thoroughness import PROFILE

# A busy machine is not a failure. A quarter of the usual examples while working: what they miss,
# the full run of .ci/run finds.
_BUSY: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", **_BUSY, max_examples=25)
settings.register_profile("thorough", **_BUSY, max_examples=100)
settings.load_profile(PROFILE)

REFINECLI = [sys.executable, "-m", "refinecli"]
# The environment of a user who has set nothing: no keys, no settings, no colours forced, and
# modules compiled once rather than by every command.
CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("REFINECLI_", "OPENAI_", "FORCE_COLOR", "NO_COLOR", "GITHUB_"))
    and name != "PYTHONDONTWRITEBYTECODE"
    and name.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
} | {"COLUMNS": "100"}

Result = subprocess.CompletedProcess[str]
Start = Callable[..., "subprocess.Popen[bytes]"]
PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Have the garbage collector leave alone what collecting the tests makes, a million objects
    that stay, and look at what a test leaves behind less often."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(50_000)


# Variables that are read when they are needed; others are read by the interpreter as it starts, or
# by a library as it is imported. A system that is not Linux may not bear a fork without `exec`.
_READ_LATE = re.compile(r"(?:REFINECLI|OPENAI|AWS|SSL_CERT)_|.*_(?:KEY|PROXY)\Z", re.IGNORECASE)


def _forks(env: dict[str, str] | None) -> bool:
    return sys.platform == "linux" and all(map(_READ_LATE.match, env or {}))


@pytest.fixture(scope="session")
def forked() -> Iterator[ForkedCommand]:
    with ForkedCommand(CLEAN) as command:
        yield command


@pytest.fixture
def cli(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Run `refinecli ARGS…` in an empty directory, to its end, with nothing on standard input."""

    def run(
        *args: str | Path,
        stdin: str = "",
        env: dict[str, str] | None = None,
        seconds: float = 60,
    ) -> Result:
        if _forks(env):
            forked: ForkedCommand = request.getfixturevalue("forked")
            words = [str(arg) for arg in args]
            return forked.run(
                words, cwd=tmp_path, env=CLEAN | (env or {}), stdin=stdin, seconds=seconds
            )
        return subprocess.run(
            [*REFINECLI, *map(str, args)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env=CLEAN | (env or {}),
            timeout=seconds,
        )

    return run


@pytest.fixture
def start(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Start]:
    """Start `refinecli ARGS…` with pipes of bytes, to be talked to; what still runs is killed."""
    started: list[subprocess.Popen[bytes] | ForkedProcess] = []

    def run(*args: str | Path, env: dict[str, str] | None = None, **streams: Any) -> Any:
        words, pipes = [str(arg) for arg in args], PIPES | streams
        if _forks(env):
            forked: ForkedCommand = request.getfixturevalue("forked")
            started.append(forked.start(words, cwd=tmp_path, env=CLEAN | (env or {}), **pipes))
        else:
            started.append(
                subprocess.Popen(
                    [*REFINECLI, *words],
                    cwd=tmp_path,
                    env=CLEAN | (env or {}),
                    text=False,
                    **pipes,
                )
            )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def datapoint(**fields: Any) -> dict[str, Any]:
    """A small datapoint with one item that a model grades."""
    return {
        "convo": [{"role": "user", "content": "What is 2 + 2?"}],
        "rubric_items": [{"rubric_str": "Is the answer 4?"}],
        **fields,
    }


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def read_jsonl(text: str | Path) -> list[dict[str, Any]]:
    data = text.read_text("utf-8") if isinstance(text, Path) else text
    return [json.loads(line) for line in data.split("\n") if line]


QUESTION = "What is 2 + 2?"

# The loop that rewrites the best answer, for tests that script what becomes of each rewrite.
REFINE = ("refine", "--strategy", "refine")


def at(server: Any) -> list[str]:
    """The flags that name a ChatServer and its model."""
    return ["--base-url", server.url, "--model", "scripted"]


def item(criterion: str = "Is the answer 4?", **fields: Any) -> dict[str, Any]:
    """A rubric item that a model grades."""
    return {"rubric_str": criterion, **fields}


def check_item(word: str, **fields: Any) -> dict[str, Any]:
    """A rubric item that code grades: the response holds the word."""
    return {"check": {"kind": "contains_all", "words": [word]}, **fields}


def jsonl(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)
