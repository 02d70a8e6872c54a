"""Letters come in one encoding, whatever the text."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.text.encoding import one_encoding

MARKS = "\u0301\u0316\u0323\u0300\u0327\u05b0\u3099\u0e38"


@given(st.lists(st.sampled_from(["a", "e", *MARKS, "\u0e01", " ", "😀"])).map("".join))
@settings(deadline=None)
def test_accents_are_composed_however_many_there_are(text: str) -> None:
    text = text + "a" + "\u0301\u0316" * 12 + text
    assert one_encoding(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize("marks", ["\u0301\u0316", "\u0316\u0301\u0323", "\u0301"])
def test_a_hundred_thousand_marks_on_one_letter_take_no_longer_than_other_text(marks: str) -> None:
    start = time.process_time()
    one_encoding("a" + marks * (100_000 // len(marks)))
    assert time.process_time() - start < 2  # Python's own sorting takes nine
