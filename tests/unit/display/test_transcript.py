"""What a person is shown: everything, in order, and nothing that the text itself could do."""

from __future__ import annotations

import asyncio
import io
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from refinecli.data.rows import read_row
from refinecli.display.boxes import Body, Limit, Section
from refinecli.display.transcript import Call, clean, plain, shown, transcript
from refinecli.display.turn import story
from refinecli.errors import CompletionError
from refinecli.grading.verdict import GradeOptions
from refinecli.prompts import Prompts
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import RefineOptions
from refinecli.text.json_text import dumps
from refinecli.text.word_diff import tokens, word_diff
from refinecli.types import (
    Completion,
    Datapoint,
    Draw,
    Grade,
    Iteration,
    Message,
    Refinement,
    Roles,
    Usage,
)

NASTY = (
    "[/red] [red]x \x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\ "
    "\x1b]0;title\x07 \x9b31m \u202etxt\u2028"
)
BOX = re.compile("[\u2500-\u257f]")
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")  # what rich itself writes for colour


def console(width: int = 80, *, terminal: bool = False, **options: Any) -> Console:
    environ = {"TERM": "xterm-256color", **options.pop("env", {})}
    return Console(
        file=io.StringIO(),
        width=width,
        force_terminal=terminal,
        legacy_windows=False,
        _environ=environ,
        **options,
    )


def printed(parts: Sequence[RenderableType], out: Console) -> str:
    for part in parts:
        out.print(part, soft_wrap=plain(out))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def a_datapoint(*items: dict[str, Any], **fields: Any) -> Datapoint:
    raw = {
        "id": "sum-1",
        "convo": [{"role": "user", "content": "What is 122 + 12?"}],
        "rubric_items": list(items) or [{"rubric_str": "Is it 134?", "name": "sum"}],
    }
    row = read_row(dumps(raw | fields), 1, "t")
    assert row.datapoint is not None, row.error
    return row.datapoint


Reply = Callable[[Sequence[Message], Draw], Completion]


def rollout(
    datapoint: Datapoint, policy: Reply, grader: Reply, **options: Any
) -> tuple[Refinement, list[Call]]:
    """A refinement by fakes, with the calls recorded as the command line does it."""
    calls: list[Call] = []
    grading = options.pop("grading", GradeOptions())

    def recorded(reply: Reply) -> Any:
        async def complete(
            messages: Sequence[Message], draw: Draw, usable: object = None
        ) -> Completion:
            try:
                completion = reply(messages, draw)
            except CompletionError as error:
                calls.append(Call(draw, tuple(messages), None, error.message))
                raise
            calls.append(Call(draw, tuple(messages), completion))
            return completion

        return complete

    roles = Roles(
        recorded(policy),
        recorded(policy),
        recorded(grader),
        recorded(grader),
        recorded(grader),
    )
    refining = RefineOptions(**options)
    done = asyncio.run(refine(datapoint, roles, refining, Prompts(), grading=grading))
    return done, calls


def says(*texts: str) -> Reply:
    """Replies by iteration, the last one for all that follow."""
    return lambda messages, draw: Completion(texts[min(draw.iteration, len(texts) - 1)], "stop")


def shows(datapoint: Datapoint, done: Refinement | None, calls: list[Call], **how: Any) -> str:
    full, threshold = how.pop("full", False), how.pop("threshold", None)
    parts = transcript(
        datapoint,
        done,
        calls,
        Prompts(),
        how.pop("grading", GradeOptions()),
        full=full,
        hint=" (cut)",
        threshold=threshold,
    )
    return printed(list(parts), console(**how))


def in_order(text: str, *needles: str) -> None:
    at = 0
    for needle in needles:
        assert needle in text[at:], f"{needle!r} is not in what follows:\n{text[at:]}"
        at = text.index(needle, at) + len(needle)


# ------------------------------------------------------------------ clean

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.lists(
    st.sampled_from([NASTY, "\x1b[2J", "\r\n", "\t", "[bold]", "\ud800", "\ufeff", "👩‍👧", "é"])
).map("".join)


@given(ANY_TEXT)
def test_clean_text_has_no_character_that_acts_on_a_terminal(text: str) -> None:
    for character in clean(text):
        assert character in "\n\t" or unicodedata.category(character) not in (
            "Cc",
            "Cs",
            "Zl",
            "Zp",
        )
        assert unicodedata.bidirectional(character) not in (
            *("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"),
        )
        assert character not in "\u200e\u200f\u061c\ufeff"


