"""Examples from rewrites that were better: for a critic the critique that led there, for a reviser
the request as it was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from refinecli.data.rows import read_row
from refinecli.export.offers import Offer, Response
from refinecli.export.selection import EPSILON, Example, Selection, best_first
from refinecli.prompts import (
    Prompts,
    critique_in,
    feedback_messages,
    rewrite_messages,
    rewrite_request,
    self_rewrite_messages,
    shown_problems,
)
from refinecli.text.json_text import canonical, dumps
from refinecli.types import Datapoint, Failure, Grade, JSONObject, Message

_BY_GRADES = ("refine", "adaptive")


class Rewrite(NamedTuple):
    """A response that was rewritten, and what came of it."""

    offer: Offer
    before: Response
    after: Response

    @property
    def gain(self) -> float:
        return self.after.score - self.before.score

    @property
    def iterations(self) -> list[JSONObject]:
        return list(self.offer.raw["refinement"]["iterations"])

    def request(self) -> str | None:
        """Return the request that the rewrite answers, as it stands in the record; None where the
        record keeps another in its place."""
        iterations, number = self.iterations, self.after.number
        if self.offer.strategy != "adaptive":  # it is noted on the iteration before
            return iterations[number - 1].get("feedback")
        siblings = [it for it in iterations if it.get("parent") == self.before.number]
        kept = max(siblings, key=lambda it: -1e18 if it["score"] is None else it["score"])
        if kept["iteration"] != number:
            return None
        return iterations[self.before.number].get("feedback")


# ------------------------------------------------------------------ critics


def critiques(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> list[Example]:
    """Return what a critic would be asked about a response, with the critique after which the
    response became better.

    Items that the policy may not see are left out, and rows with a reference, which a grader's
    words may give away.
    """
    found: dict[bytes, tuple[float, Example]] = {}
    for rewrite in _better(offers, chosen, dropped):
        if rewrite.offer.raw.get("reference"):
            dropped["reference"] += 1
            continue
        datapoint = datapoint_of(rewrite.offer)
        said = _critique(rewrite, datapoint)
        if said is None:
            dropped["no_critique"] += 1
            continue
        critique, principle = said
        messages = feedback_messages(Prompts(), datapoint, rewrite.before.text, principle)
        example = Example(messages, critique, score=rewrite.after.score, margin=rewrite.gain)
        key = canonical([messages, critique])
        if key in found:
            dropped["duplicate"] += 1
            continue
        found[key] = rewrite.gain, example
    return best_first(list(found.values()), chosen.max_per_prompt, dropped)


def _critique(rewrite: Rewrite, datapoint: Datapoint) -> tuple[str, str] | None:
    """Return the critique behind a rewrite, and the principle that it holds to; None where there is
    none of this response alone."""
    strategy = rewrite.offer.strategy
    if not any(item.reveal == "full" for item in datapoint.rubric_items):
        return None
    if strategy in _BY_GRADES:
        grades = grades_of(rewrite.iterations[rewrite.before.number])
        said = "\n".join(shown_problems(datapoint, grades))
        return (said, "") if said else None
    request = rewrite.request() or ""
    if strategy == "self-refine":
        return critique_in(request)
    return (request, "") if strategy == "writer-critic" and request else None


# ------------------------------------------------------------------ revisers


def revisions(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> list[Example]:
    """Return the requests that were sent to the reviser, with the rewrites that were accepted."""
    found: list[tuple[float, Example]] = []
    for rewrite in _better(offers, chosen, dropped):
        if not rewrite.after.accepted:
            dropped["not_better"] += 1
        elif example := _revision(rewrite):
            found.append((rewrite.gain, example))
        else:
            dropped["no_request"] += 1
    return best_first(_each_once(found, dropped), chosen.max_per_prompt, dropped)


def random_revisions(offers: Sequence[Offer], chosen: Selection, random: Random) -> list[Example]:
    """Return requests with whatever came of them."""
    found = [(0.0, example) for one in _all(offers) if (example := _revision(one))]
    examples = [example for _, example in _each_once(found, Counter())]
    random.shuffle(examples)
    return examples[: chosen.max_per_prompt]


def _revision(rewrite: Rewrite) -> Example | None:
    messages = sent_messages(rewrite)
    if messages is None:
        return None
    return Example(messages, rewrite.after.text, score=rewrite.after.score, margin=rewrite.gain)


def sent_messages(rewrite: Rewrite) -> list[Message] | None:
    """Return the messages that the reviser was sent; None where they cannot be known."""
    offer, iterations = rewrite.offer, rewrite.iterations
    datapoint = datapoint_of(offer)
    if offer.strategy == "self-refine":
        history = [(it["response"], it["feedback"]) for it in iterations[: rewrite.after.number]]
        return self_rewrite_messages(datapoint, history)
    if iterations[rewrite.after.number].get("role") != "reviser":
        return None
    request = rewrite.request()
    if request is None and offer.strategy == "adaptive":
        request = _made_again(rewrite, datapoint)
    if request is None:
        return None
    last = iterations[rewrite.after.number - 1]["response"]
    answer = last if offer.strategy == "rm-gallery" else rewrite.before.text
    return rewrite_messages(datapoint, answer, request)


def _made_again(rewrite: Rewrite, datapoint: Datapoint) -> str | None:
    """Return the request made again as the loop made it; None where settings of which the record
    does not keep enough went into it."""
    shaped_by = rewrite.offer.raw["refinement"].get("shaped_by") or {}
    if "prompts.rewrite" in shaped_by or shaped_by.get("refine.memory"):
        return None
    before = rewrite.iterations[rewrite.before.number]
    return rewrite_request(
        Prompts(), datapoint, grades_of(before), cut_off=before.get("finish_reason") == "length"
    )


def _each_once(
    found: Sequence[tuple[float, Example]], dropped: Counter[str]
) -> list[tuple[float, Example]]:
    kept: dict[bytes, tuple[float, Example]] = {}
    for gain, example in found:
        key = canonical([example.prompt, example.answer])
        dropped["duplicate"] += key in kept
        kept.setdefault(key, (gain, example))
    return list(kept.values())


# ------------------------------------------------------------------ a record's parts


def _all(offers: Sequence[Offer]) -> Iterator[Rewrite]:
    """Yield each rewrite of a response that can be used."""
    for offer in offers:
        by_number = {response.number: response for response in offer.responses}
        for response in offer.responses:
            if response.parent is not None and (before := by_number.get(response.parent)):
                yield Rewrite(offer, before, response)


def _better(offers: Sequence[Offer], chosen: Selection, dropped: Counter[str]) -> Iterator[Rewrite]:
    for rewrite in _all(offers):
        if rewrite.gain <= EPSILON:
            dropped["not_better"] += 1
        elif rewrite.gain < chosen.min_margin - EPSILON:
            dropped["margin"] += 1
        elif reason := chosen.may_be_chosen(rewrite.after):
            dropped[reason] += 1
        else:
            yield rewrite


def datapoint_of(offer: Offer) -> Datapoint:
    """Return an offer's datapoint, which was read before."""
    fields = {key: offer.raw.get(key) for key in ("id", "rubric_items", "reference")}
    row = read_row(dumps({"convo": offer.prompt, **fields}), 0, "")
    assert row.datapoint is not None, row.error
    return row.datapoint


def grades_of(iteration: JSONObject) -> list[Grade]:
    """Return an iteration's grades, as far as the record has been kept."""
    return [
        Grade(
            grade["item"],
            grade["name"],
            grade["score"],
            grade.get("raw_score"),
            grade["passed"],
            grade["grader"],
            grade.get("feedback"),
            error=Failure("no_score", "") if grade.get("status") == "ungraded" else None,
            skipped=grade.get("status") == "skipped",
        )
        for grade in iteration["grades"]
    ]
