"""Know what is a secret among settings: a gateway may want its key in a header, in the URL or in
the body, where no variable of the environment is named for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl, unquote_plus, urlsplit

from refinecli.settings.sources import NAMED, toml_value
from refinecli.text.toml_text import written

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
_LIKE_A_KEY = r"(?:\A|\s)(?=[^\s]*[A-Za-z])(?=[^\s]*[0-9])(?![^\s]*://)[^\s]+\Z"
# A name and its value in the query of a URL.
_PAIR = re.compile(r"([^=&#]+)=([^&#]+)")


def names_a_secret(name: str) -> bool:
    """Return whether a header or a parameter of this name holds a secret."""
    words = re.findall("[a-z]+", name.lower())
    return any(word.endswith(_SECRET_WORDS) for word in words)


def secret_in_header(name: str, value: str) -> str:
    """Return what looks like a key in a header's value, if anything does: the scheme stands before
    it."""
    if name.lower().endswith(("version", "beta")) or not re.search(_LIKE_A_KEY, value):
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
        return hidden_in_url(value)
    if key == "headers" and isinstance(value, dict):
        return {name: _hidden_in_header(name, one) for name, one in value.items()}
    return replaced(value, lambda secret: HIDDEN) if key == "extra_body" else value


def hidden_in_url(url: str) -> str:
    """Return a URL without the secrets after its `?`, however they are escaped there."""

    def pair(found: re.Match[str]) -> str:
        return f"{found[1]}={HIDDEN}" if names_a_secret(unquote_plus(found[1])) else found[0]

    address, mark, query = url.partition("?")
    return f"{address}{mark}{_PAIR.sub(pair, query)}"


def _hidden_in_header(name: str, value: object) -> object:
    secret = secret_in_header(name, value) if isinstance(value, str) else ""
    return f"{str(value).removesuffix(secret)}{HIDDEN}" if len(secret) >= SURELY_A_KEY else value


def hidden_in_assignment(assignment: str) -> str:
    """Return `section.key=value`, as it is written for `--set`, as it may be shown."""
    dotted, equals, text = assignment.partition("=")
    keys = dotted.strip().split(".")
    place = 2 if keys[0] in NAMED else 1  # of the setting's own name
    value = toml_value(text)
    table = value
    for key in reversed(keys[place:]):
        table = {key: table}
    if not isinstance(table, dict):
        return assignment
    shown: object = {key: hidden(key, one) for key, one in table.items()}
    if shown == table:
        return assignment
    for key in keys[place:]:
        assert isinstance(shown, dict)
        shown = shown[key]
    return f"{dotted}{equals}{shown if isinstance(shown, str) else written(shown)}"
