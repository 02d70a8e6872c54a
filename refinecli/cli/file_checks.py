"""Check files before anything is paid for: those that flags name can be written and are used once,
and output does not go into the input."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.cli.options import InputOptions, ModelOptions, OutputOptions, SeveralInputs
from refinecli.cli.run_cache import gathered_at
from refinecli.errors import UsageError
from refinecli.text.urls import is_url

if TYPE_CHECKING:
    from refinecli.runs.run import Input

# What a run keeps next to its output, by the suffixes of their names.
_OWN = ("partial", "cache", "cache-wal", "cache-shm", "cache-journal", "part.json", "ray")


def check_files(
    data: InputOptions | SeveralInputs,
    out: OutputOptions,
    options: ModelOptions,
    more: Sequence[tuple[str, Path | None]] = (),
) -> None:
    """Find out before anything is paid for whether a file that a flag names cannot be written, or
    would overwrite another."""
    taken = {}
    for name in data.inputs:
        if not is_url(name):
            taken[Path(name).resolve()] = "the input"
    if out.output and is_url(out.output) and options.cache:
        taken[gathered_at(options.cache.resolve(), out.output)] = "kept for the run itself"
    elif out.output:
        file = Path(out.output).resolve()
        taken[file] = "the output"
        for suffix in _OWN:
            taken[file.with_name(f"{file.name}.{suffix}")] = "kept for the run itself"
        if options.cache and options.cache.resolve() == file.with_name(f"{file.name}.cache"):
            del taken[options.cache.resolve()]  # its own name for it
    named = (
        ("--cache", options.cache),
        ("--summary", options.summary),
        ("--log-requests", options.log_requests),
        *more,
    )
    for flag, path in named:
        if path is None:
            continue
        if path.is_char_device():  # such as /dev/null, which takes everything
            continue
        what = taken.get(path.resolve())
        if what:
            raise UsageError(f"{flag} {path}: is {what}", "name another file")
        taken[path.resolve()] = f"the file of {flag}"
        if flag != "--cache":
            _check_writable(flag, path)


def check_stdout(rows: Input) -> None:
    """Refuse a file that grows by what is read from it: it has no end, and each line is paid
    for."""
    written = os.fstat(1)
    if not stat.S_ISREG(written.st_mode):
        return
    for source in rows.sources:
        if source.remote:
            continue
        read = source.path.stat() if source.path else os.fstat(0)
        if os.path.samestat(read, written):
            raise UsageError(
                f"{source.name}: is the input, and standard output goes there too",
                "use -o with another file",
            )


def _check_writable(flag: str, path: Path) -> None:
    place = path if path.exists() else path.parent
    if path.is_dir() or not os.access(place, os.W_OK):
        reason = "is a directory" if path.is_dir() else "cannot be written"
        raise UsageError(f"{flag} {path}: {reason}", "name a file in a folder that exists")


def only_line_limit(sets: Sequence[str] | None) -> bool:
    """Return whether the only setting given is the one that also reading files alone knows."""
    return all(one.partition("=")[0].strip() == "run.max_line_mb" for one in sets or ())
