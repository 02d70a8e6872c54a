"""Find what an edit of a rubric changed: which items of two rubrics are the same one, and how those
differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from refinecli.report.cases import Case, Item

Change: TypeAlias = Literal["edited", "renamed", "reweighted", "added", "removed"]


@dataclass(frozen=True, slots=True)
class ItemPair:
    """An item of two rubrics, by its places in them; None where one of them has no such item.

    `changes` has "edited" where its grade depends on something else now, so that a grader is asked
    again, and "reweighted" where the same grade counts in another way: by its weight, by the score
    that passes or because it is required.
    """

    old: int | None
    new: int | None
    name: str
    old_name: str
    changes: tuple[Change, ...] = ()

    @property
    def same_question(self) -> bool:
        """True if both rubrics have it, and its grade depends on the same in both."""
        return not {"edited", "added", "removed"} & set(self.changes)


def item_pairs(old: Case, new: Case) -> tuple[ItemPair, ...]:
    """Pair the items of two rubrics, in the order of the new one; removed items come last.

    Items that ask the same are one, whatever their names; of the others those with the same name.
    """
    return _paired(old.items, old.asks, new.items, new.asks)


@lru_cache(maxsize=4096)
def _paired(
    old: tuple[Item, ...], old_asks: tuple[int, ...], new: tuple[Item, ...], asks: tuple[int, ...]
) -> tuple[ItemPair, ...]:
    partners = _partners(
        [(item.name, asked) for item, asked in zip(old, old_asks, strict=True)],
        [(item.name, asked) for item, asked in zip(new, asks, strict=True)],
    )
    found = []
    for at, item in enumerate(new):
        if (there := partners.get(at)) is None:
            found.append(ItemPair(None, at, item.name, item.name, ("added",)))
        else:
            changes = tuple(_changes(old[there], item, old_asks[there] == asks[at]))
            found.append(ItemPair(there, at, item.name, old[there].name, changes))
    gone = set(range(len(old))) - set(partners.values())
    removed = [ItemPair(at, None, old[at].name, old[at].name, ("removed",)) for at in sorted(gone)]
    return (*found, *removed)


_Described: TypeAlias = tuple[str, int]  # an item's name, and what it asks
_KEYS: tuple[Callable[[_Described], object], ...] = (
    lambda item: item,
    lambda item: item[1],
    lambda item: item[0],
)


def _partners(old: Sequence[_Described], new: Sequence[_Described]) -> dict[int, int]:
    """Return the old place of each new item that was there: the surest matches are made first."""
    found: dict[int, int] = {}
    left = list(range(len(old)))
    for key in _KEYS:
        for at, item in enumerate(new):
            same = [there for there in left if key(old[there]) == key(item)]
            if at not in found and same:
                found[at] = same[0]
                left.remove(same[0])
    return found


def _changes(old: Item, new: Item, same_asks: bool) -> Iterator[Change]:
    if not same_asks:
        yield "edited"
    if old.name != new.name and (old.named or new.named):  # else it only has another place
        yield "renamed"
    if _counting(old) != _counting(new):
        yield "reweighted"


def _counting(item: Item) -> tuple[float, bool, float]:
    return item.weight, item.required, item.pass_score
