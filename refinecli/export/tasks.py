"""Examples for RL: a conversation with what a reward function needs to grade an answer to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from refinecli.export.offers import Offer
from refinecli.export.selection import Example, Selection
from refinecli.text.json_text import dumps


def tasks(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> list[Example]:
    """Return a prompt's tasks: one for each rubric and reference that it has.

    The rubric is a JSON text: tables fill in keys that some items lack, and an item with nulls in
    the place of absent fields would not be the same.
    """
    found: dict[bytes, Example] = {}
    for offer in offers:
        items = dumps(offer.raw["rubric_items"])
        reference = offer.raw.get("reference") or ""
        key = items + b"\n" + reference.encode("utf-8", "surrogatepass")
        if key in found:
            dropped["duplicate"] += 1
            continue
        task = {
            "id": str(offer.raw["id"]),
            "rubric_items": items.decode(),
            "reference": reference,
        }
        found[key] = Example(offer.prompt, task=task)
    every = list(found.values())
    most = chosen.max_per_prompt or len(every)
    dropped["over_cap"] += max(len(every) - most, 0)
    return every[:most]
