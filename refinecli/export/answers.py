"""Single answers: those to imitate, and those with a label that says whether they are good."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from refinecli.export.offers import Offer, Response
from refinecli.export.selection import Example, Selection, all_responses, best_first, distinct


def answers(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> list[Example]:
    """Return a prompt's good answers, each once; of too many, those with the highest scores."""
    good = []
    for response, text in all_responses(offers):
        if chosen.confirmed and not response.confirmed:
            dropped["unconfirmed"] += 1
        elif not chosen.is_good(response):
            dropped["not_passed" if chosen.min_score is None else "low"] += 1
        else:
            good.append((response, text))
    kept = [(response.score, response) for response in distinct(good, dropped)]
    return [
        _answer(offers, response) for response in best_first(kept, chosen.max_per_prompt, dropped)
    ]


def random_answers(offers: Sequence[Offer], chosen: Selection, random: Random) -> list[Example]:
    """Return answers that no score has chosen, in no order."""
    found = distinct(all_responses(offers), Counter())
    random.shuffle(found)
    return [_answer(offers, response) for response in found[: chosen.max_per_prompt]]


def labelled(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> list[Example]:
    """Return a prompt's answers, each labelled good or not; of too many, as many of both as there
    are, the surest first."""
    both: dict[bool, list[tuple[float, Example]]] = {True: [], False: []}
    for response in distinct(all_responses(offers), dropped):
        good = chosen.is_good(response)
        if good and chosen.confirmed and not response.confirmed:
            dropped["unconfirmed"] += 1
            continue
        sure = response.score if good else -response.score
        both[good].append((sure, _answer(offers, response, good)))
    most = chosen.max_per_prompt
    if most is None:
        return [example for side in both.values() for _, example in side]
    bad = min(len(both[False]), max(most // 2, most - len(both[True])))
    return [
        *best_first(both[True], most - bad, dropped),
        *best_first(both[False], bad, dropped),
    ]


def random_labelled(offers: Sequence[Offer], chosen: Selection, random: Random) -> list[Example]:
    """Return answers with a label that does not depend on them."""
    found = distinct(all_responses(offers), Counter())
    labels = [chosen.is_good(response) for response in found]
    random.shuffle(labels)
    examples = [
        _answer(offers, response, label) for response, label in zip(found, labels, strict=True)
    ]
    random.shuffle(examples)
    return examples[: chosen.max_per_prompt]


def _answer(offers: Sequence[Offer], response: Response, label: bool | None = None) -> Example:
    return Example(offers[0].prompt, response.text, label=label, score=response.score)
