"""Say what `refinecli export` wrote, what to mind in it, and what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.export.kinds import Kind
    from refinecli.export.manifest import Made

# From which share of the pairs on it is worth saying which side is the longer.
_ONE_SIDED = 0.7
# Examples. Of fewer a share says little, and trl.yaml makes four or eight steps of them on a CPU.
# The fewest that a training here is known to have gained from are 22.
_ENOUGH = 10


def lines_on(made: Made, folder: Path, *, gpu: bool) -> list[str]:
    """Return the lines that an export ends with."""
    from refinecli.export.words import reasons

    read = made.collected
    train, test = (made.sides[name] for name in ("train", "test"))
    lines = [
        f"{made.kind.name}: {'; '.join(made.filters)}",
        f"{plural(made.rows, made.kind.noun)} of {plural(train.prompts + test.prompts, 'prompt')}, "
        f"from {plural(read.responses, 'response')} in {plural(read.rows, 'row')}: "
        f"{train.statistics.rows:,} in {folder / train.name}, "
        f"{test.statistics.rows:,} in {folder / test.name}",
    ]
    if made.dropped:
        lines.append(f"left out: {reasons(made.dropped)}")
    lines += _warnings(made)
    return lines + _next_step(made, folder, gpu=gpu)


def _next_step(made: Made, folder: Path, *, gpu: bool) -> list[str]:
    """Return what trains on the folder: for a CPU the command here, and TRL's own as well."""
    if made.format != "trl":
        return []
    there = shlex.quote(str(folder))
    trl = f"cd {there} && trl {made.kind.trainer} --config trl.yaml --model_name_or_path MODEL"
    if gpu:
        return [f"next: {trl}"]
    form = "-model" if made.kind.trainer == "reward" else ".gguf"  # which a reward model has not
    train = f"refinecli train {there} --model local -o {shlex.quote(f'{folder}{form}')}"
    return [f"next: {train}", f"or: {trl}"]


def _warnings(made: Made) -> Iterator[str]:
    """Yield what a model would learn besides, and where it would hardly learn."""
    train = made.sides["train"].statistics
    for which, count in (("longer", train.longer), ("shorter", train.shorter)):
        if made.kind.paired and train.rows >= _ENOUGH and count > _ONE_SIDED * train.rows:
            yield f"note: the better one is the {which} in {count / train.rows:.0%} of the pairs"
    if train.rows < _ENOUGH:
        yield (
            f"note: {plural(train.rows, made.kind.noun)} to train on will hardly change a model: "
            f"{' or '.join(_ways_to_more(made.kind))}"
        )


def _ways_to_more(kind: Kind) -> Iterator[str]:
    if kind.name in ("critic", "reviser"):
        yield "run `refine` over more prompts"
    elif kind.name != "prompts":
        yield "draw more with `refine --drafts N`"
    else:
        yield "give more rows"
    if "min_score" in kind.options:
        yield f"ask for less with {'--min-margin' if kind.paired else '--min-score'} X"
