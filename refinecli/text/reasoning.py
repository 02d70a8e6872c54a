"""Separate what a model thinks aloud from what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

# Names of the tags that models think between, <name>…</name>; add one here.
TAGS = (
    *("think", "thinking", "thought", "thoughts", "reasoning", "thought_process"),
    *("antthinking", "seed:think", "longcat_think", "internal_monologue"),
)
# Other marks before and after a thought, as patterns.
_MARKS = (
    (r"\[THINK\]", r"\[/THINK\]"),
    (r"◁think▷", r"◁/think▷"),
    (r"<\|begin_of_thought\|>", r"<\|end_of_thought\|>"),
    (r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    (r"<\|think(?:ing)?\|>", r"<\|/think(?:ing)?\|>"),
    (r"<\|channel>thought", r"<channel\|>"),
    (r"<unused94>(?:thought)?", r"<unused95>"),
)
# Of these the closing mark means nothing by itself.
_WHOLE_ONLY = ((r'<details type="reasoning"[^<>]{0,200}>', r"</details>"),)
# Patterns that only text with thoughts meets are compiled then: at start that would take 1 ms.
# What some models put around the rest.
_WRAPPERS = (
    r"<\|(?:begin_of_solution|end_of_solution|START_RESPONSE|END_RESPONSE|START_TEXT|END_TEXT)\|>"
)
_ATTRIBUTES = r"(?:\s[^<>]{0,80})?"
_PAIRS = (*((rf"<{tag}{_ATTRIBUTES}>", rf"</{tag}\s?>") for tag in TAGS), *_MARKS, *_WHOLE_ONLY)
# What nearly no other text has: looked for first, for speed.
_HINTS = re.compile(
    rf"</?(?:{'|'.join(TAGS)})|\[/?THINK\]|◁|<\|?channel|\|>|<unused9|<details |^\s*analysis",
    re.IGNORECASE,
)
_BEGINS_BARE = re.compile(r"\s*analysis", re.IGNORECASE)


def _may_hold_thoughts(text: str) -> bool:
    """Return False for a text without any of the marks, as nearly all are."""
    # What each hint begins with is found ten times as fast.
    signs = "<" in text or "[" in text or "◁" in text or "|>" in text
    if not signs and _BEGINS_BARE.match(text) is None:
        return False
    return _HINTS.search(text) is not None


@lru_cache
def _opening() -> re.Pattern[str]:
    """Compile what begins a thought; the number of its group is that of the pair."""
    return re.compile("|".join(f"({begin})" for begin, _ in _PAIRS), re.IGNORECASE)


@lru_cache
def _closing(number: int | None = None) -> re.Pattern[str]:
    """Compile what ends a thought of the pair with this number, or what ends one even alone."""
    pairs = _PAIRS[: -len(_WHOLE_ONLY)] if number is None else (_PAIRS[number - 1],)
    return re.compile("|".join(end for _, end in pairs), re.IGNORECASE)


@lru_cache(maxsize=1)  # a verdict and its reasons are read one after the other
def split_reasoning(text: str) -> tuple[str, str]:
    """Split a grader's reply into its reasoning and the rest.

    Models that think aloud write `<think>…</think>`, or another such pair; some chat templates
    swallow the opening tag, so everything before a lone closing one is reasoning too, as is
    everything after an opening one that is never closed. Text on either side of a block must not
    join into a score.
    """
    if not _may_hold_thoughts(text):
        return "", text
    if (parted := _by_channels(text)) is not None:
        return parted
    thoughts, kept, place = [], [], 0
    for begin, end in _blocks(text):
        kept.append(text[place : begin.start()])
        thoughts.append(text[begin.end() : end.start()])
        place = end.end()
    answer = "\n".join([*kept, text[place:]])
    if lone := _last(_closing(), answer):
        thoughts.insert(0, answer[: lone.start()])
        answer = answer[lone.end() :]
    if opened := _opening().search(answer):
        thoughts.append(answer[opened.end() :])
        answer = answer[: opened.start()]
    elif not thoughts:
        return "", text
    return _joined(thoughts), _unwrapped(answer)


def split_leading_reasoning(text: str) -> tuple[str, str]:
    """Split a policy's reply into its reasoning and its response.

    The response may itself mention such tags, so only blocks at the beginning are reasoning, or one
    ended by a closing tag on a line of its own or before a blank line.
    """
    if not _may_hold_thoughts(text):
        return "", text
    if (parted := _by_channels(text)) is not None:
        return parted
    thoughts: list[str] = []
    place = 0
    while begin := _opening().match(text, _past_blanks(text, place)):
        end = _closing(begin.lastindex).search(text, begin.end())
        thoughts.append(text[begin.end() : end.start() if end else len(text)])
        place = end.end() if end else len(text)
    if thoughts:
        return _joined(thoughts), _unwrapped(text[place:])
    lone = next((end for end in _closing().finditer(text) if _alone(text, end)), None)
    if lone and _opening().search(text, 0, lone.start()) is None:
        return text[: lone.start()].strip(), _unwrapped(text[lone.end() :])
    return "", text


def _blocks(text: str) -> Iterator[tuple[re.Match[str], re.Match[str]]]:
    """Yield where each closed thought begins and ends."""
    place = 0
    while begin := _opening().search(text, place):
        end = _closing(begin.lastindex).search(text, begin.end())
        if end is None:
            return
        yield begin, end
        place = end.end()


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    last = None
    for match in pattern.finditer(text):
        last = match
    return last


# Nothing that is seen, or a chat template's own name of the speaker.
_BLANKS = (
    "(?:[\\s\ufeff\u00ad\u200b-\u200f\u2060-\u2064]|<\\|im_start\\|>assistant\\s|<\\|assistant\\|>"
    "|<\\|start_header_id\\|>assistant<\\|end_header_id\\|>)*+"
)


def _past_blanks(text: str, place: int) -> int:
    blanks = re.compile(_BLANKS).match(text, place)
    return blanks.end() if blanks else place


_LINE_END = r"[^\S\n]*(?:\n|\Z)"
_BLANK_LINE = r"[ \t]*\r?\n[ \t]*\r?\n"


def _alone(text: str, mark: re.Match[str]) -> bool:
    """Return True where nothing else stands on the mark's line, or below it a blank line."""
    if re.compile(_LINE_END).match(text, mark.end()) is None:
        return False
    on_own_line = text[max(mark.start() - 1, 0) : mark.start()] in ("", "\n")
    return on_own_line or re.compile(_BLANK_LINE).match(text, mark.end()) is not None


