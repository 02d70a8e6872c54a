"""Run the command in a process that need not import it first: 50 ms of CPU, not 500.

    with ForkedCommand(env) as forked:
        forked.run(["--version"], cwd=folder, env=env, stdin="", seconds=60)
        process = forked.start(["refine"], cwd=folder, env=env)  # to be talked to

Each run is a process with its own pipes, folder, environment and exit code. `fork_server` describes
how it differs from one that is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
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
from typing import IO

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
        process = self.start(args, cwd=cwd, env=env)
        out, err = process.communicate(stdin.encode(), timeout=seconds)
        assert process.returncode is not None
        words = ["refinecli", *args]
        return subprocess.CompletedProcess(words, process.returncode, out.decode(), err.decode())

    def start(
        self,
        args: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
    ) -> ForkedProcess:
        """Start `refinecli ARGS…`; streams are what `subprocess.Popen` takes."""
        with self._turn:
            self._servers.reverse()
            server = self._servers[0]
            ours: list[int | None] = []
            with contextlib.ExitStack() as stack:
                theirs = []
                for number, given in enumerate((stdin, stdout, stderr)):
                    there, here = _ends(given, stack, read=number == 0)
                    theirs.append(there)
                    ours.append(here)
                request = {"args": args, "cwd": str(cwd), "env": dict(env)}
                pid, end = server.fork(request, theirs)
        return ForkedProcess(["refinecli", *args], pid, end, *ours)

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


class ForkedProcess:
    """A run as `subprocess.Popen` has it: its streams, its end, and what can be sent to it."""

    def __init__(
        self,
        args: Sequence[str],
        pid: int,
        end: int,
        stdin: int | None,
        stdout: int | None,
        stderr: int | None,
    ) -> None:
        self.args, self.pid = args, pid
        self.returncode: int | None = None
        self._end = end  # a pipe that the exit code comes through
        self.stdin: IO[bytes] | None = None if stdin is None else os.fdopen(stdin, "wb")
        self.stdout: IO[bytes] | None = None if stdout is None else os.fdopen(stdout, "rb")
        self.stderr: IO[bytes] | None = None if stderr is None else os.fdopen(stderr, "rb")

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        code = self._look(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def communicate(
        self, input: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        """Send what is given, read both streams to their ends, and wait for the process."""
        with ThreadPoolExecutor(3) as threads:
            sent = threads.submit(_send, self.stdin, input)
            read = [threads.submit(_read, pipe) for pipe in (self.stdout, self.stderr)]
            if wait(read, timeout).not_done or wait([sent], timeout).not_done:
                self.kill()  # or the threads would never end
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.wait(timeout)
        out, err = (future.result() for future in read)
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._end], [], [], timeout)[0]:
            with os.fdopen(self._end, "rb") as file:
                self.returncode = int(file.read())
        return self.returncode


def _ends(
    given: int | IO[bytes], stack: contextlib.ExitStack, *, read: bool
) -> tuple[int, int | None]:
    """Return a stream's end for the process, which `stack` closes where it is new, and ours."""
    if given == subprocess.PIPE:
        reading, writing = os.pipe()
        theirs, ours = (reading, writing) if read else (writing, reading)
        stack.callback(os.close, theirs)
        return theirs, ours
    if given == subprocess.DEVNULL:
        theirs = os.open(os.devnull, os.O_RDWR)
        stack.callback(os.close, theirs)
        return theirs, None
    return (given if isinstance(given, int) else given.fileno()), None


def _send(pipe: IO[bytes] | None, data: bytes | None) -> None:
    if pipe is not None:
        with contextlib.suppress(BrokenPipeError), pipe:
            pipe.write(data or b"")


def _read(pipe: IO[bytes] | None) -> bytes:
    if pipe is None:
        return b""
    with pipe:
        return pipe.read()


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

    def fork(self, request: Mapping[str, object], streams: Sequence[int]) -> tuple[int, int]:
        """Return a new run's process id, and the pipe that its exit code will come through."""
        end, theirs = os.pipe()
        data = json.dumps(request).encode()
        socket.send_fds(self._control, [struct.pack("I", len(data))], [*streams, theirs])
        self._control.sendall(data)
        os.close(theirs)
        pid = b""
        while not pid.endswith(b"\n"):
            byte = os.read(end, 1)
            assert byte, f"the server of forked commands ended: {self._errors()}"
            pid += byte
        return int(pid), end

    def _errors(self) -> str:
        assert self._process.stderr
        return self._process.stderr.read().decode()

    def close(self) -> None:
        self._control.close()
        self._process.communicate()
