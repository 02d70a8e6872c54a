"""Export runs into a folder that appears when it is complete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import mkdtemp

from refinecli.errors import InputError, UsageError, option
from refinecli.export.choose import Chooser
from refinecli.export.collect import collect
from refinecli.export.formats import Format
from refinecli.export.kinds import Kind
from refinecli.export.manifest import Made, card, manifest
from refinecli.export.recipe import recipe
from refinecli.export.selection import Selection
from refinecli.export.shelf import Shelf
from refinecli.export.splits import Split
from refinecli.export.words import filters, reasons
from refinecli.export.write import SIDES, Spool, write_sides
from refinecli.stats.wording import plural
from refinecli.text.urls import was_url
from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class Plan:
    """An export to be made; `selection.min_margin` counts unless `default_margin` holds."""

    runs: Sequence[str]
    kind: Kind
    format: str
    form: Format
    selection: Selection
    default_margin: bool
    test_share: float
    with_system: bool
    system: Callable[[JSONObject], str]
    gpu: bool
    line_bytes: int


def export(
    plan: Plan, folder: Path, on_bad: Callable[[InputError], None] = lambda error: None
) -> Made:
    """Read the runs, choose examples, and write all files into a folder that exists. Lines that
    cannot be used are handed to `on_bad` before they are refused."""
    kind, spool = plan.kind, Spool(folder / ".examples")
    split = Split(plan.selection.seed, plan.test_share)
    try:
        with Shelf(folder / ".offers") as shelf:
            found = collect(
                plan.runs,
                shelf,
                plan.line_bytes,
                graded=kind.graded,
                keep=kind.keep,
                system=plan.system,
                on_bad=on_bad,
            )
            selection = plan.selection
            if plan.default_margin:
                selection = replace(selection, min_margin=found.noise.margin)
            chooser = Chooser(kind, plan.form, selection)
            chooser.fill(spool, shelf, split)
        dropped = found.dropped + chooser.dropped
        if not spool.count:
            unconfirmed = dropped["unconfirmed"] == dropped.total() > 0
            raise _nothing(plan, found.responses, reasons(dropped), unconfirmed=unconfirmed)
        made = Made(
            kind,
            plan.format,
            selection,
            plan.test_share,
            plan.with_system,
            found,
            filters(kind, selection, found.noise, default_margin=plan.default_margin),
            dropped,
            write_sides(spool, split, plan.form, folder),
        )
    finally:
        spool.remove()
    _write_others(made, plan, folder)
    return made


def _nothing(plan: Plan, responses: int, why: str, *, unconfirmed: bool) -> UsageError:
    if unconfirmed:
        hint = "grade the run once more with `refinecli grade`, and export what that writes"
        return UsageError(_none_left(plan, responses, why), hint)
    if plan.kind.name in ("critic", "reviser"):
        hint = "give a run whose loop rewrites, such as `refine` with several iterations"
        return UsageError(_none_left(plan, responses, why), hint)
    ways = [option("min_score", "X")] if "min_score" in plan.kind.options else []
    ways += [option("min_margin", "X")] if "min_margin" in plan.kind.options else []
    return UsageError(
        _none_left(plan, responses, why),
        f"ask for less with {' or '.join(ways)}, or draw more responses" if ways else "",
    )


def _none_left(plan: Plan, responses: int, why: str) -> str:
    return (
        f"no {plan.kind.noun} is left of {plural(responses, 'response')}: {why or 'there are none'}"
    )


def _write_others(made: Made, plan: Plan, folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(manifest(made), indent=1) + "\n", "ascii")
    (folder / "README.md").write_text(card(made), "utf-8")
    for name, content in plan.form.more_files().items():
        (folder / name).write_bytes(content)
    if plan.format == "trl":
        train = made.sides["train"].statistics
        text = recipe(made.kind.name, made.kind.trainer, (train.rows, train.good), gpu=plan.gpu)
        (folder / "trl.yaml").write_text(text, "utf-8")


@contextmanager
def appearing(folder: Path, *, force: bool) -> Iterator[Path]:
    """Yield a new folder next to the place of another; what is in it goes there if all goes well,
    and is removed otherwise."""
    if was_url(str(folder)):
        raise UsageError("an export is a folder on this machine", "name a directory, and copy it")
    folder = folder.resolve()
    _check(folder, force=force)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UsageError(f"{folder.parent}: {error.strerror}", "name another directory") from None
    try:
        made.chmod(0o777 & ~_umask())
        yield made
        _check(folder, force=force)  # it may have appeared since the start
        _move(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _move(made: Path, folder: Path) -> None:
    """Put the files into place. Those of an earlier export go, but nothing else: a model that was
    trained on it may be there."""
    if not folder.exists() or not any(folder.iterdir()):
        made.replace(folder)
        return
    for name in _OURS:
        if not (made / name).exists():
            (folder / name).unlink(missing_ok=True)
    for file in made.iterdir():
        file.replace(folder / file.name)


_SIDES = tuple(f"{side}.{suffix}" for side in SIDES for suffix in ("jsonl", "parquet"))
_OURS = (*_SIDES, "manifest.json", "README.md", "trl.yaml", "dataset_info.json")


def _check(folder: Path, *, force: bool) -> None:
    """Refuse to replace what is not an export, and without `force` one that is."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a directory", "name a new one")
    if not any(folder.iterdir()):
        return
    if not (folder / "manifest.json").is_file():
        raise UsageError(f"{folder}: has other files in it", "name a new directory")
    if not force:
        raise UsageError(f"{folder}: exists already", f"use {option('force')} to replace it")
