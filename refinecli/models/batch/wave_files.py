"""The files of waves in one folder: requests that were written, and the results that came for them.

    wave-003.jsonl          requests, a line each, in the form that OpenAI's batches take
    any other *.jsonl       results, wherever a line has `custom_id` and `response`

Only the latest wave is of interest: what earlier ones brought is in the call cache.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from refinecli.errors import OutputError, UsageError, WaveError
from refinecli.models.envelope import loads_leniently
from refinecli.models.retries import RetryableError
from refinecli.text.clean import one_line

_NAME = re.compile(r"wave-(\d+)(?:-[^.]*)?\.jsonl")
_ID = re.compile(r"wave(\d+)-try(\d+)-([0-9a-f]{32})")
_LONGEST_SLUG = 60  # characters of a model's name in that of a file


class Result(NamedTuple):
    """The answer to one request of a batch: an HTTP status and a body, or no status and what went
    wrong."""

    status: int | None
    body: bytes
    error: str = ""


def custom_id(wave: int, tries: int, key: bytes) -> str:
    """Name a request by its wave, how often it has been tried, and its key in the call cache."""
    return f"wave{wave:03}-try{tries}-{key.hex()}"


def latest_wave(folder: Path) -> int:
    """Return the number of the last wave that was written; 0 where there is none."""
    return max((number for number, _ in _waves(folder)), default=0)


def files_of(folder: Path, wave: int) -> list[Path]:
    """Return the files of a wave, in the order of their names."""
    return sorted(path for number, path in _waves(folder) if number == wave)


def _waves(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.iterdir():
        if name := _NAME.fullmatch(path.name):
            yield int(name[1]), path


class Answered:
    """The requests of one wave, and where the results for them are. Results for other requests,
    such as those of another run, count for nothing; `strays` is their number.

    The index is a database of SQLite in a file that it removes itself, so that a million results
    need little memory.
    """

    def __init__(self, folder: Path, wave: int) -> None:
        self._index = sqlite3.connect("")
        self._index.execute("CREATE TABLE asked (key BLOB PRIMARY KEY, tries INT) WITHOUT ROWID")
        self._index.execute(
            "CREATE TABLE results (id TEXT PRIMARY KEY, good INT, file INT, start INT, size INT) "
            "WITHOUT ROWID"
        )
        self._wave = wave
        self.strays = 0
        self._files: list[BinaryIO] = []
        try:
            self._read_all(folder)
        except BaseException:
            self.close()
            raise

    def _read_all(self, folder: Path) -> None:
        waves = {path for _, path in _waves(folder)}
        for path in files_of(folder, self._wave):
            self._read_requests(path)
        for path in sorted(folder.glob("*.jsonl")):
            if path not in waves and path.is_file():
                self._read_results(path)
        self._index.commit()

    @property
    def results(self) -> int:
        """The number of requests that have a result."""
        return self._count("results")

    @property
    def requests(self) -> int:
        """The number of requests in the wave."""
        return self._count("asked")

    def tries(self, key: bytes) -> int:
        """Return how often the request was tried, this wave included; 0 if it is not in it."""
        found = self._index.execute("SELECT tries FROM asked WHERE key = ?", (key,)).fetchone()
        return int(found[0]) if found else 0

    def result(self, key: bytes) -> Result | None:
        """Return what came for a request of the wave, if anything did."""
        name = custom_id(self._wave, self.tries(key), key)
        sql = "SELECT file, start, size FROM results WHERE id = ?"
        found = self._index.execute(sql, (name,)).fetchone()
        if found is None:
            return None
        file, start, size = found
        self._files[file].seek(start)
        return _result(_read(self._files[file].read(size)))

    def close(self) -> None:
        """Let go of the files."""
        self._index.close()
        for file in self._files:
            file.close()

    def _count(self, table: str) -> int:
        return int(self._index.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def _read_requests(self, path: Path) -> None:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                found = None
                with suppress(orjson.JSONDecodeError, KeyError, TypeError):
                    found = _ID.fullmatch(orjson.loads(line)["custom_id"])
                if found is None:
                    raise UsageError(
                        f"{path}:{number}: is not a request of ours",
                        "restore the file, or name another folder and start again",
                    )
                row = (bytes.fromhex(found[3]), int(found[2]))
                self._index.execute("INSERT OR REPLACE INTO asked VALUES (?, ?)", row)

    def _read_results(self, path: Path) -> None:
        file = path.open("rb")
        self._files.append(file)
        start, ours, half, number, line = 0, False, 0, 0, b""
        for number, line in enumerate(file, start=1):
            if entry := _entry_of(line, self._wave):
                self._note(entry, start, len(line))
                ours = True
            elif _mark(self._wave) in line and _read(line) is None:
                half = number
            start += len(line)
        if ours and not line.endswith(b"\n") and _read(line) is None:
            half = number
        if half:
            # All that is missing in it would be asked for, and paid for, again.
            raise WaveError(
                f"{path}:{half}: is half a line, so not all of the file is there yet",
                "run the same command once it is; if it stays as it is, remove that line",
            )

    def _note(self, entry: dict[str, Any], start: int, size: int) -> None:
        """Remember where a result is, if it is for one of the requests."""
        name = _ID.fullmatch(entry["custom_id"])
        if name is None or self.tries(bytes.fromhex(name[3])) != int(name[2]):
            self.strays += 1
            return
        row = (entry["custom_id"], _is_good(entry), len(self._files) - 1, start, size)
        self._index.execute(_KEEP, row)


def _mark(wave: int) -> bytes:
    """Return what is in every result of a wave; those of earlier ones stay in the folder."""
    return f"wave{wave:03}-".encode()


def _read(line: bytes) -> Any:
    """Return a line's value, read as a live reply is; None if it is not JSON."""
    try:
        return loads_leniently(line)
    except RetryableError:
        return None


