"""Regular expressions from data files: checked when they are read, run under a time limit.

The standard library's `re` cannot be stopped: `((\\d+)+)x` takes seconds on 26 digits and doubles
with every further one. The `regex` library takes a timeout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator

if TYPE_CHECKING:
    import regex

# A sane pattern takes microseconds on a reply; this bounds what a hostile one can cost.
SECONDS = 0.2


# What a pattern may have of characters, and of what its repeats stand for written out, as they are
# compiled: a second's work for each.
MOST_CHARACTERS, MOST_REPEATED = 100_000, 100_000


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Compile the pattern, with `.` matching newlines; raise ValueError where it is invalid or
    would take long to compile."""
    import regex

    if len(pattern) > MOST_CHARACTERS:
        raise ValueError(f"has {len(pattern):,} characters; {MOST_CHARACTERS:,} at most")
    if "{" in pattern and _written_out(pattern) > MOST_REPEATED:
        raise ValueError(f"repeats too much: {MOST_REPEATED:,} characters at most, written out")
    try:
        return regex.compile(pattern, regex.DOTALL)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except (regex.error, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None


_REPEAT = re.compile(r"\{([0-9]*)(?:,[0-9]*)?\}")


def _written_out(pattern: str) -> int:
    """Count a pattern's parts, each as often as it must be repeated; no further than the most."""
    totals, last, place = [0], 0, 0
    while place < len(pattern):
        character = pattern[place]
        if character == "{" and (repeat := _REPEAT.match(pattern, place)):
            digits = repeat[1].lstrip("0")
            times = int(digits or 1) if len(digits) < 9 else MOST_REPEATED + 1
            totals[-1] = min(totals[-1] + last * (times - 1), MOST_REPEATED + 1)
            last = min(last * times, MOST_REPEATED + 1)
            place = repeat.end()
            continue
        if character == "(":
            totals.append(0)
        elif character == ")" and len(totals) > 1:
            last = totals.pop()
            totals[-1] += last
        else:
            last = 1
            totals[-1] += 1
            if character == "[":
                place = _end_of_set(pattern, place)
            elif character == "\\":
                place += 1
        place += 1
    return max(totals)


def _end_of_set(pattern: str, place: int) -> int:
    """Return where a set of characters ends."""
    place += 2 if pattern[place + 1 : place + 2] == "^" else 1
    place += 1  # a bracket here ends nothing
    while place < len(pattern) and pattern[place] != "]":
        place += 2 if pattern[place] == "\\" else 1
    return place


_PLAIN = r"([^()\[\]{}|.*+?^$\\]*)"
# Plain text around one group of anything, as usual. Importing `regex` and compiling with it takes
# longer than the rest of checking an item, and can wait until there is a reply to read.
_SURELY_VALID = re.compile(rf"{_PLAIN}\(\.[*+]?\??\){_PLAIN}")


def _must_compile(pattern: str) -> str:
    if len(pattern) > MOST_CHARACTERS or not _SURELY_VALID.fullmatch(pattern):
        compiled(pattern)
    return pattern


Pattern: TypeAlias = Annotated[str, AfterValidator(_must_compile)]


# Characters of a text on which a usual pattern takes 10 to 60 ms at most, wherever it begins
# to match; and of that pattern, which is compared wherever its group may end.
_SHORT, _USUAL = 1_500, 64


@lru_cache(maxsize=256)
def _is_usual(pattern: str) -> bool:
    return len(pattern) <= _USUAL and _SURELY_VALID.fullmatch(pattern) is not None


def last_match(
    pattern: str, text: str, seconds: float = SECONDS
) -> re.Match[str] | regex.Match[str] | None:
    """Find the last match; raise TimeoutError where that takes longer than `seconds`. What may take
    `SECONDS` lets other threads run."""
    matches: Iterator[re.Match[str]] | Iterator[regex.Match[str]]
    if len(text) <= _SHORT and _is_usual(pattern):  # the same matches, without importing `regex`
        matches = re.finditer(pattern, text, re.DOTALL)
    else:
        concurrent = None if seconds >= SECONDS else False
        matches = compiled(pattern).finditer(text, timeout=seconds, concurrent=concurrent)
    last = None
    for match in matches:
        last = match
    return last


def occurs(pattern: str, text: str) -> bool:
    """Return whether the pattern matches anywhere; raise TimeoutError where that takes longer than
    `SECONDS`."""
    if len(text) <= _SHORT and _is_usual(pattern):  # as `last_match` does
        return re.search(pattern, text, re.DOTALL) is not None
    return compiled(pattern).search(text, timeout=SECONDS) is not None


# Plain text, one group, plain text; white space that a pattern merely allows is left out.
_ONE_GROUP = re.compile(rf"{_PLAIN}\((?:\?P?<\w+>)?[^()]*\){_PLAIN}")


_QUICK = re.compile(rf"{_PLAIN}\((?:\.|\\[dw]|\[\^?[^\[\]\\]+\])[*+]?\??\){_PLAIN}")


@lru_cache(maxsize=256)
def is_quick(pattern: str) -> bool:
    """Return True for a pattern that takes no time on a text of some pages: plain text around one
    group of one kind of character."""
    return _QUICK.fullmatch(pattern.replace(r"\s*", "")) is not None


@lru_cache(maxsize=256)
def opening_of(pattern: str) -> str:
    """Return the plain text that stands before a pattern's only group, where that group takes as
    little as it can; else nothing."""
    simple = _ONE_GROUP.fullmatch(pattern.replace(r"\s*", ""))
    return simple[1] if simple is not None and "?)" in pattern else ""


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