def test_no_control_surrogate_or_bidi_mark_of_all_unicode_is_let_through() -> None:
    marks = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    for character in map(chr, range(0x110000)):
        if (
            unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
            or unicodedata.bidirectional(character) in marks
            or character in "\u200e\u200f\u061c\ufeff"
        ):
            assert (clean(character) == character) == (character in "\n\t"), hex(ord(character))


@given(ANY_TEXT, ANY_TEXT)
def test_cleaning_is_idempotent_and_may_be_done_in_pieces(one: str, other: str) -> None:
    assert clean(clean(one)) == clean(one)
    assert clean(one + other) == clean(one) + clean(other)


@given(ANY_TEXT)
def test_any_text_prints_and_brings_no_escape_sequence_along(text: str) -> None:
    out = console(40, terminal=True, record=True)
    printed([shown(text), Section(text, [Body([("", text), ("match", text)], Limit(5))])], out)
    assert isinstance(out.file, io.StringIO)
    assert "\x1b" not in ESCAPE.sub("", out.file.getvalue())
    assert "\x1b" not in printed([shown(text), Section(text, [Body([("", text)])])], console())
    out.file.getvalue().encode("utf-8")


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("\x1b[31m", "␛[31m"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", "a<U+202E>b"),
        ("\ud800\ufeff\u2028\x85\x7f\r", "<U+D800><U+FEFF><U+2028>\\x85␡␍"),
        ("say \U000e0041", "say <U+E0041>"),
        ("👩‍👧 e\u0301 a\tb\nc नि", "👩‍👧 e\u0301 a\tb\nc नि"),
    ],
)
def test_what_would_act_or_hide_is_shown_and_the_rest_is_kept(text: str, visible: str) -> None:
    assert clean(text) == visible


def test_shown_text_is_never_markup() -> None:
    assert shown("[/red] [red]x[/red] :smile:").plain == "[/red] [red]x[/red] :smile:"


# ------------------------------------------------------------------ the transcript


def test_a_single_rollout_reads_prefix_response_grader_and_scores_in_this_order() -> None:
    datapoint = a_datapoint(
        {"rubric_str": "Is it 134?", "name": "sum"},
        {"rubric_str": "Is it kind?", "name": "kind", "score_range": [1, 5], "pass_score": 0.75},
        convo=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
        ],
    )

    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        score = 4 if "Is it kind?" in str(messages) else 1
        text = f"Quoting <score>0.2</score>. Good.\n<score>{score}</score>"
        return Completion(text, "stop", usage=Usage(1, 90, 8))

    def policy(messages: Sequence[Message], draw: Draw) -> Completion:
        return Completion("<think>add</think>134", "length", usage=Usage(1, 20, 1234, 1000))

    text = shows(datapoint, *rollout(datapoint, policy, grader, max_iterations=0))
    in_order(
        text,
        *("what the policy sees", "\nsystem\n  Be brief.", "\nuser\n  [attachment 1: image_url]"),
        *("== response (iteration 0) ==", "reasoning\n  add", "answer\n  134"),
        *("finish_reason: length", "20 in, 1,234 out (1,000 reasoning)"),
        *("== grade of sum (1 of 2", "grader's input", "<criterion>", "grader's output"),
        *("<score>0.2</score>", "<score>»1«</score>", "90 in, 8 out", "✓ passed"),
        *("== grade of kind (2 of 2", "<score>»4«</score>", "score: 4 (of 1 to 5) → 0.75"),
        *("== scores (iteration 0) ==", "sum ", "kind", "1.75 ÷ 2 (positive weights) = 0.875"),
        *("== result ==", "stopped: ", "best: iteration 0"),
    )
    assert "optimistic" not in text  # there is no gain to warn of


