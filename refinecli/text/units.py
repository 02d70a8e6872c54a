"""Count a text's words, sentences, paragraphs and characters, and reduce its words to stems."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from refinecli.text.patterns import compiled


def _says_something(piece: str) -> bool:
    return any(map(str.isalnum, piece))


def words(text: str) -> int:
    """Count the pieces between white space that have a letter or a digit in them."""
    return sum(map(_says_something, text.split()))


# The segmenter looks for white space byte by byte and fails on kinds that take several bytes.
_OTHER_SPACE = re.compile(r"[^\S\n]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def sentences(text: str) -> int:
    """Count the sentences that have a letter or a digit in them.

    Abbreviations (English ones), decimals, initials and quotations do not end one; the full stops
    of other scripts, blank lines and list items do. A heading counts, and so does a last sentence
    without a full stop.
    """
    from sentencex import segment

    text = _SURROGATE.sub("\ufffd", _OTHER_SPACE.sub(" ", text))
    return sum(map(_says_something, segment("en", text)))


_BLANK_LINES = re.compile(r"\n\s*\n")


def paragraphs(text: str) -> int:
    """Count the blocks between blank lines that have a letter or a digit in them: headings and
    lists too, but not rules of dashes or stars."""
    return sum(map(_says_something, _BLANK_LINES.split(text)))


def characters(text: str) -> int:
    """Count characters as a reader sees them (an accent or an emoji of several code points is one),
    with inner spaces and line breaks but without white space around the text."""
    text = text.strip()
    if text.isascii() and "\r" not in text:
        return len(text)
    return len(compiled(r"\X").findall(text))


_SINGLE_QUOTES, _DOUBLE_QUOTES = "\u2018\u2019\u02bc", "\u201c\u201d"
_TYPOGRAPHIC = re.compile(f"[{_SINGLE_QUOTES}{_DOUBLE_QUOTES}]")


def straightened(text: str) -> str:
    """Replace typographic quotation marks and apostrophes with those of a keyboard."""
    # str.translate looks at each character, and takes ten times as long.
    return _TYPOGRAPHIC.sub(lambda found: "'" if found[0] in _SINGLE_QUOTES else '"', text)


_TOKEN = re.compile(r"\w+|[^\w\s]")


def stems(text: str, language: str) -> str:
    """Return the stems of all words in a text, with spaces around each, so that one text's words,
    in any form, are in another's if its stems are a substring of the other's. Punctuation stays."""
    tokens = _TOKEN.findall(straightened(text).lower())
    return f" {' '.join(_stem(token, language) for token in tokens)} "


@lru_cache(maxsize=16384)  # a stem takes some 30 microseconds, and most words are common
def _stem(word: str, language: str) -> str:
    return _stemmer(language)(word)


@lru_cache
def _stemmer(language: str) -> Callable[[str], str]:
    import snowballstemmer

    stem: Callable[[str], str] = snowballstemmer.stemmer(language).stemWord
    return stem


def stem_languages() -> list[str]:
    """List the languages that `stems` takes."""
    import snowballstemmer

    return list(snowballstemmer.algorithms())
