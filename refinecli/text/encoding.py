"""Bring letters that may be encoded in several ways into one form."""

from __future__ import annotations

import html
import re
from unicodedata import combining, is_normalized, normalize

_LETTERS = re.compile(r"[^\W\x00-\x7f]+")  # and digits
# More marks on one letter than any language has. Python sorts a letter's marks in quadratic time:
# 100,000 of them took nine seconds.
_MANY_MARKS = re.compile(r"[^\w\s\x00-\u02ff]{16,}")


# The Thai and Lao vowel AM in two characters, as some keyboards and PDFs have it, with the mark of
# a tone in between.
_PARTED_VOWELS = (
    (re.compile("\u0e4d([\u0e48-\u0e4b]?)\u0e32"), "\\1\u0e33"),
    (re.compile("\u0ecd([\u0ec8-\u0ecb]?)\u0eb2"), "\\1\u0eb3"),
)


def one_encoding(text: str) -> str:
    """Compose accents, and replace ligatures, full-width letters and the like with plain ones.

    Only letters and digits: full NFKC would find the word 102 in "10²" but no Acme in "Acme™".
    """
    if text.isascii():
        return text
    text = normalize("NFC", _MANY_MARKS.sub(_in_order, text))
    for parted, vowel in _PARTED_VOWELS:
        text = parted.sub(vowel, text)
    return text if is_normalized("NFKC", text) else _LETTERS.sub(_plain, text)


_REFERENCE = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]{2,10});")


def without_references(text: str) -> str:
    """Replace HTML's references to characters, such as `&nbsp;`, with the characters."""
    return _REFERENCE.sub(lambda reference: html.unescape(reference[0]), text)


def _in_order(marks: re.Match[str]) -> str:
    """Return marks as normalising orders them, so that nothing is left for it to sort."""
    ordered: list[str] = []
    run: list[str] = []
    for mark in marks[0]:
        if combining(mark):
            run.append(mark)
        else:
            ordered += (*sorted(run, key=combining), mark)
            run.clear()
    return "".join([*ordered, *sorted(run, key=combining)])


def _plain(letters: re.Match[str]) -> str:
    old = letters[0]
    if is_normalized("NFKC", old):
        return old
    new = normalize("NFKC", old)
    # Superscripts and fractions stay, and so does what would end a word in its plain form.
    return new if new.isalnum() and all(c.isalpha() or c.isdecimal() for c in old) else old
