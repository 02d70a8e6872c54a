"""Turn what a command raises into what it prints and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from refinecli.cli.complaints import complain
from refinecli.errors import RefineError, UsageError
from refinecli.text.clean import as_line


def exit_code(command: Callable[[], int]) -> int:
    """Run the command to its end; return its exit code, or that of the error that it raises."""
    try:
        code = command()
        sys.stdout.flush()
        return code
    except RefineError as error:
        complain(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader has what it wanted; what Python flushes at its end must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        print(as_line(f"error: {place}{error.strerror or error}"), file=sys.stderr)
        return 3
    except RuntimeError as error:  # as Python before 3.13 reports links that lead in a circle
        if not str(error).startswith("Symlink loop"):
            raise
        complain(UsageError(str(error), "name another file"))
        return UsageError.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
