"""Find a row's items by name, and say which name was meant by one that is not there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from refinecli.types import JSONObject


def item_names(row: JSONObject) -> list[str]:
    """Return the names of a row's items; one without a name is named after its place."""
    items = row.get("rubric_items")
    if not isinstance(items, list):
        return []
    names = [item.get("name") if isinstance(item, dict) else None for item in items]
    return [f"item-{at}" if name is None else str(name) for at, name in enumerate(names)]


def meant(name: str, names: Iterable[str]) -> str:
    """Ask whether a close name was meant; return "" where none is close."""
    close = difflib.get_close_matches(name, list(names), n=3)
    return f"did you mean {' or '.join(close)}?" if close else ""
