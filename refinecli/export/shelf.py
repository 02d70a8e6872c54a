"""Bring the offers for one prompt together, however many lines and files lie between them.

A temporary database on the disk holds them, so that memory does not grow with the runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import TracebackType
from typing import Self

from refinecli.export.offers import Offer
from refinecli.text.json_text import canonical, dumps, loads
from refinecli.types import Message

_PAGES = -16384  # 16 MB of the database in memory
_SCHEMA = (
    "CREATE TABLE prompts (number INTEGER PRIMARY KEY, digest BLOB UNIQUE NOT NULL)",
    "CREATE TABLE offers (place INTEGER PRIMARY KEY, prompt INTEGER NOT NULL, offer BLOB NOT NULL)",
)


class Shelf:
    """Offers, put in as they are read and taken out by prompt, prompts in the order in which they
    first came."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # Nobody else reads it, and after a crash it is made again.
        self._db = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size={_PAGES}"):
            self._db.execute(f"PRAGMA {pragma}")
        for statement in (*_SCHEMA, "BEGIN"):
            self._db.execute(statement)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._db.close()
        self._path.unlink(missing_ok=True)

    def put(self, offer: Offer) -> None:
        """Add an offer."""
        key = prompt_digest(offer.prompt)
        self._db.execute("INSERT OR IGNORE INTO prompts (digest) VALUES (?)", (key,))
        self._db.execute(
            "INSERT INTO offers (prompt, offer) SELECT number, ? FROM prompts WHERE digest = ?",
            (dumps(offer.stored()), key),
        )

    def by_prompt(self) -> Iterator[list[Offer]]:
        """Yield the offers for each prompt, in the order in which they were put in."""
        self._db.execute("CREATE INDEX IF NOT EXISTS by_prompt ON offers (prompt)")
        rows = self._db.execute("SELECT prompt, offer FROM offers ORDER BY prompt, place")
        for _, found in groupby(rows, key=lambda row: row[0]):
            yield [Offer.restored(loads(offer)) for _, offer in found]


def prompt_digest(prompt: list[Message]) -> bytes:
    """Return 16 bytes that are equal for equal prompts."""
    from hashlib import blake2b

    return blake2b(canonical(prompt), digest_size=16).digest()
