"""Name the scripts that do not put spaces between words, by their letters.

Ranges rather than the properties of the regex library: these stand in patterns of the standard
library, which search several times as fast.
"""

from __future__ import annotations

import re
import unicodedata

# Each character counts as a word of its own: Han, kana, bopomofo, Yi.
EACH_A_WORD = (
    "\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U000323af"  # Han
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9d"
    "\U0001aff0-\U0001b16f"  # kana
    "\u3105-\u312f\u31a0-\u31bf\ua000-\ua48c"
)
# Words are those of a dictionary; the digits of these scripts are not among them.
BY_DICTIONARY = (
    "\u0e01-\u0e3a\u0e40-\u0e4e"  # Thai
    "\u0e81-\u0ecf\u0edc-\u0edf"  # Lao
    "\u1000-\u103f\u1050-\u108f\u109a-\u109d\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"  # Myanmar
    "\u1780-\u17d3\u17d7\u17dc\u17dd"  # Khmer
)
# The others: Tai Le, New Tai Lue, Tai Tham, Tai Viet, Javanese, Balinese.
_OTHERS = "\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7c\uaa80-\uaadd\ua980-\ua9c0\u1b00-\u1b4b"
UNDIVIDED = EACH_A_WORD + BY_DICTIONARY + _OTHERS
# Korean has spaces, but what stands at a word's end (particles, copulas) is written onto it.
HANGUL = "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb\uffa1-\uffdc"

_UNDIVIDED = re.compile(f"[{UNDIVIDED}]")
_HANGUL = re.compile(f"[{HANGUL}]")


def is_undivided(character: str) -> bool:
    """Return True for a letter or mark of a script that puts no spaces between words."""
    return character > "\u0e00" and _UNDIVIDED.match(character) is not None


def is_hangul(character: str) -> bool:
    """Return True for a Korean syllable or letter."""
    return character > "\u10ff" and _HANGUL.match(character) is not None


def is_cased(character: str) -> bool:
    """Return True for a letter of a script with capitals, such as Latin or Cyrillic."""
    return unicodedata.category(character) in ("Lu", "Ll", "Lt")


def is_mark(character: str) -> bool:
    """Return True for a mark that is part of the letter before it."""
    return character > "\u02ff" and unicodedata.category(character) in ("Mn", "Mc")
