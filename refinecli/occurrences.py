"""Which time a datapoint's id comes by: 0 for the first row with it, 1 for the second, …

A million rows must not cost a hundred bytes each, which is what a Python set of them takes, so
this is an open-addressing table of 64-bit hashes: 11 to 22 bytes a row. Counts are kept only of
ids that came twice.
"""

from __future__ import annotations

import hashlib
from array import array


class Occurrences:
    """Counts how often each id has been seen."""

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * 1024))  # 0 marks a free place
        self._used = 0
        self._repeated: dict[int, int] = {}

    def next(self, id: str | int) -> int:
        """How many times `id` was asked for before."""
        hashed = hashlib.blake2b(
            f"{type(id).__name__}:{id}".encode("utf-8", "surrogatepass"), digest_size=8
        )
        key = int.from_bytes(hashed.digest(), "little") or 1
        if self._add(key):
            return 0
        self._repeated[key] = self._repeated.get(key, 0) + 1
        return self._repeated[key]

    def _add(self, key: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        place = key & mask
        while table[place]:
            if table[place] == key:
                return False
            place = (place + 1) & mask
        table[place] = key
        self._used += 1
        if self._used * 4 > len(table) * 3:
            self._grow()
        return True

    def _grow(self) -> None:
        old, self._used = self._table, 0
        self._table = array("Q", bytes(16 * len(old)))
        for key in old:
            if key:
                self._add(key)
