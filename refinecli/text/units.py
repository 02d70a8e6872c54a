"""Count a text's paragraphs and characters, and reduce its words to stems."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from refinecli.text.patterns import compiled
from refinecli.text.scripts import UNDIVIDED
from refinecli.text.words import read_as, says_something

_BLANK_LINES = re.compile(r"\n\s*\n")


def paragraphs(text: str) -> int:
    """Count the blocks between blank lines that have a letter or a digit in them: headings and
    lists too, but not rules of dashes or stars."""
    return sum(map(says_something, _BLANK_LINES.split(text)))


# Of two letters each. For each letter the regex library looks back to where a row of them began:
# 200,000 of them took five minutes.
_FLAGS = re.compile("[\U0001f1e6-\U0001f1ff]{2}")


def characters(text: str) -> int:
    """Count characters as a reader sees them (an accent or an emoji of several code points is one),
    with inner spaces and line breaks but without white space around the text."""
    text = text.strip()
    if text.isascii() and "\r" not in text:
        return len(text)
    return len(compiled(r"\X").findall(_FLAGS.sub("x", text)))


# An underscore at a word's edge is emphasis. What has no spaces is compared letter by letter.
_TOKEN = re.compile(rf"[{UNDIVIDED}]|[^\W_{UNDIVIDED}]+(?:_+[^\W_{UNDIVIDED}]+)*|[^\w\s]")


def stems(text: str, language: str) -> str:
    """Return the stems of all words in a text, with spaces around each, so that one text's words,
    in any form, are in another's if its stems are a substring of the other's. Punctuation stays."""
    tokens = _TOKEN.findall(read_as(text, case=False))
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
