"""Where lines go and come from: a file appears only when it is whole, and no file is lost."""

from __future__ import annotations

import gzip
import os
import select
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from refinecli.data.sources import zstd
from tests.conftest import (
    REFINE,
    Result,
    Start,
    at,
    check_item,
    datapoint,
    jsonl,
    read_jsonl,
    write_jsonl,
)
from tests.support.chat_server import ChatServer, Reply, Request, by_role

Cli = Callable[..., Result]
NOBODY = ["--base-url", "http://127.0.0.1:9/v1", "--model", "m"]


def graded_by_code(tmp_path: Path, count: int = 2, name: str = "in.jsonl") -> Path:
    rows = [datapoint(id=n, response="4", rubric_items=[check_item("4")]) for n in range(count)]
    return write_jsonl(tmp_path / name, rows)


# ------------------------------------------------------------------ -o


def test_the_file_is_absent_while_the_run_goes_on_and_whole_when_it_is_over(
    start: Start, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n) for n in range(3)])
    release = threading.Event()
    out = tmp_path / "out.jsonl"
    with ChatServer(by_role(lambda r: Reply("4", wait_for=release))) as server:
        process = start(*REFINE, "in.jsonl", "-o", "out.jsonl", *at(server))
        server.wait_for_requests(3)
        assert not out.exists()
        release.set()
        stdout, err = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, b""), err.decode()
    assert [row["id"] for row in read_jsonl(out)] == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.parametrize("command", ["refine", "grade", "debug-rollout", "generate-data"])
def test_an_existing_file_is_never_overwritten_without_force(
    cli: Cli, tmp_path: Path, command: str
) -> None:
    graded_by_code(tmp_path)
    out = tmp_path / "out.jsonl"
    out.write_text("precious\n")
    args = ["addition"] if command == "generate-data" else [*NOBODY, "in.jsonl"]
    refused = cli(command, *args, "-o", "out.jsonl")
    assert refused.returncode == 2
    assert "out.jsonl: exists already" in refused.stderr
    assert "--force" in refused.stderr
    assert out.read_text() == "precious\n"
    forced = cli(command, *args, "-o", "out.jsonl", "--force")
    assert forced.returncode == 0, forced.stderr
    assert "precious" not in out.read_text()


def test_force_keeps_the_old_file_until_the_new_one_is_whole(start: Start, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    out = tmp_path / "out.jsonl"
    out.write_text("old\n")
    release = threading.Event()
    with ChatServer(by_role(lambda r: Reply("4", wait_for=release))) as server:
        process = start(*REFINE, "in.jsonl", "-o", "out.jsonl", "--force", *at(server))
        server.wait_for_requests(1)
        assert out.read_text() == "old\n"
        release.set()
        process.communicate(timeout=60)
    assert read_jsonl(out)[0]["response"] == "4"


def test_a_run_that_fails_leaves_the_old_file_alone(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    (tmp_path / "out.jsonl").write_text("old\n")
    result = cli("refine", "in.jsonl", "-o", "out.jsonl", "--force", *NOBODY, *NO_RETRY)
    assert result.returncode == 3
    assert (tmp_path / "out.jsonl").read_text() == "old\n"
    assert not (tmp_path / "out.jsonl.partial").exists()


NO_RETRY = ["--set", "policy.retries=0"]


@pytest.mark.parametrize("way", ["same name", "other name", "symlink", "hard link"])
def test_input_and_output_may_not_be_one_file(cli: Cli, tmp_path: Path, way: str) -> None:
    path = graded_by_code(tmp_path)
    before = path.read_bytes()
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    os.link(path, tmp_path / "hard.jsonl")
    out = {
        "same name": "in.jsonl",
        "other name": "folder/../in.jsonl",
        "symlink": "link.jsonl",
        "hard link": "hard.jsonl",
    }[way]
    result = cli("grade", *NOBODY, "in.jsonl", "-o", out, "--force")
    assert result.returncode == 2
    assert "same file" in result.stderr
    assert path.read_bytes() == before


def test_a_folder_or_a_place_in_a_missing_folder_is_refused(cli: Cli, tmp_path: Path) -> None:
    graded_by_code(tmp_path)
    folder = cli("grade", *NOBODY, "in.jsonl", "-o", ".", "--force")
    assert folder.returncode == 2
    assert "is a directory" in folder.stderr
    missing = cli("grade", *NOBODY, "in.jsonl", "-o", "no/such/out.jsonl")
    assert missing.returncode == 2
    assert "no such directory" in missing.stderr
    assert "hint:" in missing.stderr


@pytest.mark.parametrize("out", ["/dev/null", "-", "/dev/stdout"])
def test_devices_and_dash_are_no_files_to_replace(cli: Cli, tmp_path: Path, out: str) -> None:
    graded_by_code(tmp_path)
    result = cli("grade", *NOBODY, "in.jsonl", "-o", out)
    assert result.returncode == 0, result.stderr
    assert len(read_jsonl(result.stdout)) == (0 if out == "/dev/null" else 2)
    assert Path("/dev/null").is_char_device()
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("out", ["/dev/null", "/dev/stdout", "pipe"])
def test_they_go_together_with_a_named_cache(start: Start, tmp_path: Path, out: str) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    os.mkfifo(tmp_path / "pipe")
    with ChatServer(by_role("4")) as server:
        run = ["refine", "in.jsonl", "--max-iterations", "0", "--cache", "c.db", "-o", out]
        process = start(*run, *at(server), stdin=subprocess.DEVNULL)
        written = (tmp_path / "pipe").read_text() if out == "pipe" else ""
        stdout, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert len(read_jsonl(written + stdout.decode())) == (0 if out == "/dev/null" else 1)


def test_each_line_leaves_for_a_named_pipe_as_it_is_written(start: Start, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=n, response="4") for n in ("free", "held")])
    os.mkfifo(tmp_path / "pipe")
    release = threading.Event()

    def script(request: Request) -> Reply:
        return Reply("<score>1</score>", wait_for=release if request.number else None)

    with ChatServer(script) as server:
        run = ["grade", "in.jsonl", "-o", "pipe", "--concurrency", "1", *at(server)]
        process = start(*run, stdin=subprocess.DEVNULL)
        with (tmp_path / "pipe").open() as pipe:
            there, _, _ = select.select([pipe], [], [], 30)
            assert there, "the first line waits for the second"
            assert '"free"' in pipe.readline()
            server.wait_for_requests(2)
            assert process.poll() is None
            release.set()
            assert '"held"' in pipe.readline()
            assert pipe.read() == ""
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_named_pipe_is_packed_by_its_suffix_too(
    start: Start, tmp_path: Path, suffix: str
) -> None:
    graded_by_code(tmp_path, 3)
    pipe = tmp_path / f"pipe{suffix}"
    os.mkfifo(pipe)
    process = start("grade", *NOBODY, "in.jsonl", "-o", pipe.name, stdin=subprocess.DEVNULL)
    packed = pipe.read_bytes()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    unpack = gzip.decompress if suffix == ".gz" else zstd().decompress
    assert [row["id"] for row in read_jsonl(unpack(packed).decode())] == [0, 1, 2]


