"""Count the calls that a call cache would have saved."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from refinecli.data.conversations import CONVO_NAMES
from refinecli.data.sources import Source
from refinecli.errors import RefineError
from refinecli.text.json_text import loads

# What a grader is shown of a row, besides the item.
_SHOWN = (*CONVO_NAMES, "system", "reference", "response")


def answered_before(old: Path, new: Path) -> int:
    """Count the votes of models in the new file that the old one has too, in the same line: on the
    same response, by the same item and settings. None are counted in files that cannot be compared,
    such as packed ones."""
    saved = 0
    try:
        with closing(_rows(old)) as before, closing(_rows(new)) as after:
            for earlier, later in zip(before, after, strict=False):
                if all(earlier.get(name) == later.get(name) for name in _SHOWN):
                    known = dict(_asked(earlier))
                    saved += sum(votes for asked, votes in _asked(later) if asked in known)
    except (RefineError, ValueError, AttributeError, TypeError, LookupError):
        return 0
    return saved


def _rows(path: Path) -> Generator[Any, None, None]:
    for _, line in Source(str(path)).read():
        yield loads(line)


def _asked(row: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield what a model was asked about each item, and the number of its votes."""
    grading = row.get("grading") or {}
    for grade in grading.get("grades", ()):
        if grade["grader"] == "llm" and grade["reply"] is not None:
            item = row["rubric_items"][grade["item"]]
            yield repr((item, grading["settings"])), len(grade.get("votes", ())) or 1
