"""Recognise URLs of data, and show them without what may be a credential."""

from __future__ import annotations

import re

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# Of these the whole address is a key, so `#` may be a part of a name.
_STORES = ("s3", "gs", "az", "hf")
_IN_TEXT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")


def is_url(name: str) -> bool:
    """Return whether a name is `scheme://…`, and not a path."""
    return _SCHEME.match(name) is not None


def scheme_of(url: str) -> str:
    """Return the scheme, in small letters."""
    return url.partition("://")[0].lower()


def has_password(url: str) -> bool:
    """Return whether a URL names a user with a password."""
    return ":" in url.partition("://")[2].partition("/")[0].rpartition("@")[0]


def was_url(path: str) -> bool:
    """Return whether a path was a URL before it was taken for a path, which has one slash less."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", path) is not None


def without_credentials(url: str) -> str:
    """Return a URL as it may be shown: without user, password, query and fragment, any of which may
    be a credential. `https://me:secret@host/in.jsonl?token=…` is `https://host/in.jsonl`."""
    scheme, _, rest = url.partition("://")
    ends = r"[?]" if scheme.lower() in _STORES else r"[?#]"
    authority, slash, path = re.split(ends, rest, maxsplit=1)[0].partition("/")
    host = authority.rpartition("@")[2]
    if scheme.lower() in _STORES and not has_password(url):
        host = authority  # a container of an account, or a revision
    return f"{scheme}://{host}{slash}{path}"


def clean_of_credentials(text: str) -> str:
    """Return a text with every URL in it as it may be shown."""
    return _IN_TEXT.sub(lambda found: without_credentials(found[0]), text)
