"""Measuring one command, and the server it talks to."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Any

HERE = Path(__file__).parent
# No keys, settings or proxies of whoever runs this; the peers want some key to be there. Modules
# are compiled once, as they are where anything is installed: Python compiles them in each run if
# told to keep nothing.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("REFINECLI_", "OPENAI_", "FORCE_COLOR", "PYTHONDONTWRITEBYTECODE"))
    and name.lower() not in ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
} | {"OPENAI_API_KEY": "unused"}


class NotMeasuredError(Exception):
    """A figure that could not be had, and why."""


@dataclass(frozen=True)
class Figure:
    """One line of the table: what was measured, once for each run, and what it should be."""

    what: str
    samples: Sequence[float]
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def value(self) -> float:
        return median(self.samples)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


@dataclass(frozen=True)
class Run:
    """What one command took: seconds of wall and CPU time, bytes of memory at the peak."""

    code: int
    started_at: float
    wall: float
    cpu: float
    peak_bytes: int

    @property
    def peak_mb(self) -> float:
        return self.peak_bytes / 1e6


def run(command: Sequence[str | Path], folder: Path, cpu: int | None = None) -> Run:
    """Run a command in a folder, on one core if told; NotMeasuredError where it fails."""
    core = "any" if cpu is None else str(cpu)
    launch: list[str | Path] = [sys.executable, "-I", "-S", HERE / "launch.py", core]
    with tempfile.TemporaryFile("w+") as stderr:
        launched = subprocess.Popen(
            [*launch, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            cwd=folder,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        try:
            result = Run(**json.loads(launched.communicate()[0]))
        except BaseException:
            os.killpg(launched.pid, signal.SIGKILL)  # the launcher and what it launched
            raise
        if result.code:
            stderr.seek(0)
            raise NotMeasuredError(f"exit {result.code}: {_reason(stderr.read())}")
    return result


def _reason(stderr: str) -> str:
    """The first line that says `error`, or the last one."""
    lines = [line.strip(" │") for line in stderr.splitlines() if line.strip(" │╭╰─╮╯")]
    errors = [line for line in lines if line.lower().startswith(("error: ", "no such option"))]
    return (errors or lines[-1:] or ["it said nothing"])[0]


def cores() -> tuple[int | None, int | None]:
    """One core for a server and another for its client, where the system can pin processes."""
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[-1]) if len(usable) > 1 else (None, None)


class Server:
    """`server.py` as a child process, until the block ends.

    with Server(latency_ms=50) as server:
        ...  # server.url, server.stats()
    """

    def __init__(
        self, cpu: int | None = None, *, prefixes: bool = False, **options: float | None
    ) -> None:
        self._command = [sys.executable, "-I", str(HERE / "server.py")]
        if prefixes:
            self._command.append("--prefixes")
        for name, value in options.items():
            if value is not None:
                self._command += [f"--{name.replace('_', '-')}", str(value)]
        self._cpu = cpu

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._cpu is not None:
            os.sched_setaffinity(self._process.pid, {self._cpu})
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        self.address = self.url.removeprefix("http://").removesuffix("/v1")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()  # closes its standard input, which ends it

    def stats(self) -> Mapping[str, Any]:
        """What came since the last `reset`; see server.Stats."""
        return self._get("/stats")

    def reset(self) -> None:
        self._get("/reset")

    def _get(self, path: str) -> Mapping[str, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        try:
            connection.request("GET", path)
            stats: Mapping[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return stats
