"""Make untrusted text safe to show to a model: nothing hidden in it, and no tag that means
something.

A response is written by whoever gains from its score. Three things keep it in its place: its
delimiters carry a nonce, anything that reads as one of our tags is escaped, and invisible
characters, which could split such a tag or spell a message of their own, are removed first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType

from refinecli.text.reasoning import TAGS

# Names of the tags that our prompts and the replies to them are made of; those of reasoning end the
# part of a grader's reply that is not its verdict, even where the grader only quotes them.
_NAMES = "|".join(
    ("conversation|reference|response(?:_[0-9]+)?|criterion|turn|best|improved|rubric", *TAGS)
) + (
    # From chat templates: servers that look for such marks everywhere take these as theirs.
    "|start_of_turn|end_of_turn|bos|eos|unused[0-9]+"
)
_CHAT_MARKS = (
    r"<(?=\|[^|<>\s]{1,40}+\|>|\|?channel\|?>|/?s>|/?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|THINK)\])|◁(?=/?think▷)"
)
_ESCAPES = MappingProxyType({"<": "&lt;", "[": "&#91;", "◁": "&#9665;"})
# Characters that begin a tag, or look like it.
_OPENING = "\u2039\u2329\u3008\u27e8\u276e\u2770\u276c\u02c2\u1438"
_BRACKET = re.compile(rf"[<\[◁{_OPENING}\ufe64\uff1c\ufe47\uff3b]")


def harmless(text: str, *names: str) -> str:
    """Return text that cannot open or close a tag of our prompts, of a chat template or of these
    names, not even one that only looks like it (`＜/response＞`)."""
    if _BRACKET.search(text) is None:  # nearly all text, and many times as fast
        return text
    look = text if text.isascii() else text.translate(_lookalikes())
    pieces: list[str] = []
    place = 0
    for match in _tags(names).finditer(look):
        pieces += (text[place : match.start()], _ESCAPES[match[0]])
        place = match.end()
    return "".join([*pieces, text[place:]])


def nonce(*texts: str) -> str:
    """Make a code for a response's delimiters. No author can know it beforehand, since it depends
    on all the text around the response and on the response itself; the same texts get the same
    code, so that a call is found again in the cache."""
    digest = sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.hexdigest()[:12]


@lru_cache(maxsize=256)
def _tags(names: tuple[str, ...]) -> re.Pattern[str]:
    """Compile the pattern that finds the bracket which begins one of the tags."""
    all_names = "|".join((_NAMES, *map(re.escape, names)))
    return re.compile(rf"<(?=\s*+/?\s*+(?:{all_names})\b)|{_CHAT_MARKS}", re.IGNORECASE)


# Each word is an ASCII character of our tags and others that look like it without being its
# compatibility forms. The double quotation marks of French and Chinese are left out, since they
# stand before words in plain text.
_TWINS = (
    f"<{_OPENING} "
    ">\u203a\u232a\u3009\u27e9\u276f\u2771\u276d\u02c3\u1433 "
    "/\u2044\u2215\u29f8\u2571 |\u2223\u2502\u01c0 _\u2581 "
    "aаα cсϲ dԁ eе iіι nո oоοօ pрρ sѕ tт uυս vνѵ AАΑ BВΒ CСϹ EЕΕ IІΙ MМΜ NΝ OОΟ PРΡ SЅ TТΤ VѴ"
)
_COMPATIBLE = (  # full-width, mathematical, circled, raised, Roman and small forms
    *(range(0x00AA, 0x00BB), range(0x017F, 0x0180), range(0x02B0, 0x02E5), range(0x1D2C, 0x1DC0)),
    *(range(0x2070, 0x20A0), range(0x2100, 0x2190), range(0x24B6, 0x24EB), range(0x2C7C, 0x2C7E)),
    *(range(0xA7F2, 0xA7F5), range(0xFE33, 0xFE70), range(0xFF01, 0xFF5F)),
    *(range(0x1D400, 0x1D800), range(0x1F12B, 0x1F14A)),
)


@lru_cache(maxsize=1)
def _lookalikes() -> Mapping[int, str]:
    """Map characters that read as an ASCII one to it: a text keeps its length."""
    found = {ord(twin): word[0] for word in _TWINS.split() for twin in word[1:]}
    for codes in _COMPATIBLE:
        for code in codes:
            plain = unicodedata.normalize("NFKC", chr(code))
            if len(plain) == 1 and plain.isascii():
                found[code] = plain
    return found
