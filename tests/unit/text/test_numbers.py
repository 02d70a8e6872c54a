"""A number is read whole, in whatever way it is written, or not at all."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.text.numbers import last_number

NBSP, THIN, NARROW = "\u00a0", "\u2009", "\u202f"

# A text, and the last number in it. One line for each way to write one.
WRITTEN: list[tuple[str, str | None]] = [
    # thousands
    ("9,500", "9500"),
    (r"\boxed{9{,}500}", "9500"),
    (r"10\,000", "10000"),
    (r"10,\!000", "10000"),
    (r"10\;000", "10000"),
    ("10~000", "10000"),
    (f"10{NBSP}000.", "10000"),
    (f"10{THIN}000", "10000"),
    (f"1{NARROW}234{NARROW}567,89", "1234567.89"),
    (f"-1{NBSP}000", "-1000"),
    ("1'234'567.5", "1234567.5"),
    ("1’234", "1234"),
    ("1_000_000", "1000000"),
    ("1.234.567", "1234567"),
    ("1.234,56", "1234.56"),
    ("12,34,567", "1234567"),
    ("1,23,456.78", "123456.78"),
    ("1,0000,0000", "100000000"),
    ("١٢٬٣٤٥", "12345"),
    ("１２，３４５", "12345"),
    ("10 000", "10000"),  # 000 can be no number by itself
    ("1 234 567", "1234567"),
    ("100 200 300", "300"),
    ("12 345", "345"),  # may be two
    ("10\u200b000", "10000"),
    ("1&nbsp;000", "1000"),
    ("1&thinsp;000", "1000"),
    ("1, 2, 3", "3"),
    ("1,2,3", "3"),
    # decimals
    ("3,14", "3.14"),
    ("3{,}14", "3.14"),
    ("0,500", "0.500"),
    ("٣٫١٤", "3.14"),
    ("(3,14)", "14"),  # a pair
    ("1,2.5", "2.5"),
    ("1.5,3", "3"),
    ("so...5", "5"),
    ("5..10", "10"),
    ("1½", "1.5"),
    ("¾", "0.75"),
    # signs and money
    ("The loss is -$5.", "-5"),
    ("−€5.50", "-5.50"),
    ("$-5", "-5"),
    ("-US$5", "-5"),
    (r"-\$5", "-5"),
    ("-USD 500", "-500"),
    ("Rs.500", "500"),
    ("EUR500", "500"),
    ("–5", "-5"),
    ("it is —5", "-5"),
    ("\u20115", "-5"),
    ("**-5**", "-5"),
    ("-**5**", "-5"),
    ("x = - 7", "-7"),
    (r"\text{-}5", "-5"),
    ("{-}5", "-5"),
    ("&minus;5", "-5"),
    ("-\u20605", "-5"),
    ("10 - 7", "7"),
    ("pages 5–7", "7"),
    ("(10)-7", "7"),
    ("5%-7%", "7"),
    ("5€-7€", "7"),
    ("5 €-7 €", "7"),
    ("$5-$7", "7"),
    ("- 7", "7"),  # an item of a list
    # powers
    ("3 × 10^8", "3E+8"),
    (r"3 \times 10^{8}", "3E+8"),
    ("2·10⁻³", "0.002"),
    ("10^6", "1E+6"),
    ("1e-3", "0.001"),
    ("10<sup>6</sup>", "1E+6"),
    ("10²", "100"),
    ("0x1F", "31"),
    ("1e5kg", None),
    ("3e5f", None),
    ("2^10", "1024"),
    ("2**10", "1024"),
    ("12²", "144"),
    ("2^{-3}", "0.125"),
    ("-2^2", "-4"),
    ("(-2)^3", None),
    ("3²⁰⁰⁰", None),
    ("9.8 m/s^2", "9.8"),
    (r"12\,\text{cm}^{2}", "12"),
    ("5 m**2", "5"),
    ("答案是**42**", "42"),
    ("0o17", "15"),
    # fractions
    ("3/4", "0.75"),
    ("-2 1/2", "-2.5"),
    ("3⁄4", "0.75"),
    (r"-\frac{3}{4}", "-0.75"),
    (r"2\dfrac{1}{2}", "2.5"),
    (r"\frac34", "0.75"),
    ("1/0", None),
    # dates, times, references
    ("5 on 2024-01-15", "5"),
    ("05/06/2024", None),
    ("5 min, until 12:30", "5"),
    ("42[1]", "42"),
    ("It is 42.[1][2]", "42"),
    ("It is [42]", "42"),
    ("4️⃣2️⃣", "42"),
    # ten thousands
    ("3万5千", "35000"),
    ("1億2,345万6789円", "123456789"),
    ("3만 5천 원", "35000"),
    ("3.5亿", "350000000"),
    ("5千克", "5"),
    ("2万5", None),
    # letters next to digits
    ("答案是42个苹果。", "42"),
    ("答えは42です", "42"),
    ("คำตอบคือ42ครับ", "42"),
    ("정답은42개입니다", "42"),
    ("答案是-5。", "-5"),
    ("2020年-2021年", "2021"),
    ("3公里–5公里", "5"),
    ("ب42", "42"),
    ("_42_", "42"),
    ("2x3", "3"),
    ("H2O", None),
    ("snake_1", None),
    ("v2", None),
    ("version 1.2.3", None),
    ("12.05.2024", None),
    ("7 in 10.0.0.1", "7"),
    ("", None),
]


@pytest.mark.parametrize(("text", "number"), WRITTEN)
def test_a_number_is_read_as_people_write_it(text: str, number: str | None) -> None:
    found = last_number(text)
    assert (found and found.value) == (number and Decimal(number))


SEPARATORS = [",", "'", "’", "_", NBSP, THIN, NARROW, "{,}", r"\,", r"\;", "~", r",\!", "\u2007"]


@given(
    number=st.integers(-(10**15), 10**15),
    separator=st.sampled_from(SEPARATORS),
    around=st.sampled_from(["{}", "It is {}.", "($ {})", r"\boxed{{{}}}", "**{}**", "答案是{}。"]),
)
@settings(deadline=None)
def test_a_grouped_number_is_never_read_in_part(number: int, separator: str, around: str) -> None:
    found = last_number(around.format(f"{number:,}".replace(",", separator)))
    assert found is not None
    assert found.value == number


@given(
    st.integers(0, 10**12), st.sampled_from("-−–\u2011"), st.sampled_from(["$", "€", "£ ", "CHF "])
)
def test_a_sign_before_money_is_kept(number: int, minus: str, money: str) -> None:
    found = last_number(f"The change is {minus}{money}{number:,}.")
    assert found is not None
    assert found.value == -number


@given(st.text(st.characters(exclude_categories=())))
@settings(deadline=None)
def test_any_text_has_a_last_number_or_none(text: str) -> None:
    found = last_number(text)
    assert found is None or not found.value.is_nan()


@pytest.mark.parametrize("exponent", ["999999999", "9" * 40, "-999999999", "-" + "9" * 40])
def test_no_exponent_is_too_large(exponent: str) -> None:
    found = last_number(f"1e{exponent}")
    assert found is not None
    assert (found.value > 10**6) is not exponent.startswith("-")
