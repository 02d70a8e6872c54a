"""Record what a data set was made from and how: `manifest.json`, and the card, `README.md`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import refinecli
from refinecli.export.collect import Collected
from refinecli.export.kinds import Kind
from refinecli.export.offers import REASONS
from refinecli.export.selection import Selection
from refinecli.export.words import reasons
from refinecli.export.write import Side
from refinecli.stats.wording import plural
from refinecli.text.clean import one_line
from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class Made:
    """An export that is done."""

    kind: Kind
    format: str
    selection: Selection
    test_share: float
    with_system: bool
    collected: Collected
    filters: Sequence[str]
    dropped: Counter[str] = field(default_factory=Counter)
    sides: Mapping[str, Side] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(side.statistics.rows for side in self.sides.values())

    @property
    def models(self) -> list[str]:
        """The models that wrote responses."""
        writers = {
            model
            for origin in self.collected.origins
            for made in origin.made.values()
            for role, model in made["models"].items()
            if role in ("policy", "reviser", "critic")
        }
        return sorted(writers)

    @property
    def licences(self) -> list[str]:
        """Notes on what to look at before the data is used or passed on."""
        stated = sorted({name for one in self.collected.origins for name in one.licences})
        notes = [f"The rows state: {', '.join(stated)}."] if stated else []
        if not stated:
            notes.append("The rows state no licence: the prompts have that of their source.")
        if self.models:
            notes.append(
                f"Responses were written by {', '.join(self.models)}: the terms of some models do "
                "not allow training others on what they write."
            )
        return notes


def manifest(made: Made) -> JSONObject:
    """Return the record. It holds no time: equal runs give equal bytes."""
    noise = made.collected.noise
    return {
        "made_by": f"refinecli {refinecli.__version__}",
        "kind": made.kind.name,
        "format": made.format,
        "files": {side.name: side.record() for side in made.sides.values()},
        "filters": {
            **asdict(made.selection),
            "test_share": made.test_share,
            "with_system": made.with_system,
        },
        "filters_in_words": list(made.filters),
        "grader_noise": {"sd": noise.deviation, "responses": noise.count},
        "read": {"rows": made.collected.rows, "responses": made.collected.responses},
        "kept": made.rows,
        "dropped": dict(made.dropped.most_common()),
        "dropped_in_words": {reason: REASONS[reason] for reason in made.dropped},
        "sources": [origin.record() for origin in made.collected.origins],
        "licence_notes": made.licences,
    }


def card(made: Made) -> str:
    """Return the data-set card; its head names the file of each split to `datasets`."""
    lines = [
        *_head(made),
        f"# {made.kind.name}: {plural(made.rows, made.kind.noun)}",
        "",
        f"Made by `refinecli export`, in {made.format}'s format. All figures: `manifest.json`.",
        "",
        "## What went in",
        "",
        *(f"- {one_line(phrase)}" for phrase in made.filters),
        "",
        f"Read: {plural(made.collected.responses, 'response')} in "
        f"{plural(made.collected.rows, 'row')}. "
        + (f"Left out: {reasons(made.dropped)}." if made.dropped else "Nothing was left out."),
        "",
        "## What it holds",
        "",
        "| file | rows | prompts |",
        "|---|---|---|",
        *(f"| {s.name} | {s.statistics.rows:,} | {s.prompts:,} |" for s in made.sides.values()),
        "",
        *_spreads(made.sides["train"]),
        "No prompt is in both files, and no `group` of prompts.",
        "",
        "## Where it comes from",
        "",
        *(f"- {one_line(line)}" for line in _sources(made)),
        "",
        "## Licence",
        "",
        *(f"- {_escaped(one_line(note))}" for note in made.licences),
        "",
    ]
    return "\n".join(lines)


def _head(made: Made) -> list[str]:
    """Return the YAML at the top of the card; an empty file would not load."""
    splits = []
    for name, side in made.sides.items():
        if side.statistics.rows:
            splits += [f"      - split: {name}", f"        path: {side.name}"]
    return ["---", "configs:", "  - config_name: default", "    data_files:", *splits, "---", ""]


def _spreads(side: Side) -> list[str]:
    """Return a table of the train file's lengths and scores."""
    rows = []
    for name, spread in side.statistics.spreads.items():
        found = spread.record()
        rows.append(
            f"| {name} | {found['mean']:.4g} | {found['sd']:.3g} | {found['min']:.4g} "
            f"| {found['max']:.4g} |"
        )
    if not rows:
        return []
    head = [
        "| of train, characters unless scores | mean | sd | least | most |",
        "|---|---|---|---|---|",
    ]
    return [*head, *rows, ""]


def _sources(made: Made) -> list[str]:
    lines = []
    for origin in made.collected.origins:
        lines.append(f"`{origin.file}`: {plural(origin.rows, 'row')}, sha256 {origin.sha256}")
        for one in origin.made.values():
            models = ", ".join(f"{role} {model}" for role, model in one["models"].items())
            lines.append(f"`{origin.file}` by {one['by']}" + (f" with {models}" if models else ""))
    return [_escaped(line) for line in lines]


def _escaped(text: str) -> str:
    """Return text from files so that Markdown shows it as it is."""
    return text.replace("<", "&lt;").replace("[", "\\[").replace("|", "\\|")
