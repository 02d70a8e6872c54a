"""Regular expressions from data files: checked when they are read, run under a time limit.

The standard library's `re` cannot be stopped: `((\\d+)+)x` takes seconds on 26 digits and doubles
with every further one. The `regex` library takes a timeout.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator

if TYPE_CHECKING:
    import regex

# A sane pattern takes microseconds on a reply; this bounds what a hostile one can cost.
SECONDS = 0.2


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Compile the pattern, with `.` matching newlines; raise ValueError where it is invalid."""
    import regex

    try:
        return regex.compile(pattern, regex.DOTALL)
    except (regex.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None


def _must_compile(pattern: str) -> str:
    compiled(pattern)
    return pattern


Pattern: TypeAlias = Annotated[str, AfterValidator(_must_compile)]


def last_match(pattern: str, text: str) -> regex.Match[str] | None:
    """Find the last match; raise TimeoutError where that takes longer than `SECONDS`."""
    last = None
    for match in compiled(pattern).finditer(text, timeout=SECONDS, concurrent=False):
        last = match
    return last


# Plain text, one group, plain text; white space that a pattern merely allows is left out.
_PLAIN = r"([^()\[\]{}|.*+?^$\\]*)"
_ONE_GROUP = re.compile(rf"{_PLAIN}\((?:\?P?<\w+>)?[^()]*\){_PLAIN}")


def verdict_in(pattern: str, text: str) -> str | None:
    """Return what a grader writes so that `pattern` finds `text` in it, or None where the pattern
    is too complex to say."""
    simple = _ONE_GROUP.fullmatch(pattern.replace(r"\s*", ""))
    if simple is None:
        return None
    written = f"{simple[1]}{text}{simple[2]}"
    try:
        match = last_match(pattern, written)
    except TimeoutError:
        return None
    return written if match is not None and match[1].strip() == text else None
