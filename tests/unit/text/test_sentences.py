"""Sentences are parted by what stands around a full stop, in time linear in the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.text.sentences import count_sentences

# A text, and how many sentences it has.
COUNTED = [
    # in quotation marks and brackets
    ('"The tide rose. It fell fast. Then it rose again. The moon smiled. We left early."', 5),
    ("“Yes. No.” Then he left.", 3),
    ("He said: 'One. Two.' Then three.", 3),
    ("«Un. Deux.» Trois.", 3),
    ("(One. Two.) Three.", 3),
    ("(He left.) She stayed. [It rained. It poured.]", 4),
    ('"Stop!" he cried.', 1),
    ('"Why?" John asked. He left.', 2),
    ('He asked "Why?" and left.', 1),
    ('A 5" pipe. It leaks. A 6" pipe. It holds.', 4),
    ("It's 6' tall. It's 5' wide.", 2),
    ("One ( two. Three. Four", 3),
    ("「はい。いいえ。」", 2),
    ("Τι είναι; Ναι.", 2),
    ("Τι\u037e Ναι.", 2),
    ("It is; yes.", 1),
    ("「はい。」と言った。", 1),
    ("他说：“我走了。”然后离开。", 2),
    ("“我走了。”他说。", 1),
    # tags
    ("<answer>\nOne. Two.\n</answer>", 2),
    ("<answer>One</answer>", 1),
    ("<p>One</p><p>Two</p>", 2),
    ("One.<br>Two<br/>Three", 3),
    ("<b>One.</b> Two.", 2),
    ("Hello <name>, welcome.", 1),
    ("<!-- One. Two. --> Three.", 1),
    ('<?xml version="1.0"?><a-note>One.</a-note>', 1),
    ("2 < 3. 4 > 3.", 2),
    ("One x<y. It is y>z.", 2),
    # abbreviations
    ("No. That is wrong.", 2),
    ("See no. 5 and Fig. 3. Done.", 2),
    ("The U.S. Army won. Yes.", 2),
    ("At 5 p.m. The shop shut.", 2),
    ("Apples, pears, etc. Then plums.", 2),
    ("Es regnet, z. B. hier. Ja.", 2),
    ("Say words (1. these; 2. those) twice. Done.", 2),
    ("It is 5. Then 6.", 2),
    ("J. A. Smith and I. A. Jones came. Yes.", 2),
    ("We start from B. In the end, C.", 2),
    ("Wait... What? Well... perhaps.", 3),
    # blocks
    ("# Title\nText here. More.", 3),
    ("> Quoted.\n>\n> More", 2),
    ("I. Introduction\nIt begins.", 1),
    ("a) one\nb) two", 2),
    ("1. One. 2. Two. 3. Three.", 3),
    # what stands after a full stop
    ("One.[1] Two.[2]", 2),
    ("Great!😀 Next.", 2),
    ("**One.** *Two.*", 2),
    ("نعم.لا.", 2),
    ("कैसे हो? ठीक है।", 2),
]


@pytest.mark.parametrize(("text", "count"), COUNTED)
def test_sentences_are_counted_as_a_reader_counts_them(text: str, count: int) -> None:
    assert count_sentences(text) == count


QUOTES = [
    '"{}"',
    "“{}”",
    "'{}'",
    "«{}»",
    "({})",
    "[{}]",
    "**{}**",
    "_{}_",
    "<b>{}</b>",
    "<a1>{}</a1>",
]


@given(st.integers(1, 20), st.sampled_from(QUOTES), st.sampled_from(".!?"))
def test_what_stands_around_sentences_does_not_change_their_number(
    count: int, around: str, stop: str
) -> None:
    text = " ".join([f"The cat sat{stop}"] * count)
    assert count_sentences(around.format(text)) == count


PIECES = ["a", "B.", "!", "?", "...", '"', "(", "<", "<!--", "<b", "\n", " ", "1.", "。", "\n- "]


@pytest.mark.slow
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3).map("".join))
@settings(deadline=None, max_examples=20)
def test_a_long_text_of_any_pattern_takes_linear_time(pattern: str) -> None:
    text = pattern * (100_000 // len(pattern))
    assert count_sentences(text) <= len(text)  # the suite's own limit ends what takes minutes


def test_a_text_of_200000_characters_has_all_its_sentences() -> None:
    assert count_sentences("The cat sat. " * 16_000) == 16_000
