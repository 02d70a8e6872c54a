"""Say in words what went in, what did not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from refinecli.export.kinds import Kind
from refinecli.export.noise import Noise
from refinecli.export.offers import REASONS
from refinecli.export.selection import LENGTH_RATIO, Selection
from refinecli.stats.wording import number, plural

_SHOWN = 3  # reasons
_TASKS = "each conversation once with each rubric and reference"
_REWRITES = {
    "critic": "what was said of a response that a rewrite then made better, without hidden items",
    "reviser": "the request as it was sent, with the rewrite that was accepted",
}
_PAIRINGS = {
    "first-best": "the best response to a prompt over the first",
    "best-worst": "the best response to a prompt over the worst",
    "steps": "each rewrite over what it is a rewrite of",
    "all": "each better response to a prompt over each worse one",
}


def filters(kind: Kind, chosen: Selection, noise: Noise, *, default_margin: bool) -> list[str]:
    """Return the filters that this export applies, a phrase each."""
    said = list(_filters(kind, chosen, noise, default_margin=default_margin))
    if chosen.random:
        said[0] = f"the control: as many {kind.noun}s at random as would be chosen by: {said[0]}"
    return said


def _filters(kind: Kind, chosen: Selection, noise: Noise, *, default_margin: bool) -> Iterator[str]:
    yield "graded responses with a good ending, each once" if kind.graded else _TASKS
    if kind.name == "kto":
        yield f"good: {_good(chosen)}"
    elif kind.name == "sft":
        yield _good(chosen)
    elif kind.name in _REWRITES:
        yield _REWRITES[kind.name]
        if chosen.min_score is not None:
            yield f"the rewrite scores {chosen.min_score:g} or more"
    elif kind.paired:
        yield _PAIRINGS[chosen.pairs]
        if chosen.min_score is not None:
            yield f"the better one scores {chosen.min_score:g} or more"
    if "min_margin" in kind.options:
        why = f" ({noise.in_words()})" if default_margin else ""
        least = f"{number(chosen.min_margin)} or more" if chosen.min_margin else "any margin"
        yield f"better by {least}{why}"
    if kind.paired:
        yield _length(chosen)
    if chosen.confirmed:
        yield "confirmed by a later grade"
    if chosen.max_per_prompt is not None:
        yield f"at most {plural(chosen.max_per_prompt, kind.noun)} of a prompt"


def _good(chosen: Selection) -> str:
    return "passed" if chosen.min_score is None else f"scores of {chosen.min_score:g} or more"


def _length(chosen: Selection) -> str:
    if chosen.length_ratio is None:
        return (
            f"neither more than {LENGTH_RATIO:g} times as long as the other, unless both are short"
        )
    return f"neither more than {chosen.length_ratio:g} times as long as the other"


def reasons(dropped: Mapping[str, int]) -> str:
    """Return the most frequent reasons for dropping, and how many more there are."""
    counts = Counter(dropped).most_common()
    shown = [f"{REASONS[reason]}: {count:,}" for reason, count in counts[:_SHOWN]]
    rest = sum(count for _, count in counts[_SHOWN:])
    return "; ".join([*shown, *([f"other reasons: {rest:,}"] if rest else [])])
