"""Read numbers as people write them, in any language: whole, or not at all.

A run of digits and of what may stand between digits is a candidate. It is one number, or a list
whose last entry counts, or a name (`1.2.3`, `H2O`), which is not a number. A part of a number is
never taken for the whole: `10 000`, with a no-break space, does not end in 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from decimal import Context, Decimal, InvalidOperation
from types import MappingProxyType
from typing import NamedTuple

from refinecli.text.encoding import without_references
from refinecli.text.scripts import is_cased, is_mark, is_undivided
from refinecli.text.visible import visible

# What means minus before a digit: hyphens, dashes, and the sign itself.
_MINUS = "\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d-"
_SIGNS = f"+\uff0b{_MINUS}"
# Spaces that no line is broken at, and narrow ones. The ordinary space parts two numbers.
_NARROW = "\u00a0\u2004-\u200a\u202f\u205f\u2060"
_SPACES = frozenset(f" \u00a0{''.join(map(chr, range(0x2004, 0x200B)))}\u202f\u205f\u2060")
_APOSTROPHES = "'\u2019\u02bc\u2032\uff07`\u00b4"
_KINDS = {"n": f"[{_NARROW}]", "'": f"[{_APOSTROPHES}]"}
# How else separators are written: in LaTeX, in Arabic, and in full width.
_SPELLINGS = tuple(
    (re.compile(rf"(?<=[0-9]){pattern}(?=[0-9])"), separator)
    for pattern, separator in (
        (r"(?:\{(?:,|\\,)\}|,\\!|[\u066c\uff0c\ufe50])", ","),
        (r"(?:\{\.\}|[\u066b\uff0e])", "."),
        (r"(?:\\[,;: ]|\\thinspace[ ]?|\{\\[;: ]\}|~)", "\u202f"),
        ("[\u2044\u2215]", "/"),
    )
)
_LATEX_FRACTION = re.compile(
    r"(?P<whole>(?<=[0-9]))?\\[dtc]?frac[ ]?"
    r"(?:\{(?P<over>-?[0-9.,]+)\}\{(?P<under>[0-9.,]+)\}|(?P<one>[0-9])(?P<other>[0-9]))"
)
_KEYCAP = re.compile("(?<=[0-9])\ufe0f?\u20e3")
_DATE = re.compile(r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}(?![0-9])")
# A reference to a source: 42[1], or an index: a[1].
_REFERENCE = re.compile(r"(?<=[A-Za-z0-9.!?%)\]])\[[0-9]{1,3}\]")
_SIGN_IN_BRACES = re.compile(rf"(?:\\(?:text|mathrm))?\{{([{_SIGNS}])\}}(?=[0-9$\\.])")
_RAISED_TAG = re.compile(rf"<sup>([{_SIGNS}]?[0-9]{{1,18}})</sup>")
_OTHER_DIGIT = re.compile(r"[^\D0-9]")
# Money that is written in letters; `US$` needs no line here.
_CURRENCIES = ("USD", "EUR", "GBP", "JPY", "CNY", "RMB", "INR", "CHF", "CAD", "AUD", "Rs.", "Rs")
_CURRENCY_ENDS = frozenset(name[-1] for name in _CURRENCIES)
_CLOSING = ")]}%‰°"  # a sign after these is between two numbers
_OPERATORS = tuple("=≈≠<>≤≥→⇒(")  # after these a sign may have a space behind it

_FRACTIONS = "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻", "0123456789+-")
_TIMES = r"[ ]?(?:×|\\times|\\cdot|·|⋅|\*|x)[ ]?"
_POWER = rf"(?:(?:\^|\*\*)\{{?[ ]?(?P<power>[{_SIGNS}]?[0-9]+)|(?P<raised>[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+))"
_SEPARATOR = rf"[.,:_{_NARROW}{_APOSTROPHES}]|[ ](?=[0-9]{{3}}(?![0-9]))"
_DIGITS = rf"[0-9]+(?:(?:{_SEPARATOR})[0-9]+)*"
_CODED = "|".join((r"0[xX][0-9a-fA-F]{1,999}", "0[bB][01]{1,999}", "0[oO][0-7]{1,999}"))
# Powers of ten in Chinese, Japanese and Korean; kilograms and the like are units.
_POWERS = MappingProxyType(
    {"千": 3, "천": 3, "万": 4, "萬": 4, "만": 4, "億": 8, "亿": 8, "억": 8, "兆": 12, "조": 12}
)
_MANY = r"(?:千(?![克米瓦卡焦赫伏帕])|[천万萬만億亿억兆]|조(?=[ ]?(?:[0-9]|원|달러)))"
_MYRIADS = rf"{_MANY}+(?:[ ]?[0-9][0-9,.]*{_MANY}+)*[0-9]*"
_CANDIDATE = re.compile(
    rf"(?P<coded>(?:{_CODED})(?!\w))|(?P<lone>[{_FRACTIONS}])|(?P<digits>{_DIGITS})"
    rf"(?:[ ]?(?P<part>[{_FRACTIONS}])|[eE](?P<e>[{_SIGNS}]?[0-9]+)(?!\w)"
    rf"|(?:{_TIMES}(?P<ten>10))?{_POWER}|(?P<under>(?:/{_DIGITS})+)|(?P<many>{_MYRIADS}))?"
)
_WHOLE_BEFORE = re.compile(r"(?<![\w.,/])[0-9]{1,4}[ ]\Z")  # 2 1/2
_RAISED_BRACKET = re.compile(r"\)(?:\^|\*\*[0-9]|[⁰¹²³⁴⁵⁶⁷⁸⁹])")
_LONGEST_POWER = 400  # digits
_CUT_EXPONENT = re.compile(r"(?<=[0-9])[eE][0-9]")
_MOST_DIGITS = 9  # of an exponent: a number beyond it is as good as endless, or none


class Found(NamedTuple):
    """A number, and how it is written."""

    value: Decimal
    text: str


def last_number(text: str) -> Found | None:
    """Return the last number in the text; None where there is none."""
    if _OTHERWISE.search(text):
        text = _as_usual(text)
    text = _REFERENCE.sub(" ", _DATE.sub(" ", text))
    for candidate in reversed(list(_CANDIDATE.finditer(text))):
        if (found := _read(text, candidate)) is not None:
            return found
    return None


# What any other way to write a number has in it; most texts have nothing of it.
_OTHERWISE = re.compile(r"[^\x00-\x7f]|[\\{~&<]")


def _as_usual(text: str) -> str:
    """Write the numbers of LaTeX, HTML and other scripts as others are written."""
    text = visible(without_references(text))
    text = _RAISED_TAG.sub(r"^\1", _SIGN_IN_BRACES.sub(r"\1", text))
    text = _OTHER_DIGIT.sub(lambda digit: str(unicodedata.decimal(digit[0])), text)
    for spelling, separator in _SPELLINGS:
        text = spelling.sub(separator, text)
    return _LATEX_FRACTION.sub(_in_line, _KEYCAP.sub("", text))


def _in_line(fraction: re.Match[str]) -> str:
    """Write a fraction of LaTeX with a slash, after a space where a whole number precedes it."""
    lead = "" if fraction["whole"] is None else " "
    over, under = fraction["over"] or fraction["one"], fraction["under"] or fraction["other"]
    return f"{lead}{over}/{under}"


def _read(text: str, candidate: re.Match[str]) -> Found | None:
    start, digits = candidate.start(), candidate["digits"]
    if _CUT_EXPONENT.match(text, candidate.end()):  # 1e5kg, 3e5f
        return None
    if digits is None:
        if _in_name(text, start):
            return None
        written = candidate[0]
        value = Decimal(int(written, 0)) if candidate["coded"] else _fraction(written)
        return _signed(text, start, value, written)
    plain, last = _whole(digits, listed=_in_brackets(text, start, candidate.end("digits")))
    if plain is None:
        return None
    written = last + candidate[0][len(digits) :]
    if (scaled := _scaled(Decimal(plain), candidate)) is None or _is_raised(text, candidate):
        return None
    value = scaled
    if len(last) < len(digits):  # the last entry of a list: what stands before is another's
        return Found(value, written)
    if _in_name(text, start):
        return None
    if plain.isdigit() and _after_point(text, start):
        start, written = start - 1, f".{written}"
        value = _scaled(Decimal(f"0.{plain}"), candidate) or Decimal(0)
    elif candidate["under"] and value < 1 and (whole := _whole_before(text, start)):
        start, written, value = whole.start(), whole[0] + written, value + int(whole[0])
    return _signed(text, start, value, written)


def _whole_before(text: str, start: int) -> re.Match[str] | None:
    """Return the whole number before a fraction, as in 2 1/2."""
    return _WHOLE_BEFORE.search(text, max(start - 6, 0), start)


def _is_raised(text: str, candidate: re.Match[str]) -> bool:
    """Return True for what stands after `^` or `**`, as in m^2, and is not bold, and for what is
    raised together with a bracket around it."""
    if _RAISED_BRACKET.match(text, candidate.end()):
        return True
    before = text[max(candidate.start() - 5, 0) : candidate.start()].rstrip(f"{_SIGNS} ")
    before = before.removesuffix("{").rstrip(f"{_SIGNS} ") if before.endswith("^{") else before
    if before.endswith("^"):
        return True
    power = before.endswith("**") and before[-3:-2].isascii() and before[-3:-2].isalnum()
    return power and not text.startswith("**", candidate.end())


def _in_brackets(text: str, start: int, end: int) -> bool:
    return text[max(start - 1, 0) : start] in ("(", "[") and text[end : end + 1] in (")", "]")


def _fraction(sign: str) -> Decimal:
    return Decimal(str(unicodedata.numeric(sign)))


def _scaled(number: Decimal, candidate: re.Match[str]) -> Decimal | None:
    """Return the number with what stands after it: half of one more, a power, what it is divided
    by. None where that makes it a date, say, or is too large to write out."""
    if candidate["part"]:
        return number + _fraction(candidate["part"])
    if candidate["many"]:
        return _in_myriads(number, candidate["many"])
    if candidate["under"]:
        under = [_whole(one)[0] for one in candidate["under"].split("/")[1:]]
        if len(under) > 1 or under[0] is None or not Decimal(under[0]):
            return None
        return number / Decimal(under[0])
    power = candidate["e"] or candidate["power"] or (candidate["raised"] or "").translate(_RAISED)
    if not power:
        return number
    negative, exponent = power[0] in _MINUS, power.lstrip(_SIGNS)
    if len(exponent.lstrip("0")) > _MOST_DIGITS:
        return Decimal(0) if negative or not number else Decimal("Infinity")
    scale = -int(exponent) if negative else int(exponent)
    if not candidate["e"] and not candidate["ten"] and number == 10:  # 10^6 itself
        return Decimal((0, (1,), scale))
    if not candidate["e"] and not candidate["ten"]:
        return _to_the_power(number, scale)
    sign, digits, place = number.as_tuple()
    assert isinstance(place, int)
    return Decimal((sign, digits, place + scale))


def _to_the_power(number: Decimal, exponent: int) -> Decimal | None:
    """Return a power; None for one with more digits than anyone writes."""
    if len(number.as_tuple().digits) * abs(exponent) > _LONGEST_POWER:
        return None
    try:
        return _EXACT.power(number, exponent)
    except InvalidOperation:  # 0 to the power of 0 or less
        return None


_EXACT = Context(prec=2 * _LONGEST_POWER)


def _in_myriads(number: Decimal, many: str) -> Decimal | None:
    """Return the sum of what is counted in thousands, ten thousands and so on."""
    total, last = Decimal(0), number
    for count, powers in re.findall(r"([0-9][0-9,.]*)?([^0-9,. ]*)", many):
        if count:
            plain, _ = _whole(count.rstrip(",."))
            if plain is None or (not powers and len(count) < 4):  # 3万5 may be 35,000
                return None
            last = Decimal(plain)
        if powers:
            total += last * 10 ** sum(_POWERS[power] for power in powers)
        elif count:
            total += last
    return total


# ------------------------------------------------------------------ separators


def _whole(digits: str, *, listed: bool = False) -> tuple[str | None, str]:
    """Return the number that digits and separators make, plainly written, and the part that they
    are: all of it, or the last entry of a list. None where they are a name, as `1.2.3` is."""
    if digits.isdigit():
        return digits, digits
    groups = re.split(r"[^0-9]", digits)
    kinds = "".join(_kind(one) for one in digits if not one.isdigit())
    if ":" in kinds:  # a time, or a ratio
        return None, digits
    if (plain := _one_number(groups, kinds, listed)) is not None:
        return plain, digits
    for weak in " n',":  # what may stand between the entries of a list, the weakest first
        if weak in kinds:
            count = len(kinds) - kinds.rindex(weak)
            return _whole(digits[-(sum(map(len, groups[-count:])) + count - 1) :])
    return None, digits


def _kind(separator: str) -> str:
    for kind, pattern in _KINDS.items():
        if re.match(pattern, separator):
            return kind
    return separator


def _one_number(groups: Sequence[str], kinds: str, listed: bool) -> str | None:
    decimal = kinds == "."
    if not decimal and len(set(kinds)) == 1 and _grouped(groups, kinds[0]):
        return "".join(groups)
    before, point = kinds[:-1], kinds[-1]
    if point not in ".," or point in before or (point == "," and listed):
        return None
    whole = groups[:-1]
    if before and not (len(set(before)) == 1 and _grouped(whole, before[0])):
        return None
    return f"{''.join(whole)}.{groups[-1]}"


def _grouped(groups: Sequence[str], kind: str) -> bool:
    """Return True where groups of digits are one number's: by thousands, as in India by hundreds
    above a thousand, or as in East Asia by ten thousands."""
    first, *rest = groups
    if first[0] == "0":
        return False
    lengths = [len(group) for group in rest]
    by_thousands = len(first) <= 3 and set(lengths) == {3}
    if kind == " ":  # 12 345 may be two numbers, but not 12 045, and three are hardly 1 234 567
        several = len(first) < 3 and len(rest) > 1
        return by_thousands and (several or any(one[0] == "0" for one in rest))
    in_india = len(first) <= 2 and lengths[-1] == 3 and set(lengths[:-1]) == {2}
    in_east_asia = len(first) <= 4 and len(rest) > 1 and set(lengths) == {4}
    return by_thousands or in_india or in_east_asia


# ------------------------------------------------------------------ what stands before


def _in_name(text: str, start: int) -> bool:
    """Return True where digits belong to the letters before them, as in `H2O` and `snake_1`."""
    place = start - 1
    if place < 0:
        return False
    if text[place] == "_":  # emphasis, unless there is a word before it
        while place >= 0 and text[place] == "_":
            place -= 1
        return place >= 0 and text[place].isalnum()
    while place > 0 and is_mark(text[place]):
        place -= 1
    if not is_cased(text[place]):
        return False
    if text[place] in "xX" and place > 0 and text[place - 1].isdigit():  # 2x3
        return False
    return _without_currency(text, start) == start


def _after_point(text: str, start: int) -> bool:
    """Return True where a decimal point without a digit before it precedes the digits."""
    if start == 0 or text[start - 1] != ".":
        return False
    return start == 1 or not (text[start - 2].isalnum() or text[start - 2] in f".{_CLOSING}")


def _without_currency(text: str, start: int) -> int:
    """Return where the money that stands before the digits begins."""
    place = start
    if place > 1 and text[place - 1] in _SPACES:
        place -= 1
    if place > 0 and unicodedata.category(text[place - 1]) == "Sc":
        place -= 1
        letters = place
        while letters > 0 and place - letters < 3 and "A" <= text[letters - 1] <= "Z":
            letters -= 1
        if letters == 0 or not text[letters - 1].isalnum():  # US$
            place = letters
        return place - 1 if place > 0 and text[place - 1] == "\\" else place
    if place == 0 or text[place - 1] not in _CURRENCY_ENDS:
        return start
    for name in _CURRENCIES:
        before = place - len(name)
        if text.startswith(name, max(before, 0)) and before >= 0:
            return start if before > 0 and text[before - 1].isalnum() else before
    return start


def _signed(text: str, start: int, value: Decimal, written: str) -> Found:
    """Return the number with the sign before it, if there is one."""
    place = _without_currency(text, start)
    for _ in range(3):  # -**5**
        if place > 0 and text[place - 1] == "*":
            place -= 1
    spaced = place > 1 and text[place - 1] in _SPACES
    sign = place - 1 - spaced
    if sign < 0 or text[sign] not in _SIGNS or _is_operand(text, sign - 1):
        return Found(value, written)
    if spaced and not text[max(sign - 2, 0) : sign].rstrip().endswith(_OPERATORS):
        return Found(value, written)
    negative = text[sign] in _MINUS
    return Found(-value if negative else value, f"{'-' if negative else ''}{written}")


def _is_operand(text: str, place: int) -> bool:
    """Return True where what stands before a sign makes it one between two numbers, or a hyphen."""
    while place >= 0 and (text[place] in "*_~" or text[place] in _MINUS or is_mark(text[place])):
        place -= 1
    if place < 0:
        return False
    before = text[place]
    if unicodedata.category(before) == "Sc":  # 5 €-7 €, but $-5
        return text[max(place - 2, 0) : place].rstrip()[-1:].isdigit()
    if is_undivided(before):  # 2020年-2021年, but 答案是-5
        return _AFTER_NUMBER.search(text[max(place - 2, 0) : place + 1]) is not None
    return before in _CLOSING or before.isalnum()


_AFTER_NUMBER = re.compile(r"[0-9][^\W0-9]{1,2}$")  # a number and what it counts
