"""Pack the details of datapoints, so that thousands fit into a page: blocks of JSON, compressed.

A page unpacks a block when one of its datapoints is opened.
"""

from __future__ import annotations

import gzip
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from refinecli.text.json_text import dumps
from refinecli.types import JSONObject

_BYTES = 256_000  # of a block's JSON: unpacked in a few milliseconds, and enough to compress well


@dataclass(frozen=True, slots=True)
class Block:
    """The places of some datapoints, and their details as base64 of gzip of a JSON list."""

    places: tuple[int, ...]
    data: str


def pack(details: Iterable[tuple[int, JSONObject]]) -> Iterator[Block]:
    """Yield the details by place, in blocks."""
    places: list[int] = []
    parts: list[bytes] = []
    size = 0
    for place, one in details:
        places.append(place)
        parts.append(dumps(one))
        size += len(parts[-1])
        if size >= _BYTES:
            yield _block(places, parts)
            places, parts, size = [], [], 0
    if places:
        yield _block(places, parts)


def _block(places: list[int], parts: list[bytes]) -> Block:
    # No time of day in it: equal runs give equal pages.
    packed = gzip.compress(b"[" + b",".join(parts) + b"]", 6, mtime=0)
    return Block(tuple(places), b64encode(packed).decode())
