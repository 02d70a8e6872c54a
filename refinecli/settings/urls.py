"""The URL of an endpoint: checked in one way wherever it was set, and shown without its query."""

from __future__ import annotations

from urllib.parse import urlsplit


def checked_url(text: str) -> str:
    """Return the URL without the blanks around it; raises ValueError with what is wrong, in words
    that do not repeat it, since it may hold a secret."""
    url = text.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL: its host or port cannot be read") from None
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("not an http:// or https:// URL, such as http://localhost:8000/v1")
    if any(character.isspace() or not character.isprintable() for character in url):
        raise ValueError("a URL must not hold spaces or control characters")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL must not hold a password: use api_key_env")
    return url


def shown_url(url: str) -> str:
    """Return what may be shown of a URL: some have their key in its query."""
    return url.partition("?")[0].partition("#")[0]
