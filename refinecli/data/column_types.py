"""Find out what type each column of JSON rows has, to write them where a column needs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["null", "bool", "int", "long", "float", "text", "list", "object", "mixed"]
_WHOLE = 1 << 63  # what 64 bits hold
_EXACT = 1 << 53  # up to which every integer is a float too
_NUMBERS: dict[frozenset[Kind], Kind] = {
    frozenset({"int", "long"}): "long",
    frozenset({"int", "float"}): "float",
}


@dataclass(slots=True)
class ColumnType:
    """The type of all values seen so far: `mixed` if they have none in common.

    `element` is that of a list's elements, `fields` those of an object's, by name. A `long` is an
    integer that a float may not hold exactly, so that the two have none in common.
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
        elif self.kind != kind:
            self.kind = _NUMBERS.get(frozenset({self.kind, kind}), "mixed")
        if self.kind == "mixed":
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
        if -_EXACT <= value <= _EXACT:
            return "int"
        return "long" if -_WHOLE <= value < _WHOLE else "mixed"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "text" if has_utf8(value) else "mixed"
    if isinstance(value, list):
        return "list"
    return "object" if all(map(has_utf8, value)) else "mixed"


def has_utf8(text: str) -> bool:
    """Return False where a half character stands alone."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
