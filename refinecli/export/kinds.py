"""List the kinds of training data, a function each, and what is known about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType
from typing import TypeAlias

from refinecli.export.answers import answers, labelled, random_answers, random_labelled
from refinecli.export.offers import Offer
from refinecli.export.pairs import pairs, random_pairs
from refinecli.export.rewrites import critiques, random_revisions, revisions
from refinecli.export.selection import Example, Selection
from refinecli.export.tasks import tasks

Choose: TypeAlias = Callable[[Sequence[Offer], Selection, Counter[str]], list[Example]]
Draw: TypeAlias = Callable[[Sequence[Offer], Selection, Random], list[Example]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of training data: `choose` makes a prompt's examples, `draw` makes those of the
    control. `trainer` is TRL's command for it; `options` are the filters that it has besides the
    shared ones, `keep` the fields of a row that it needs."""

    name: str
    trainer: str
    noun: str
    choose: Choose
    draw: Draw | None
    options: frozenset[str]
    keep: tuple[str, ...] = ()
    graded: bool = True

    @property
    def paired(self) -> bool:
        return "pairs" in self.options


_OF_ANSWERS = frozenset({"min_score", "confirmed"})
_OF_PAIRS = frozenset({"min_score", "min_margin", "pairs", "max_length_ratio", "confirmed"})
_OF_REWRITES = frozenset({"min_score", "min_margin", "confirmed"})
_RECORD = ("id", "rubric_items", "reference", "refinement")

KINDS = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            Kind("sft", "sft", "answer", answers, random_answers, _OF_ANSWERS),
            Kind("dpo", "dpo", "pair", pairs, random_pairs, _OF_PAIRS),
            Kind("kto", "kto", "labelled answer", labelled, random_labelled, _OF_ANSWERS),
            Kind("reward", "reward", "pair", pairs, random_pairs, _OF_PAIRS),
            Kind("critic", "sft", "critique", critiques, None, _OF_REWRITES, _RECORD),
            Kind("reviser", "sft", "rewrite", revisions, random_revisions, _OF_REWRITES, _RECORD),
            Kind(
                "prompts",
                "grpo",
                "task",
                tasks,
                None,
                frozenset(),
                keep=("id", "rubric_items", "reference"),
                graded=False,
            ),
        )
    }
)
