"""`--log-requests`: every request and reply, whole, as JSON lines; no headers, so no keys."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import orjson

from refinecli.errors import UsageError
from refinecli.types import Draw


class RequestLog(AbstractContextManager["RequestLog"]):
    """Appends to a file that only its owner may read; a line is whole or not there."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(f"--log-requests {path}: {error.strerror}") from None

    def __call__(self, draw: Draw, url: str, body: bytes, status: int, reply: bytes) -> None:
        line = {
            "id": draw.datapoint_id,
            "role": draw.role,
            "iteration": draw.iteration,
            "url": url,
            "request": orjson.Fragment(body),
            "status": status,
            "reply": reply.decode("utf-8", "replace"),
        }
        os.write(self._file, orjson.dumps(line) + b"\n")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._file)