def test_rewrites_show_request_changes_and_what_came_of_them() -> None:
    datapoint = a_datapoint()
    grades = {0: 0.25, 1: 0.5, 2: 0.1}

    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        return Completion(f"Hm.\n<score>{grades[draw.iteration]}</score>", "stop")

    policy = says("It is 135, I think.", "It is 133, I think.", "No idea.")
    text = shows(
        datapoint, *rollout(datapoint, policy, grader, strategy="refine", max_iterations=2)
    )
    in_order(
        text,
        *("response (iteration 0)", "scores (iteration 0)", "✗ not passed"),
        *("rewrite request (iteration 1)", "Problem: Hm.", "response (iteration 1)"),
        *("changes from iteration 0 to 1", "It is [-135-]{+133+}, I think.", "grade of sum"),
        "✓ accepted: 0.25 (iteration 0) → 0.5",
        *("rewrite request (iteration 2)", "changes from iteration 1 to 2"),
        "✗ not accepted, it is not better: 0.5 (iteration 1) → 0.1",
        *("max_iterations", "best: iteration 1, score 0.5", "gain: 0.25 → 0.5"),
        *("optimistic", "`refinecli grade`"),
    )


def test_a_second_try_is_shown_as_what_it_adds_with_the_reason_for_it() -> None:
    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        return Completion("<score>1</score>" if len(messages) > 2 else "Fine, I guess.", "stop")

    datapoint = a_datapoint()
    text = shows(datapoint, *rollout(datapoint, says("134"), grader))
    in_order(
        text,
        *("  Fine, I guess.", "no score could be read", "nothing in the reply matches"),
        *("second try, adds · assistant", "second try, adds · user", "»1«", "✓ passed"),
    )
    assert text.count("<conversation>") == 1


def test_items_that_ask_the_very_same_keep_their_own_replies() -> None:
    replies = iter(["<score>0.1</score>", "<score>0.9</score>"])
    same = {"rubric_str": "Is it 134?"}
    datapoint = a_datapoint(same | {"name": "one"}, same | {"name": "two"})

    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        return Completion(next(replies), "stop")

    done, calls = rollout(datapoint, says("134"), grader, max_iterations=0)
    text = shows(datapoint, done, calls[::-1])
    in_order(text, "grade of one", "»0.1«", "grade of two", "»0.9«", "scores")


def test_grades_of_several_drafts_stand_under_their_own_draft() -> None:
    def policy(messages: Sequence[Message], draw: Draw) -> Completion:
        if draw.sample == 0:
            raise CompletionError("timeout", "no answer\x1b[2J")
        return Completion("the same", "stop")

    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        return Completion(f"<score>0.{draw.sample}</score>", "stop")

    datapoint = a_datapoint()
    text = shows(datapoint, *rollout(datapoint, policy, grader, drafts=3, max_iterations=0))
    in_order(
        text,
        *("response (iteration 0)", "»0.1«", "response (iteration 1)", "»0.2«"),
        *("policy call (iteration 0, sample 0) failed", "no answer␛[2J", "== result ==", "timeout"),
    )


def test_a_repeated_response_names_the_iteration_its_grades_come_from() -> None:
    datapoint = a_datapoint()
    grader = says("<score>0.5</score>")
    text = shows(datapoint, *rollout(datapoint, says("135"), grader, strategy="refine"))
    in_order(
        text,
        *("changes from iteration 0 to 1", "none: the same text"),
        *("taken over from iteration 0", "»0.5«", "stopped: ", "(repeated)"),
    )


def test_what_an_endpoint_says_of_itself_is_cleaned_too() -> None:
    def policy(messages: Sequence[Message], draw: Draw) -> Completion:
        return Completion("134", NASTY)

    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        raise CompletionError(NASTY, NASTY)  # type: ignore[arg-type]

    datapoint = a_datapoint()
    done, calls = rollout(datapoint, policy, grader)
    text = shows(datapoint, done, calls) + printed([story(datapoint, done)], console())
    assert text.replace("\n", "").isprintable()
    in_order(text, "finish_reason: [/red] [red]x ␛]8;", "the call failed", "? ungraded ([/red]")


def test_checks_penalties_and_hidden_items_are_named_as_such() -> None:
    datapoint = a_datapoint(
        {"name": "exact", "check": {"kind": "number", "value": 134}},
        {"name": "rude", "rubric_str": "Is it rude?", "weight": -1},
    )
    text = shows(datapoint, *rollout(datapoint, says("135"), says("<score>1</score>")))
    in_order(text, "grade of exact", "graded by code", "✗ failed", "hidden from the policy")
    in_order(text, "grade of rude", "✗ failed", "at most 0 passes", "penalty")
    assert re.search(r"rude +1 +-1 +-1 +✗ failed +penalty", text)
    assert "-1 ÷ 1 (positive weights) = -1" in text


