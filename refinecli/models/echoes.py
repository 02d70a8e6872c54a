"""Leave out of a provider's words what it quotes of the conversation: a question about lost keys is
not a lost key. Pure; takes linear time, since a provider may quote all of a long prompt."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from refinecli.types import Message

_IN_A_ROW = 4  # words, or characters of a script without blanks, that are in the conversation too
_SCRIPTS = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_SCRIPTS}]|[^\s{_SCRIPTS}]+")
_MARKS = "'\"`.,:;()[]{}<>…“”‘’?!\\"
# Two words or more; one alone is mostly a name.
_QUOTED = re.compile(r"(['\"`])([^'\"`\s]+\s[^'\"`]{1,200})\1|“([^”\s]+\s[^”]{1,200})”")


def without_echoes(words: str, messages: Sequence[Message], names: Collection[str]) -> str:
    """Return the words without what they quote. A short message counts as quoted where all of it
    stands there, unless it is one of `names`."""
    said = list(_texts([message.get("content") for message in messages]))
    for text in said:
        if text not in names and 0 < len(_WORD.findall(text)) < _IN_A_ROW:
            words = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", " ", words)
    all_said = " ".join(said)

    def unquoted(match: re.Match[str]) -> str:
        quoted = " ".join((match[2] or match[3]).strip(_MARKS + " ").split())
        return " " if quoted in all_said else match[0]

    return _without_rows(_QUOTED.sub(unquoted, words), all_said)


def _texts(content: object) -> Iterator[str]:
    """Yield all texts in a content, with single blanks."""
    if isinstance(content, str):
        yield " ".join(content.split())
    elif isinstance(content, list | dict):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)


def _without_rows(words: str, said: str) -> str:
    """Leave out the words that stand in a row in both texts."""
    places = list(_WORD.finditer(words))
    rows = dict.fromkeys(_rows([place[0] for place in places]), False)
    for row in _rows(_WORD.findall(said)):
        if row in rows:
            rows[row] = True
    quoted: set[int] = set()
    for number, row in enumerate(_rows([place[0] for place in places])):
        if rows[row]:
            quoted.update(range(number, number + _IN_A_ROW))
    kept, end = [], 0
    for number, place in enumerate(places):
        if number not in quoted:
            kept.append(words[end : place.end()])
        end = place.end()
    return "".join(kept)


def _rows(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    bare = [word.strip(_MARKS) for word in words]
    return zip(*(bare[start:] for start in range(_IN_A_ROW)), strict=False)
