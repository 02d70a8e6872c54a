"""Run the `refinecli` command, also as `python -m refinecli`."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run it. Its import is late, so that Ctrl-C in the first moments gives no traceback either."""
    # Imports make 100,000 objects and no garbage; looking for it took a quarter of a short run.
    gc.set_threshold(200_000)
    # pydantic would look through every installed package for plugins, and none has business here.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        from refinecli.cli import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # or all that is still alive would be looked through at exit


if __name__ == "__main__":
    main()