def test_an_ungraded_item_is_neither_passed_nor_zero() -> None:
    datapoint = a_datapoint()
    text = shows(datapoint, *rollout(datapoint, says("134"), says("no tag [/red]")))
    in_order(text, "? ungraded (no_score)", "–", "score: none, 1 of 1 item ungraded")
    assert "0 ÷" not in text


def test_an_empty_response_and_a_given_one_are_said_to_be_so() -> None:
    datapoint = a_datapoint(response=" ")
    text = shows(datapoint, *rollout(datapoint, says("x"), says("x"), max_iterations=0))
    in_order(text, "conversation", "given with the datapoint", "not sent to the grader")


def test_where_nothing_came_back_the_failed_call_is_shown() -> None:
    draw = Draw("sum-1", 0, "policy", 0)
    asked: tuple[Message, ...] = ({"role": "user", "content": "What?"},)
    text = shows(a_datapoint(), None, [Call(draw, asked, None, "HTTP 500")])
    in_order(text, "what the policy sees", "policy call", "✗ failed", "HTTP 500")


def test_role_system_prompts_in_the_recorded_calls_do_not_hide_whose_call_it_was() -> None:
    datapoint = a_datapoint()
    done, calls = rollout(datapoint, says("134"), says("<score>1</score>"))
    extra: Message = {"role": "system", "content": "You are helpful."}
    sent = [Call(call.draw, (extra, *call.messages), call.completion) for call in calls]
    text = shows(datapoint, done, sent)
    in_order(text, "You are helpful.", "grader's input · system", "You are helpful.", "»1«")
    assert "not recorded" not in text


def test_long_texts_lose_their_middle_unless_full_is_asked_for() -> None:
    datapoint = a_datapoint()
    long = "\n".join(f"line {n}" for n in range(442)) + "\n" + "z" * 5000
    done, calls = rollout(datapoint, says(long), says("<score>1</score>"))
    text = shows(datapoint, done, calls)
    in_order(text, "  line 0\n", "… 413 more lines (cut)", "  line 441\n", "zzz")
    assert "more characters (cut)" in text
    assert "line 300\n" not in text
    text = shows(datapoint, done, calls, full=True)
    assert "line 300\n" in text
    assert "z" * 5000 in text
    assert "--full" not in text


def test_passing_says_what_was_needed() -> None:
    datapoint = a_datapoint()
    done, calls = rollout(datapoint, says("134"), says("<score>0.8</score>"), threshold=0.7)
    text = shows(datapoint, done, calls, threshold=0.7)
    assert "✓ passed (needs a score of at least 0.7)" in text


# ------------------------------------------------------------------ terminal and pipe


def nasty_rollout() -> tuple[Datapoint, Refinement, list[Call]]:
    items: list[dict[str, Any]] = [
        {"rubric_str": NASTY, "name": NASTY, "required": True},
        {"rubric_str": "long", "name": "n" * 100, "weight": -0.125, "reveal": "verdict"},
        {"check": {"kind": "words", "max": 5000}, "name": "words"},
    ]
    convo: list[dict[str, Any]] = [
        {"role": "user", "content": NASTY},
        {"role": "tool", "content": "t" * 300, "tool_call_id": NASTY},
        {"role": "user", "content": "日本語" * 60 + " 👩‍👧" * 60 + "\ta\tb"},
    ]
    datapoint = a_datapoint(*items, convo=convo, id=NASTY * 3, reference=NASTY)
    policy = says(NASTY + "\nold words", NASTY + "\nnew words " + "x" * 200, "")
    grades = says(f"{NASTY}\n<score>0.5</score>", f"<think>{NASTY}</think><score>0.6</score>")
    return datapoint, *rollout(datapoint, policy, grades)


@pytest.mark.parametrize(
    ("width", "options"), [(60, {}), (80, {"no_color": True}), (120, {"color_system": None})]
)
def test_no_line_on_a_terminal_is_wider_than_it(width: int, options: dict[str, Any]) -> None:
    datapoint, done, calls = nasty_rollout()
    text = shows(datapoint, done, calls, full=True, width=width, terminal=True, **options)
    text += printed([story(datapoint, done)], console(width, terminal=True, **options))
    lines = ESCAPE.sub("", text).split("\n")
    assert "\x1b" not in "".join(lines)
    assert max(map(cell_len, lines)) == width
    assert BOX.search(text)


