"""Run TRL's own command, and end it with all its processes when stdin ends.

    python -m refinecli.training.run_trl sft --config trl.yaml --model_name_or_path DIR

Stdin ends with the process that started this one, however that dies: nobody trains on behind the
back of the next command. It has to be started as the leader of a group of its own, and imports
nothing of refinecli.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def _end_with_parent() -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        os.killpg(0, signal.SIGKILL)  # TRL's launcher has started a process for the training


def main() -> int:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from trl.cli.main import main as trl

    with contextlib.suppress(subprocess.CalledProcessError):  # has said why
        return int(trl(sys.argv[1:]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
