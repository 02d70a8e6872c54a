"""Arguments of callers in code: what they may be, and what is said of those that are not."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from refinecli.errors import UsageError
from refinecli.text.urls import is_url

StrPath: TypeAlias = str | os.PathLike[str]


def path_in(value: StrPath, name: str) -> Path:
    """Return the path; raise UsageError naming the argument where it is not one."""
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{name}: must be a path, not {kind(value)}")
    return Path(value)


def location_in(value: StrPath, name: str) -> str:
    """Return the path or URL; raise UsageError naming the argument where it is neither."""
    return value if isinstance(value, str) and is_url(value) else str(path_in(value, name))


def several(value: StrPath | Sequence[StrPath]) -> Sequence[StrPath]:
    """Return one path, or each of several."""
    return [value] if isinstance(value, str) or not isinstance(value, Sequence) else value


def kind(value: object) -> str:
    """Return a wrong argument in words."""
    return "None" if value is None else f"a value of type {type(value).__name__}"
