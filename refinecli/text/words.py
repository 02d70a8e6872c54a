"""Find and count words in any script.

Most scripts put spaces between words. Chinese and Japanese do not, nor do Thai, Lao, Khmer and
Burmese: there a word may begin and end anywhere, but not inside a letter. Korean does, and writes
particles and endings onto the word.
"""

from __future__ import annotations

import re
from functools import lru_cache

from refinecli.text.encoding import one_encoding, without_references
from refinecli.text.scripts import (
    BY_DICTIONARY,
    EACH_A_WORD,
    HANGUL,
    is_hangul,
    is_mark,
    is_undivided,
)
from refinecli.text.visible import visible

_SINGLE_QUOTES, _DOUBLE_QUOTES = "\u2018\u2019\u02bc\u00b4\uff07", "\u201c\u201d\uff02"
_HYPHENS = "\u2010\u2011\u2012\u2013\u2212\u2043\ufe58\ufe63\uff0d"
_LOOKALIKES = {
    **dict.fromkeys(_SINGLE_QUOTES, "'"),
    **dict.fromkeys(_DOUBLE_QUOTES, '"'),
    **dict.fromkeys(_HYPHENS, "-"),
}
_LOOKALIKE = re.compile(f"[{''.join(_LOOKALIKES)}]")
# How an emoji is drawn, lines under, over and through letters; what Arabic and Hebrew may leave out
# (points) or put in (a stretched line).
_STYLE = re.compile(
    "[\ufe0e\ufe0f\u0305\u0332-\u0338\u033f\u20d2\u20d3\u20e5\u20e6"
    "\u0640\u064b-\u0652\u0670\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"
)


# ------------------------------------------------------------------ what a text reads as

# Letters that look like Latin ones: a word that mixes them with Latin letters means those.
# Each begins with the Latin one.
_ALIKE = """
    aаα cсϲ dԁ eе hһ iіι jј kκ nո oоοօ pрρ sѕ uυս vν xхχ yу
    AАΑ BВΒ CС EЕΕ HНΗ IІΙ JЈ KКΚ MМΜ NΝ OОΟ PРΡ SЅ TТΤ XХΧ YУΥ ZΖ
"""
_TWINS = str.maketrans({twin: alike[0] for alike in _ALIKE.split() for twin in alike[1:]})
_LETTERS = re.compile(r"[^\W\d_]+")
_NON_LATIN = re.compile("[\u0370-\u058f]")
_LATIN = re.compile("[A-Za-z]")
_OTHER_I = {"\u0131": "i", "i\u0307": "i"}  # as a pattern without regard to case has them


def as_typed(text: str) -> str:
    """Replace the hyphens and quotation marks that no keyboard has with those that they look
    like."""
    # str.translate looks at each character, and takes ten times as long.
    return _LOOKALIKE.sub(lambda found: _LOOKALIKES[found[0]], text)


def read_as(text: str, case: bool) -> str:
    """Return the text as its words are compared: letters in one encoding, nothing invisible, plain
    hyphens and quotation marks, and one space for any white space."""
    if not text.isascii():
        text = as_typed(_STYLE.sub("", one_encoding(visible(text))))
        if _NON_LATIN.search(text):
            text = _LETTERS.sub(_in_latin, text)
    if not case:
        text = text.casefold()
        for other, plain in _OTHER_I.items():
            text = text.replace(other, plain)
    return " ".join(text.split()) or text


def _in_latin(letters: re.Match[str]) -> str:
    word = letters[0]
    return word.translate(_TWINS) if _LATIN.search(word) and not word.isascii() else word


# Markup in the middle of a word, which is not seen: bold, italics, tags.
_ESCAPE = re.compile(r"\\([^\w\s]|_)")
_INNER = re.compile(
    r"(?<=[^\W\d_])(?:\*{1,3}|~~|</?(?:b|i|u|s|em|strong|mark|span|wbr)\b[^<>]{0,80}>){1,4}"
    r"(?=[^\W\d_])"
)


def _without_markup(text: str) -> str:
    return _INNER.sub("", _ESCAPE.sub(r"\1", without_references(text)))


# ------------------------------------------------------------------ finding one


def has_word(text: str, word: str, *, case: bool = False) -> bool:
    """Return True where the word stands in the text, however either is encoded; markup around it
    or in it does not hide it."""
    wanted = _word_as(word, case)
    if not wanted:  # nothing that can be seen
        return word in text
    return any(_stands_in(reading, wanted) for reading in _readings(text, case))


@lru_cache(maxsize=8192)
def _word_as(word: str, case: bool) -> str:
    return read_as(word, case)


