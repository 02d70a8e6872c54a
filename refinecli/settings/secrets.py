"""Know what is a secret among settings: a gateway may want its key in a header, in the URL or in
the body, where no variable of the environment is named for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, quote, urlsplit

HIDDEN = "[hidden]"
SURELY_A_KEY = 16  # characters
# If a word of a header's name ends like this (api-key, apikey), its value is a secret, and secrets
# do not belong in files.
_SECRET_WORDS = (
    *("auth", "authorization", "authentication", "key", "keys", "token"),
    *("secret", "secrets", "cookie", "cookies", "password", "passwords"),
)
# Settings that say where a key is, and hold none.
_NAMES_OF_KEYS = ("api_key_env", "api_key_header")
# A value with letters and digits and no blank, and not a URL.
_LIKE_A_KEY = re.compile(r"(?:\A|\s)(?=[^\s]*[A-Za-z])(?=[^\s]*[0-9])(?![^\s]*://)[^\s]+\Z")
# A name and its value: in a URL's query, in `--set`, or in a table of TOML or JSON.
_PAIR = re.compile(r"""([\w.-]+)("?\s*(?:=|:(?!//))\s*)("[^"]*"?|'[^']*'?|[^\s,&#?{}\[\]]+)""")


def names_a_secret(name: str) -> bool:
    """Return whether a header or a parameter of this name holds a secret."""
    words = re.findall("[a-z]+", name.lower())
    return any(word.endswith(_SECRET_WORDS) for word in words)


def secret_in_header(name: str, value: str) -> str:
    """Return what looks like a key in a header's value, if anything does: the scheme stands before
    it."""
    if name.lower().endswith(("version", "beta")) or not _LIKE_A_KEY.search(value):
        return ""
    return value.rpartition(" ")[2]


def secrets_in_query(url: str) -> Iterator[str]:
    """Yield the secrets after the `?` of a URL."""
    for name, value in parse_qsl(urlsplit(url).query):
        if names_a_secret(name):
            yield value


def secrets_in(value: object, name: str = "") -> Iterator[str]:
    """Yield the secrets in a setting's tables, known by their names there."""
    if isinstance(value, dict):
        for inner, one in value.items():
            yield from secrets_in(one, inner)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from secrets_in(one, name)
    elif isinstance(value, str) and names_a_secret(name):
        yield value


def replaced(value: object, by: Callable[[str], str], name: str = "") -> object:
    """Return a setting with each of the secrets in it replaced."""
    if isinstance(value, dict):
        return {key: replaced(one, by, key) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [replaced(one, by, name) for one in value]
    return by(value) if isinstance(value, str) and names_a_secret(name) else value


def hidden(key: str, value: object) -> object:
    """Return the value of a role's setting as it may be shown."""
    if key in ("base_url", "url") and isinstance(value, str):
        for secret in secrets_in_query(value):
            value = value.replace(secret, HIDDEN).replace(quote(secret, safe=""), HIDDEN)
        return value
    if key == "headers" and isinstance(value, dict):
        return {name: _hidden_in_header(name, one) for name, one in value.items()}
    return replaced(value, lambda secret: HIDDEN) if key == "extra_body" else value


def _hidden_in_header(name: str, value: str) -> str:
    secret = secret_in_header(name, value)
    return value.removesuffix(secret) + HIDDEN if len(secret) >= SURELY_A_KEY else value


def hidden_in_word(word: str) -> str:
    """Return a word of a command line, such as `policy.extra_body.api_key=…`, as it may be
    shown."""

    def pair(found: re.Match[str]) -> str:
        name, equals, value = found.groups()
        last = name.rpartition(".")[2]
        bare = value.strip("\"'")
        like_one = ".headers." in name and len(secret_in_header(last, bare)) >= SURELY_A_KEY
        if last in _NAMES_OF_KEYS or not (like_one or names_a_secret(last)):
            return found[0]
        return f"{name}{equals}{HIDDEN}"

    return _PAIR.sub(pair, word)
