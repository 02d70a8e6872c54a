"""Split prompts into train and test: no prompt, and no group of prompts, is on both sides."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from refinecli.data.repeats import Occurrences
from refinecli.export.offers import Offer
from refinecli.export.shelf import prompt_digest


class Split:
    """A seeded split by unit. A unit is a prompt's `group`, or else the prompt itself; groups that
    share a prompt are one unit.

    Each unit has a place among all that there could be, and the test side is what lies below a
    bound. Some thirty bytes a unit are kept, so that its share is exact.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._seed, self._share = seed, share
        self._seen = Occurrences()
        self._places = array("Q")
        self._same: dict[str, str] = {}
        self._bound: int | None = None

    def unit_of(self, offers: Sequence[Offer]) -> str:
        """Return the unit of a prompt, and remember that its groups belong together."""
        groups = [f"group {offer.group!r}" for offer in offers if offer.group is not None]
        if not groups:
            return f"prompt {prompt_digest(offers[0].prompt).hex()}"
        first = self._root(groups[0])
        for other in map(self._root, groups[1:]):
            if other != first:
                self._same[other] = first
        return first

    def add(self, unit: str) -> None:
        """Count a unit that has examples."""
        if not self._seen.next(unit):
            self._places.append(self._place(unit))

    def is_test(self, unit: str) -> bool:
        """Return whether a unit is for testing; call it once all units are added."""
        if self._bound is None:
            self._bound = self._settled()
        return self._place(self._root(unit)) < self._bound

    def _settled(self) -> int:
        """Return the bound of the test side: at least one of two or more units, never all."""
        total = sum(1 for _ in self._units())
        count = round(self._share * total)
        if self._share > 0:
            count = max(count, 1)
        return self._nth(min(count, total - 1)) if count and total > 1 else 0

    def _units(self) -> Iterator[int]:
        """Yield the place of each unit once, of those that belong together one place."""
        roots = {self._place(unit): self._place(self._root(unit)) for unit in self._same}
        places = set(roots.values())
        met: set[int] = set()
        for place in self._places:
            root = roots.get(place, place)
            if root in places:
                met.add(root)
            else:
                yield root
        yield from met

    def _nth(self, number: int) -> int:
        """Return the place before which that many lie: its leading bits first, then the rest among
        the few that share them. A sorted list would take a hundred bytes a unit."""
        counts = Counter(place >> 48 for place in self._units())
        before = 0
        for lead in sorted(counts):
            if before + counts[lead] > number:
                alike = sorted(place for place in self._units() if place >> 48 == lead)
                return alike[number - before]
            before += counts[lead]
        raise AssertionError(number)

    def _root(self, unit: str) -> str:
        while (above := self._same.get(unit)) is not None:
            unit = above
        return unit

    def _place(self, unit: str) -> int:
        return int.from_bytes(blake2b(f"{self._seed} {unit}".encode(), digest_size=8).digest())
