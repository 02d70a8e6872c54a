"""Write figures in words, the same everywhere: in conclusions, alarms and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def number(value: float | None, *, signed: bool = False, digits: int = 3) -> str:
    """Write a number such as `0.652` or `+0.120`; a dash for None."""
    if value is None:
        return "-"
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "+" if signed else "") if float(text) == 0 else text


def ends(interval: Mapping[str, Any] | None, *, signed: bool = False) -> str:
    """Write the ends such as `+0.101 to +0.148`; a dash where there is no interval."""
    if interval is None or interval["low"] is None:
        return "-"
    return f"{number(interval['low'], signed=signed)} to {number(interval['high'], signed=signed)}"


def change(interval: Mapping[str, Any]) -> str:
    """Write a change such as `+0.120 (95%: +0.101 to +0.148)`."""
    mean = number(interval["mean"], signed=True)
    return mean if interval["low"] is None else f"{mean} (95%: {ends(interval, signed=True)})"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