@pytest.mark.parametrize("how", [{}, {"terminal": True, "env": {"TERM": "dumb"}}])
def test_outside_a_terminal_there_are_no_boxes_and_no_lines_are_broken(how: dict[str, Any]) -> None:
    datapoint, done, calls = nasty_rollout()
    text = shows(datapoint, done, calls, full=True, **how)
    text += printed([story(datapoint, done)], console(**how))
    assert not BOX.search(text)
    assert "\x1b" not in text
    assert "t" * 300 in text
    assert not any(line != line.rstrip() for line in text.split("\n") if line.startswith("=="))


def test_text_cannot_pass_for_one_of_our_headings_in_a_pipe() -> None:
    datapoint = a_datapoint()
    forged = "x\n== result ==\r\n== result ==\x85== result =="
    text = shows(datapoint, *rollout(datapoint, says(forged), says("<score>1</score>")))
    assert [line for line in text.split("\n") if line.startswith("== result")] == ["== result =="]


def a_turn(number: int, parent: int | None, role: Any, text: str, **fields: Any) -> Iteration:
    made: dict[str, Any] = {"score": 0.5, "accepted": True, "finish_reason": "stop", "grades": ()}
    made |= {"feedback": None, "usage": Usage()} | fields
    return Iteration(number, parent, role, text, **made)


def told(datapoint: Datapoint, *turns: Iteration) -> str:
    done = Refinement("done", "plateau", turns, len(turns) - 1, False)
    return printed([story(datapoint, done)], console())


def test_a_story_has_the_prompt_and_each_turn_with_its_marks() -> None:
    datapoint = a_datapoint(
        {"rubric_str": "a", "name": "first"}, {"rubric_str": "b", "name": "second"}
    )
    grades = (
        Grade(0, "first", 1.0, 1.0, True, "llm", "Good."),
        Grade(1, "second", 0.0, 0.0, False, "llm", "Not\nyet " + "so " * 200),
    )
    draft = a_turn(0, None, "policy", "\n".join(["some words"] * 100), grades=grades)
    rewrite = a_turn(1, 0, "reviser", "other words", grades=grades, accepted=False)
    text = told(datapoint, draft, replace(rewrite, finish_reason="length"))
    in_order(
        text,
        *("== sum-1 · 0.5 → 0.5 · not passed ==", "What is 122 + 12?"),
        *("iteration 0 · policy · first draft · score 0.5", "some words"),
        *(
            "✗ failed · second 0: Not yet so",
            "✓ passed · first 1\n",
            "iteration 1 · reviser · ✗ not accepted",
            "length",
        ),
    )
    assert len(text.split("\n")) < 60


def test_a_story_shows_a_rewrite_by_what_it_changes_and_a_draft_as_it_is() -> None:
    turns = [
        a_turn(0, None, "policy", "The sum is 135."),
        a_turn(1, 0, "reviser", "The sum is 134."),
        a_turn(2, None, "policy", "Another draft."),
        a_turn(3, 1, "reviser", "The sum is 134."),
    ]
    text = told(a_datapoint(), *turns)
    in_order(text, "The sum is [-135-]{+134+}.", "Another draft.\n", "the same text as before")


def test_a_story_without_a_response_says_why() -> None:
    text = printed([story(a_datapoint(), None, "no answer in 60 s")], console())
    in_order(text, "== sum-1 · failed ==", "What is 122 + 12?", "✗ failed", "no answer in 60 s")


@pytest.mark.parametrize(
    ("number", "role", "accepted", "words"),
    [
        (0, "policy", True, "first draft · score 0.5"),
        (0, "input", True, "given · score 0.5"),
        (1, "policy", True, "✓ best draft so far · score 0.5"),
        (1, "policy", False, "✗ not the best draft · score 0.5"),
        (1, "reviser", True, "✓ accepted · score 0.5"),
    ],
)
def test_a_story_speaks_of_acceptance_only_where_there_was_something_to_beat(
    number: int, role: Any, accepted: bool, words: str
) -> None:
    parent = 0 if role == "reviser" else None
    grades = (Grade(0, "first", 0.5, 0.5, False, "llm"),)
    turn = a_turn(number, parent, role, "text", accepted=accepted, grades=grades)
    before = [a_turn(0, None, "policy", "before")] * number
    text = told(a_datapoint({"rubric_str": "a"}), *before, turn)
    assert f" · {role} · {words}\n" in text
    assert ("accepted" in text) == (role == "reviser")


