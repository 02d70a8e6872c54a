"""Choose the call cache from the options of a command."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from refinecli.cli.options import ModelOptions
from refinecli.errors import UsageError
from refinecli.runs.run_cache import RunCache, check_named
from refinecli.text.clean import as_line
from refinecli.text.urls import is_url, was_url, without_credentials


def cache_for(options: ModelOptions, output: str | None = None) -> RunCache | None:
    """Return the cache that the options choose: the one they name, or one next to the output."""
    if options.cache:
        if was_url(str(options.cache)):
            raise UsageError("--cache is a database, which needs a disk", "name a local file")
        return named_cache(options, options.cache)
    if output is not None and is_url(output):
        raise UsageError(
            f"-o {without_credentials(output)}: nothing on this machine would keep the replies",
            "name a local file that does: --cache PATH",
        )
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
    check_named(path)
    return _cache(options, path)


def gathered_at(cache: Path, output: str | None) -> Path:
    """Return the file next to a cache that gathers the lines of an output which goes to a URL."""
    name = without_credentials(output or "")
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return cache.with_name(f"{cache.name}.{digest}.partial")


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
    print(as_line(line), file=sys.stderr, flush=True)
