"""`--engine ray`: the shards of a file in several processes, by one limiter."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.cli.test_adaptive import written
from tests.cli.test_shards import REFINE, graded_rows, rows
from tests.conftest import Result, Start, at, write_jsonl
from tests.support.fault_server import FaultServer

pytest.importorskip("ray", reason="ray is not installed: pip install 'refinecli[ray]'")
Cli = Callable[..., Result]
KEY = "sk-never-through-ray"
IN_FLIGHT = 4


@pytest.fixture
def session() -> Iterator[Path]:
    """A folder for all that Ray writes, with a name short enough for sockets in it."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def worker(part: Path, *, of: subprocess.Popen[bytes], other_than: int = 0) -> int:
    """Wait for the process that writes a part of the run, which has it open."""
    for _ in range(900):
        if of.poll() is not None:
            _, stderr = of.communicate()
            if b"Ray did not start" in stderr:  # it gives itself half a minute
                pytest.skip(stderr.decode())
            raise AssertionError(stderr.decode())
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            with suppress(OSError):
                process = int(link.parts[2])
                if link.readlink() == part and process != other_than:
                    return process
        time.sleep(0.2)
    raise AssertionError(f"nobody writes {part}")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_killed_worker_and_an_interrupt_cost_what_was_in_flight_and_no_byte(
    cli: Cli, start: Start, tmp_path: Path, session: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(40))
    env = {"RAY_TMPDIR": str(session), "A_KEY": KEY}
    run = [*REFINE, "--concurrency", str(IN_FLIGHT), "--set", "policy.api_key_env=A_KEY"]
    on_ray = [*run, "-o", "parts/", "--engine", "ray", "--shards", "3", "--summary", "s.json"]
    on_ray += ["--set", "ray.workers=2"]
    with FaultServer(written) as server:
        assert cli(*run, "-o", "whole.jsonl", *at(server), env=env).returncode == 0
        requests = len(server.seen)
        server.forget()
        server.latency = 0.2
        process = start(*on_ray, *at(server), env=env, stdin=subprocess.DEVNULL)
        part = tmp_path / "parts/_ray/part-00001-of-00003.jsonl.partial"
        victim = worker(part, of=process)
        server.wait_for_requests(10)
        os.kill(victim, signal.SIGKILL)
        worker(part, of=process, other_than=victim)
        server.wait_for_requests(server.seen.total() + 5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 130, stderr
        assert b"shard 1/3 has died" in stderr
        assert b"every reply is kept in" in stderr
        assert not list((tmp_path / "parts").glob("*.json*"))
        result = cli(*on_ray, *at(server), env=env)
        assert result.returncode == 0, result.stderr
        assert len(server.seen) == requests
        # Those of the killed worker, and of both that were interrupted.
        assert server.seen.total() <= requests + 3 * IN_FLIGHT
    assert result.stderr.endswith("refinecli merge parts/part-*.jsonl -o whole.jsonl\n")
    parts = sorted(str(path) for path in (tmp_path / "parts").glob("*.jsonl"))
    merged = cli("merge", *parts, "-o", "merged.jsonl")
    assert merged.returncode == 0, merged.stderr
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert json.loads((tmp_path / "s.json").read_text())["done"] == 40
    manifest = json.loads((tmp_path / "parts/manifest.json").read_text())
    assert [part["file"] for part in manifest["parts"]] == [Path(part).name for part in parts]
    assert len(list((tmp_path / "parts").iterdir())) == 2 * len(parts) + 1
    logs = [path for path in session.rglob("*") if path.is_file()]
    assert logs
    assert not [path for path in logs if KEY.encode() in path.read_bytes()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_grade_by_checks_alone_asks_nobody_and_judges_its_gates_over_all_parts(
    cli: Cli, tmp_path: Path, session: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", graded_rows(12))
    grade = ["grade", "in.jsonl", "--fail-under", "0.99", "--summary"]
    plain = cli(*grade, "plain.json", "-o", "whole.jsonl")
    on_ray = ["-o", "parts/", "--engine", "ray", "--shards", "2", "--set", "ray.workers=1"]
    result = cli(*grade, "ray.json", *on_ray, env={"RAY_TMPDIR": str(session)}, seconds=240)
    if "Ray did not start" in result.stderr:
        pytest.skip(result.stderr)
    assert (plain.returncode, result.returncode) == (1, 1), result.stderr
    missed = "error: --fail-under 0.99 is missed"
    assert missed in plain.stderr
    assert missed in result.stderr
    parts = sorted(str(path) for path in (tmp_path / "parts").glob("*.jsonl"))
    assert cli("merge", *parts, "-o", "merged.jsonl").returncode == 0
    assert (tmp_path / "merged.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert (tmp_path / "parts/manifest.json").exists()
    assert not (tmp_path / "parts/_ray").exists()
    figures = [json.loads((tmp_path / name).read_text()) for name in ("plain.json", "ray.json")]
    for one in figures:
        one.pop("seconds")
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["in.jsonl"], "--engine ray needs a file or a directory for its output"),
        (["in.jsonl", "-o", "-"], "--engine ray needs a file or a directory for its output"),
        (["-", "-o", "o.jsonl"], "--engine ray needs one regular file to divide"),
        (["in.jsonl", "b.jsonl", "-o", "o.jsonl"], "needs one regular file to divide"),
        (["in.jsonl", "-o", "o.jsonl", "--shard", "1/2"], "--shard does not go with --engine ray"),
        (["in.jsonl", "-o", "o.jsonl", "--cache", "c"], "--cache does not go with --engine ray"),
        (["in.jsonl", "-o", "o.jsonl", "--batch-files", "w"], "does not go with --engine ray"),
    ],
)
def test_what_has_no_parts_or_keeps_its_own_replies_is_refused(
    cli: Cli, tmp_path: Path, args: list[str], said: str
) -> None:
    for name in ("in.jsonl", "b.jsonl"):
        write_jsonl(tmp_path / name, rows(2))
    refused = cli("grade", *args, "--engine", "ray")
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not list(tmp_path.glob("o.jsonl*"))


def test_a_directory_takes_parts_alone_and_is_not_made_by_what_is_refused(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    (tmp_path / "there").mkdir()
    (tmp_path / "there/part-00001-of-00001.jsonl").touch()
    on_ray = ("--engine", "ray")
    for args, said in (
        (["-o", "new/"], "new/: is a directory; only --engine ray writes to one"),
        (["-o", "there"], "there: is a directory; only --engine ray writes to one"),
        (["-o", "there", *on_ray], "there: holds parts already, such as part-00001-of-00001.jsonl"),
        (["-o", "no/new/", *on_ray], "no: no such directory"),
        (["-o", "new/", "--summary", "new/manifest.json", *on_ray], "is the output"),
    ):
        for command in ("refine", "grade"):
            refused = cli(command, "in.jsonl", *args)
            assert refused.returncode == 2, refused.stderr
            assert said in refused.stderr
    (tmp_path / "bad.jsonl").write_text("{}\n")
    assert cli("grade", "bad.jsonl", "-o", "new/", *on_ray).returncode == 2
    dry = cli("grade", "in.jsonl", "-o", "new/", "--dry-run", *on_ray)
    assert dry.returncode == 0, dry.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "bad.jsonl", "there"}


def test_settings_are_shown_where_ray_is_not_installed(cli: Cli, tmp_path: Path) -> None:
    for command in ("refine", "grade"):
        shown = cli(command, "--show-config", "--engine", "ray", "--shards", "7")
        assert shown.returncode == 0, shown.stderr
        assert "shards = 7  # --shards" in shown.stdout


def test_another_engine_and_shards_without_one_are_refused(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows(2))
    for args, said in (
        (["--engine", "dask"], "--engine dask: must be ray"),
        (["--shards", "4"], "--shards 4 means nothing without --engine ray"),
    ):
        refused = cli("grade", "in.jsonl", *args)
        assert refused.returncode == 2
        assert said in refused.stderr
