"""Remove from a text the characters that nobody can see."""

from __future__ import annotations

import re

from refinecli.text.patterns import compiled

# Letters of the scripts that need joiners and variation selectors; none of our tags can be mistaken
# for these.
_JOINING = (
    r"(?<=[\p{L}\p{M}])(?<![\p{Latin}\p{Greek}\p{Cyrillic}\p{Armenian}\p{Canadian_Aboriginal}"
    r"\p{Inherited}\p{Common}])"
)
_PICTURE = r"[\p{Extended_Pictographic}\p{Emoji_Modifier}]"
# The flags of England, Scotland and Wales are a black flag and their names in tag characters.
_FLAG = "\U0001f3f4"
_FLAGS = "|".join(
    "".join(chr(0xE0000 + ord(letter)) for letter in name) for name in ("gbeng", "gbsct", "gbwls")
)
# Look at each character once, and only around hidden ones: ten times as fast as the reverse.
_HIDDEN = "|".join(
    (
        r"(?=[\p{Default_Ignorable_Code_Point}\ufff9-\ufffb\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
        rf"{_FLAG}])(?:(?P<kept>{_FLAG}(?:(?:{_FLAGS})\U000e007f)?",
        rf"{_JOINING}[\u034f\u180b-\u180f\u200c\u200d\ufe00-\ufe0f]",
        rf"(?<={_PICTURE}\ufe0f?)\u200d(?=\p{{Extended_Pictographic}})",
        r"(?<=\p{Extended_Pictographic})[\ufe0e\ufe0f]",
        r"(?<=[0-9#*])\ufe0f(?=\u20e3)",
        r"(?<=\p{Han})[\U000e0100-\U000e01ef])",
        r".)",
    )
)
_HIDDEN_ASCII = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def visible(text: str) -> str:
    """Remove the characters that cannot be seen: zero-width ones, bidi and other controls, tag
    characters. Joiners and variation selectors stay where a script or an emoji needs them."""
    if text.isascii():
        return _HIDDEN_ASCII.sub("", text)
    return compiled(_HIDDEN).sub(lambda match: match["kept"] or "", text)
