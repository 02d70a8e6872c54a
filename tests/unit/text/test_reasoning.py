"""What a model thinks aloud is set apart, under whatever marks."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.data.rows import read_row
from refinecli.text.json_text import dumps
from refinecli.text.reasoning import TAGS, split_leading_reasoning, split_reasoning

# What stands before a thought and after it; one line for each kind.
PAIRS = [
    *((f"<{tag}>", f"</{tag}>") for tag in TAGS),
    ("<THINK>", "</THINK>"),
    ('<think time="3">', "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<unused94>thought\n", "<unused95>"),
    ('<details type="reasoning" done="true">', "</details>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    (
        "<|start|>assistant<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    ("analysis", "assistantfinal"),
]


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_thought_is_set_apart_from_a_response_and_from_a_verdict(before: str, after: str) -> None:
    for split in (split_leading_reasoning, split_reasoning):
        assert split(f"{before}Hm, 7?\n{after}\n\n42") == ("Hm, 7?", "42")
        assert split(f"{before}Hm, 7?{after}42") == ("Hm, 7?", "42")


@pytest.mark.parametrize(("before", "after"), PAIRS[:-3])
def test_a_thought_that_is_never_closed_leaves_nothing(before: str, after: str) -> None:
    for split in (split_leading_reasoning, split_reasoning):
        assert split(f"{before}Hm, 7?") == ("Hm, 7?", "")


@pytest.mark.parametrize(
    "before",
    ["\ufeff", "\u200b", "\u2060\n", "<|im_start|>assistant\n", "<|assistant|>\n\n"],
)
def test_what_is_not_seen_or_names_the_speaker_hides_no_thought(before: str) -> None:
    assert split_leading_reasoning(f"{before}<think>Hm.</think>42") == ("Hm.", "42")


def test_channels_other_than_the_final_one_are_thoughts() -> None:
    reply = (
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary to=f "
        "<|constrain|>json<|message|>{}<|call|><|start|>assistant<|channel|>final<|message|>42"
        "<|return|>"
    )
    assert split_leading_reasoning(reply) == ("Hm.\n{}", "42")
    assert split_reasoning("<|channel|>analysis<|message|>Only this") == ("Only this", "")


@pytest.mark.parametrize(
    "text",
    [
        "Use the <reasoning> tag.",
        "Steps:\n<details>\nHm.\n</details>\n42",
        "In XML: <reasoning>why</reasoning> and <answer>42</answer>",
        "Close it with </think>\nand go on.",
        "analysis of the poem: it is good",
        "a [THINK] b",
        "x < y <thinking",
        "The first channel|> is open.",
    ],
)
def test_a_response_may_speak_of_such_marks(text: str) -> None:
    assert split_leading_reasoning(text) == ("", text)


def test_several_thoughts_at_the_beginning_are_all_set_apart() -> None:
    text = "\ufeff<think>a</think>\n<reasoning>b</reasoning>\n42 <think>"
    assert split_leading_reasoning(text) == ("a\nb", "42 <think>")


@pytest.mark.parametrize(
    "end", ["\n</think>\n\n", "</think>\n\n", "\n</think>\r\n", "\n[/THINK]\n"]
)
def test_a_thought_whose_beginning_was_swallowed_is_set_apart(end: str) -> None:
    assert split_leading_reasoning(f"Hm, 7? No.{end}42") == ("Hm, 7? No.", "42")


def test_what_is_around_the_answer_goes() -> None:
    text = "<|begin_of_thought|>a<|end_of_thought|><|begin_of_solution|>42<|end_of_solution|>"
    assert split_leading_reasoning(text) == ("a", "42")


@pytest.mark.parametrize(
    ("given", "response"),
    [("<think>7</think>42", "42"), ("[THINK]7[/THINK] 42", "42"), ("<think>7", None), ("42", "42")],
)
def test_a_response_from_a_file_is_without_its_thoughts(given: str, response: str | None) -> None:
    line = {"prompt": "Hi", "rubric_items": [{"rubric_str": "Is it 42?"}], "response": given}
    row = read_row(dumps(line), 1, "in.jsonl")
    assert row.datapoint is not None
    assert row.datapoint.response == response
    assert row.raw["response"] == given  # what is written back is what stood there


MARKS = [mark for pair in PAIRS for mark in pair]


@given(st.lists(st.sampled_from([*MARKS, "a", "\n", " ", "<score>1</score>"])).map("".join))
@settings(deadline=None)
def test_no_mark_of_a_pair_is_ever_taken_for_an_answer(text: str) -> None:
    thought, answer = split_reasoning(text)
    if "<think>" in text and "analysis" not in text and "channel" not in text:
        assert "<think>" not in answer
    assert len(thought) + len(answer) <= len(text) + text.count("<") + text.count("\n")


@pytest.mark.slow
@pytest.mark.parametrize("mark", ["<think>", "</think>", "<|channel|>a<|message|>", "[THINK]", "◁"])
def test_marks_without_end_are_read_in_linear_time(mark: str) -> None:
    for split in (split_leading_reasoning, split_reasoning):
        split(mark * (400_000 // len(mark)))
        split("</think>" + mark * 50_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    ["<think></think>", "</think> ", "<think>", "<think>\n", "</think>\n\n", "analysis", "\n"],
)
@pytest.mark.parametrize("split", [split_reasoning, split_leading_reasoning])
def test_no_text_takes_more_than_time_in_proportion(
    split: Callable[[str], tuple[str, str]], piece: str
) -> None:
    begun = time.process_time()
    split(piece * (500_000 // len(piece)))
    assert time.process_time() - begun < 3