def test_the_reader_of_a_named_pipe_may_go_away(start: Start, tmp_path: Path) -> None:
    graded_by_code(tmp_path, 5000)
    os.mkfifo(tmp_path / "pipe")
    process = start("grade", *NOBODY, "in.jsonl", "-o", "pipe", stdin=subprocess.DEVNULL)
    with (tmp_path / "pipe").open() as pipe:
        assert pipe.readline()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    assert b"Traceback" not in err


def test_a_symlink_stays_one_and_its_target_is_replaced(cli: Cli, tmp_path: Path) -> None:
    graded_by_code(tmp_path)
    (tmp_path / "real.jsonl").write_text("old\n")
    link = tmp_path / "link.jsonl"
    link.symlink_to("real.jsonl")
    result = cli("grade", *NOBODY, "in.jsonl", "-o", "link.jsonl", "--force")
    assert result.returncode == 0, result.stderr
    assert link.is_symlink()
    assert len(read_jsonl(tmp_path / "real.jsonl")) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["grade", "generate-data", "debug-rollout"])
def test_a_full_disk_is_an_error_with_a_reason(start: Start, tmp_path: Path, command: str) -> None:
    graded_by_code(tmp_path)
    args = ["addition"] if command == "generate-data" else [*NOBODY, "in.jsonl"]
    with open("/dev/full", "wb") as full:
        process = start(command, *args, stdin=subprocess.DEVNULL, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode not in (0, 130)
    assert b"No space left" in err
    assert b"Traceback" not in err


# ------------------------------------------------------------------ INPUT


def test_a_missing_or_unusual_input_is_named(cli: Cli, tmp_path: Path) -> None:
    for name, words in [("no.jsonl", "No such file"), (".", "is a directory")]:
        result = cli("grade", *NOBODY, name)
        assert result.returncode == 2
        assert f"error: {name}: {words}" in result.stderr


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("how", ["cut off", "not compressed", "empty"])
def test_a_compressed_file_that_is_not_whole_is_an_error_before_any_call(
    cli: Cli, tmp_path: Path, suffix: str, how: str
) -> None:
    rows = [datapoint(id=n, response="4", pad=os.urandom(2000).hex()) for n in range(300)]
    pack = gzip.compress if suffix == ".gz" else zstd().compress
    whole = pack(jsonl(rows).encode())
    data = {"cut off": whole[: len(whole) // 2], "not compressed": b'{"a": 1}\n', "empty": b""}[how]
    (tmp_path / f"in.jsonl{suffix}").write_bytes(data)
    with ChatServer(by_role("4")) as server:
        result = cli("grade", *at(server), f"in.jsonl{suffix}")
        assert server.requests == []
    if how == "empty":
        assert result.returncode in (0, 2), result.stderr  # no rows, or no gzip file
    else:
        assert result.returncode == 2
        assert f"error: in.jsonl{suffix}: " in result.stderr
    assert "Traceback" not in result.stderr


def test_a_named_pipe_is_a_stream(start: Start, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ChatServer(by_role("4")) as server:
        process = start("grade", *at(server), "pipe", stdin=subprocess.DEVNULL)
        with open(tmp_path / "pipe", "wb") as pipe:
            pipe.write(jsonl([datapoint(response="4")]).encode() + b"not JSON\n")
        out, err = process.communicate(timeout=60)
    first, second = read_jsonl(out.decode())
    assert process.returncode == 3, err.decode()
    assert first["score"] == 1.0
    assert (second["error"]["type"], second["error"]["line"], second["raw"]) == (
        "input",
        2,
        "not JSON",
    )


def test_a_regular_file_on_standard_input_is_read(start: Start, tmp_path: Path) -> None:
    path = graded_by_code(tmp_path)
    for args in ([], ["-"], ["/dev/stdin"]):
        with path.open("rb") as file:
            process = start("grade", *NOBODY, *args, stdin=file)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, len(read_jsonl(out.decode()))) == (0, 2), err.decode()


def test_a_line_longer_than_any_buffer_is_one_line(cli: Cli) -> None:
    row = datapoint(id="long", response="4" + " x" * 1_000_000, rubric_items=[check_item("4")])
    result = cli("grade", *NOBODY, stdin=jsonl([row]))
    (out,) = read_jsonl(result.stdout)
    assert out["response"] == row["response"]


# ------------------------------------------------------------------ in one process
