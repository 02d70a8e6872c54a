"""Separate what a model thinks aloud from what it says."""

from __future__ import annotations

import re

_OPEN, _CLOSE = "<think>", "</think>"


def split_reasoning(text: str) -> tuple[str, str]:
    """Split a grader's reply into its reasoning and the rest.

    Models that think aloud write `<think>…</think>`; some chat templates swallow the opening tag,
    so everything before a lone `</think>` is reasoning too, as is everything after a `<think>` that
    never closes. Text on either side of a block must not join into a score.
    """
    if "think>" not in text:
        return "", text
    thoughts, kept, place = [], [], 0
    while (start := text.find(_OPEN, place)) >= 0:
        end = text.find(_CLOSE, start)
        if end < 0:
            break
        kept.append(text[place:start])
        thoughts.append(text[start + len(_OPEN) : end])
        place = end + len(_CLOSE)
    answer = "\n".join([*kept, text[place:]])
    before, lone, after = answer.rpartition(_CLOSE)
    if lone:
        thoughts.insert(0, before)
        answer = after
    answer, opened, rest = answer.partition(_OPEN)
    if opened:
        thoughts.append(rest)
    return "\n".join(thought.strip() for thought in thoughts), answer.strip()


def split_leading_reasoning(text: str) -> tuple[str, str]:
    """Split a policy's reply into its reasoning and its response.

    The response may itself mention such tags, so only a block at the beginning is reasoning, or one
    ended by a `</think>` on a line of its own.
    """
    if text.lstrip().startswith(_OPEN):
        thought, _, response = text.lstrip().removeprefix(_OPEN).partition(_CLOSE)
        return thought.strip(), response.strip()
    lone = re.search(r"^</think>[ \t]*$", text, re.MULTILINE)
    if lone and _OPEN not in text[: lone.start()]:
        return text[: lone.start()].strip(), text[lone.end() :].strip()
    return "", text
