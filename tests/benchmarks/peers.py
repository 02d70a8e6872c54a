"""The same job by other tools, each from PyPI in an environment of its own under `build/`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.jobs import CALLS, Lab, job_figures, refine, served
from tests.benchmarks.measure import HERE, Figure, NotMeasuredError, Server

ENVIRONMENTS = HERE.parents[1] / "build" / "benchmarks"


@dataclass(frozen=True)
class Peer:
    """A tool, what to install, and the script in `scripts/` that does the job with it."""

    name: str
    packages: tuple[str, ...]
    script: str


PEERS = (
    Peer("openai in a gather", ("openai==3.54.0",), "openai_gather.py"),
    Peer("OpenJudge", ("py-openjudge==0.2.4", "openai==3.54.0"), "openjudge_runner.py"),
    Peer("inspect", ("inspect-ai==0.3.285", "openai==3.54.0"), "inspect_task.py"),
)


def python(peer: Peer) -> Path:
    """The Python of a peer's environment, which is made if it is not there yet."""
    folder = ENVIRONMENTS / peer.packages[0]
    executable = folder / "bin" / "python"
    installed = folder / "installed"
    if installed.exists():
        return executable
    print(f"installing {' '.join(peer.packages)} in {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    pip: list[str | Path] = [
        executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    make: list[str | Path] = [sys.executable, "-m", "venv", folder]
    for command in (make, [*pip, *peer.packages]):
        result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode:
            last = (result.stderr or result.stdout).strip().split("\n")[-1]
            raise NotMeasuredError(f"cannot be installed: {last}")
    installed.touch()
    return executable


def peers(
    lab: Lab, datapoints: int = 500, latency_ms: float = 50
) -> Iterator[Figure | NotMeasuredError]:
    """The short job again, in turn with the same job by each peer that can be installed."""
    data, calls = lab.additions(datapoints), CALLS * datapoints
    with Server(latency_ms=latency_ms) as server:
        commands = {"refinecli": refine(data, server.url, "-o", "out.jsonl")}
        for peer in PEERS:
            script = HERE / "scripts" / peer.script
            try:
                command = (python(peer), script, server.url, data, "64")
                served(lab, server, command, calls)  # compiles its modules
            except NotMeasuredError as reason:
                yield NotMeasuredError(f"{peer.name}: {reason}")
            else:
                commands[peer.name] = command
        measured = {
            name: lambda command=command: served(lab, server, command, calls)
            for name, command in commands.items()
        }
        runs = lab.interleaved(3, measured)
    for name in commands:
        yield from job_figures(name, runs[name], calls, latency_ms)
