"""Run the command line, the only import of typer; one file a command, shared options apart."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from refinecli.cli.names import COMMANDS, topics, version


def _run(args: Sequence[str]) -> None:
    """Run one command, or the program itself where the first word names none, as in `--help`."""
    if args in (["--version"], ["-V"]):
        print(version(), flush=True)
        return
    from refinecli.cli.program import build  # typer takes ten times as long to import as the rest

    first, *rest = args or [""]
    if first == "help" and rest and rest[0] in COMMANDS:
        with contextlib.suppress(SystemExit):
            build([rest[0]])([rest[0], "--help"])
        if rest[0] not in topics():
            return
        print()  # there is a page of that name too
    if first in COMMANDS:
        build([first])(args)
    else:
        build(completion=True)(args)


class _Stderr(io.TextIOWrapper):
    """Standard error whose reader may go away: then messages are lost, but the work is not."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            super().flush()


def _prepare_streams() -> None:
    """Use UTF-8 everywhere, and fill the numbers of streams that are closed from the start: the
    next opened file would take them."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0)  # noqa: SIM115 - it stays open
    if sys.stdout is None:
        sys.stdout = open(1, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    sys.stderr = _Stderr(
        open(2, "wb", buffering=0, closefd=False),  # noqa: SIM115
        encoding="utf-8",
        errors="backslashreplace",
        write_through=True,
    )


def _end_stdout() -> None:
    """Flush a last time. A failed write was reported already: Python must not try again, and exit
    with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def main() -> None:
    """Run the `refinecli` command."""
    _prepare_streams()
    try:
        _run(sys.argv[1:])
    except SystemExit as ended:
        _end_stdout()
        if isinstance(ended.code, int):
            from refinecli.cli.leaving import leave

            leave(ended.code)
        raise
    except OSError as error:  # commands report their own: this is help that cannot be written
        print(f"error: cannot write: {error.strerror or error}", file=sys.stderr)
        sys.exit(3)
    except Exception:
        import traceback

        # A defect of ours must not look like a missed quality gate, which is exit code 1.
        traceback.print_exc()
        print("error: this is a defect in refinecli; please report it", file=sys.stderr)
        sys.exit(70)
    finally:
        _end_stdout()
