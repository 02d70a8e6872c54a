"""A run's call cache: which file it is, whose it is, and how to go on after an early end."""

from __future__ import annotations

import shlex
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.errors import RefineError, UsageError
from refinecli.text.clean import clean

if TYPE_CHECKING:
    from refinecli.cli.options import ModelOptions
    from refinecli.data.sources import Source
    from refinecli.models.cache.store import CallCache
    from refinecli.types import JSONObject

# Another process's transaction takes milliseconds. Where one takes this long, what looks like a
# hang is told; after a minute it is an error.
_SILENT_SECONDS = 3.0
# A fact of a cache that somebody named, also one that is beside an output.
_NAMED = "named with --cache"
# Long values, such as prompts, would hide what differs.
_SHOWN = 200  # characters


@dataclass(slots=True)
class RunCache:
    """Where a run keeps its replies: `FILE.cache` beside its output, which belongs to it alone, or
    the `--cache` that the user named, which may be shared."""

    path: Path
    is_default: bool
    offline: bool = False
    any_run: bool = False
    restart: bool = False
    quiet: bool = False
    calls: CallCache | None = None
    settings: JSONObject | None = None

    def open(self) -> CallCache:
        """Make it ready; it is made only now, so that a run that is refused leaves none behind."""
        from refinecli.models.cache.store import CallCache

        if self.calls is None:
            with self._patience():
                self.calls = CallCache(
                    self.path, self.offline, self.any_run, shared=not self.is_default
                )
                if not self.is_default and not self.calls.facts.get(_NAMED):
                    self.calls.facts.learn(_NAMED, True)
        return self.calls

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Say what is waited for, where another process keeps the file to itself."""
        told = f"{self.path}: waiting for another process to let go of the call cache\n"
        timer = threading.Timer(_SILENT_SECONDS, sys.stderr.write, [clean(told)])
        timer.daemon = True
        if not self.quiet:
            timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def belongs_to(self, output: Path) -> bool:
        """Whether a run that is not over keeps its replies here and writes to that file."""
        return self.exists and (
            self.is_default or self.open().runs.writes_to(str(output.resolve()))
        )

    def has_written(self, output: Path, *, this_run: bool = False) -> bool:
        """Whether FILE is just as a run, not yet over, left it."""
        from refinecli.data.sinks import signature

        if not (self.exists and output.is_file()):
            return False
        return self.open().runs.has_written(signature(output, output), this_run=this_run)

    def begin(self, place: JSONObject, shaping: JSONObject, replaced: str = "") -> None:
        """Go on with this run. A default cache that belongs to another is refused by name of what
        differs; a shared one keeps them apart. A file that would be `replaced` is no obstacle only
        where it is this run's own."""
        from refinecli.text.json_text import digest

        assert self.calls is not None
        settings = {key: _same(key, value) for key, value in _flat({**place, **shaping})}
        # A run of the same name beside the same output is the same run, wherever both are moved.
        name = "" if self.is_default else digest(settings)
        if self.is_default:
            del settings["output"]
        self.settings = settings
        with self._patience():
            there = self.calls.runs.begin(name, settings)
        if there is not None and not self.restart:
            raise UsageError(
                f"{self.path} belongs to another run: {_differences(there, settings)}",
                "go back to those, write to another file, or add --restart: it goes on with the "
                "new settings and uses the replies that fit",
            )
        if there is not None and replaced:  # found before the run there is given up
            raise UsageError(
                f"{replaced}: exists already, and has what other settings gave",
                "--force replaces it; or write to another file",
            )
        if there is not None and not self.offline:
            self.calls.runs.restart(name, settings)

    def remember(self, output: Path | None) -> None:
        """Offline nothing is written but this: that FILE is ours, and what is missing in it can be
        asked for later."""
        from refinecli.data.sinks import signature
        from refinecli.models.cache.store import CallCache

        if not self.is_default or output is None or self.settings is None:
            return
        with suppress(RefineError):  # it may lie where nothing can be written
            calls = CallCache(self.path)
            calls.runs.begin("", self.settings)
            calls.runs.wrote(signature(output, output))
            calls.close()

    @property
    def holds_replies(self) -> bool:
        return self.calls is not None and not self.calls.is_empty

    def end(self, code: int, *, whole: bool, locked: bool, limited: bool = False) -> str:
        """Let go of it, and remove a default cache whose run is over or never got anything, unless
        the run was not `locked`: then it may be another's. `whole`: all rows were written;
        `limited`: more might have come. Why it stays, where that is no matter of course."""
        calls, self.calls = self.calls, None
        if calls is None:
            return ""
        over, reason = whole and code in (0, 1), ""
        try:
            removable = over or (not whole and calls.is_empty)
            if self.is_default and locked and not self.offline and removable:
                if over and limited and (unused := calls.unused):
                    over = False
                    reason = (
                        f"{self.path}: is kept, with {unused:,} replies that these rows did not "
                        "need; the same command without --limit uses them"
                    )
                elif calls.facts.get(_NAMED):
                    reason = f"{self.path}: is kept, since a run has named it with --cache"
                else:
                    calls.remove()
                    return ""
            if whole:
                with self._patience():
                    calls.runs.end(complete=over)
            return reason
        finally:
            calls.close()


def cache_for(output: str | None, options: ModelOptions) -> RunCache | None:
    """The cache that the options mean, if any."""
    path, is_default = options.cache, options.cache is None
    if path is not None and path.is_dir():
        raise UsageError(f"--cache {path}: is a folder", "name a file")
    if path is not None and not path.resolve().parent.is_dir():
        raise UsageError(f"--cache {path}: there is no folder {path.parent}", "make it first")
    if path is None and output not in (None, "-"):
        file = Path(str(output))
        if not file.exists() or file.is_file():
            file = file.resolve()
            path = file.with_name(file.name + ".cache")
    if path is None:
        if options.offline:
            raise UsageError("--offline answers from a call cache", "name it: --cache PATH")
        return None
    return RunCache(
        path,
        is_default,
        offline=options.offline or options.dry_run,
        any_run=options.offline,
        restart=options.restart,
        quiet=options.quiet,
    )


def continuing(source: Source) -> str:
    """The command that was given, as it can be pasted."""
    command = shlex.join(["refinecli", *sys.argv[1:]])
    return command if source.path else f"… | {command}"


def _flat(tree: JSONObject, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _same(key: str, value: object) -> object:
    """One spelling for what is the same place: `…/v1`, `…/v1/` and `…/v1/chat/completions`."""
    if not (key.endswith(".base_url") and isinstance(value, str)):
        return value
    url, mark, query = value.partition("?")
    return url.rstrip("/").removesuffix("/chat/completions") + mark + query


def _differences(there: JSONObject, here: JSONObject) -> str:
    keys = sorted(there.keys() | here.keys(), key=lambda key: (not key.startswith("policy."), key))
    if there.get("command") != here.get("command"):
        keys = ["command"]  # all else follows from that
    told: dict[str, tuple[str, str]] = {}
    for key in keys:
        both = _shown(there.get(key)), _shown(here.get(key))
        taken_over = told.get(f"policy.{key.rpartition('.')[2]}") == both
        if both[0] != both[1] and not taken_over:
            told[key] = both
    return "; ".join(f"{key} was {was}, is {now}" for key, (was, now) in told.items())


def _shown(value: object) -> str:
    from refinecli.text.json_text import dumps

    text = "not set" if value in (None, {}) else dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
