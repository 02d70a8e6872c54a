"""Files that are read as a whole: pipes and devices too, within limits."""

from __future__ import annotations

import fcntl
import os
import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from refinecli.data import whole_files
from refinecli.data.rubric_file import read_rubric
from refinecli.data.whole_files import read_whole, read_whole_text
from refinecli.errors import UsageError
from refinecli.settings.load import load

ENDLESS = Path("/dev/zero")


def as_config(path: Path) -> object:
    return load({}, [], {}, paths=[path])


def as_template(path: Path) -> object:
    return load({}, [f"prompts.grader={path}"], {})


def as_examples(path: Path) -> object:
    return load({}, [f"grade.examples={path}"], {})


def as_rubric(path: Path) -> object:
    return read_rubric(path, print)


READERS = pytest.mark.parametrize("read", [as_config, as_template, as_examples, as_rubric])


@READERS
def test_an_endless_file_is_a_usage_error(read: Callable[[Path], object]) -> None:
    with pytest.raises(UsageError, match="/dev/zero: it is longer than the 16 MB that are read"):
        read(ENDLESS)


@READERS
def test_a_pipe_that_nobody_writes_to_is_a_usage_error(
    read: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_files, "_SILENT_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: nothing came through it for"):
        read(tmp_path / "pipe")


def test_a_pipe_is_read_to_its_end_however_late_and_slowly_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write() -> None:
        time.sleep(0.1)
        with pipe.open("wb", buffering=0) as file:
            for _ in range(3):
                file.write(b"x" * 50_000)
                time.sleep(0.05)

    threading.Thread(target=write).start()
    assert read_whole(pipe) == b"x" * 150_000


def test_text_is_read_as_python_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes("\ufeffone\r\ntwo\n".encode())
    assert read_whole_text(file) == file.read_text("utf-8-sig") == "one\ntwo\n"


def test_a_file_is_read_in_a_process_with_thousands_of_open_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"x")
    usual, open_usually = resource.getrlimit(resource.RLIMIT_NOFILE), os.open

    def open_as_another(path: Path, flags: int) -> int:
        descriptor = open_usually(path, flags)
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD, 2_000)
        os.close(descriptor)
        return moved

    monkeypatch.setattr(os, "open", open_as_another)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(usual[0], 4_096), usual[1]))
    try:
        assert read_whole(tmp_path / "file") == b"x"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
