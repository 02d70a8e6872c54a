"""`--engine ray` on a cluster of two nodes, both on this machine, of which one is lost."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_adaptive import WORDS, written
from tests.cli.test_shards import REFINE
from tests.conftest import CLEAN, Result, Start, at, check_item, datapoint, write_jsonl
from tests.support.fault_server import Arrival, FaultServer

pytest.importorskip("ray", reason="ray is not installed: pip install 'refinecli[ray]'")
Cli = Callable[..., Result]
ROWS, SHARDS, IN_FLIGHT = 60, 3, 4
# The head's node is at the machine's own address, so the driver is on it.
OTHER = "127.0.0.2"


def unlike_rows() -> list[dict[str, Any]]:
    """Rows no two of which send an equal request."""
    return [
        datapoint(
            id=f"row {n}",
            convo=[{"role": "user", "content": f"Say something about row {n}."}],
            rubric_items=[check_item(word) for word in WORDS],
        )
        for n in range(ROWS)
    ]


def children() -> dict[int, list[int]]:
    """Return the children of each process."""
    found: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parent = int(stat.read_text("utf-8", "replace").rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(stat.parts[2]))
    return found


class Node:
    """A node of a cluster: `ray start --block`, and all that it has started."""

    def __init__(self, env: dict[str, str], *args: str) -> None:
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus", "1", "--block"]
        ray += ["--min-worker-port", "0", "--max-worker-port", "0", "--disable-usage-stats"]
        ray += ["--object-store-memory", "100000000", *args]
        self._process = subprocess.Popen(
            ray, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def processes(self) -> list[int]:
        """Return its processes. Ray's workers have groups of their own."""
        by_parent, found = children(), [self._process.pid]
        for process in found:  # which grows
            found += by_parent.get(process, [])
        return found

    def shard(self) -> int | None:
        """Return the number of a shard that runs here."""
        for process in self.processes():
            with suppress(OSError):
                title = Path(f"/proc/{process}/cmdline").read_bytes().strip(b"\0").decode()
                if title.startswith("ray::shard "):
                    return int(title.split()[1].partition("/")[0])
        return None

    def kill(self) -> None:
        """Kill all of it at once, as a machine that loses its power."""
        for process in self.processes():
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._process.wait()


@contextmanager
def cluster(folder: str, key: dict[str, str]) -> Iterator[tuple[str, dict[str, str], list[Node]]]:
    """Provide the address of two nodes with one CPU each, the environment of their users, and
    both nodes, the head's first."""
    with socket.create_server(("", 0)) as free:
        port = free.getsockname()[1]
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    env = CLEAN | token | {"RAY_worker_niceness": "0"}  # or a busy machine never runs them
    with ExitStack() as stack:
        head = Node(
            env | key | {"RAY_TMPDIR": folder},
            *("--head", "--port", str(port), "--include-dashboard", "false"),
        )
        stack.callback(head.kill)
        wait_for(lambda: listens(port), "the head")
        other = Node(env | key, "--address", f"127.0.0.1:{port}", "--node-ip-address", OTHER)
        stack.callback(other.kill)
        yield f"127.0.0.1:{port}", token, [head, other]


def listens(port: int) -> bool:
    with suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


def wait_for(
    done: Callable[[], Any], what: str, *, of: subprocess.Popen[bytes] | None = None
) -> None:
    end = time.monotonic() + 120
    while not done():
        if of and of.poll() is not None:
            raise AssertionError(of.communicate()[1].decode())
        assert time.monotonic() < end, f"still waiting for {what}"
        time.sleep(0.1)


def replies_in(cache: Path) -> int:
    """Return how many replies a copy of a shard's cache holds."""
    with suppress(sqlite3.Error), sqlite3.connect(f"file:{cache}?immutable=1", uri=True) as copy:
        found: int = copy.execute("SELECT count(*) FROM replies").fetchone()[0]
        return found
    return 0


def caches(folder: Path) -> list[Path]:
    """Return where the caches of all shards are copied."""
    return [folder / f"part-{n:05}-of-{SHARDS:05}.jsonl.cache" for n in range(1, SHARDS + 1)]


def asked_by(shard: int, arrivals: list[Arrival]) -> int:
    """Count the requests of one shard."""
    rows = range(ROWS * (shard - 1) // SHARDS, ROWS * shard // SHARDS)
    marks = [f"about row {n}.".encode() for n in rows]
    return sum(any(mark in arrival.raw for mark in marks) for arrival in arrivals)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_lost_driver_and_a_lost_node_cost_what_was_in_flight_and_since_the_last_copies(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", unlike_rows())
    key = {"A_KEY": "sk-on-each-node"}
    run = [*REFINE, "--concurrency", str(IN_FLIGHT), "--set", "policy.api_key_env=A_KEY"]
    with (
        tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder,
        cluster(folder, key) as (address, token, nodes),
        FaultServer(written) as server,
    ):
        assert cli(*run, "-o", "whole.jsonl", *at(server), env=key).returncode == 0
        requests = len(server.seen)
        assert server.seen.total() == requests
        server.forget()
        server.latency = 0.2
        on_ray = [*run, "-o", "out.jsonl", "--engine", "ray", "--shards", str(SHARDS)]
        on_ray += ["--set", f"ray.address={address}", "--set", "ray.copy_seconds=1", *at(server)]
        copies = caches(tmp_path / "out.jsonl.ray")

        process = start(*on_ray, env=token, stdin=subprocess.DEVNULL)
        wait_for(lambda: any(map(replies_in, copies)), "a copy of a cache", of=process)
        process.kill()
        wait_for(lambda: not any(node.shard() for node in nodes), "the shards to end by themselves")
        server.take_in()
        sent = server.seen.total()
        time.sleep(1)
        assert server.seen.total() == sent < requests
        kept = [replies_in(copy) for copy in copies]

        process = start(*on_ray, env=token, stdin=subprocess.DEVNULL)
        other = nodes[1]
        wait_for(other.shard, "a shard on the other node", of=process)
        shard = other.shard()
        copy = copies[shard - 1]
        wait_for(lambda: replies_in(copy) > kept[shard - 1], "a copy of its cache", of=process)
        other.kill()
        gained = replies_in(copy) - kept[shard - 1]
        server.take_in()
        asked = asked_by(shard, server.arrivals[sent:])
        stdout, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr
        assert stdout == b""
        said = f"shard {shard}/{SHARDS} has died on {socket.gethostname()} and is started again"
        assert said.encode() in stderr
        assert len(server.seen) == requests
        assert 0 < server.sent_again <= (sent - sum(kept)) + (asked - gained)
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not (tmp_path / "out.jsonl.ray").exists()
