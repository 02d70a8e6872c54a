"""Find out what type each column of JSON rows has, to write them where a column needs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["null", "bool", "int", "float", "text", "list", "object", "mixed"]
_WHOLE = 1 << 63  # what 64 bits hold


@dataclass(slots=True)
class ColumnType:
    """The type of all values seen so far: `mixed` if they have none in common.

    `element` is that of a list's elements, `fields` those of an object's, by name.
    """

    kind: Kind = "null"
    element: ColumnType | None = None
    fields: dict[str, ColumnType] = field(default_factory=dict)

    def add(self, value: Any) -> None:
        """Take in one more value."""
        kind = _kind(value)
        if kind == "null" or self.kind == "mixed":
            return
        if self.kind == "null":
            self.kind = kind
        elif {self.kind, kind} == {"int", "float"}:
            self.kind = "float"
        elif self.kind != kind:
            self.kind = "mixed"
            return
        if isinstance(value, list):
            self.element = self.element or ColumnType()
            for one in value:
                self.element.add(one)
        elif isinstance(value, Mapping):
            for name, one in value.items():
                self.fields.setdefault(name, ColumnType()).add(one)

    @property
    def is_one(self) -> bool:
        """True if a column can have it: nothing in it is mixed, or an object without fields."""
        if self.kind == "list":
            return self.element is None or self.element.is_one
        if self.kind == "object":
            return bool(self.fields) and all(one.is_one for one in self.fields.values())
        return self.kind != "mixed"


def _kind(value: Any) -> Kind:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -_WHOLE <= value < _WHOLE else "mixed"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "text" if value.isascii() or _has_utf8(value) else "mixed"
    return "list" if isinstance(value, list) else "object"


def _has_utf8(text: str) -> bool:
    """Return False where a half character stands alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
