"""Write the files of `report`: checked before anything is read, and named when they are there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from refinecli.errors import UsageError
from refinecli.text.clean import as_line


def check_apart(outputs: Mapping[str, str | None]) -> None:
    """Refuse two outputs in one place."""
    given = [(flag, name) for flag, name in outputs.items() if name]
    for (flag, name), (other, another) in combinations(given, 2):
        same = "-" in (name, another) and name == another
        if same or Path(name).resolve() == Path(another).resolve():
            what = "both standard output" if same else "the same file"
            raise UsageError(f"{other} and {flag} name {what}", "name another one")


def check_replaced(outputs: Mapping[str, str | None]) -> None:
    """Refuse to replace a file that is not a report: reports are written repeatedly, others must
    not be lost."""
    for flag, output in outputs.items():
        path = Path(output or "-")
        if str(path) == "-" or not path.is_file():
            continue
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{flag} {output}: {error.strerror}") from None
        if data and not _is_report(data):
            raise UsageError(
                f"{flag} {output}: exists and is not a report", "use --force to replace it"
            )


def _is_report(data: bytes) -> bool:
    from refinecli.report import GENERATOR
    from refinecli.report.markdown import MARK
    from refinecli.text.json_text import loads

    if data.startswith(MARK.encode()):
        return True
    if f'<meta name="generator" content="{GENERATOR}">'.encode() in data[:2000]:
        return True
    if not data.startswith(b"{"):
        return False
    try:
        figures = loads(data)
    except ValueError:
        return False
    return isinstance(figures, dict) and {"loop_gain", "iterations", "alarms"} <= figures.keys()


def write(flag: str, file: str, data: bytes) -> None:
    """Write what an option asked for; `-` is standard output."""
    if file == "-":
        sys.stdout.buffer.write(data)
        return
    try:
        Path(file).write_bytes(data)
    except OSError as error:
        raise UsageError(f"{flag} {file}: {error.strerror}") from None


def say_written(outputs: Mapping[str, str | None]) -> None:
    """Say which files there are now, after the report itself."""
    sys.stdout.flush()
    for name in outputs.values():
        if name and name != "-":
            print(as_line(f"wrote {name}"), file=sys.stderr)
