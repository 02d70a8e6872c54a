"""Choose examples prompt by prompt, or as many at random for the control."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from refinecli.export.formats import Format
from refinecli.export.kinds import Draw, Kind
from refinecli.export.offers import Offer
from refinecli.export.selection import Example, Selection
from refinecli.export.shelf import Shelf, prompt_digest
from refinecli.export.splits import Split
from refinecli.export.write import Spool

Found: TypeAlias = tuple[list[Offer], list[Example]]


@dataclass(frozen=True, slots=True)
class Chooser:
    """Chooses examples of one kind for one format, and counts by reason what it drops."""

    kind: Kind
    form: Format
    selection: Selection
    dropped: Counter[str] = field(default_factory=Counter)

    def fill(self, spool: Spool, shelf: Shelf, split: Split) -> None:
        """Put the examples into the spool, and their units into the split."""
        random = self.selection.random and self.kind.draw
        for offers, examples in self._at_random(shelf, random) if random else self._chosen(shelf):
            unit = split.unit_of(offers)
            for example in examples:
                spool.put(unit, example)
            if examples:
                split.add(unit)

    def _chosen(self, shelf: Shelf) -> Iterator[Found]:
        for offers in self._offered(shelf):
            yield offers, self._fit(self.kind.choose(offers, self.selection, self.dropped))

    def _offered(self, shelf: Shelf) -> Iterator[list[Offer]]:
        """Yield the offers for each prompt, without those of rows that are not confirmed where that
        is asked for."""
        for offers in shelf.by_prompt():
            if not self.selection.confirmed:
                yield offers
                continue
            confirmed = [one for one in offers if any(r.confirmed for r in one.responses)]
            kept = sum(len(one.responses) for one in confirmed)
            self.dropped["unconfirmed"] += sum(len(one.responses) for one in offers) - kept
            if confirmed:
                yield confirmed

    def _fit(self, examples: Sequence[Example]) -> list[Example]:
        """Return what the format can hold; count the rest."""
        fit = []
        for example in examples:
            if problem := self.form.problem(example) or _half_a_character(example):
                self.dropped[problem] += 1
            else:
                fit.append(example)
        return fit

    def _at_random(self, shelf: Shelf, draw: Draw) -> Iterator[Found]:
        """Yield as many examples as would be chosen, each of the whole pool equally likely."""
        wanted = sum(len(examples) for _, examples in self._chosen(shelf))
        self.dropped.clear()  # those reasons are not the control's
        pool = sum(len(examples) for _, examples in self._pool(shelf, draw))
        self.dropped.clear()
        random = Random(self.selection.seed)
        for offers, examples in self._pool(shelf, draw):
            taken = []
            for example in examples:  # Knuth's algorithm S
                if random.random() * pool < wanted:
                    taken.append(example)
                    wanted -= 1
                pool -= 1
            yield offers, taken

    def _pool(self, shelf: Shelf, draw: Draw) -> Iterator[Found]:
        for offers in self._offered(shelf):
            random = Random(f"{self.selection.seed} {prompt_digest(offers[0].prompt).hex()}")
            yield offers, self._fit(draw(offers, self.selection, random))


def _half_a_character(example: Example) -> str:
    """Return the reason not to write a lone surrogate, which JSON may hold, and over which readers
    give up the whole file."""
    try:
        json.dumps(example.stored(), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "unicode"
    return ""
