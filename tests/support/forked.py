"""Run the command in a process that need not import it first: 50 ms of CPU, not 500.

    with ForkedCommand(env) as forked:
        forked.run(["--version"], cwd=folder, env=env, stdin="", seconds=60)

Each run is a process with its own pipes, folder, environment and exit code. `fork_server` describes
how it differs from one that is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType

_SERVER = Path(__file__).with_name("fork_server.py")


class ForkedCommand:
    """Runs the command until the block ends, by two servers in turn: so two runs in a row have
    different hash seeds, as two processes have."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._servers = [_Server(env), _Server(env)]
        self._turn = threading.Lock()

    def run(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: str,
        seconds: float,
    ) -> subprocess.CompletedProcess[str]:
        """Return how `refinecli ARGS…` ended and what it said, as `subprocess.run` does."""
        with self._turn:
            self._servers.reverse()
            run = self._servers[0].start({"args": args, "cwd": str(cwd), "env": dict(env)})
        pid, stdin_pipe, stdout, stderr, end = run
        with ThreadPoolExecutor(4) as threads:
            told = threads.submit(_write, stdin_pipe, stdin.encode())
            said = [threads.submit(_read, pipe) for pipe in (stdout, stderr, end)]
            if wait([told], seconds).not_done or wait(said, seconds).not_done:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(["refinecli", *args], seconds)
        out, err, code = (future.result() for future in said)
        return subprocess.CompletedProcess(["refinecli", *args], int(code), out, err)

    def __enter__(self) -> ForkedCommand:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.close()


class _Server:
    """One process that has imported the command."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(_SERVER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env=env,
                # Pipes, or Python would make streams of another kind than a run has.
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )

    def start(self, request: Mapping[str, object]) -> tuple[int, int, int, int, int]:
        """Return a new run's process id, our ends of its streams, and the pipe of its exit code."""
        stdin, stdout, stderr, end = (os.pipe() for _ in range(4))
        theirs = [stdin[0], stdout[1], stderr[1], end[1]]
        data = json.dumps(request).encode()
        socket.send_fds(self._control, [struct.pack("I", len(data))], theirs)
        self._control.sendall(data)
        for descriptor in theirs:
            os.close(descriptor)
        pid = b""
        while not pid.endswith(b"\n"):
            byte = os.read(end[0], 1)
            assert byte, f"the server of forked commands ended: {self._errors()}"
            pid += byte
        return int(pid), stdin[1], stdout[0], stderr[0], end[0]

    def _errors(self) -> str:
        assert self._process.stderr
        return self._process.stderr.read().decode()

    def close(self) -> None:
        self._control.close()
        self._process.communicate()


def _write(pipe: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(pipe, "wb", buffering=0) as file:
        while data:
            data = data[file.write(data) :]


def _read(pipe: int) -> str:
    with os.fdopen(pipe, encoding="utf-8") as file:
        return file.read()
