"""Manage a run's call cache: its file, its owner, and its end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.errors import RefineError, UsageError, option
from refinecli.text.urls import is_url

if TYPE_CHECKING:
    from refinecli.data.targets import Target
    from refinecli.models.cache.store import CallCache
    from refinecli.types import JSONObject

# Another process's transaction takes milliseconds. If one takes this long, explain what looks like
# a hang; after a minute it is an error.
_SILENT_SECONDS = 3.0
# A fact in a cache that was named, even if it lies next to an output.
_NAMED = "named with --cache"
# Long values, such as prompts, would hide what differs.
_SHOWN = 200  # characters


@dataclass(slots=True, eq=False)
class RunCache:
    """Where a run keeps its replies: `FILE.cache` next to its output, which belongs to it alone
    (`is_default`), or a file that may be shared: one that the user named, or one that `stays`.

    A cache that stays is never over, since the next report is to find all replies there. One that
    is `temporary` has a name that was ours to choose, and goes where it holds none. `say` is
    handed a line where the file has to be waited for.
    """

    path: Path
    is_default: bool
    stays: bool = False
    temporary: bool = False
    offline: bool = False
    any_run: bool = False
    restart: bool = False
    say: Callable[[str], None] | None = None
    calls: CallCache | None = None
    settings: JSONObject | None = None
    is_over: bool = False

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
        if self.say is None:
            yield
            return
        line = f"{self.path}: waiting for another process to let go of the call cache"
        timer = threading.Timer(_SILENT_SECONDS, self.say, [line])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @property
    def exists(self) -> bool:
        return self.path.exists()

    def belongs_to(self, output: Target) -> bool:
        """Return whether a run that is not over keeps its replies here and writes to that file."""
        return self.exists and (self.is_default or self.open().runs.writes_to(output.key))

    def has_written(self, output: Target, *, this_run: bool = False) -> bool:
        """Return whether the file is just as a run, not yet over, left it."""
        if not (self.exists and output.exists()):
            return False
        if is_url(output.given) and not self.belongs_to(output):
            return False  # its signature would take a download
        return self.open().runs.has_written(output.signature(), this_run=this_run)

    def begin(self, place: JSONObject, shaping: JSONObject, replaced: str = "") -> None:
        """Continue this run, or start it. A default cache that belongs to another run is refused,
        with a list of the differences; a shared one keeps runs apart. A file that would be
        `replaced` must be this run's own."""
        from refinecli.text.json_text import digest

        assert self.calls is not None
        settings = flat({**place, **shaping})
        # A run of the same name next to the same output is the same run, wherever both are moved.
        name = "" if self.is_default else digest(settings)
        if self.is_default:
            del settings["output"]
        self.settings = settings
        with self._patience():
            there = self.calls.runs.begin(name, settings)
        if there is not None and not self.restart:
            raise UsageError(
                f"{self.path} belongs to another run: {differences(there, settings)}",
                f"go back to those, write to another file, or add {option('restart')} to continue "
                "with the new settings and the replies that fit",
            )
        if there is not None and replaced:  # checked before that run is given up
            raise UsageError(
                f"{replaced}: exists already, with the output of other settings",
                f"use {option('force')} to replace it, or write to another file",
            )
        if there is not None and not self.offline:
            self.calls.runs.restart(name, settings)

    def remember(self, output: Target | None) -> None:
        """Note that the output is ours, the only thing that is written offline: so what is missing
        in it can be asked for later."""
        from refinecli.models.cache.store import CallCache

        if not self.is_default or output is None or self.settings is None:
            return
        with suppress(RefineError):  # it may lie where nothing can be written
            calls = CallCache(self.path)
            calls.runs.begin("", self.settings)
            calls.runs.wrote(output.signature())
            calls.close()

    @property
    def holds_replies(self) -> bool:
        return self.calls is not None and not self.calls.is_empty

    def end(self, code: int, *, whole: bool, locked: bool, limited: bool = False) -> str:
        """Release it, and find out whether it is of any more use; return why it stays, if that
        needs saying.

        A default cache is over once its run is, or has received nothing, unless the run was not
        `locked`: then it may belong to another. That of a `whole` run, which wrote all rows, still
        waits for `remove`. `limited`: more might have come.
        """
        calls, self.calls = self.calls, None
        if calls is None:
            return ""
        over, reason = whole and code in (0, 1) and not self.stays, ""
        try:
            if not self.offline and self._is_useless(calls, over=over, whole=whole, locked=locked):
                unused = calls.unused if over and limited else 0
                reason = self._why_kept(calls, unused)
                if not reason:
                    calls.close_for_good()
                    self.is_over = True
                    if not whole:
                        self.remove()
                    return ""
                over = over and not unused
            if whole and not (self.stays and code in (0, 1)):
                with self._patience():
                    calls.runs.end(complete=over)
            return reason
        finally:
            calls.close()

    def remove(self) -> None:
        """Delete the file of a run that is over. Without it nothing shows that the run was: a
        process that is killed later, but before it could exit, seems to have failed."""
        from refinecli.models.cache.file import delete

        if self.is_over:
            delete(self.path)

    def _is_useless(self, calls: CallCache, *, over: bool, whole: bool, locked: bool) -> bool:
        if self.stays:
            return self.temporary and calls.is_empty
        return self.is_default and locked and (over or (not whole and calls.is_empty))

    def _why_kept(self, calls: CallCache, unused: int) -> str:
        if unused:
            replies = "1 reply" if unused == 1 else f"{unused:,} replies"
            return (
                f"{self.path}: is kept, with {replies} that these rows did not need; "
                f"the same command without {option('limit')} uses them"
            )
        if self.is_default and calls.facts.get(_NAMED):
            return f"{self.path}: is kept, since a run has named it with {option('cache')}"
        return ""


