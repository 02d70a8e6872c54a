"""What checks count a text in, and the forms that they compare words by."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from refinecli.text.patterns import compiled


def _says_something(piece: str) -> bool:
    return any(map(str.isalnum, piece))


def words(text: str) -> int:
    """What stands between white space and has a letter or a digit in it."""
    return sum(map(_says_something, text.split()))


# The segmenter looks for white space byte by byte and fails on the kinds that have several.
_OTHER_SPACE = re.compile(r"[^\S\n]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def sentences(text: str) -> int:
    """Sentences that have a letter or a digit in them.

    Abbreviations (English ones), decimals, initials and quotations do not end one; the full stops
    of other scripts, blank lines and the items of a list do. A heading is one, and so is a last
    sentence without a full stop.
    """
    from sentencex import segment

    text = _SURROGATE.sub("\ufffd", _OTHER_SPACE.sub(" ", text))
    return sum(map(_says_something, segment("en", text)))


_BLANK_LINES = re.compile(r"\n\s*\n")


def paragraphs(text: str) -> int:
    """Blocks between blank lines that have a letter or a digit in them: headings and lists too, but
    no rules of dashes or stars."""
    return sum(map(_says_something, _BLANK_LINES.split(text)))


def characters(text: str) -> int:
    """Characters as they are seen (an accent or an emoji of several code points is one), spaces
    and line breaks included, but for white space around the text."""
    text = text.strip()
    if text.isascii() and "\r" not in text:
        return len(text)
    return len(compiled(r"\X").findall(text))


_SINGLE_QUOTES, _DOUBLE_QUOTES = "\u2018\u2019\u02bc", "\u201c\u201d"
_TYPOGRAPHIC = re.compile(f"[{_SINGLE_QUOTES}{_DOUBLE_QUOTES}]")


def straightened(text: str) -> str:
    """The text with typographic quotation marks and apostrophes as a keyboard has them."""
    # str.translate looks at each character, and takes ten times as long.
    return _TYPOGRAPHIC.sub(lambda found: "'" if found[0] in _SINGLE_QUOTES else '"', text)


_TOKEN = re.compile(r"\w+|[^\w\s]")


def stems(text: str, language: str) -> str:
    """The stems of all words in a text, each between spaces: one text's words, in any form, are
    among another's if its stems are a part of the other's. Punctuation stays."""
    tokens = _TOKEN.findall(straightened(text).lower())
    return f" {' '.join(_stem(token, language) for token in tokens)} "


@lru_cache(maxsize=16384)  # one takes some 30 microseconds, and most words of a text are common
def _stem(word: str, language: str) -> str:
    return _stemmer(language)(word)


@lru_cache
def _stemmer(language: str) -> Callable[[str], str]:
    import snowballstemmer

    stem: Callable[[str], str] = snowballstemmer.stemmer(language).stemWord
    return stem


def stem_languages() -> list[str]:
    """What `stems` takes as a language."""
    import snowballstemmer

    return list(snowballstemmer.algorithms())