@lru_cache(maxsize=8)  # several items look for many words in one response
def _readings(text: str, case: bool) -> tuple[str, ...]:
    """Return the text as it is, and without markup where that is another."""
    bare = _without_markup(text)
    return (read_as(text, case),) if bare == text else (read_as(text, case), read_as(bare, case))


def _stands_in(text: str, word: str) -> bool:
    start = text.find(word)
    while start >= 0:
        if _begins(text, start) and _ends(text, start + len(word), word):
            return True
        start = text.find(word, start + 1)
    return False


# Vowels that Thai and Lao write before and after a consonant: no word begins or ends between them.
_VOWELS_BEFORE = frozenset("เแโใไເແໂໃໄ")
_VOWELS_AFTER = frozenset("ะาำๅະາຳ")
_HANGUL_RUN = re.compile(f"[{HANGUL}]+")
_MOST_MARKS = 32  # that are looked past: no letter has more


def _begins(text: str, start: int) -> bool:
    """Return True where a word can begin."""
    if start == 0:
        return True
    place, first = start - 1, text[start]
    if is_mark(first) or text[place] in _VOWELS_BEFORE or first in _VOWELS_AFTER:
        return False
    if text[place] == "_":  # emphasis, or the middle of a name, where Markdown may escape it
        return not text[max(place - _MOST_MARKS, 0) : start].rstrip("_\\")[-1:].isalnum()
    least = max(start - _MOST_MARKS, 0)
    while place > least and is_mark(text[place]):
        place -= 1
    before = text[place]
    if not before.isalnum() or is_undivided(before) or is_undivided(first):
        return True
    return is_hangul(before) != is_hangul(first)


def _ends(text: str, end: int, word: str) -> bool:
    """Return True where a word can end."""
    after, last = text[end : end + 1], word[-1:]
    if not after:
        return True
    if is_mark(after) or last in _VOWELS_BEFORE or after in _VOWELS_AFTER:
        return False
    if after == "_" or text.startswith("\\_", end):
        return not text[end : end + _MOST_MARKS].lstrip("_\\")[:1].isalnum()
    if not after.isalnum() or is_undivided(after) or is_undivided(last):
        return True
    if is_hangul(after) and is_hangul(last):
        return is_hangul(word[-2:-1]) or _only_particles(text, end)
    return is_hangul(after) or is_hangul(last)


# What is written onto a Korean noun. One of a single syllable begins many other words, so nothing
# else may follow it.
_PARTICLES = re.compile(
    "(?:들|은|는|이|가|을|를|의|에|서|에서|에게|에게서|한테|께|께서|로|으로|써|와|과|랑|이랑|도|만|뿐"
    "|부터|까지|마다|처럼|보다|조차|마저|밖에|이나|나|라|이라|라고|이라고|란|이란|요|야|여|고|며|지만|인|임|입니다"
    "|이다|다|이에요|예요|였다|이었다|였습니다|이었습니다)+"
)


def _only_particles(text: str, end: int) -> bool:
    onto = _HANGUL_RUN.match(text[end : end + 12])
    return onto is not None and _PARTICLES.fullmatch(onto[0]) is not None


# ------------------------------------------------------------------ counting


def says_something(piece: str) -> bool:
    """Return True where there is a letter or a digit in it."""
    return any(map(str.isalnum, piece))


_EACH = re.compile(f"[{EACH_A_WORD}]")
# What parts two words in Chinese and Japanese, where no space follows it.
_STOPS = re.compile("[\u3001-\u3003\u3008-\u301f\u30fb\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f]")
_RUN = re.compile(f"([{BY_DICTIONARY}]+)")


def count_words(text: str) -> int:
    """Return how many words there are: pieces between white space that have a letter or a digit.

    In Chinese and Japanese each character is a word. In Thai, Lao, Khmer and Burmese words are
    those of a dictionary.
    """
    if text.isascii():
        return sum(map(says_something, text.split()))
    each = len(_EACH.findall(text))
    if each:
        text = _EACH.sub(" ", text)
    return each + sum(map(_count, _STOPS.sub(" ", text).split()))


def _count(piece: str) -> int:
    if piece.isascii() or _RUN.search(piece) is None:
        return int(says_something(piece))
    others, runs = _RUN.split(piece)[::2], _RUN.findall(piece)
    return sum(map(says_something, others)) + sum(map(_by_dictionary, runs))


def _by_dictionary(run: str) -> int:
    from icu4py.breakers import WordBreaker

    return sum(map(says_something, WordBreaker(run, "th")))  # of any of these scripts
