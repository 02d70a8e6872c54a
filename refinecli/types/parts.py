"""The parts of a message's content: what each type promises must be there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from refinecli.errors import InputError

# The type of a part, and where it has what it promises: the keys to go through, of which only the
# last must hold a string. A type that is not listed goes to the endpoint as it is. To hold another
# type to its promise, add a line.
_PROMISES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text": ("text",),
        "input_text": ("text",),
        "output_text": ("text",),
        "refusal": ("refusal",),
        "image_url": ("image_url", "url"),
        "video_url": ("video_url", "url"),
        "audio_url": ("audio_url", "url"),
        "input_audio": ("input_audio", "data"),
        "image": (),
        "audio": (),
        "video": (),
        "file": (),
        "document": (),
    }
)
_MAY_BE_BLANK = frozenset({"text", "input_text", "output_text"})


def check_parts(content: object, place: str) -> None:
    """Raise InputError for the first part of a message's content that lacks what its type
    promises."""
    if not isinstance(content, list):
        return
    if not content:
        raise InputError(f"{place}: must not be empty", "give the message some text")
    for index, part in enumerate(content):
        _check(part, f"{place}[{index}]")


def _check(part: Any, place: str) -> None:
    kind = part.get("type")
    if not isinstance(kind, str) or not kind:
        problem = "field required" if kind is None else "must be a string"
        raise InputError(f"{place}.type: {problem}", 'write one like {"type": "text", "text": "…"}')
    path = _PROMISES.get(kind)
    if path == ():  # several shapes are in use, but none that is only its type
        if len(part) < 2 or part.get(kind, True) in ({}, "", None):
            raise InputError(f"{place}.{kind}: field required", f"give the part its {kind}")
        return
    value: object = part
    for key in path or ():
        if isinstance(value, str):  # `"image_url": "https://…"` is understood by many servers
            break
        place = f"{place}.{key}"
        value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise InputError(f"{place}: field required", f"add it: a part of type {kind} has it")
    if path and not isinstance(value, str):
        raise InputError(f"{place}: must be a string")
    if path and kind not in _MAY_BE_BLANK and not str(value).strip():
        raise InputError(f"{place}: must not be blank", f"add it: a part of type {kind} has it")
