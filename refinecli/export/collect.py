"""Read runs once: their offers onto the shelf, and what the manifest says about them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from refinecli.data.rows import Row, read_row
from refinecli.data.sources import Source
from refinecli.errors import InputError, UsageError
from refinecli.export.noise import Noise
from refinecli.export.offers import Offer, offer_of, result_of, without_replies
from refinecli.export.shelf import Shelf
from refinecli.models.request import with_system
from refinecli.report.cases import models_of, strategy_of
from refinecli.stats.wording import plural
from refinecli.text.json_text import canonical, loads
from refinecli.types import JSONObject

# A run is one of a few kinds: what its rows say about how they were made is kept once for each.
_MOST_ORIGINS = 100
# Fields of a row by which data sets state their licence.
_LICENCES = ("license", "licence")


@dataclass(slots=True)
class Origin:
    """The file of one RUN, and how its rows were made."""

    file: str
    sha256: str = ""
    rows: int = 0
    responses: int = 0
    made: dict[bytes, JSONObject] = field(default_factory=dict)
    licences: set[str] = field(default_factory=set)

    def record(self) -> JSONObject:
        return {
            "file": self.file,
            "sha256": self.sha256,
            "rows": self.rows,
            "responses": self.responses,
            "made": list(self.made.values()),
            **({"licences": sorted(self.licences)} if self.licences else {}),
        }


@dataclass(slots=True)
class Collected:
    """All that was read of the RUNs besides their offers."""

    origins: list[Origin] = field(default_factory=list)
    noise: Noise = field(default_factory=Noise)
    dropped: Counter[str] = field(default_factory=Counter)
    bad: int = 0

    @property
    def rows(self) -> int:
        return sum(origin.rows for origin in self.origins)

    @property
    def responses(self) -> int:
        return sum(origin.responses for origin in self.origins)


# Raised by a row whose fields are not of the kinds that refine and grade write.
_ODD = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)


def collect(
    runs: Sequence[str],
    shelf: Shelf,
    most: int,
    *,
    graded: bool = True,
    keep: Sequence[str] = (),
    system: Callable[[JSONObject], str] = lambda result: "",
    on_bad: Callable[[InputError], None] = lambda error: None,
) -> Collected:
    """Put what the runs offer onto the shelf.

    A line has `most` bytes. A run without a response that has a grade is refused where those are
    `graded` that count; `keep` are the row's own fields that the kind needs. `system` returns the
    system prompt that goes before a result's conversation. Each line that cannot be used is handed
    to `on_bad`, and all are refused once they have been read.
    """
    found = Collected()
    for run in runs:
        source = Source(run, most=most)
        origin = Origin(source.name)
        found.origins.append(origin)
        usable = 0
        for row in _rows(source, origin):
            try:
                offer = _offered(row, found, system)
            except InputError as error:
                found.bad += 1
                on_bad(error)
                continue
            origin.responses += _count_of(row.raw)
            if offer is None:
                continue
            usable += bool(offer.responses)
            shelf.put(_slim(offer, keep))
            _note(origin, row.raw)
        if not graded:
            found.dropped.clear()  # a task needs no response
        if not usable and graded and not found.bad:
            raise UsageError(
                f"{source.name}: it has no graded response",
                "give export the output of `refinecli refine` or `refinecli grade`",
            )
        if not origin.rows:
            raise UsageError(f"{source.name}: it has no datapoint")
    if found.bad:
        raise UsageError(
            f"{found.bad:,} of {plural(found.rows, 'line')} cannot be used; nothing is written",
            "fix them, or leave them out",
        )
    return found


def _rows(source: Source, origin: Origin) -> Iterator[Row]:
    """Yield the rows of a file, and note its digest, as `sha256sum` prints it."""
    read = hashlib.sha256()
    is_file = source.remote or (source.path and source.path.is_file())
    for number, line in source.read():
        if not is_file:  # a pipe, or a data set that is a folder
            read.update(line + b"\n")
        row = read_row(line, number, source.name)
        origin.rows += 1
        yield row
    origin.sha256 = source.digest() if is_file else read.hexdigest()


def _offered(row: Row, found: Collected, system: Callable[[JSONObject], str]) -> Offer | None:
    if row.error:
        raise row.error
    if row.datapoint is None:  # a line that an earlier command could not read
        found.dropped["failed"] += 1
        return None
    try:
        result = result_of(row.raw)
        if result is None and isinstance(row.raw.get("error"), dict):
            found.dropped["failed"] += 1
        prompt = with_system(system(result or {}), row.datapoint.convo)
        found.noise.add(row.raw, row.datapoint)
        return offer_of(row.raw, row.datapoint, prompt, found.dropped)
    except _ODD as error:
        raise InputError(
            f"not an output line of refine or grade: {type(error).__name__}: {error}",
            where=f"{row.file or found.origins[-1].file}:{row.line}",
            line=row.line,
        ) from None


def _count_of(raw: JSONObject) -> int:
    result = result_of(raw) or {}
    return len(result.get("iterations") or ([result] if result else []))


def _slim(offer: Offer, keep: Sequence[str]) -> Offer:
    """Drop what the kind does not need: graders' replies alone may be most of a line."""
    raw = {key: offer.raw[key] for key in keep if offer.raw.get(key) is not None}
    if "refinement" in raw:
        raw["refinement"] = without_replies(raw["refinement"])
    return Offer(offer.prompt, offer.scale, offer.group, offer.strategy, offer.responses, raw)


def _note(origin: Origin, raw: JSONObject) -> None:
    for name in _LICENCES:
        if isinstance(licence := raw.get(name), str) and len(origin.licences) < _MOST_ORIGINS:
            origin.licences.add(licence)
    for name in ("refinement", "grading"):
        result = raw.get(name)
        if not isinstance(result, dict) or len(origin.made) >= _MOST_ORIGINS:
            continue
        made = {
            "by": strategy_of(result) if name == "refinement" else "grade",
            "models": models_of(result),
            "settings": result.get("settings"),
            "shaped_by": result.get("shaped_by") or {},
        }
        origin.made.setdefault(canonical(made), loads(canonical(made)))
