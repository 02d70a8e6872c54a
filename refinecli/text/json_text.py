"""JSON as text, read and written exactly: orjson does the work, and where it would not give back
what stood there (integers beyond 64 bits, lone surrogates) the standard library does.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

import orjson

# orjson turns an integer beyond 64 bits into a float, and such an integer has 19 digits or more.
# Looked for by `in` among bytes whose digits are all made 0: ten times as fast as by an expression.
_BIG_INTEGER = b"0" * 19
_DIGITS_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else 255 for byte in range(256))
# Every line that is read has to be written again, and Python writes some hundred levels at most.
_SURELY_WRITABLE = 500


def loads(data: bytes) -> Any:
    """Parse a JSON value; raise ValueError with the reason where it is invalid or too deep."""
    text = data.decode("utf-8")
    if _BIG_INTEGER in data.translate(_DIGITS_TO_0):
        return _exact_loads(text)
    if len(data) > _SURELY_WRITABLE and data.count(b"[") + data.count(b"{") > _SURELY_WRITABLE:
        return _exact_loads(text)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _exact_loads(text)


def _exact_loads(text: str) -> Any:
    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def finite(text: str) -> float:
        if math.isinf(number := float(text)):
            raise ValueError(f"{text} is too large a number")
        return number

    def whole(text: str) -> int:
        if len(text) > _MOST_DIGITS:
            raise ValueError(f"an integer has {len(text):,} digits; {_MOST_DIGITS:,} at most")
        return int(text)

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
        dumps(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


# What a float, or an integer of 64 bits, may not be able to hold.
_LONG_NUMBER = re.compile(r"[0-9]{16}|[eE][+-]?[0-9]{3}")
_MOST_DIGITS = 4300  # of an integer that Python reads and writes


def read_exactly(text: str) -> Any:
    """Return the JSON value of a text from outside; raise ValueError, with the reason, where it is
    none, or one too deep.

    A number of any size is the number that stands there: where neither an integer nor a float can
    be that, a decimal.
    """

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if not _LONG_NUMBER.search(text) or re.search("[\ud800-\udfff]", text):
            raise
    else:
        if not _LONG_NUMBER.search(text):
            return value
    try:
        return json.loads(text, parse_int=_integer, parse_float=_real, parse_constant=refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _integer(digits: str) -> int | Decimal:
    return int(digits) if len(digits) <= _MOST_DIGITS else _decimal(digits)


def _real(digits: str) -> float | Decimal:
    return number if math.isfinite(number := float(digits)) else _decimal(digits)


def _decimal(digits: str) -> Decimal:
    try:
        return Decimal(digits)
    except InvalidOperation:  # an exponent of twenty digits
        raise ValueError(f"{digits[:40]} is too large a number") from None


def dumps(value: Any) -> bytes:
    """Write the value as one line of JSON, without the newline."""
    try:
        return orjson.dumps(value)
    except TypeError:  # a big integer or a lone surrogate
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def canonical(value: Any) -> bytes:
    """Return bytes that are equal for equal JSON values, whatever the order of keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest(value: Any) -> str:
    """Return 16 hexadecimal digits that are equal for equal JSON values, in any order of keys."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]
