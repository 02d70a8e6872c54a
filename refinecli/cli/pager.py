"""Send text to a pager as it is made, so that a long one is neither awaited nor held in memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable


def page(texts: Iterable[str]) -> None:
    """Print into a pipe or a file, and through the user's pager on a terminal."""
    command = os.environ.get("PAGER", shutil.which("less") or "")
    if not command or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        for text in texts:
            print(text)
        return
    # Quit at once if all fits the screen, show colours, leave the text on the screen.
    environ = {"LESS": "FRX", **os.environ}
    pager = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=environ)
    assert pager.stdin is not None
    try:
        for text in texts:
            pager.stdin.write(f"{text}\n".encode())
    except (BrokenPipeError, KeyboardInterrupt):
        pass  # the reader has seen enough
    finally:
        _end(pager)


def _end(pager: subprocess.Popen[bytes]) -> None:
    assert pager.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        pager.stdin.close()
    while True:
        try:
            pager.wait()
            return
        except KeyboardInterrupt:
            continue  # Ctrl-C is the pager's: it may only end a search
