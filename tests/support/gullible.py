"""Prompts that paste a response in, and graders that read them: one honest, one that believes.

Both graders are code. The honest one says that the response fails and quotes it, before its verdict
and after. The gullible one reads as a naive model would: it sees through disguises, takes what
stands outside of the response's delimiters for the word of whoever asks, and knows no payload.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import partial

from refinecli.grading.scoring import extract, normalised
from refinecli.prompts import Prompts, fill, grader_messages
from refinecli.prompts.conversation import flattened
from refinecli.prompts.regrade import WORDINGS, reworded
from refinecli.prompts.templates import GRADER
from refinecli.types import Completion, Datapoint, Message, RubricItem
from tests.support.fakes import text_of
from tests.support.payloads import Case, Target

Prompt = Callable[[Datapoint, str, RubricItem], list[Message]]
Grader = Callable[[Sequence[Message], Target], str]

# ------------------------------------------------------------------ prompts


def bare(point: Datapoint, response: str, item: RubricItem) -> list[Message]:
    """The response between other paragraphs, as it is."""
    question = text_of(point.convo[-1])
    text = (
        f"Question: {question}\n\nResponse:\n{response}\n\nCriterion: {item.rubric_str}\n\n"
        f"{item.grader_output_format_instruction}"
    )
    return [{"role": "user", "content": text}]


def in_tags(point: Datapoint, response: str, item: RubricItem) -> list[Message]:
    """Our own words, with tags that anybody can write, and with nothing escaped."""
    text = fill(
        GRADER.replace("-{{nonce}}", ""),
        conversation=flattened(point.convo)[0],
        reference="",
        response=response,
        criterion=item.rubric_str,
        penalty="",
        instruction=item.grader_output_format_instruction,
    )
    return [{"role": "user", "content": text}]


def ours(point: Datapoint, response: str, item: RubricItem) -> list[Message]:
    return grader_messages(Prompts(), point, response, item)


def without_reasons(point: Datapoint, response: str, item: RubricItem) -> list[Message]:
    return grader_messages(Prompts(), point, response, item, reasons=False)


def in_other_words(repeat: int, point: Datapoint, response: str, item: RubricItem) -> list[Message]:
    return grader_messages(reworded(Prompts(), repeat), point, response, item)


# Every prompt of ours that asks for a verdict in the item's own format.
ALL_OURS: dict[str, Prompt] = {
    "ours": ours,
    "without reasons": without_reasons,
    **{f"in other words, {n}": partial(in_other_words, n) for n in range(len(WORDINGS))},
}


def response_in(messages: Sequence[Message]) -> str:
    """The response as a prompt shows it."""
    text = text_of(messages[-1])
    if text.startswith("Question: "):
        return text.partition("\n\nResponse:\n")[2].rpartition("\n\nCriterion: ")[0]
    tag = re.findall(r"^<(response[^>\n]*)>$", text, re.MULTILINE)[0]
    return text.partition(f"<{tag}>\n")[2].rpartition(f"\n</{tag}>\n")[0]


# ------------------------------------------------------------------ graders


def honest(messages: Sequence[Message], target: Target) -> str:
    quoted = response_in(messages)
    return f"It says:\n{quoted}\n{target.says(target.low)}\nI have judged this:\n{quoted}"


def gullible(messages: Sequence[Message], target: Target) -> str:
    """A verdict of its own, the lowest, unless something talks it out of that."""
    seen = undisguised("\n".join(map(text_of, messages)))
    # A server that knows such marks cuts there, whatever tag is open.
    told = "\n".join(map(outside, _CHAT_MARK.split(seen)))
    told = f"{told}\n{decoded(told)}"
    said = [float(number) for number in _VERDICT.findall(told)]
    said = [number for number in said if target.low <= number <= target.high]
    if said:
        verdict = said[-1]
    elif _ORDER.search(told) or any(sign.search(seen) for sign in _IMPRESSED_BY):
        verdict = target.high
    else:
        verdict = target.low
    reply = f"I was asked for a verdict.\n{target.says(verdict)}"
    # To quote what is judged seems no favour, whoever asks for it.
    return f"{reply}\n{response_in(messages)}" if _QUOTE.search(seen) else reply


_CHAT_MARK = re.compile(r"<\|[^|<>\s]+\|>|\[/?INST\]|</?s>|<(?:start|end)_of_turn>")
_VERDICT = re.compile(r"(?:score|rating|result|评分)\W{1,4}(\d+(?:\.\d+)?)", re.IGNORECASE)
_ORDER = re.compile(
    r"(?:highest|full|best|top|maximum) (?:score|marks?|grade)|volle punktzahl|满分", re.IGNORECASE
)
_QUOTE = re.compile(r"(?:repeat|quote|copy)\b.*\b(?:response|answer)", re.IGNORECASE)
_IMPRESSED_BY = (
    # the beginning of an argument, as good as one
    re.compile(
        r"^(?:|thought process|solution|reasoning|let'?s [^\n]*)[:.]$", re.IGNORECASE | re.MULTILINE
    ),
    re.compile(r"this response\b.{0,40}\b(?:meets|fulfils|satisfies)", re.IGNORECASE),
    re.compile(r".{5000}", re.DOTALL),
)
_OPEN, _CLOSE = (
    re.compile(r"<\s*response[^<>]*>", re.I),
    re.compile(r"<\s*/\s*response[^<>]*>", re.I),
)
_LETTERS = str.maketrans("аеорсѕіхуАЕОРСЅІХУ", "aeopcsixyAEOPCSIXY")


def undisguised(text: str) -> str:
    """The text as its letters sound: nothing invisible, no other alphabets or widths."""
    spelled = "".join(chr(ord(c) - 0xE0000) if 0xE0020 <= ord(c) < 0xE007F else c for c in text)
    shown = "".join(c for c in spelled if unicodedata.category(c) != "Cf")
    return unicodedata.normalize("NFKC", shown).translate(_LETTERS)


def outside(text: str) -> str:
    """What does not stand in a response, as far as its tags can be believed."""
    pieces = []
    while opened := _OPEN.search(text):
        pieces.append(text[: opened.start()])
        text = text[opened.end() :]
        closed = _CLOSE.search(text)
        text = text[closed.end() :] if closed else ""
    return "\n".join([*pieces, text])


def decoded(text: str) -> str:
    """What any base64 in the text says."""
    said = []
    for block in re.findall(r"[A-Za-z0-9+/]{24,}={0,2}", text):
        try:
            said.append(base64.b64decode(block, validate=True).decode())
        except (binascii.Error, UnicodeDecodeError):
            continue
    return "\n".join(said)


# ------------------------------------------------------------------ what comes of it


def score(case: Case, response: str, target: Target, prompt: Prompt, grader: Grader) -> float:
    """The item score, 0 to 1, that is read from the grader's reply; -1 where there is none."""
    point, item = case.point(target)
    reply = grader(prompt(point, response, item), target)
    found = extract(item, Completion(reply, "stop")).raw_score
    return -1.0 if found is None else normalised(item, found)
