"""The `refinecli` command, also as `python -m refinecli`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run it. Imported late, so that Ctrl-C in the first moments is no traceback either."""
    try:
        from refinecli.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