def _joined(thoughts: list[str]) -> str:
    return "\n".join(thought.strip() for thought in thoughts)


def _unwrapped(answer: str) -> str:
    return re.sub(_WRAPPERS, "", answer).strip()


# ------------------------------------------------------------------ channels

# Harmony: each message of a reply has a channel, and `final` is what is said.
_CHANNEL = (
    r"(?:<\|start\|>assistant)?<\|channel\|>\s?(\w{1,20})[^<>]{0,80}(?:<\|constrain\|>\s?\w{1,20})?"
    r"<\|message\|>"
)
_END_OF_MESSAGE = r"<\|(?:end|return|call)\|>|<\|start\|>assistant\s*$"
# The same where a server has dropped the marks.
_BARE = r"(?s)\s*analysis(?=\S)(.*?)assistantfinal(.*)"


def _by_channels(text: str) -> tuple[str, str] | None:
    """Split a reply by its channels; None where it has none."""
    if bare := re.fullmatch(_BARE, text):
        return bare[1].strip(), bare[2].strip()
    heads = list(re.finditer(_CHANNEL, text))
    if not heads:
        return None
    said: dict[bool, list[str]] = {True: [], False: []}
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        message = text[head.end() : following.start() if following else len(text)]
        message = re.split(_END_OF_MESSAGE, message, maxsplit=1)[0]
        said[head[1].lower() == "final"].append(message)
    return _joined(said[False]), _joined(said[True])
