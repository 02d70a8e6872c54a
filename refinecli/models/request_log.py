"""The log of requests: each and what came of it, whole, as JSON lines, with when it was sent and
how long it took; no headers, so no keys."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import orjson

from refinecli.errors import OutputError, UsageError, option
from refinecli.models.http import Reply, TransportError
from refinecli.types import Draw, JSONObject


class RequestLog(AbstractContextManager["RequestLog"]):
    """A file that only its owner may read, and that requests are appended to."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as error:
            raise UsageError(f"{option('log_requests', path)}: {error.strerror}") from None
        self._file = open(descriptor, "wb")  # noqa: SIM115

    def __call__(
        self, draw: Draw, url: str, body: bytes, came: Reply | TransportError, content: bytes
    ) -> None:
        """Append a request and its reply, `content`, without a key; where no reply came the line
        says why."""
        line: JSONObject = {
            "time": datetime.fromtimestamp(came.began, UTC).isoformat(timespec="milliseconds"),
            "seconds": round(came.seconds, 3),
            "id": draw.datapoint_id,
            "role": draw.role,
            "iteration": draw.iteration,
            "url": url,
            "request": orjson.Fragment(body),
        }
        if isinstance(came, TransportError):
            line["error"] = {"type": came.kind, "message": str(came)}
        else:
            line["status"], line["reply"] = came.status, content.decode("utf-8", "replace")
        try:
            self._file.write(orjson.dumps(line) + b"\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(f"{option('log_requests', self._path)}: {error.strerror}") from None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # that it could not be written was an error then
            self._file.close()
