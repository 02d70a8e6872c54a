"""A run that died continues: what was finished is replayed, not sent, and the file is the same."""

from __future__ import annotations

import json
import random
import re
import shlex
import shutil
import signal
import stat
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
    REFINECLI,
    Result,
    Start,
    at,
    datapoint,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import Reply, error
from tests.support.fault_server import Arrival, FaultServer, questions, steady

Cli = Callable[..., Result]
# How a run dies, and the code it ends in.
DEATHS = [
    pytest.param(signal.SIGKILL, -9, id="kill -9"),
    pytest.param(signal.SIGTERM, 143, id="SIGTERM"),
    pytest.param(signal.SIGINT, 130, id="SIGINT"),
]
SIGNALS = DEATHS[1:]
IN_FLIGHT = 8
# One round: in a second, a rewrite that was not accepted would be asked for by the same request.
RUN = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "1", "--strategy", "refine"]


def reference(cli: Cli, tmp_path: Path, server: FaultServer, *run: str) -> bytes:
    """What the run writes when nobody interrupts it."""
    result = cli(*run, *at(server))
    assert result.returncode == 0, result.stderr
    name = run[run.index("-o") + 1]
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).unlink()
    return whole


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def read_until(pipe: Any, text: str) -> str:
    """Lines of the pipe up to the one that holds the text."""
    read = ""
    for line in iter(pipe.readline, b""):
        read += line.decode()
        if text in read:
            return read
    raise AssertionError(f"{text!r} never came: {read}")


def told_command(stderr: str) -> list[str]:
    """The arguments of the command that standard error says continues the run."""
    lines = [line for line in stderr.splitlines() if "refinecli " in line]
    assert lines, f"no command: {stderr}"
    return shlex.split(lines[-1].partition("refinecli ")[2].strip("` "))


def held(*words: str) -> tuple[threading.Event, Callable[[Arrival], str | Reply]]:
    """`steady`, but whose last message holds one of the words waits for the event."""
    release = threading.Event()

    def script(request: Arrival) -> str | Reply:
        text = steady(request)
        return Reply(text, wait_for=release) if any(w in request.text for w in words) else text

    return release, script


def question(name: str, **fields: Any) -> dict[str, Any]:
    convo = [{"role": "user", "content": f"name {name}"}]
    return datapoint(id=name, convo=convo, **fields)


# ------------------------------------------------------------------ any death


