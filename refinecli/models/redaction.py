"""Our key, taken out of what a provider sends back before that is kept or shown; pure.

A reply is understood first and redacted after: a short key, such as the word that a local server
wants, may be a piece of any honest word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import orjson

from refinecli.errors import CompletionError
from refinecli.models.envelope import reply_object
from refinecli.models.retries import RetryableError
from refinecli.types import JSONObject

HIDDEN = "[key]"
_SURELY_A_KEY = 16  # characters
# Bytes by which text may be written in another way than it reads.
_ESCAPES = (b"\\", b"%")

E = TypeVar("E", bound=Exception)


@dataclass(frozen=True)
class Redaction:
    """Hides one secret, which may be empty: then there is nothing to hide."""

    secret: str

    @property
    def is_sure(self) -> bool:
        """True where the secret is too long to be a word that a model may write."""
        return len(self.secret) >= _SURELY_A_KEY

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = "".join(map(_spelled, self.secret))
        return re.compile(pattern if self.is_sure else rf"(?<!\w)(?:{pattern})(?!\w)")

    def text(self, text: str) -> str:
        """Return what a provider said without the secret; a short one is hidden as a whole word."""
        return self._pattern.sub(HIDDEN, text) if self.secret else text

    def error(self, error: E) -> E:
        """Hide the secret in the words of an error that holds a provider's."""
        if self.secret:
            error.args = tuple(
                self.text(arg) if isinstance(arg, str) else arg for arg in error.args
            )
        return error

    def reply(self, content: bytes) -> bytes:
        """Return the bytes of a reply without the secret, however JSON spells it; a short one may
        be a word of the model's and stays."""
        if not (self.secret and self.is_sure):
            return content
        is_object = content.startswith(b"{")  # what else can be read is put together first
        is_plain = is_object and not any(mark in content for mark in _ESCAPES)
        if is_plain and self.secret.encode() not in content:
            return content
        try:
            value = reply_object(content)
        except (RetryableError, CompletionError):
            return _as_bytes(self.text(_as_text(content)))
        clean = self._value(value)
        return content if clean == value else orjson.dumps(clean)

    def logged(self, content: bytes) -> bytes:
        """Return the bytes of a reply for a log, where a short secret is hidden as a whole word."""
        if not self.secret or self.is_sure:
            return self.reply(content)
        return _as_bytes(self.text(_as_text(content)))

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self._value(one) for one in value]
        if isinstance(value, dict):
            found: JSONObject = {self.text(k): self._value(v) for k, v in value.items()}
            return found
        return value


def _spelled(character: str) -> str:
    """Return a pattern for a character as itself, or as JSON, URLs or one within the other escape
    it."""
    code = f"{ord(character):02x}"
    letter = re.escape(character) if character.isalnum() else rf"\\*{re.escape(character)}"
    return rf"(?:{letter}|(?i:%(?:25)*{code}|\\+u00{code}))"


def _as_text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
