"""Pair responses to one prompt: a better one, and one that is worse by more than noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from random import Random
from typing import TypeAlias

from refinecli.export.offers import Offer, Response
from refinecli.export.selection import Example, Selection, all_responses, best_first, distinct

Pair: TypeAlias = tuple[Response, Response]


def pairs(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> list[Example]:
    """Return a prompt's pairs; of too many, those with the widest margins."""
    found: dict[tuple[str, str], tuple[float, Pair]] = {}
    for alike in _by_scale(offers):
        for better, worse in _candidates(alike, chosen, dropped):
            reason = chosen.may_be_chosen(better) or chosen.difference(better, worse)
            if reason:
                dropped[reason] += 1
                continue
            texts = (better.text.strip(), worse.text.strip())
            if texts in found or texts[0] == texts[1]:
                dropped["duplicate"] += 1
                continue
            found[texts] = (better.score - worse.score, (better, worse))
    kept = best_first(list(found.values()), chosen.max_per_prompt, dropped)
    prompt = offers[0].prompt
    return [
        Example(
            prompt, better.text, worse.text, margin=better.score - worse.score, score=better.score
        )
        for better, worse in kept
    ]


def random_pairs(offers: Sequence[Offer], chosen: Selection, random: Random) -> list[Example]:
    """Return pairs that no score has chosen, as many as could be wanted."""
    once = chosen.pairs in ("first-best", "best-worst")
    most = chosen.max_per_prompt or (1 if once else None)
    found: list[Pair] = []
    for alike in _by_scale(offers):
        responses = distinct(all_responses(alike), Counter())
        found += [
            (one, other)
            for one, other in combinations(responses, 2)
            if chosen.alike(one.text, other.text)
        ]
    random.shuffle(found)
    return [
        Example(offers[0].prompt, one.text, other.text, margin=0.0, score=one.score)
        for one, other in (random.sample(pair, 2) for pair in found[:most])
    ]


def _by_scale(offers: Sequence[Offer]) -> list[list[Offer]]:
    """Return the offers whose scores can be compared, together."""
    scales: dict[str, list[Offer]] = {}
    for offer in offers:
        scales.setdefault(offer.scale, []).append(offer)
    return list(scales.values())


def _candidates(
    offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]
) -> Iterator[Pair]:
    """Yield the pairs that are asked for, the better response first."""
    if chosen.pairs == "steps":
        yield from _steps(offers)
        return
    responses = distinct(all_responses(offers), dropped)
    if len(responses) < 2:
        dropped["alone"] += len(responses)
        return
    if chosen.pairs == "all":
        for one, other in combinations(responses, 2):
            yield (one, other) if one.score > other.score else (other, one)
        return
    fit = [response for response in responses if not chosen.may_be_chosen(response)]
    best = max(fit or responses, key=lambda response: response.score)
    if chosen.pairs == "best-worst":
        yield best, min(responses, key=lambda response: response.score)
    elif best is responses[0]:
        dropped["first_is_best"] += 1
    else:
        yield best, responses[0]


def _steps(offers: Sequence[Offer]) -> Iterator[Pair]:
    """Yield each rewrite with the response that it is a rewrite of."""
    for offer in offers:
        by_number = {response.number: response for response in offer.responses}
        for response in offer.responses:
            if response.parent is not None and (parent := by_number.get(response.parent)):
                yield response, parent
