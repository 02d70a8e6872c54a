"""Export rows to a folder in this process, as the command does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinecli.data.sources import LINE_BYTES
from refinecli.export.export import Plan, export
from refinecli.export.formats import format_for
from refinecli.export.kinds import KINDS
from refinecli.export.manifest import Made
from refinecli.export.selection import Selection
from tests.conftest import read_jsonl, write_jsonl

Row = dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """A folder that was written, and the record of how."""

    folder: Path
    made: Made

    @property
    def rows(self) -> list[Row]:
        """The rows of both files."""
        return self.side("train") + self.side("test")

    def side(self, name: str) -> list[Row]:
        return read_jsonl(self.folder / f"{name}.jsonl")

    @property
    def dropped(self) -> dict[str, int]:
        return dict(self.made.dropped)

    @property
    def texts(self) -> list[str]:
        """The answers, or the better ones."""
        return [(row.get("completion") or row["chosen"])[0]["content"] for row in self.rows]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [(r["chosen"][0]["content"], r["rejected"][0]["content"]) for r in self.rows]


def exported(
    folder: Path,
    kind: str,
    *runs: Sequence[Row],
    form: str = "trl",
    test_share: float = 0.0,
    min_margin: float | None = None,
    system: Callable[[Row], str] = lambda result: "",
    gpu: bool = False,
    **filters: Any,
) -> Exported:
    """Export runs, each given by its rows; `filters` are a Selection's."""
    names = []
    for number, rows in enumerate(runs):
        names.append(str(write_jsonl(folder / f"run-{number}.jsonl", list(rows))))
    out = folder / "out"
    out.mkdir()
    plan = Plan(
        names,
        KINDS[kind],
        form,
        format_for(form, kind),
        Selection(min_margin=min_margin or 0.0, **filters),
        default_margin=min_margin is None and "min_margin" in KINDS[kind].options,
        test_share=test_share,
        with_system=False,
        system=system,
        gpu=gpu,
        line_bytes=LINE_BYTES,
    )
    return Exported(out, export(plan, out))
