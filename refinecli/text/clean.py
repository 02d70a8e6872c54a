"""Make untrusted text safe to print: model replies, provider errors, text from data files.

Kept apart from rendering because every command prints something and few need rich.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

# Controls that a terminal obeys, marks that reorder or hide text, and what no encoder takes. U+200D
# stays, or emoji fall apart. The tag characters (U+E00xx) spell text that only models can see.
_HIDDEN = (
    *(range(0x200E, 0x2010), range(0x2028, 0x202F), range(0x2060, 0x2070), range(0x061C, 0x061D)),
    *(range(0x180E, 0x180F), range(0xFEFF, 0xFF00), range(0xFFF9, 0xFFFC)),
    *(range(0xD800, 0xE000), range(0xE0000, 0xE0080)),
)


@cache  # 3,000 entries, which most commands need none of
def _visible() -> Mapping[int, str]:
    return (
        {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t"}
        | {0x7F: "␡"}
        | {code: f"\\x{code:02x}" for code in range(0x80, 0xA0)}
        | {code: f"<U+{code:04X}>" for codes in _HIDDEN for code in codes}
    )


def clean(text: str) -> str:
    """Make untrusted text safe for a terminal by showing what would act there or hide.

    It works character by character, so a text may be cleaned in pieces.
    """
    return text if text.isascii() and text.isprintable() else text.translate(_visible())


def as_line(text: str) -> str:
    """Return the text as one clean line with its blanks kept, for a log that a CI system may read:
    nothing in it begins a line of its own, or a workflow command of GitHub's."""
    line = clean(text).replace("\n", " ")
    if line.lstrip().startswith("::"):
        line = line.replace("::", ": :", 1)
    return line.replace("##[", "# #[")  # the older form counts anywhere in a line


def as_lines(text: str) -> str:
    """Return a text of several lines of which each is as `as_line` makes it."""
    return "\n".join(map(as_line, text.split("\n")))


def one_line(text: str, most: int = 0) -> str:
    """Return the text as one clean line, cut to `most` characters unless that is 0."""
    line = " ".join(clean(text).split())
    return line if not most or len(line) <= most else line[: most - 1].rstrip() + "…"