def check_named(path: Path) -> None:
    """Raise UsageError where a cache cannot be at that path."""
    named = option("cache", path)
    if path.is_dir():
        raise UsageError(f"{named}: is a folder", "name a file")
    if not path.resolve().parent.is_dir():
        raise UsageError(f"{named}: there is no folder {path.parent}", "make it first")


def flat(settings: JSONObject) -> JSONObject:
    """Return the settings of a run by their dotted names, with digests in the place of secrets."""
    return {key: _same(key, value) for key, value in _flat(settings)}


def _flat(tree: JSONObject, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _same(key: str, value: object) -> object:
    """Spell the same place in one way: `…/v1`, `…/v1/` and `…/v1/chat/completions`. A secret in a
    body is a digest, as those in headers and URLs are already: everyone may read the file."""
    if ".extra_body." in key:
        from refinecli.settings.secrets import replaced
        from refinecli.text.json_text import digest

        return replaced(value, digest, key.rpartition(".")[2])
    if not (key.endswith(".base_url") and isinstance(value, str)):
        return value
    url, mark, query = value.partition("?")
    return url.rstrip("/").removesuffix("/chat/completions") + mark + query


def differences(there: JSONObject, here: JSONObject) -> str:
    """List what differs between the settings of two runs."""
    keys = sorted(there.keys() | here.keys(), key=lambda key: (not key.startswith("policy."), key))
    if there.get("command") != here.get("command"):
        keys = ["command"]  # all else follows from that
    differing: dict[str, tuple[str, str]] = {}
    for key in keys:
        both = _shown(there.get(key)), _shown(here.get(key))
        taken_over = differing.get(f"policy.{key.rpartition('.')[2]}") == both
        if both[0] != both[1] and not taken_over:
            differing[key] = both
    return "; ".join(f"{key} was {was}, is {now}" for key, (was, now) in differing.items())


def _shown(value: object) -> str:
    from refinecli.text.json_text import dumps

    text = "not set" if value in (None, {}) else dumps(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
