"""Number the rows with the same id: 0 for the first row with it, 1 for the second, …

A million rows must not cost a hundred bytes each, as in a Python set, so this is an open-addressing
table of 64-bit hashes with a counting byte next to each: 12 to 24 bytes a row. Only the counts of
keys seen more than 255 times are kept elsewhere.
"""

from __future__ import annotations

from array import array

from refinecli.text.json_text import canonical
from refinecli.types import Datapoint

_MOST = 255  # the highest count in a byte


class Occurrences:
    """A count of how often each key (an id, or whatever distinguishes rows) has been seen."""

    def __init__(self) -> None:
        self._table = array("q", [0]) * 1024  # 0 marks a free place
        self._again = bytearray(1024)
        self._used = 0
        self._often: dict[int, int] = {}

    def next(self, key: str | int | bytes) -> int:
        """Return how often `key` was asked for before. Do not mix texts and bytes in one table:
        Python gives them the same hash."""
        # Python gives -1 and -2 the same hash, and a number must not equal its text.
        hashed = hash((repr(key),) if isinstance(key, int) else key) or 1
        table, mask = self._table, len(self._table) - 1
        place = hashed & mask
        while found := table[place]:
            if found == hashed:
                return self._count(place, hashed)
            place = (place + 1) & mask
        table[place] = hashed
        self._used += 1
        if self._used * 4 > len(table) * 3:
            self._grow()
        return 0

    def _count(self, place: int, hashed: int) -> int:
        if self._again[place] < _MOST:
            self._again[place] += 1
            return self._again[place]
        self._often[hashed] = self._often.get(hashed, _MOST) + 1
        return self._often[hashed]

    def _grow(self) -> None:
        size = 2 * len(self._table)
        table, again = array("q", [0]) * size, bytearray(size)
        for hashed, count in zip(self._table, self._again, strict=True):
            if hashed:
                place = hashed & (size - 1)
                while table[place]:
                    place = (place + 1) & (size - 1)
                table[place], again[place] = hashed, count
        self._table, self._again = table, again


class Repeats:
    """Numbers for datapoints that have the same id or the same conversation."""

    def __init__(self) -> None:
        self._ids, self._convos = Occurrences(), Occurrences()

    def told_apart(self, datapoint: Datapoint) -> Datapoint:
        """Return the datapoint with the number of earlier ones like it."""
        occurrence = self._ids.next(datapoint.id)
        same_convo = self._convos.next(canonical(datapoint.convo))
        if not same_convo and not occurrence:
            return datapoint
        update = {"occurrence": occurrence, "convo_occurrence": same_convo}
        return datapoint.model_copy(update=update)
