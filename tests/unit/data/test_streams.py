"""Sources and sinks: lines, their numbers, compression, files that appear whole."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from refinecli.data.sinks import Sink
from refinecli.data.sources import Source, zstd
from refinecli.errors import UsageError


def lines_of(path: Path) -> list[tuple[int, bytes]]:
    async def stream() -> list[tuple[int, bytes]]:
        return [line async for line in Source(str(path)).stream()]

    assert list(Source(str(path)).read()) == asyncio.run(stream())
    return list(Source(str(path)).read())


def test_only_newlines_end_lines_and_numbers_count_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes("\ufeffa\u2028b\u0085c\x0cd\n\n \t\r\n\ufeffe\r\nf".encode())
    assert lines_of(path) == [
        (1, "a\u2028b\u0085c\x0cd".encode()),
        (4, b"e"),  # a byte order mark, where files were put together
        (5, b"f"),
    ]


def test_equal_lines_make_equal_gzip_bytes_whatever_the_name_and_the_time(tmp_path: Path) -> None:
    async def write(path: Path) -> None:
        sink = Sink(str(path))
        await sink.open()
        await sink.write(b"{}")
        await sink.drain()
        sink.commit()

    one, two = tmp_path / "one.gz", tmp_path / "two.gz"
    asyncio.run(write(one))
    asyncio.run(write(two))
    assert one.read_bytes() == two.read_bytes()
    assert gzip.decompress(one.read_bytes()) == b"{}\n"


def test_a_sink_closed_without_commit_keeps_its_lines_beside_the_file(tmp_path: Path) -> None:
    async def write(lines: list[bytes]) -> Path | None:
        sink = Sink(str(tmp_path / "x.jsonl"))
        await sink.open()
        for line in lines:
            await sink.write(line)
        return sink.close()

    assert asyncio.run(write([])) is None
    assert list(tmp_path.iterdir()) == []
    kept = asyncio.run(write([b"1", b"2"]))
    assert kept == tmp_path.resolve() / "x.jsonl.partial"
    assert kept.read_bytes() == b"1\n2\n"


def test_a_sink_says_at_once_what_it_will_not_write_to(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a directory"):
        Sink(str(tmp_path))
    with pytest.raises(UsageError, match="no such directory"):
        Sink(str(tmp_path / "a" / "b"))
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="exists already"):
        Sink(str(tmp_path / "x"))


def test_a_name_that_ends_as_a_directorys_does_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="new/: is a directory"):
        Sink(f"{tmp_path}/new/")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_line_that_would_fill_the_memory_is_refused_by_the_setting_that_allows_it(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"in.jsonl{suffix}"
    data = b'{"a": 1}\n{"a": "' + b" " * 2_000_000 + b'"}\n'
    packed = {"": data, ".gz": gzip.compress(data), ".zst": zstd().compress(data)}
    path.write_bytes(packed[suffix])
    lines = Source(str(path), most=1_000_000).read()
    assert next(lines) == (1, b'{"a": 1}')
    with pytest.raises(UsageError, match=r"in\.jsonl.*:2: the line is longer than 1 MB") as error:
        next(lines)
    assert "run.max_line_mb=2" in error.value.hint
    assert len(list(Source(str(path), most=2_000_010).read())) == 2


def test_a_line_that_never_ends_is_refused_as_it_comes(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
            file.write(b'{"a": 1}\n{"a": "')
            while True:
                file.write(b" " * 65536)

    async def stream() -> None:
        async for _ in Source(str(pipe), most=1_000_000).stream():
            pass

    threading.Thread(target=feed, daemon=True).start()
    with pytest.raises(UsageError, match="pipe:2: the line is longer than 1 MB"):
        asyncio.run(stream())


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        ("a symbolic link", lambda path, victim: path.symlink_to(victim)),
        ("a symbolic link", lambda path, victim: path.symlink_to(victim.with_name("nowhere"))),
        ("a pipe or a device", lambda path, victim: os.mkfifo(path)),
        ("a directory", lambda path, victim: path.mkdir()),
    ],
)
@pytest.mark.parametrize("continues", [False, True])
def test_what_was_planted_in_place_of_the_partial_file_is_refused_and_left_alone(
    tmp_path: Path, kind: str, plant: Callable[[Path, Path], None], continues: bool
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    plant(tmp_path / "out.jsonl.partial", victim)
    with pytest.raises(UsageError, match=rf"out\.jsonl\.partial: is {kind}"):
        asyncio.run(Sink(str(tmp_path / "out.jsonl"), continues=continues).open())
    assert victim.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()
