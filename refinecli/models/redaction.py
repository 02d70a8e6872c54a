"""Our key, and what else only we should know, taken out of what a provider sends back before that
is kept or shown; pure.

A reply is understood first and redacted after: a short key, such as the word that a local server
wants, may be a piece of any honest word.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TypeVar

import orjson

from refinecli.errors import CompletionError
from refinecli.models.envelope import reply_object
from refinecli.models.retries import RetryableError
from refinecli.settings.roles import RoleSettings
from refinecli.settings.secrets import (
    SURELY_A_KEY,
    replaced,
    secret_in_header,
    secrets_in,
    secrets_in_query,
)
from refinecli.text.json_text import dumps, loads
from refinecli.types import JSONObject

HIDDEN = "[key]"
# Bytes by which text may be written in another way than it reads, or be in pieces.
_ESCAPES = (b"\\", b"%", b"&", b"\n{", b"\0")
_IN_PARTS = re.compile(rb'"(?:content|reasoning|reasoning_details|thinking)"\s*:\s*\[')
_BEGIN_ESCAPES = ("\\", "%", "&")

E = TypeVar("E", bound=Exception)


class Redaction:
    """Hides secrets; where there are none, or empty ones, there is nothing to hide.

    One that is too short to be surely a key may be a word that a model writes.
    """

    def __init__(self, *secrets: str) -> None:
        self._secrets = tuple(sorted(filter(None, secrets), key=len, reverse=True))
        self._sure = tuple(secret for secret in self._secrets if len(secret) >= SURELY_A_KEY)

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        return _any_of(self._secrets)

    @cached_property
    def _sure_pattern(self) -> re.Pattern[str]:
        return _any_of(self._sure)

    @cached_property
    def _plain(self) -> tuple[bytes, ...]:
        """The spellings of the secrets, in lower case, that a reply without escapes can hold."""
        spelled = (one for secret in self._sure for one in (secret, *_encoded(secret)))
        return tuple(one.lower().encode() for one in spelled)

    def text(self, text: str) -> str:
        """Return what a provider said without the secrets; a short one is hidden as a whole
        word."""
        return self._pattern.sub(HIDDEN, text) if self._secrets else text

    def holds(self, text: str) -> bool:
        """Return whether a text has a secret in it that cannot be a word of it by chance."""
        return self._sure_pattern.search(text) is not None

    def error(self, error: E) -> E:
        """Hide the secrets in the words of an error that holds a provider's."""
        if self._secrets:
            error.args = tuple(
                self.text(arg) if isinstance(arg, str) else arg for arg in error.args
            )
        return error

    def reply(self, content: bytes) -> bytes:
        """Return the bytes of a reply without the secrets, however JSON spells them; a short one
        may be a word of the model's and stays."""
        if not self._sure:
            return content
        is_object = content.startswith(b"{")  # what else can be read is put together first
        is_plain = is_object and not any(mark in content for mark in _ESCAPES)
        is_plain = is_plain and _IN_PARTS.search(content) is None
        if is_plain:
            lower = content.lower()
            if not any(spelled in lower for spelled in self._plain):
                return content
        try:
            value = reply_object(content)
        except (RetryableError, CompletionError):
            return _as_bytes(self._sure_pattern.sub(HIDDEN, _as_text(content)))
        clean = self._value(value)
        return content if clean == value else orjson.dumps(clean)

    def logged(self, content: bytes) -> bytes:
        """Return the bytes of a reply for a log, where a short secret is hidden as a whole word."""
        return _as_bytes(self.text(_as_text(self.reply(content))))

    def _value(self, value: object) -> object:
        if isinstance(value, str):
            return self._sure_pattern.sub(HIDDEN, value)
        if isinstance(value, list):
            parts = [self._value(one) for one in value]
            whole = "".join(map(_text_of, parts))
            if self.holds(whole):  # in pieces, which are read together
                return [{"type": "text", "text": self._sure_pattern.sub(HIDDEN, whole)}]
            return parts
        if isinstance(value, dict):
            found: JSONObject = {
                self._sure_pattern.sub(HIDDEN, k): self._value(v) for k, v in value.items()
            }
            return found
        return value


