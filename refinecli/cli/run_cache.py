"""The call cache that the options of a command mean."""

from __future__ import annotations

import sys
from pathlib import Path

from refinecli.cli.options import ModelOptions
from refinecli.errors import UsageError
from refinecli.runs.run_cache import RunCache
from refinecli.text.clean import clean


def cache_for(options: ModelOptions, output: str | None = None) -> RunCache | None:
    """Return the cache that the options mean: the one they name, or one next to the output."""
    if options.cache:
        return named_cache(options, options.cache)
    if output not in (None, "-"):
        file = Path(str(output))
        if not file.exists() or file.is_file():
            file = file.resolve()
            return _cache(options, file.with_name(f"{file.name}.cache"), is_default=True)
    if options.offline:
        raise UsageError("--offline answers from a call cache", "name it: --cache PATH")
    return None


def named_cache(options: ModelOptions, path: Path) -> RunCache:
    """Return the cache at that path; raise UsageError where there can be none."""
    if path.is_dir():
        raise UsageError(f"--cache {path}: is a folder", "name a file")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"--cache {path}: there is no folder {path.parent}", "make it first")
    return _cache(options, path)


def _cache(options: ModelOptions, path: Path, *, is_default: bool = False) -> RunCache:
    return RunCache(
        path,
        is_default,
        offline=options.offline or options.dry_run,
        any_run=options.offline,
        restart=options.restart,
        say=None if options.quiet else _say,
    )


def _say(line: str) -> None:
    print(clean(line), file=sys.stderr, flush=True)
