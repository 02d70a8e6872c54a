"""Tables and sentences on terminals of any width."""

from __future__ import annotations

import pytest

from refinecli.report.columns import Columns

HEADER = ("", "ran", "score", "95%", "tokens")
ROWS = [["0", "1,000,000", "0.406", "0.331 to 0.481", "1,234,567,890"]]


def test_columns_that_do_not_fit_follow_in_a_table_of_their_own() -> None:
    assert list(Columns(80).table(HEADER, ROWS)) == [
        "           ran  score             95%         tokens",
        "  0  1,000,000  0.406  0.331 to 0.481  1,234,567,890",
    ]
    assert list(Columns(44).table(HEADER, ROWS)) == [
        "           ran  score             95%",
        "  0  1,000,000  0.406  0.331 to 0.481",
        "",
        "            tokens",
        "  0  1,234,567,890",
    ]


@pytest.mark.parametrize("width", [20, 44, 80])
def test_no_number_is_broken_or_lost(width: int) -> None:
    lines = list(Columns(width).table(HEADER, ROWS))
    for cell in ROWS[0][1:]:
        assert sum(cell in line for line in lines) == 1


def test_sentences_use_the_width_up_to_a_hundred_columns() -> None:
    text = "word " * 60
    longest = {width: max(map(len, Columns(width).wrapped([text]))) for width in (40, 80, 140)}
    assert 35 < longest[40] <= 40
    assert 75 < longest[80] <= 80
    assert 95 < longest[140] <= 100