def redaction_for(role: RoleSettings, key: str) -> Redaction:
    """Return what hides a role's key and all that its requests hold besides which looks like one:
    a gateway may have its own in a header, in the URL or in the body."""
    others = list(secrets_in_query(role.base_url or ""))
    others += [secret_in_header(name, value) for name, value in role.headers.items()]
    others += secrets_in(role.extra_body)
    return Redaction(key, *(one for one in others if len(one) >= SURELY_A_KEY))


def without_secrets(data: bytes, extra_body: JSONObject) -> bytes:
    """Return the body of a request without the secrets that `extra_body` has by their names, of any
    length."""
    if not any(secrets_in(extra_body)):
        return data
    body = loads(data)
    for key in extra_body.keys() & body.keys():
        body[key] = replaced(extra_body[key], lambda secret: HIDDEN, key)
    return dumps(body)


def _any_of(secrets: Sequence[str]) -> re.Pattern[str]:
    """Return a pattern for all ways to write the secrets; a short one only as a whole word."""
    patterns, beginnings = [], "".join(_BEGIN_ESCAPES)
    for secret in secrets:
        spelled = "".join(map(_spelled, secret))
        if len(secret) < SURELY_A_KEY:
            patterns.append(rf"(?<!\w)(?:{spelled})(?!\w)")
            beginnings += secret[0]
            continue
        encoded = list(_encoded(secret))
        patterns += [f"(?i:{spelled})"]
        patterns += [f"(?i:{re.escape(one)})".replace("/", r"\\{0,15}/") for one in encoded]
        for one in (secret, *encoded):
            beginnings += one[0].lower() + one[0].upper()
    # Nearly all places fail by their first character, which is the cheapest way.
    return re.compile(rf"(?=[{re.escape(beginnings)}])(?:{'|'.join(patterns) or '(?!)'})")


def _spelled(character: str) -> str:
    """Return a pattern for a character as itself, or as JSON, URLs, HTML or one within the other
    escape it. Its repeats are bounded, or a long row of backslashes would take quadratic time."""
    number = ord(character)
    code = f"{number:02x}"
    letter = re.escape(character) if character.isalnum() else rf"\\{{0,15}}{re.escape(character)}"
    names = "|".join(
        [rf"#0{{0,8}}{number}", rf"#[xX]0{{0,8}}{code}", *_NAMES_IN_HTML.get(character, ())]
    )
    html = rf"&(?:amp;){{0,8}}(?:{names});?"
    return (
        rf"(?:{letter}|(?i:%(?:25){{0,8}}{code}|\\{{1,15}}(?:u00|x){code}"
        rf"|\\{{1,15}}u\{{0{{0,4}}{code}\}}|{html}))"
    )


_NAMES_IN_HTML = MappingProxyType(
    {
        "+": ["plus"],
        "/": ["sol"],
        "=": ["equals"],
        "_": ["lowbar"],
        ".": ["period"],
        "-": ["hyphen", "dash", "minus"],
        "&": ["amp"],
        ":": ["colon"],
        "$": ["dollar"],
    }
)


def _text_of(part: object) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else ""


def _encoded(secret: str) -> Iterator[str]:
    yield secret.encode().hex()
    yield from _in_base64(secret)


def _in_base64(secret: str) -> Iterator[str]:
    """Yield what a secret's base64 has in all texts that hold it, such as `Basic`
    credentials: at each of the three places where it may begin in a group of bytes."""
    for before in range(3):
        encoded = b64encode(b"\0" * before + secret.encode()).decode()
        # The ends also depend on what stands around it.
        inner = encoded[-(-before * 4 // 3) : (before + len(secret)) * 4 // 3]
        yield inner
        if (url_safe := inner.replace("+", "-").replace("/", "_")) != inner:
            yield url_safe


def _as_text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")


def _as_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
