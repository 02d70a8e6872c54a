"""JSON Lines, and the parts of a line that several formats share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from refinecli.text.json_text import dumps
from refinecli.types import JSONObject, Message


class Lines:
    """A file of JSON Lines."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, line: JSONObject) -> None:
        self._file.write(dumps(line) + b"\n")

    def close(self) -> None:
        self._file.close()


class JSONFormat:
    """A format of JSON Lines that takes every example."""

    suffix = "jsonl"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def writer(self, path: Path) -> Lines:
        return Lines(path)

    def more_files(self) -> Mapping[str, bytes]:
        return {}


def said(text: str) -> JSONObject:
    """Return the assistant's message."""
    return {"role": "assistant", "content": text}


def plain(prompt: Sequence[Message]) -> list[dict[str, Any]] | None:
    """Return a conversation with texts alone; None where it has images or files.

    A content of text parts becomes one text: readers want one type in all rows.
    """
    result = []
    for message in prompt:
        content = message.get("content")
        if isinstance(content, list):
            texts = [part.get("text") for part in content if part.get("type") == "text"]
            if len(texts) < len(content):
                return None
            content = "\n".join(str(text) for text in texts)
        result.append({**message, "content": content})
    return result
