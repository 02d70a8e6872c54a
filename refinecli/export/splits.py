"""Split prompts into train and test: no prompt, and no group of prompts, is on both sides."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from hashlib import blake2b

from refinecli.export.offers import Offer
from refinecli.export.shelf import prompt_digest


class Split:
    """A seeded split by unit. A unit is a prompt's `group`, or else the prompt itself; groups that
    share a prompt are one unit.

    Eight bytes a prompt are kept: the share of the test side is then exact.
    """

    def __init__(self, seed: int, share: float) -> None:
        self._seed, self._share = seed, share
        self._units = array("Q")
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
        self._units.append(self._place(unit))

    def is_test(self, unit: str) -> bool:
        """Return whether a unit is for testing; call it once all units are added."""
        if self._bound is None:
            self._bound = self._settled()
        return self._place(self._root(unit)) < self._bound

    def _settled(self) -> int:
        """Return the bound below which the places of the test units are: at least one of two or
        more, never all."""
        merged = {self._place(unit): self._place(self._root(unit)) for unit in self._same}
        places = sorted({merged.get(place, place) for place in self._units})
        count = round(self._share * len(places))
        if self._share > 0:
            count = max(count, 1)
        count = min(count, len(places) - 1)
        return places[count] if count > 0 else 0

    def _root(self, unit: str) -> str:
        while (above := self._same.get(unit)) is not None:
            unit = above
        return unit

    def _place(self, unit: str) -> int:
        return int.from_bytes(blake2b(f"{self._seed} {unit}".encode(), digest_size=8).digest())
