"""Spell errors and notices for the command line: the only place that spells the options which the
rest of the package mentions."""

from __future__ import annotations

import sys

from refinecli.errors import InputError, RefineError, WaveError, spelled
from refinecli.text.clean import as_line


def as_flags(text: str) -> str:
    """Return the text with each option that it mentions spelled as a flag."""
    return spelled(text, _flag)


def _flag(name: str, value: str) -> str:
    if "." in name:  # a setting
        return f"--set {name}={value}"
    known = "-o" if name == "output" else f"--{name.replace('_', '-')}"
    return f"{known} {value}".rstrip()


def complain(error: RefineError) -> None:
    """Say on standard error what is wrong, where, and how to fix it."""
    message, hint = map(as_flags, error.args)
    where = f"{error.where}: " if isinstance(error, InputError) and error.where else ""
    kind = "" if isinstance(error, WaveError) else "error: "
    print(as_line(f"{kind}{where}{message}"), file=sys.stderr)
    for line in filter(None, hint.split("\n")):
        print(as_line(f"  hint: {line}"), file=sys.stderr)
    sys.stderr.flush()