@pytest.mark.parametrize(("number", "code"), DEATHS)
def test_a_run_that_dies_many_times_pays_for_little_twice_and_writes_the_same_bytes(
    cli: Cli, start: Start, tmp_path: Path, number: int, code: int
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(90))
    run = [*RUN, "--concurrency", str(IN_FLIGHT)]
    with FaultServer(latency=0.01) as server:
        whole = reference(cli, tmp_path, server, *run)
        requests = len(server.seen)
        assert server.sent_again == 0
        server.forget()
        often = 10 if number == signal.SIGKILL else 5
        moments = sorted(random.Random(number).sample(range(1, requests * 9 // 10), often))
        for moment in moments:
            first = server.count_of_next()
            process = start(*run, *at(server), stdin=subprocess.DEVNULL)
            server.wait_for_requests(max(moment, first))
            process.send_signal(number)
            _, err = process.communicate(timeout=30)
            assert process.returncode == code, err.decode()
            assert b"Traceback" not in err
            assert not (tmp_path / "out.jsonl").exists()
            # Before the first reply there is nothing to keep.
            kept = (tmp_path / "out.jsonl.cache").exists()
            assert kept or len(server.seen) <= IN_FLIGHT
        last = cli(*run, *at(server), "--summary", "summary.json")
        sent, again = len(server.seen), server.sent_again
    assert last.returncode == 0, last.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert sent == requests
    assert again <= IN_FLIGHT * len(moments)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["calls"] + summary["replayed"] == requests
    assert names(tmp_path) == {"in.jsonl", "out.jsonl", "summary.json"}


@pytest.mark.parametrize(("number", "code"), DEATHS)
def test_no_call_whose_result_was_used_is_ever_sent_again(
    cli: Cli, start: Start, tmp_path: Path, number: int, code: int
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abcd"])
    release, script = held("name c", "name d")
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "0"]
    with FaultServer(script) as server:
        process = start(*run, *at(server), "-v", stdin=subprocess.DEVNULL)
        read_until(process.stderr, "b: done")
        server.wait_for_requests(6)
        process.send_signal(number)
        process.communicate(timeout=30)
        assert process.returncode == code
        release.set()
        server.forget()
        second = cli(*run, *at(server), "--summary", "summary.json")
        asked = [request.text for request in server.arrivals]
    assert second.returncode == 0, second.stderr
    assert len(asked) == 4
    assert all("name c" in text or "name d" in text for text in asked)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["calls"], summary["replayed"]) == (4, 4)
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [*"abcd"]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_run_names_the_command_that_continues_it(
    cli: Cli, start: Start, tmp_path: Path, number: int, code: int
) -> None:
    write_jsonl(tmp_path / "in put.jsonl", [question(n) for n in "abc"])
    release, script = held("name c")
    run = [*REFINE, "in put.jsonl", "-o", "out.jsonl", "--set", "policy.system=Be 'brief'."]
    with FaultServer(script) as server:
        process = start(*run, *at(server), "-v", stdin=subprocess.DEVNULL)
        shown = read_until(process.stderr, "b: done")
        server.wait_for_requests(5)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        text = shown + err.decode()
        assert process.returncode == code
        assert ("interrupted" if code == 130 else "terminated") in text
        assert "2 datapoints" in text
        assert not (tmp_path / "out.jsonl").exists()
        release.set()
        server.forget()
        second = cli(*told_command(text))
        asked = [request.text for request in server.arrivals]
    assert second.returncode == 0, second.stderr
    assert asked
    assert all("name c" in text for text in asked)
    assert names(tmp_path) == {"in put.jsonl", "out.jsonl"}


def test_grade_continues_too(cli: Cli, start: Start, tmp_path: Path) -> None:
    rows = [question(n, response=f"I am {n}.") for n in "abcdef"]
    write_jsonl(tmp_path / "in.jsonl", rows)
    release, script = held("I am e", "I am f")
    run = ["grade", "in.jsonl", "-o", "out.jsonl"]
    with FaultServer(script) as server:
        process = start(*run, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_for_requests(6)
        process.kill()
        process.wait(30)
        release.set()
        second = cli(*run, *at(server))
        assert second.returncode == 0, second.stderr
        assert server.sent_again <= 6
        resumed = (tmp_path / "out.jsonl").read_bytes()
        whole = cli(*run, "--force", *at(server))
    assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == resumed


def test_a_run_that_dies_while_its_cache_is_being_made_can_be_run_again(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    cache = tmp_path / "out.jsonl.cache"
    release, script = held("name")
    with FaultServer(script) as server:
        for _ in range(4):
            process = start(*RUN, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not cache.exists():
                assert process.poll() is None
            process.kill()
            process.wait(30)
        release.set()
        last = cli(*RUN, *at(server))
    assert last.returncode == 0, last.stderr
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_the_cache_is_for_its_owner_only_while_the_run_goes_on(
    start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "ab"])
    release, script = held("name b")
    with FaultServer(script) as server:
        process = start(*RUN, *at(server), "-v", stdin=subprocess.DEVNULL)
        read_until(process.stderr, "a: done")
        kept = [path for path in tmp_path.iterdir() if ".cache" in path.name]
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in kept}
        release.set()
        process.communicate(timeout=30)
    assert "out.jsonl.cache" in modes
    assert set(modes.values()) == {0o600}, modes
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_nothing_is_left_beside_the_file_of_a_run_with_a_named_cache(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    run = [*RUN, "--cache", "c.db", "--concurrency", "1"]
    with FaultServer() as server:
        for _ in range(2):
            assert cli(*run, *at(server), "--max-calls", "8").returncode == 4
        last = cli(*run, *at(server))
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0
    assert names(tmp_path) == {"in.jsonl", "out.jsonl", "c.db"}


def test_standard_input_continues_too(cli: Cli, tmp_path: Path) -> None:
    rows = jsonl(questions(8))
    run = ["refine", "-o", "out.jsonl", "--max-iterations", "1", "--strategy", "refine"]
    with FaultServer() as server:
        first = cli(*run, *at(server), "--max-calls", "8", stdin=rows)
        assert first.returncode == 4, first.stderr
        last = cli(*run, *at(server), stdin=rows)
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [f"q{n}" for n in range(8)]
    assert names(tmp_path) == {"out.jsonl"}


def test_compressed_output_continues_to_the_same_bytes(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(12))
    run = [*REFINE, "in.jsonl", "-o", "out.jsonl.gz", *RUN[4:], "--concurrency", "4"]
    with FaultServer(latency=0.01) as server:
        whole = reference(cli, tmp_path, server, *run)
        server.forget()
        process = start(*run, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_for_requests(20)
        process.kill()
        process.wait(30)
        assert (tmp_path / "out.jsonl.gz.cache").exists()
        second = cli(*run, *at(server))
        assert server.sent_again <= 4
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "out.jsonl.gz").read_bytes() == whole
    assert names(tmp_path) == {"in.jsonl", "out.jsonl.gz"}


def test_output_to_standard_output_continues_with_a_cache(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    release, script = held("name c")
    run = ["refine", "in.jsonl", "--cache", "c.db", "--max-iterations", "0"]
    with FaultServer(script) as server:
        process = start(*run, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = [process.stdout.readline() for _ in range(2)]
        server.wait_for_requests(5)
        process.kill()
        process.wait(30)
        release.set()
        server.forget()
        second = cli(*run, *at(server))
        asked = len(server.arrivals)
    assert second.returncode == 0, second.stderr
    assert asked == 2
    assert second.stdout.encode().startswith(b"".join(first))
    assert [row["id"] for row in read_jsonl(second.stdout)] == [*"abc"]


# ------------------------------------------------------------------ a full disk


PADDING = "many words " * 400  # so that a few dozen replies fill a small disk
SMALL = 600_000  # bytes
# Those in flight, and those whose replies came when there was no room for them any more.
LOST = IN_FLIGHT


def _long(request: Arrival) -> str:
    return steady(request) + PADDING if not request.grades else PADDING + steady(request)


def _tmpfs_allowed() -> bool:
    if not (sys.platform == "linux" and shutil.which("unshare")):
        return False
    mounted = "mount -t tmpfs -o size=64k none /mnt && mount -o remount,size=1m none /mnt"
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", mounted], capture_output=True)
    return tried.returncode == 0


_IN_A_SMALL_PLACE = """
mount -t tmpfs -o size=$1 none disk || exit 99
shift
"$@"; first=$?
test -e disk/out.jsonl && echo "it is there" >&2
echo "first: $first" >&2
test $first = 3 || exit 98
mount -o remount,size=64m none disk
"$@"; second=$?
cp disk/out.jsonl out.jsonl
ls disk >listing
exit $second
"""


@pytest.mark.parametrize("full", ["cache and output", "output", "cache"])
def test_a_full_disk_ends_the_run_and_with_room_it_continues(
    cli: Cli, tmp_path: Path, full: str
) -> None:
    if not _tmpfs_allowed():
        pytest.skip("a full disk was NOT tried: no tmpfs may be mounted here (unshare -rm)")
    write_jsonl(tmp_path / "in.jsonl", questions(60))
    (tmp_path / "disk").mkdir()
    place = {
        "cache and output": ["-o", "disk/out.jsonl"],
        "output": ["-o", "disk/out.jsonl", "--cache", "c.db"],
        "cache": ["-o", "disk/out.jsonl", "--cache", "disk/c.db"],
    }[full]
    size = SMALL if full != "output" else SMALL // 2
    with FaultServer(_long) as server:
        common = [*RUN[:2], *RUN[4:], *at(server), "--concurrency", str(IN_FLIGHT)]
        whole = cli(*common, "-o", "whole.jsonl")
        assert whole.returncode == 0, whole.stderr
        requests = len(server.seen)
        server.forget()
        command = [*REFINECLI, *common, *place]
        result = subprocess.run(
            ["unshare", "-rm", "sh", "-c", _IN_A_SMALL_PLACE, "sh", str(size), *command],
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
        )
        sent, again = len(server.seen), server.sent_again
    assert result.returncode == 0, result.stderr
    assert "it is there" not in result.stderr
    assert "Traceback" not in result.stderr
    assert "No space left" in result.stderr or "disk is full" in result.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sent == requests
    assert again <= LOST
    assert "partial" not in (tmp_path / "listing").read_text()


_WITH_SMALL_FILES = (
    "import os, resource, sys;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2);"
    "os.execv(sys.argv[2], sys.argv[2:])"
)


def test_a_file_that_may_not_grow_ends_the_run_and_later_it_continues(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(60))
    with FaultServer(_long) as server:
        run = [*RUN[:2], *RUN[4:], *at(server), "--concurrency", str(IN_FLIGHT)]
        whole = cli(*run, "-o", "whole.jsonl")
        assert whole.returncode == 0, whole.stderr
        server.forget()
        run += ["-o", "out.jsonl"]
        limited = [sys.executable, "-c", _WITH_SMALL_FILES, str(SMALL // 2), *REFINECLI, *run]
        first = subprocess.run(
            limited, cwd=tmp_path, env=CLEAN, capture_output=True, text=True, timeout=60
        )
        assert first.returncode == 3, first.stderr
        assert "Traceback" not in first.stderr
        assert not (tmp_path / "out.jsonl").exists()
        second = cli(*run)
        again = server.sent_again
    assert second.returncode == 0, second.stderr
    assert again <= LOST
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


# ------------------------------------------------------------------ a provider that goes away


# The command as it is, but for a provider's silence that counts as its end after a second.
_IMPATIENT = (
    "import refinecli.models.retries as retries; retries._OUTAGE_SECONDS = 1.0;"
    "from refinecli.__main__ import main; main()"
)


def impatient(tmp_path: Path, *args: str) -> subprocess.Popen[bytes]:
    """Start a run that does not wait for half a minute before it gives a provider up."""
    return subprocess.Popen(
        [sys.executable, "-c", _IMPATIENT, *args],
        cwd=tmp_path,
        env=CLEAN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_a_provider_that_is_gone_ends_the_run_and_once_it_is_back_the_run_continues(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(100))
    run = [*RUN, "--concurrency", str(IN_FLIGHT)]
    with FaultServer(latency=0.005) as server:
        whole = reference(cli, tmp_path, server, *run)
        requests = len(server.seen)
        server.forget()
        process = impatient(tmp_path, *run, *at(server))
        server.wait_for_requests(100)
        server.stop()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3, err.decode()
        assert not (tmp_path / "out.jsonl").exists()
        assert f"127.0.0.1:{server.port}" in err.decode()
        command = told_command(err.decode())
        server.start()
        second = cli(*command)
        sent, again = len(server.seen), server.sent_again
    assert second.returncode == 0, second.stderr
    assert sent == requests
    assert again <= IN_FLIGHT
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_where_all_that_is_left_are_rows_that_fail_for_ever_there_is_a_way_out(
    cli: Cli, tmp_path: Path
) -> None:
    """From inside, they are a provider that is gone; whoever looks at it can tell."""
    write_jsonl(tmp_path / "in.jsonl", questions(12))
    with FaultServer(lambda request: error(500, "out of order")) as server:
        process = impatient(tmp_path, *RUN, *at(server))
        _, err = process.communicate(timeout=60)
        assert process.returncode == 3, err.decode()
        assert not (tmp_path / "out.jsonl").exists()
        (way_out,) = re.findall(r"--set policy\.retries=0", err.decode())
        again = cli(*RUN, *at(server), *way_out.split(), "--max-errors", "12")
    assert again.returncode == 0, again.stderr
    failed = [row["id"] for row in read_jsonl(tmp_path / "out.jsonl") if "error" in row]
    assert len(failed) == 12


def test_a_provider_that_is_soon_back_costs_nothing_but_time(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(40))
    with FaultServer(latency=0.005) as server:
        whole = reference(cli, tmp_path, server, *RUN)
        server.forget()
        process = start(*RUN, *at(server), stdin=subprocess.DEVNULL)
        server.wait_for_requests(60)
        server.stop()
        server.start()
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert (tmp_path / "out.jsonl").read_bytes() == whole


# ------------------------------------------------------------------ two at once


def test_a_second_run_with_the_same_output_is_refused_and_the_first_goes_on(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "ab"])
    release, script = held("name b")
    with FaultServer(script) as server:
        process = start(*RUN, *at(server), "-v", stdin=subprocess.DEVNULL)
        read_until(process.stderr, "a: done")
        server.take_in()
        sent = len(server.arrivals)
        second = cli(*RUN, *at(server))
        assert second.returncode == 2, second.stderr
        assert "out.jsonl" in second.stderr
        assert len(server.arrivals) == sent
        release.set()
        _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err.decode()
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == ["a", "b"]
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


# ------------------------------------------------------------------ after the end of a whole run


def failing(name: str, reply: Reply, *, grader: bool = False) -> Callable[[Arrival], str | Reply]:
    """`steady`, all passing, but a request that holds the name gets the reply."""

    def script(request: Arrival) -> str | Reply:
        if f"name {name}" in request.text and request.grades == grader:
            return reply
        return passing(request)

    return script


def passing(request: Arrival) -> str:
    return "<score>1</score>" if request.grades else steady(request)


UNUSABLE = [
    pytest.param(error(400, "no such thing"), False, "failed", id="a refusal"),
    pytest.param(Reply("", finish_reason="content_filter"), False, "failed", id="filtered"),
    pytest.param(error(400, "no such thing"), True, "ungraded", id="a grader's refusal"),
    pytest.param(Reply("It is fine."), True, "ungraded", id="no score"),
    pytest.param(
        Reply("<score>1</score>", finish_reason="length"), True, "ungraded", id="a grade cut off"
    ),
]


@pytest.mark.parametrize(("reply", "grader", "status"), UNUSABLE)
def test_after_exit_3_the_same_command_replaces_its_file_and_sends_only_what_failed(
    cli: Cli, tmp_path: Path, reply: Reply, grader: bool, status: str
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    out, cache = tmp_path / "out.jsonl", tmp_path / "out.jsonl.cache"
    with FaultServer(passing) as server:
        whole = reference(cli, tmp_path, server, *RUN)
        server.script = failing("b", reply, grader=grader)
        first = cli(*RUN, *at(server), "--summary", "summary.json")
        assert first.returncode == 3, first.stderr
        assert json.loads((tmp_path / "summary.json").read_text())[status] == 1
        assert [row["id"] for row in read_jsonl(out)] == [*"abc"]
        assert cache.exists()
        server.forget()
        server.script = passing
        last = cli(*RUN, *at(server), "--summary", "summary.json")
        asked = list(server.arrivals)
    assert last.returncode == 0, last.stderr
    assert len(asked) == (1 if grader else 2)
    assert all("name b" in request.text for request in asked)
    assert out.read_bytes() == whole
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (summary["done"], summary["calls"]) == (3, len(asked))
    assert summary["calls"] + summary["replayed"] == 6
    assert names(tmp_path) == {"in.jsonl", "out.jsonl", "summary.json"}


def test_after_exit_3_the_same_command_replaces_its_file_even_where_nothing_was_done(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    with FaultServer(lambda request: error(400, "no such thing")) as server:
        first = cli(*RUN, *at(server))
        assert first.returncode == 3, first.stderr
        assert len(read_jsonl(tmp_path / "out.jsonl")) == 3
        server.script = passing
        second = cli(*RUN, *at(server))
    assert second.returncode == 0, second.stderr
    assert [row["refinement"]["status"] for row in read_jsonl(tmp_path / "out.jsonl")] == [
        "done"
    ] * 3
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_a_file_that_was_changed_since_is_not_replaced(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    out = tmp_path / "out.jsonl"
    with FaultServer(failing("b", error(400, "no such thing"))) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        changed = out.read_bytes().replace(b'"id":"a"', b'"id":"A"')
        assert changed != out.read_bytes()
        out.write_bytes(changed)
        server.forget()
        second = cli(*RUN, *at(server))
        assert second.returncode == 2, second.stderr
        assert "exists already" in second.stderr
        assert out.read_bytes() == changed
        assert server.arrivals == []
        server.script = passing
        third = cli(*RUN, *at(server), "--force")
        asked = [request.text for request in server.arrivals]
    assert third.returncode == 0, third.stderr
    assert all("name b" in text for text in asked)
    assert [row["id"] for row in read_jsonl(out)] == [*"abc"]


def test_after_exit_3_a_file_that_is_named_through_a_link_is_replaced_too(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "ab"])
    (tmp_path / "there").mkdir()
    (tmp_path / "out.jsonl").symlink_to("there/real.jsonl")
    with FaultServer(failing("a", error(400, "no"))) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        server.script = passing
        second = cli(*RUN, *at(server))
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "out.jsonl").is_symlink()
    assert names(tmp_path / "there") == {"real.jsonl"}


def test_a_file_that_was_removed_since_is_made_again(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    with FaultServer(failing("b", error(400, "no such thing"))) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        (tmp_path / "out.jsonl").unlink()
        server.forget()
        server.script = passing
        second = cli(*RUN, *at(server))
        asked = [request.text for request in server.arrivals]
    assert second.returncode == 0, second.stderr
    assert len(asked) == 2
    assert [row["id"] for row in read_jsonl(tmp_path / "out.jsonl")] == [*"abc"]


def test_a_kill_after_exit_3_leaves_the_earlier_file_and_the_run_continues(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    out = tmp_path / "out.jsonl"
    release, holding = held("name b")
    with FaultServer(failing("b", error(400, "no such thing"))) as server:
        assert cli(*RUN, *at(server)).returncode == 3
        before = out.read_bytes()
        server.forget()
        server.script = holding
        process = start(*RUN, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        server.wait_for_requests(1)
        process.kill()
        process.wait(30)
        assert out.read_bytes() == before
        release.set()
        server.script = passing
        last = cli(*RUN, *at(server))
    assert last.returncode == 0, last.stderr
    assert [row["refinement"]["status"] for row in read_jsonl(out)] == ["done"] * 3
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


_KILLED_IN_THE_LAST_MOMENT = """
import os, signal
from refinecli.__main__ import main
from refinecli.cli import leaving

leaving.leave = lambda code: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_a_run_that_is_killed_in_its_last_moment_was_complete(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(3))
    with FaultServer() as server:
        run = [*RUN, *at(server)]
        killed = subprocess.run(
            [sys.executable, "-c", _KILLED_IN_THE_LAST_MOMENT, *run],
            cwd=tmp_path,
            env=CLEAN,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert killed.returncode == -signal.SIGKILL
        assert "3 datapoints: 3 done" in killed.stderr  # nothing was left to say
        whole = (tmp_path / "out.jsonl").read_bytes()
        server.forget()
        again = cli(*run)
        assert server.arrivals == []
    assert again.returncode == 0, again.stderr
    assert "out.jsonl: was complete already, and is unchanged" in again.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


@pytest.mark.parametrize(
    ("flags", "code"), [(["--fail-under", "0.9"], 1), (["--max-errors", "3"], 0)]
)
def test_the_cache_goes_when_the_run_is_over(
    cli: Cli, tmp_path: Path, flags: list[str], code: int
) -> None:
    rows = [question(n, response=f"I am {n}.") for n in "abc"]
    write_jsonl(tmp_path / "in.jsonl", rows)

    def script(request: Arrival) -> str | Reply:
        bad = "I am b" in request.text
        return error(400, "no") if bad and code == 0 else "<score>0</score>"

    with FaultServer(script) as server:
        result = cli("grade", "in.jsonl", "-o", "out.jsonl", *at(server), *flags)
    assert result.returncode == code, result.stderr
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_the_cache_stays_when_the_run_ends_for_the_providers_reasons(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(30))
    run = [*RUN, "--concurrency", "4"]

    def poor(request: Arrival) -> str | Reply:
        if request.number < 40:
            return steady(request)
        return error(402, "your credit balance is too low")

    with FaultServer() as server:
        whole = reference(cli, tmp_path, server, *run)
        server.forget()
        server.script = poor
        first = cli(*run, *at(server))
        assert first.returncode == 3, first.stderr
        assert "your credit balance is too low" in first.stderr
        assert not (tmp_path / "out.jsonl").exists()
        assert 40 <= len(server.arrivals) <= 48  # it ended at once
        server.script = steady
        second = cli(*told_command(first.stderr))
        again = server.sent_again
    assert second.returncode == 0, second.stderr
    assert again <= 8  # those that were refused; none that was answered
    assert (tmp_path / "out.jsonl").read_bytes() == whole
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


# ------------------------------------------------------------------ settings


def _stopped(cli: Cli, server: FaultServer, tmp_path: Path, *flags: str) -> None:
    """A run that has a cache and is not over."""
    result = cli(*REFINE, "in.jsonl", "-o", "out.jsonl", *flags, "--max-calls", "3")
    assert result.returncode == 4, result.stderr
    assert (tmp_path / "out.jsonl.cache").exists()
    server.forget()


CHANGED = [
    (["--set", "policy.temperature=0.5"], ["temperature", "0.5"]),
    (["--set", "grader.max_tokens=77"], ["grader", "max_tokens", "77"]),
    (["--max-iterations", "1"], ["max_iterations", "2", "1"]),
    (["--threshold", "0.25"], ["threshold", "0.25"]),
    (["--drafts", "4"], ["drafts", "1", "4"]),
    (["--seed", "77"], ["seed", "77"]),
    (["--model", "other"], ["model", "scripted", "other"]),
    (["--grader-model", "other"], ["grader", "scripted", "other"]),
    (["--set", "policy.system=Be brief."], ["system", "Be brief."]),
    (["--rubric", "rubric.toml"], ["rubric"]),
    (["--set", "prompts.rewrite=rewrite.txt"], ["rewrite"]),
    (["--seed", "7", "--max-iterations", "1"], ["seed", "max_iterations", "7"]),
]


def test_changed_settings_are_refused_by_name_with_both_values(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(5))
    (tmp_path / "rubric.toml").write_text('[[rubric_items]]\nrubric_str = "Is it short?"\n')
    (tmp_path / "rewrite.txt").write_text("Better, please:\n{{problems}}\n{{keep}}")
    with FaultServer() as server:
        base = [*at(server), "--max-iterations", "2"]
        _stopped(cli, server, tmp_path, *base)
        before = (tmp_path / "out.jsonl.cache").read_bytes()
        for flags, named in CHANGED:
            second = cli(*REFINE, "in.jsonl", "-o", "out.jsonl", *base, *flags)
            assert second.returncode == 2, (flags, second.stderr)
            missing = [w for w in [*named, "--restart", "out.jsonl"] if w not in second.stderr]
            assert not missing, (flags, second.stderr)
            assert (tmp_path / "out.jsonl.cache").read_bytes() == before
        assert server.arrivals == []
    assert not (tmp_path / "out.jsonl").exists()


def test_another_input_or_endpoint_is_refused_by_name(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(5))
    write_jsonl(tmp_path / "other.jsonl", questions(5))
    with FaultServer() as server, FaultServer() as elsewhere:
        _stopped(cli, server, tmp_path, *at(server))
        second = cli(*REFINE, "other.jsonl", "-o", "out.jsonl", *at(server))
        assert second.returncode == 2, second.stderr
        assert "in.jsonl" in second.stderr
        assert "other.jsonl" in second.stderr
        third = cli(*REFINE, "in.jsonl", "-o", "out.jsonl", *at(elsewhere))
        assert third.returncode == 2, third.stderr
        assert "base_url" in third.stderr
        assert str(server.port) in third.stderr
        assert str(elsewhere.port) in third.stderr
        assert server.arrivals == elsewhere.arrivals == []


UNIMPORTANT = [
    ["--concurrency", "2"],
    ["-v"],
    ["-q"],
    ["--limit", "5"],
    ["--max-calls", "1000"],
    ["--max-errors", "50%"],
    ["--summary", "summary.json"],
    ["--set", "policy.timeout=77", "--set", "policy.retries=2"],
]


def test_what_shapes_no_result_may_change(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(5))
    with FaultServer() as server:
        _stopped(cli, server, tmp_path, *at(server))
        flags = [flag for flags in UNIMPORTANT for flag in flags if flag != "-q"]
        second = cli(*REFINE, "in.jsonl", "-o", "out.jsonl", *at(server), *flags)
        assert second.returncode == 0, second.stderr
        sent = len(server.arrivals)
        server.forget()
        whole = cli(*REFINE, "in.jsonl", "-o", "whole.jsonl", *at(server), "-q")
        assert whole.returncode == 0, whole.stderr
        assert len(server.arrivals) == sent + 3
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_limit_may_grow_from_run_to_run(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(6))
    run = ["refine", "in.jsonl", "--cache", "c.db", "--max-iterations", "0"]
    with FaultServer() as server:
        first = cli(*run, "--limit", "2", *at(server))
        assert first.returncode == 0, first.stderr
        second = cli(*run, *at(server))
        assert second.returncode == 0, second.stderr
        assert len(server.arrivals) == 12
    assert second.stdout.startswith(first.stdout)


def test_restart_goes_on_with_other_settings_and_replays_what_fits(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(8))
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--concurrency", "1", "--strategy", "refine"]
    with FaultServer() as server:
        base = [*run, *at(server)]
        assert cli(*base, "--max-iterations", "0", "--max-calls", "9").returncode == 4
        restarted = cli(*base, "--max-iterations", "1", "--max-calls", "4", "--restart")
        assert restarted.returncode == 4, restarted.stderr
        old = cli(*base, "--max-iterations", "0")
        assert old.returncode == 2, old.stderr
        last = cli(*base, "--max-iterations", "1")
        assert last.returncode == 0, last.stderr
        assert server.sent_again == 0
        resumed = (tmp_path / "out.jsonl").read_bytes()
        whole = cli(*base, "--max-iterations", "1", "--force")
        assert whole.returncode == 0, whole.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == resumed
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


def test_restart_with_nothing_to_restart_is_a_run(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", questions(2))
    with FaultServer() as server:
        result = cli(*RUN, *at(server), "--restart")
    assert result.returncode == 0, result.stderr
    assert names(tmp_path) == {"in.jsonl", "out.jsonl"}


# ------------------------------------------------------------------ rows that ask the same


def in_turn() -> Callable[[Arrival], str]:
    """Every answer differs from the one before, as a sampling model's do; grades depend on it."""

    def script(request: Arrival) -> str:
        return (
            "<score>1</score>" if request.grades else f"Answer {request.mark}, {request.earlier}."
        )

    return script


ALIKE = [
    pytest.param([datapoint()] * 3, id="no ids"),
    pytest.param([datapoint(id="same")] * 3, id="equal ids"),
    pytest.param([datapoint(id=n) for n in range(3)], id="different ids"),
    pytest.param(
        [datapoint(id=n, rubric_items=[{"rubric_str": f"Is it {n}?"}]) for n in range(3)],
        id="different rubrics",
    ),
]


@pytest.mark.parametrize("rows", ALIKE)
def test_equal_rows_draw_their_own_samples_and_keep_them(
    cli: Cli, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows)
    run = ["refine", "in.jsonl", "--cache", "c.db", "--strategy", "refine"]
    with FaultServer(in_turn()) as server:
        first = cli(*run, *at(server))
        assert first.returncode == 0, first.stderr
        assert sum(not request.grades for request in server.arrivals) == 3
        sent = len(server.arrivals)
        second = cli(*run, *at(server))
        assert len(server.arrivals) == sent
    assert len({row["response"] for row in read_jsonl(first.stdout)}) == 3
    assert second.stdout == first.stdout


@pytest.mark.parametrize("rows", ALIKE)
def test_at_temperature_0_equal_requests_are_sent_once(
    cli: Cli, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows)
    run = [*REFINE, "in.jsonl", "-o", "out.jsonl", "--set", "policy.temperature=0"]
    with FaultServer(in_turn(), latency=0.1) as server:
        result = cli(*run, *at(server), "--summary", "summary.json")
    assert result.returncode == 0, result.stderr
    assert server.sent_again == 0
    written = read_jsonl(tmp_path / "out.jsonl")
    assert len({row["response"] for row in written}) == 1
    # What a result rests on is counted, sent or not.
    assert [row["refinement"]["usage"]["calls"] for row in written] == [2, 2, 2]
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["calls"] == len(server.arrivals)


@pytest.mark.parametrize("rows", ALIKE[1:3])
def test_wire_seeds_make_equal_rows_differ_even_at_temperature_0(
    cli: Cli, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows)
    run = [*REFINE, "in.jsonl", "--seed", "7", "--set", "policy.temperature=0"]
    with FaultServer(in_turn()) as server:
        result = cli(*run, "--cache", "c.db", *at(server))
        again = cli(*run, "--cache", "c.db", *at(server))
    assert result.returncode == 0, result.stderr
    assert sum(not request.grades for request in server.arrivals) == 3
    assert server.sent_again == 0
    assert again.stdout == result.stdout


@pytest.mark.parametrize("rows", ALIKE[1:3])
def test_a_sample_belongs_to_its_row_and_not_to_whoever_comes_first(
    cli: Cli, tmp_path: Path, rows: list[dict[str, Any]]
) -> None:
    write_jsonl(tmp_path / "in.jsonl", rows)
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--concurrency", "1", "--strategy", "refine"]

    def script(request: Arrival) -> str | Reply:
        if not request.grades and request.earlier == 0:
            return error(400, "not this time")
        return in_turn()(request)

    with FaultServer(script) as server:
        assert cli(*run, *at(server)).returncode == 3
        before = [row.get("response") for row in read_jsonl(tmp_path / "out.jsonl")]
        assert before[0] is None
        second = cli(*run, *at(server))
        assert second.returncode == 0, second.stderr
        assert sum(not request.grades for request in server.arrivals) == 4
    after = [row["response"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert after[1:] == before[1:]
    assert len(set(after)) == 3


def test_equal_rows_continue_after_a_kill_with_the_samples_they_had(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    rows = [datapoint(id=n) for n in range(4)]
    write_jsonl(tmp_path / "in.jsonl", [*rows, question("held")])
    release, holding = held("name held")
    run = ["refine", "in.jsonl", "--cache", "c.db", "--strategy", "refine"]
    drawn = in_turn()

    def script(request: Arrival) -> str | Reply:
        return holding(request) if "name held" in request.text else drawn(request)

    with FaultServer(script) as server:
        process = start(*run, *at(server), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        first = [process.stdout.readline().decode() for _ in range(4)]
        process.kill()
        process.wait(30)
        release.set()
        second = cli(*run, *at(server))
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("".join(first))
    assert len({json.loads(line)["response"] for line in first}) == 4


def test_drafts_are_samples_of_their_own(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n) for n in range(2)])
    run = ["refine", "in.jsonl", "--drafts", "3", "--cache", "c.db", "--max-iterations", "0"]
    with FaultServer(in_turn()) as server:
        first = cli(*run, *at(server))
        assert first.returncode == 0, first.stderr
        assert sum(not request.grades for request in server.arrivals) == 6
        sent = len(server.arrivals)
        second = cli(*run, *at(server))
        assert len(server.arrivals) == sent
    assert second.stdout == first.stdout
    texts = [it["response"] for row in read_jsonl(first.stdout) for it in _iterations(row)]
    assert len(set(texts)) == 6


def _iterations(row: dict[str, Any]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = row["refinement"]["iterations"]
    return result


# ------------------------------------------------------------------ replies without use


def test_a_killed_run_replays_even_what_it_could_not_use(
    cli: Cli, start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [question(n) for n in "abc"])
    release, holding = held("name c")
    bad = failing("a", Reply("It is fine."), grader=True)
    run = ["refine", "in.jsonl", "-o", "out.jsonl", "--strategy", "refine"]

    def script(request: Arrival) -> str | Reply:
        return holding(request) if "name c" in request.text else bad(request)

    with FaultServer(script) as server:
        process = start(*run, *at(server), "-v", stdin=subprocess.DEVNULL)
        read_until(process.stderr, "b: done")
        process.kill()
        process.wait(30)
        release.set()
        server.forget()
        server.script = passing
        second = cli(*run, *at(server))
        asked = [request.text for request in server.arrivals]
    assert second.returncode == 3, second.stderr
    assert all("name c" in text for text in asked)
    statuses = [row["refinement"]["status"] for row in read_jsonl(tmp_path / "out.jsonl")]
    assert statuses == ["ungraded", "done", "done"]
