"""Choose the folder of waves from the options of a command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.errors import UsageError

if TYPE_CHECKING:
    from refinecli.cli.options import ModelOptions, OutputOptions
    from refinecli.models.batch.waves import Waves
    from refinecli.settings.load import Settings


def waves_of(
    folder: Path | None,
    settings: Settings,
    roles: Sequence[str],
    out: OutputOptions,
    options: ModelOptions,
) -> Waves | None:
    """Return the waves of `--batch-files`, if it is given; raise UsageError where nothing keeps
    their replies, or nobody says which models answer them."""
    from refinecli.models.batch.waves import Waves, check_models

    if folder is None:
        return None
    if options.offline:
        raise UsageError("--batch-files means nothing with --offline", "leave one of them out")
    if out.output in (None, "-") and not options.cache:
        raise UsageError(
            f"--batch-files {folder} needs a call cache to keep the replies from wave to wave",
            "write to a file, -o FILE, or name the cache: --cache PATH",
        )
    asked = settings.asked(tuple(roles))
    check_models(
        folder,
        local=any(role.weights for role in asked),
        unnamed=any(role.model is None for role in asked),
    )
    return Waves(folder)


def check_learning(folder: Path | None, settings: Settings, *, learned: bool) -> None:
    """Raise UsageError where rows would learn from rows that no pass has finished."""
    options = settings.refine
    learns = options.strategy == "adaptive" and options.learn and options.max_iterations != 0
    if folder and learns and not learned:
        raise UsageError(
            f"--batch-files {folder}: in waves no row can learn from the rows before it",
            "use --learned FILE, --set refine.learn=false, or another --strategy",
        )
