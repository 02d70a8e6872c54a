"""Count sentences in one pass, by full stops and what stands on either side of them.

No quotation mark or bracket is looked for its partner, so that an inch sign opens nothing, and what
is said within quotation marks counts as it would outside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from refinecli.text.scripts import is_cased
from refinecli.text.words import says_something

# ------------------------------------------------------------------ blocks: no sentence goes beyond

# Tags that stand within a sentence. Others end it where they are closed somewhere: <name>, of which
# there is no </name>, is a placeholder.
_INLINE = frozenset(
    """
    a abbr b cite code del em font i ins kbd mark q s small span strong sub sup u
    """.split()  # noqa: SIM905
)
_ALWAYS_BLOCKS = frozenset(("br", "hr", "li", "p"))
_TAG = re.compile(
    r"<(/?)([A-Za-z][\w:-]{0,40})(?:\s(?:[^<>=.!?]{0,100}|[^<>=]{0,40}=[^<>]{0,400}))?/?>"
)
_DECLARATION = re.compile(r"<[?!][^<>]{0,400}>")
_HEADING = re.compile(r"^[ \t]*#{1,6}[ \t].*$", re.MULTILINE)
# An item's mark goes, or its full stop would end a sentence.
_ITEM = re.compile(
    r"^[ \t>]*(?:[-*+•‣◦▪·–]|\(?(?:[0-9]{1,3}|[A-Za-z]|[ivxIVX]{1,4})\)"
    r"|(?:[0-9]{1,3}|[IVX]{1,4})\.)[ \t]+",
    re.MULTILINE,
)
_BLANK_LINE = re.compile(r"\n[ \t>]*(?=\n)")
_OTHER_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_OTHER_SPACE = re.compile(r"[^\S\n]")


def _blocks(text: str) -> list[str]:
    text = _OTHER_SPACE.sub(" ", _OTHER_BREAKS.sub("\n", _GREEK_QUESTION.sub("\u037e", text)))
    if "<" in text:
        text = _without_tags(_DECLARATION.sub("", _without_comments(text)))
    text = _HEADING.sub(lambda heading: f"\n\0{heading[0]}\n\0", text)
    return _BLANK_LINE.sub("\0", _ITEM.sub("\0", text)).split("\0")


def _without_comments(text: str) -> str:
    kept, place = [], 0
    while (start := text.find("<!--", place)) >= 0 and (end := text.find("-->", start)) >= 0:
        kept.append(text[place:start])
        place = end + len("-->")
    return "".join([*kept, text[place:]])


def _without_tags(text: str) -> str:
    closed = {tag[2].lower() for tag in _TAG.finditer(text) if tag[1]} - _INLINE
    blocks = closed | _ALWAYS_BLOCKS
    return _TAG.sub(lambda tag: "\0" if tag[2].lower() in blocks else "", text)


# ------------------------------------------------------------------ full stops

_OPENERS = "\"'“‘„‚«‹(\\[{*_`¿¡—–-"
_CLOSERS = (
    "\"'”’“»›)\\]}*_`~」』】》〉）］｝\u2600-\u27bf\U0001f300-\U0001faff\ufe0f\u200d⁰¹²³⁴⁵⁶⁷⁸⁹"
)
_WIDE = "。！？｡"  # of scripts that put no space after them
_GREEK_QUESTION = re.compile("(?<=[\u0370-\u03ff\u1f00-\u1fff]);")  # looks like a semicolon
_STOPS = f".!?\u037e…؟۔।॥։።፧။‼⁇⁈⁉{_WIDE}"
# Taken in one go, whatever follows: looked for with what follows, a long run of full stops would be
# tried from each of them.
_STOP = re.compile(rf"([{_STOPS}]++)((?:[{_CLOSERS}]|\[[0-9]{{1,3}}\])*+)")

# Before a name or a word in lower case.
_TITLES = frozenset(
    """
    mr mrs ms mx dr prof st rev hon gen col capt cpt lt sgt maj gov sen rep pres mt ft messrs mme
    mlle sr sra dra hr cf vs viz approx al bzw ca evtl ggf inkl vgl bspw
    """.split()  # noqa: SIM905
)
# Before a number.
_NUMBERED = frozenset(
    """
    no nos nr fig figs eq eqs vol ch sec art p pp par jan feb mar apr jun jul aug sep sept oct nov
    dec abs
    """.split()  # noqa: SIM905
)
# At a sentence's end too: those do end it where one of the words below begins the next.
_EITHER = frozenset(
    """
    etc inc ltd co corp jr bros dept est usw min max incl ed eds
    """.split()  # noqa: SIM905
)
_BEGINNERS = frozenset(
    """
    a after all an and are as at because before both but by can did do does each every first for
    from had has have he her here his how however i if in is it its just let many may maybe most
    my next no nobody not now of on once one our perhaps please she should since so some such that
    the their then there these they this those to today unless until was we were what when where
    which while who why will with would yes you your
    """.split()  # noqa: SIM905
)
_SAID = re.compile(
    r"(?:[A-Z][\w'-]{0,30} ){1,3}(?:said|says|asked|asks|replied|cried|shouted|whispered|answered"
    r"|exclaimed|added|muttered|wondered|thought|yelled|called|began|went)\b"
)
# After a quotation that ends with a wide full stop: the sentence around it continues.
_SAID_WIDE = re.compile(r"[とっ]|[^。！？]{0,4}[说說道问問喊答叫]")
_WORD = re.compile(r"\w+")
_ACRONYM = re.compile(r"(?:[^\W\d_]{1,2}\.)+[^\W\d_]{1,3}")
_NEAR = 24  # longer than any abbreviation


def count_sentences(text: str) -> int:
    """Return how many sentences there are that have a letter or a digit in them.

    Abbreviations (mostly English ones), decimals and initials do not end one. The full stops of
    all scripts, blank lines, headings and the items of a list do. What stands in quotation marks or
    brackets counts as it would outside. A last sentence needs no full stop. Tags are left out.
    """
    return sum(
        says_something(piece)
        for block in _blocks(text)
        for piece in _sentences(" ".join(block.split()))
    )


_NUMBER_ALONE = re.compile(r" *\(?[0-9]{1,2}\.")  # of a list that is written in one line


def _sentences(block: str) -> Iterator[str]:
    start = 0
    for stop in _STOP.finditer(block):
        if _ends_sentence(block, stop) and not _NUMBER_ALONE.fullmatch(block, start, stop.end()):
            yield block[start : stop.end()]
            start = stop.end()
    yield block[start:]


def _ends_sentence(text: str, stop: re.Match[str]) -> bool:
    marks, closed = stop[1], stop[2]
    after = text[stop.end() : stop.end() + 64]
    if marks[-1] in _WIDE:
        return not (closed and _SAID_WIDE.match(after))
    if after and after[0] != " ":  # example.com, but no script without capitals writes so
        return marks[0] not in ".!?…" or (after[0].isalpha() and not is_cased(after[0]))
    word = after.lstrip(f" {_OPENERS}")
    if closed and (word[:1].islower() or _SAID.match(word)):  # "Stop!" he cried.
        return False
    if marks.endswith(("...", "…")):
        return _begins_one(word) and not word.startswith("I ")
    return marks != "." or not _is_abbreviation(
        text[max(stop.start() - _NEAR, 0) : stop.start()], word
    )


def _is_abbreviation(before: str, after: str) -> bool:
    """Return True where a full stop only shortens the word before it."""
    earlier, _, given = before.rpartition(" ")
    word = given.lstrip(_OPENERS).lower()
    if word.isdigit() and len(word) < 3:  # (1. one; 2. two)
        return word != given or (earlier[-1:] in tuple(";,:") and after[:1].islower())
    if word in _TITLES:
        return True
    if word in _NUMBERED:
        return after[:1].isdigit()
    if len(word) == 1 and word.isalpha():  # an initial
        if word == "i" and after[1:2] != ".":  # "You and I. Then"
            return False
        return not (_begins_one(after) and after[1:2].isalpha())
    if word in _EITHER or _ACRONYM.fullmatch(word):  # etc., p.m.
        return not _begins_one(after)
    return False


def _begins_one(text: str) -> bool:
    """Return True where what stands after a doubtful full stop begins a sentence, or is nothing."""
    word = _WORD.match(text)
    return word is None or (text[0].isupper() and word[0].lower() in _BEGINNERS)
