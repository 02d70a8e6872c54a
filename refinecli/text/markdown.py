"""Write untrusted text into Markdown, so that it reads well raw and can do nothing once rendered:
no link, image, heading or HTML, and no mention of a person, issue or page on GitHub."""

from __future__ import annotations

import re

from refinecli.text.clean import clean, one_line

_JOINT = "\u200b"  # a space without width, which no reader sees and no mention survives
# What begins a mention, or a link without any markup.
_ACTING = re.compile(r"@(?=\w)|#(?=\d)|\bgh-(?=\d)|:(?=//)|\bwww(?=\.)", re.IGNORECASE)
# Emphasis, links, images, HTML, tables, math; an underscore within a word is only that.
_MARKUP = re.compile(r"[\\*\[\]<>|~$]|(?<![^\W_])_|_(?![^\W_])|&(?=#?\w+;)|^(?:[#+-]|\d+(?=[.)]))")


def inline(text: str) -> str:
    """Return a sentence of ours with untrusted names in it; its `code` stays code."""
    line = _ACTING.sub(lambda found: found[0] + _JOINT, one_line(text))
    return _MARKUP.sub(_escaped, line)


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    return f"{text}\\" if text.isdigit() else f"\\{text}"


def code(text: str, most: int = 0) -> str:
    """Return any text as code within a line, cut to `most` characters unless that is 0. A bar
    becomes another one, since no code span keeps a bar from ending a table's cell."""
    line = one_line(text, most).replace("|", "¦")
    if not line:
        return ""
    ticks = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    pad = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def fenced(text: str) -> str:
    """Return any text as a block of code that nothing in it ends."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}text\n{clean(text)}\n{ticks}"
