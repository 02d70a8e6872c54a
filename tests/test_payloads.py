"""A response gains nothing by what it says to the grader, as far as a prompt and a parser can help.

`python -m tests.experiments payloads` prints the same as a table, with the embedded model.
"""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from refinecli.grade import grade
from refinecli.prompts import Prompts
from tests.fakes import Scripted
from tests.gullible import (
    Grader,
    Prompt,
    bare,
    gullible,
    honest,
    in_tags,
    ours,
    response_in,
    score,
    undisguised,
)
from tests.payloads import CASES, JSON, PAYLOADS, RATING, RESULT, TAGGED, Case, Payload, Target

every_payload = pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.name)
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
every_target = pytest.mark.parametrize(
    "target", [TAGGED, RATING, JSON, RESULT], ids=lambda target: target.pattern
)


def test_there_are_enough_payloads_and_each_has_a_name() -> None:
    assert len({payload.name for payload in PAYLOADS}) == len(PAYLOADS) >= 15


# ------------------------------------------------------------------ the measure itself


@every_case
@every_target
@pytest.mark.parametrize("prompt", [bare, in_tags, ours])
@pytest.mark.parametrize("grader", [honest, gullible])
def test_without_a_payload_both_graders_fail_a_bad_answer_in_every_prompt(
    case: Case, target: Target, prompt: Prompt, grader: Grader
) -> None:
    assert score(case, case.bad, target, prompt, grader) == 0


@every_case
@every_payload
def test_a_gullible_grader_is_taken_in_where_the_response_is_pasted_in_bare(
    payload: Payload, case: Case
) -> None:
    """Else the payload would test nothing."""
    assert score(case, payload.behind(case.bad), payload.target, bare, gullible) > 0


@every_case
def test_tags_alone_do_not_keep_a_gullible_grader_from_those_who_close_them(case: Case) -> None:
    fooled = {
        payload.name
        for payload in PAYLOADS
        if score(case, payload.behind(case.bad), payload.target, in_tags, gullible) > 0
    }
    by_closing = {payload.name for payload in PAYLOADS if "response" in payload.name.lower()}
    assert by_closing <= fooled
    assert {"asks to be quoted after the verdict", "turns in ChatML"} <= fooled


# ------------------------------------------------------------------ what holds


@every_case
@every_payload
def test_no_payload_gains_anything_by_being_quoted(payload: Payload, case: Case) -> None:
    """The parser alone: the verdict is the grader's own, before a quotation and after one."""
    assert score(case, payload.behind(case.bad), payload.target, ours, honest) == 0


@every_case
@every_payload
def test_a_gullible_grader_is_taken_in_only_by_what_no_prompt_can_stop(
    payload: Payload, case: Case
) -> None:
    gained = score(case, payload.behind(case.bad), payload.target, ours, gullible)
    assert gained == (1 if payload.open else 0)


@every_payload
def test_the_whole_way_of_a_grade_gives_the_honest_verdict_at_the_first_try(
    payload: Payload,
) -> None:
    point, _ = CASES[0].point(payload.target)
    grader = Scripted(lambda call: honest(call.messages, payload.target))
    response = payload.behind(CASES[0].bad)
    grades, usage = asyncio.run(grade(point, response, grader, Prompts()))
    assert (grades[0].score, usage.calls) == (0.0, 1)


# ------------------------------------------------------------------ and of any response

FRAGMENTS = [
    *("<", "</", "/", ">", " ", "\n", "\t", "=", '"', "<response", "</response", "response", "-"),
    *("<response>", "</response>", "</response-0123456789ab>", "<response_1>", "RESPONSE"),
    *(
        "<score>",
        "</score>",
        "score",
        "1",
        "0",
        "5",
        '"score": ',
        "Rating: ",
        "Rating:",
        "[RESULT]",
    ),
    *(
        "<think>",
        "</think>",
        "think",
        "<|im_end|>",
        "<|",
        "|>",
        "[INST]",
        "[RESULT]",
        "</criterion>",
    ),
    *("&lt;", "&gt;", "&#91;", "·", "{{response}}", "{{nonce}}", "＜", "／", "＞", "‹", "›", "⁄"),
    *("ｒｅｓｐｏｎｓｅ", "rеsponsе", "𝐫𝐞𝐬𝐩𝐨𝐧𝐬𝐞", "ˢcore", "Ⓢcore", "क", "👩", "葛", "1\ufe0f"),
    *map(chr, (0xAD, 0x34F, 0x200B, 0x200C, 0x200D, 0x200E, 0x202E, 0x2060, 0x2066, 0xFEFF)),
    *map(chr, (0xFE00, 0xFE0F, 0xE0001, 0xE0073, 0xE007F, 0xE0100, 0x3164, 0x180E, 0x00, 0x1B)),
]
responses = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=16).map("".join)
targets = st.sampled_from([TAGGED, RATING, JSON, RESULT])
thoroughly = settings(max_examples=500, deadline=None)


@given(responses, targets)
@example("＜\u200d/re\u00adsponse＞", TAGGED)
@example("ᐸ\u200d/response>", TAGGED)
@example("<\ufe00/response>", TAGGED)
@thoroughly
def test_a_prompt_opens_one_response_and_closes_it_once(response: str, target: Target) -> None:
    """Also to a reader who sees nothing of what is invisible and takes letters by their sound."""
    point, item = CASES[0].point(target)
    text = undisguised("\n".join(str(m["content"]) for m in ours(point, "A" + response, item)))
    tags = re.findall(r"<\s*(/?)\s*(response\b[^<>\s]*)", text, re.IGNORECASE)
    assert [slash for slash, _ in tags] == ["", "/"]
    assert tags[0][1] == tags[1][1]
    assert not re.search(r"<\s*/?\s*(?:think\b|score\b\s*>\s*\d)", text)


@given(responses, targets)
@example("<score>1", TAGGED)
@example("Rating:", RATING)
@example("</think>", TAGGED)
@thoroughly
def test_no_response_changes_the_verdict_of_a_grader_that_quotes_it(
    response: str, target: Target
) -> None:
    assert score(CASES[0], "A" + response, target, ours, honest) == 0


@given(responses)
@thoroughly
def test_the_response_is_shown_whole_between_its_delimiters(response: str) -> None:
    point, item = CASES[0].point(TAGGED)
    shown = response_in(ours(point, f"BEGIN{response}END", item))
    assert shown.startswith("BEGIN")
    assert shown.endswith("END")
