"""Find what is wrong with a criterion that a model wrote, by its words alone.

    long           more than 60 words or 500 characters
    unanswerable   it needs another response, another criterion, or a reference that does not exist
    vague          without function words, words for the response and words for quality, such as
                   "is the answer good, clear and relevant to the question", nothing is left of it
    duplicate      more than nine in ten of its other words are those of an earlier criterion

The lists are English. A criterion in another language is only checked for its length and for
duplicates, and never counts as vague: a criterion that is not certainly useless stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import lru_cache

from refinecli.text.units import characters, stems
from refinecli.text.words import as_typed, says_something

_MOST_WORDS = 60
_MOST_CHARACTERS = 500
# With this bound, ten equal words and an extra one make one criterion; ten with one word replaced
# make two, such as one for each of a patient's symptoms.
_SAME = 0.9

_FUNCTION_WORDS = """
a an the and or nor but if so as at by for from in into of off on onto out over than that then
there these this those to too up upon very via was were what when where whether which while who
whom whose why how will with within is are am be been being do does did done doing has have having
had can could may might must shall should ought it its itself they them their he she his her him
you your we our i me my both each every any some all such own only just also other another same
really truly quite rather about through s t don doesn didn isn aren wasn won
"""
# Most negations only turn a criterion around: "states X" and "fails to state X" are one.
_NEGATIONS = """
no not never none neither without fail fails lack lacks omit omits avoid avoids refrain wrongly
incorrectly
"""
_ABOUT_RESPONSES = """
response answer reply output completion chatbot assistant ai bot llm text content message user
reader prompt question query request instruction task
"""
_SAYING = "give provide state say mention include contain offer present name get make"
_QUALITY = """
good well better best great excellent outstanding strong poor bad high low quality value helpful
helpfulness useful usefulness valuable beneficial effective accurate accuracy accurately correct
correctness right wrong true truthful factual factually relevant relevance appropriate
appropriateness suitable adequate satisfactory satisfy sufficient acceptable proper clear clarity
clearly coherent coherence concise concisely comprehensive complete completeness thorough
thoroughness detailed detail informative insightful insight engaging interesting natural fluent
readable readability logical logically logic consistent consistency reasonable sensible meaningful
organized organised organization structured structure formatted written write easy easily simple
understand understandable follow overall general fully entirely information point issue aspect way
manner style tone language sense level degree standard expectation expect perfect free error
mistake direct stay topic intent intention goal purpose need address cover explain explanation
describe discuss respond meet fulfil fulfill ensure demonstrate express exhibit show use work ask
given requested problem solve behind depth balanced objective unbiased plausible possible more most
much many few less least
"""

_OTHER_RESPONSES = re.compile(
    r"(?i:\b(?:other|competing|rival)\s+(?:\w+\s+)?(?:responses?|completions?)\b)|"
    r"(?i:\b(?:both|which)\s+(?:responses?|completions?)\b)|"
    r"\b(?i:response)\s+[AB12]\b"
)
_OTHER_CRITERIA = re.compile(
    r"\b(?:other|above|previous|preceding|remaining)\s+(?:criteria|criterion)\b|"
    r"\b(?:all|any|both|each|none|one)\s+of\s+the\s+above\b",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"\b(?:reference|gold|golden)\s+(?:answer|response|solution|text)\b|\bground\s+truth\b",
    re.IGNORECASE,
)
_QUOTE = re.compile(r'"[^"]+"|`[^`]+`')


def fault(text: str, earlier: Iterable[str], *, has_reference: bool) -> tuple[str, str] | None:
    """Return the first thing wrong with a criterion: one word for it, and why; None where nothing
    is.

    `earlier` are the criteria that it must not repeat.
    """
    length = sum(map(says_something, text.split()))
    if length > _MOST_WORDS or characters(text) > _MOST_CHARACTERS:
        return "long", f"{length} words; {_MOST_WORDS}, or {_MOST_CHARACTERS} characters, at most"
    if _OTHER_RESPONSES.search(text):
        return "unanswerable", "it compares the response with another"
    if _OTHER_CRITERIA.search(text):
        return "unanswerable", "it speaks of other criteria"
    if not has_reference and _REFERENCE.search(text):
        return "unanswerable", "it speaks of a reference, and there is none"
    if is_vague(text):
        return "vague", "it names nothing that this conversation asks for"
    same = next((other for other in earlier if alike(text, other)), None)
    return None if same is None else ("duplicate", f"it asks the same as: {same}")


def is_vague(text: str) -> bool:
    """Return whether a criterion asks no more than that the response be good; a quotation asks
    more."""
    return not _QUOTE.search(as_typed(text)) and not set(_content(text)) - _stems(_QUALITY)


def alike(one: str, other: str) -> bool:
    """Return whether two criteria have nearly all words in common, in any order and form; those
    that differ in a number do not count."""
    if _numbers(one) != _numbers(other):
        return False
    first, second = _content(one), _content(other)
    if not (first and second):
        return one.casefold().split() == other.casefold().split()
    return SequenceMatcher(None, first, second, autojunk=False).ratio() > _SAME


def _content(text: str) -> list[str]:
    """Return the stems of the words that distinguish a criterion, each once, sorted."""
    common = _stems(_FUNCTION_WORDS + _NEGATIONS + _ABOUT_RESPONSES + _SAYING)
    return sorted(stem for stem in _stems(text) - common if stem[0].isalnum())


@lru_cache(maxsize=1024)  # our own lists, and criteria compared with many others
def _stems(text: str) -> frozenset[str]:
    return frozenset(stems(text, "english").split())


def _numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d.,]*\b", text))