# ------------------------------------------------------------------ the word diff


def diffed(old: str, new: str, **how: Any) -> str:
    return printed([Body(word_diff(old, new, full=True))], console(200, **how))


def test_a_diff_without_colour_brackets_what_went_and_came() -> None:
    assert diffed("It is 135.", "It is 134 now.") == "  It is [-135-]{+134 now+}.\n"
    no_color = diffed("old", "new", terminal=True, no_color=True)
    assert "[-old-]{+new+}" in no_color


def test_a_diff_in_colour_strikes_out_and_underlines_without_brackets() -> None:
    text = diffed("It is 135.", "It is 134.", terminal=True, color_system="standard")
    assert "\x1b[9;31m135" in text
    assert "\x1b[4;32m134" in text
    assert "[-" not in text


@given(st.text("ab c\n.é"), st.text("ab c\n.é"))
def test_a_diff_holds_both_texts(old: str, new: str) -> None:
    pieces = [(kind, text.replace("↵", "")) for kind, text in word_diff(old, new, full=True)]
    assert "".join(text for kind, text in pieces if kind != "inserted") == old
    assert "".join(text for kind, text in pieces if kind != "deleted") == new


@given(ANY_TEXT)
def test_tokens_are_the_text_cut_up(text: str) -> None:
    assert "".join(tokens(clean(text))) == clean(text)


def test_unchanged_stretches_of_a_diff_are_cut_unless_full() -> None:
    lines = [f"line {n}" for n in range(50)]
    changed = [*lines[:25], "new here", *lines[26:]]
    pieces = word_diff("\n".join(lines), "\n".join(changed), full=False)
    assert "".join(text for _, text in pieces).count("\n") < 10
    assert [kind for kind, _ in pieces].count("note") == 2


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a b " * 10_000, "b a a " * 7_000),
        ("the cat " * 10_000, "the dog " * 10_000),
        (
            " ".join(f"same{n} old{n}" for n in range(10_000)),
            " ".join(f"same{n} new{n}" for n in range(10_000)),
        ),
        (
            " ".join(f"w{n % 100}" for n in range(20_000)),
            " ".join(f"w{n * 7 % 100}" for n in range(20_000)),
        ),
    ],
)
def test_a_diff_of_20_000_repetitive_tokens_returns(old: str, new: str) -> None:
    assert len(tokens(old)) >= 20_000
    pieces = word_diff(old, new, full=True)
    assert "".join(text for kind, text in pieces if kind != "inserted") == old


def test_items_asked_together_show_the_call_once_and_each_its_part() -> None:
    point = a_datapoint(
        {"rubric_str": "Is it 134?", "name": "sum"},
        {"rubric_str": "Is it polite?", "name": "tone"},
        {"rubric_str": "Is it short?", "name": "length"},
    )
    options = GradeOptions(batch_items=3)

    def grader(messages: Sequence[Message], draw: Draw) -> Completion:
        asked = str(messages[-1]["content"])
        if "<criterion name=" not in asked:
            return Completion("Asked alone.\n<score>1</score>", "stop")
        (tag,) = set(re.findall("<(grade-[0-9a-f]+) ", asked))
        said = {"sum": "It is.", "tone": "Not quite.", "length": "No score here."}
        end = {"sum": "\n<score>1</score>", "tone": "\n<score>0.5</score>"}
        blocks = [f'<{tag} name="{n}">\n{t}{end.get(n, "")}\n</{tag}>' for n, t in said.items()]
        return Completion("\n".join(blocks), "stop")

    done, calls = rollout(point, says("It is 134."), grader, grading=options, max_iterations=0)
    text = shows(point, done, calls, width=200, grading=options, full=True)
    assert text.count('<criterion name="tone">') == 1
    in_order(
        text,
        "grade of sum (1 of 3",
        "its author would know what to change",
        "It is.",
        "score: 1 ",
        "grade of tone (2 of 3",
        "asked in one call with sum",
        "Not quite.",
        "score: 0.5 ",
        "grade of length (3 of 3",
        "No score here.",
        "no score could be read",
        "Asked alone.",
        "score: 1 ",
    )
    assert "grader call (iteration" not in text  # each call is shown with its items
