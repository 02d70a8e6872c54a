"""Whole results kept next to the tests: figures, a table or a page as they were when they were read
and found right. Where one changes on purpose, APPROVE=1 pytest … writes it: read the difference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

UNIT = Path(__file__).parents[1] / "unit"


def approve(place: str, text: str) -> None:
    """Assert that a text is the approved one at `place` under tests/unit."""
    path = UNIT / place
    text = text.rstrip("\n") + "\n"
    if os.environ.get("APPROVE"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    assert text.split("\n") == path.read_text("utf-8").split("\n"), (
        f"tests/unit/{place} differs; APPROVE=1 writes it again"
    )


def approve_json(place: str, value: Any) -> None:
    """Assert that a value is the approved one, its numbers to six digits."""
    approve(place, json.dumps(_rounded(value), indent=1, ensure_ascii=False))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
