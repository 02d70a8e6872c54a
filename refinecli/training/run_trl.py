"""Run TRL's own command.

    python -m refinecli.training.run_trl sft --config trl.yaml --model_name_or_path DIR

It imports nothing of refinecli.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys


def main() -> int:
    # Of a setting that nobody knows, accelerate shows its own hundred ahead of the error.
    argparse.ArgumentParser.print_usage = lambda self, file=None: None  # type: ignore[method-assign]
    from trl.cli.main import main as trl

    with contextlib.suppress(subprocess.CalledProcessError):  # has said why
        return int(trl(sys.argv[1:]))
    return 1


if __name__ == "__main__":
    sys.exit(main())
