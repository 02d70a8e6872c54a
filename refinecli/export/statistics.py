"""Figures of the exported examples, gathered one by one."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from refinecli.export.selection import Example
from refinecli.prompts import message_text
from refinecli.types import JSONObject


@dataclass(slots=True)
class Spread:
    """Count, mean, standard deviation and ends of numbers that are not kept (Welford)."""

    count: int = 0
    mean: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    _squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        off = value - self.mean
        self.mean += off / self.count
        self._squares += off * (value - self.mean)
        self.least, self.most = min(self.least, value), max(self.most, value)

    def record(self) -> JSONObject:
        deviation = math.sqrt(self._squares / (self.count - 1)) if self.count > 1 else 0.0
        figures = {"mean": self.mean, "sd": deviation, "min": self.least, "max": self.most}
        return {"n": self.count, **{key: round(value, 4) for key, value in figures.items()}}


@dataclass(slots=True)
class Statistics:
    """Lengths in characters, and scores, of one file's examples."""

    rows: int = 0
    good: int = 0
    longer: int = 0
    shorter: int = 0
    spreads: dict[str, Spread] = field(default_factory=dict)

    def add(self, example: Example) -> None:
        self.rows += 1
        self.good += example.label is True
        self._of("prompt", sum(len(message_text(message)) for message in example.prompt))
        better = "answer" if example.worse is None else "chosen"
        if example.answer:
            self._of(better, len(example.answer))
        if example.worse is not None:
            self._of("rejected", len(example.worse))
            self.longer += len(example.answer) > len(example.worse)
            self.shorter += len(example.answer) < len(example.worse)
        if example.score is not None:
            self._of(f"score of {better}", example.score)
        if example.margin is not None:
            self._of("margin", example.margin)

    def _of(self, name: str, value: float) -> None:
        self.spreads.setdefault(name, Spread()).add(value)

    def record(self) -> JSONObject:
        return {
            "rows": self.rows,
            **{name: spread.record() for name, spread in self.spreads.items()},
            **(
                {"chosen_is_longer": self.longer, "chosen_is_shorter": self.shorter}
                if "rejected" in self.spreads
                else {}
            ),
        }