# A success stands before an error, wherever each was found.
_KEEP = """INSERT INTO results VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET good = excluded.good, file = excluded.file,
        start = excluded.start, size = excluded.size WHERE excluded.good >= good"""


def _entry_of(line: bytes, wave: int) -> dict[str, Any] | None:
    """Return the line's object where it is a result of that wave."""
    entry = _read(line) if _mark(wave) in line else None
    if not isinstance(entry, dict) or "response" not in entry:
        return None
    name = _ID.fullmatch(str(entry.get("custom_id")))
    return entry if name and int(name[1]) == wave else None


def _is_good(entry: dict[str, Any]) -> bool:
    status = _result(entry).status
    return status is not None and 200 <= status < 300


def _result(entry: dict[str, Any]) -> Result:
    response = entry["response"]
    if not isinstance(response, dict) or response.get("body") is None:
        return Result(None, b"", _words(entry.get("error")))
    body, status = response["body"], response.get("status_code", 200)
    content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return Result(status if isinstance(status, int) else None, content, _words(entry.get("error")))


def _words(error: object) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error.get("code")
    return one_line(str(error or "nothing came back"), 200)


class NewWave:
    """The wave that is being written: a file for each endpoint and model, complete or not there."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number
        self.counts: dict[Path, int] = {}
        self.names: Mapping[tuple[str, str], str] = {}  # of endpoints and models
        self._files: dict[Path, BinaryIO] = {}

    def add(self, place: str, model: str, line: bytes) -> None:
        """Write one request to the file of its endpoint and model."""
        path = self.folder / f"wave-{self.number:03}{self.names[place, model]}"
        try:
            if path not in self._files:
                self._files[path] = _partial(path).open("wb")
                self.counts[path] = 0
            self._files[path].write(line + b"\n")
        except OSError as error:
            raise OutputError(f"{self.folder}: {error.strerror}") from None
        self.counts[path] += 1

    def finish(self) -> None:
        """Move all files into place."""
        for path, file in self._files.items():
            file.close()
            _partial(path).replace(path)
        self._files = {}

    def discard(self) -> None:
        """Remove what is not finished."""
        for path, file in self._files.items():
            file.close()
            _partial(path).unlink(missing_ok=True)
        self._files = {}


def names_of(endpoints: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Return the end of a wave's file name for each URL and model: nothing special where there is
    one, else the model, and the number of the URL where a model is at several."""
    if len(endpoints) == 1:
        return dict.fromkeys(endpoints, ".jsonl")
    names: dict[tuple[str, str], str] = {}
    for url, model in sorted(endpoints):
        slug = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-")[:_LONGEST_SLUG] or "model"
        ends = (f"-{slug}-{n}.jsonl" if n > 1 else f"-{slug}.jsonl" for n in count(1))
        names[url, model] = next(end for end in ends if end not in names.values())
    return names


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")
