"""Run a script, and end it with all its processes when stdin ends.

    python -P tied.py SCRIPT [ARGUMENT…]

Stdin ends with the process that started this one, however that dies: nobody trains on behind the
back of the next command. It has to be started as the leader of a group of its own, and imports
nothing of refinecli.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading


def _end_with_parent() -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        os.killpg(0, signal.SIGKILL)  # TRL's launcher has started a process for the training


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
