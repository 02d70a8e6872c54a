"""Find the words that changed between two texts, in bounded time.

difflib takes minutes on a few thousand repetitive tokens. This is patience diff (Bram Cohen's):
words that occur once on either side are anchors, the text between two anchors is compared
separately, and difflib sees only small leaves. A large stretch without an anchor counts as
replaced.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import TypeAlias

from refinecli.text.clean import clean

# A word, a number, a mark or a CJK character, with the white space before it.
_CJK = r"\u3000-\u30ff\u3400-\u9fff\uac00-\ud7af\uff00-\uffef"
_MARK = r"!\"#$%&()*+,./:;<=>?@\[\\\]^`{|}~"
_TOKEN = re.compile(
    rf"\s*(?:[0-9]+(?:[.,][0-9]+)*|[{_CJK}]|[{_MARK}]|[^\s{_MARK}{_CJK}]+)|\s+\Z", re.ASCII
)
_LEAF = 10_000  # token pairs: at most about a tenth of a second in difflib, whatever they are
_DEEPEST = 50  # levels of anchors within anchors: texts need three or four
_ISLAND = 12  # changed tokens around each equal one that make it a coincidence
_CONTEXT = 2  # unchanged lines that stay on either side of a change

Piece: TypeAlias = tuple[str, str]  # "", "deleted", "inserted" or "note"; its text
Block: TypeAlias = tuple[
    int, int, int
]  # place in the old text, place in the new, number of equal tokens


def word_diff(old: str, new: str, *, full: bool) -> list[Piece]:
    """Return pieces "" (in both), "deleted" and "inserted"; without `full`, long equal ones are
    cut."""
    old_tokens, new_tokens = tokens(clean(old)), tokens(clean(new))
    pieces: list[Piece] = []
    at_old = at_new = 0
    end = (len(old_tokens), len(new_tokens), 0)
    for i, j, size in [*_readable(equal_blocks(old_tokens, new_tokens), end), end]:
        gone, come = "".join(old_tokens[at_old:i]), "".join(new_tokens[at_new:j])
        pieces += _changed(gone, come)
        same = "".join(new_tokens[j : j + size])
        if same:
            first, last = not pieces, j + size == len(new_tokens) and i + size == len(old_tokens)
            pieces += [("", same)] if full else _shortened(same, first, last)
        at_old, at_new = i + size, j + size
    return pieces


def tokens(text: str) -> list[str]:
    """Cut the text into words and marks, which joined are the text again."""
    return _TOKEN.findall(text)


def _readable(blocks: list[Block], end: Block) -> list[Block]:
    """Drop the odd "the" that two texts share in the midst of large changes."""
    kept: list[Block] = []
    at_old = at_new = 0
    for (i, j, size), (next_i, next_j, _) in pairwise([*blocks, end]):
        before = i - at_old + j - at_new
        after = next_i - i + next_j - j - 2 * size
        if size > 2 or not before or not after or before + after < _ISLAND * size:
            kept.append((i, j, size))
            at_old, at_new = i + size, j + size
    return kept


def _changed(gone: str, come: str) -> list[Piece]:
    """Return a replacement's pieces; white space that both sides begin with is not part of it."""
    lead = ""
    if gone and come:
        space, other = (text[: len(text) - len(text.lstrip())] for text in (gone, come))
        lead = space if space == other else ""
    changes = [("deleted", gone[len(lead) :]), ("inserted", come[len(lead) :])]
    shown = [(kind, _visible_breaks(text)) for kind, text in changes if text]
    return [("", lead), *shown] if lead else shown


def _visible_breaks(text: str) -> str:
    """Mark line breaks at the beginning of a change, which would not be seen otherwise."""
    body = text.lstrip()
    space = text[: len(text) - len(body)]
    return space.replace("\n", "↵\n") + body


def _shortened(text: str, first: bool, last: bool) -> list[Piece]:
    lines = text.split("\n")
    head, tail = 0 if first else _CONTEXT, 0 if last else _CONTEXT
    left_out = len(lines) - head - tail
    if left_out < 3:
        return [("", text)]
    before, after = "\n".join(lines[:head]), "\n".join(lines[len(lines) - tail :] if tail else [])
    note = ("note", f"… {left_out} unchanged lines …")
    return [("", before + "\n" if head else ""), note, ("", "\n" + after if tail else "")]


# ------------------------------------------------------------------ equal stretches


def equal_blocks(old: Sequence[str], new: Sequence[str]) -> list[Block]:
    """Return the stretches that both have, in order, adjacent ones merged."""
    pairs: list[Block] = []
    todo = [(0, len(old), 0, len(new), 0)]
    while todo:
        a, a_end, b, b_end, depth = todo.pop()
        head = _common(old, new, a, b, min(a_end - a, b_end - b), 1)
        tail = _common(old, new, a_end - 1, b_end - 1, min(a_end - a, b_end - b) - head, -1)
        pairs += [(a, b, head), (a_end - tail, b_end - tail, tail)]
        a, b, a_end, b_end = a + head, b + head, a_end - tail, b_end - tail
        if a == a_end or b == b_end:
            continue
        anchors = _anchors(old, new, (a, a_end), (b, b_end)) if depth < _DEEPEST else []
        if anchors:
            starts = [(a, b), *anchors]
            ends = [*anchors, (a_end, b_end)]
            for (i, j), (i_end, j_end) in zip(starts, ends, strict=True):
                todo.append((i, i_end, j, j_end, depth + 1))
        elif (a_end - a) * (b_end - b) <= _LEAF:
            leaf = SequenceMatcher(None, old[a:a_end], new[b:b_end], autojunk=False)
            pairs += [(a + i, b + j, size) for i, j, size in leaf.get_matching_blocks()]
    return _merged(pairs)


def _common(old: Sequence[str], new: Sequence[str], i: int, j: int, most: int, step: int) -> int:
    """Count the equal tokens from here, forwards or backwards."""
    count = 0
    while count < most and old[i + count * step] == new[j + count * step]:
        count += 1
    return count


def _anchors(
    old: Sequence[str], new: Sequence[str], span: tuple[int, int], new_span: tuple[int, int]
) -> list[tuple[int, int]]:
    """Return the longest run, in order in both, of tokens that occur once in each span."""
    olds, news = Counter(old[slice(*span)]), Counter(new[slice(*new_span)])
    place = {new[j]: j for j in range(*new_span) if news[new[j]] == 1}
    pairs = [(i, place[old[i]]) for i in range(*span) if olds[old[i]] == 1 and old[i] in place]
    ends: list[int] = []  # the smallest last place in the new text of a run of each length
    runs: list[int] = []  # the last pair of that run
    before: list[int] = []
    for index, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        ends[length : length + 1] = [j]
        runs[length : length + 1] = [index]
        before.append(runs[length - 1] if length else -1)
    chain: list[tuple[int, int]] = []
    index = runs[-1] if runs else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]


def _merged(blocks: list[Block]) -> list[Block]:
    merged: list[Block] = []
    for i, j, size in sorted(block for block in blocks if block[2]):
        if merged and merged[-1][0] + merged[-1][2] == i and merged[-1][1] + merged[-1][2] == j:
            merged[-1] = (merged[-1][0], merged[-1][1], merged[-1][2] + size)
        else:
            merged.append((i, j, size))
    return merged
