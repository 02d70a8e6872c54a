"""JSON as text, read and written exactly: orjson does the work, and where it would not give back
what stood there (integers beyond 64 bits, lone surrogates) the standard library does.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, NoReturn

import orjson

# orjson turns an integer beyond 64 bits into a float, and such an integer has 19 digits or more.
# Looked for by `in` among bytes whose digits are all made 0: ten times as fast as by an expression.
_BIG_INTEGER = b"0" * 19
_DIGITS_TO_0 = bytes(ord("0") if chr(byte).isdecimal() else 255 for byte in range(256))
# Every line that is read has to be written again, and Python writes some hundred levels at most.
_SURELY_WRITABLE = 500


def loads(data: bytes) -> Any:
    """The JSON value; raises ValueError (with the reason) where it is none, or one too deep."""
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

    try:
        value = json.loads(text, parse_constant=refuse, parse_float=finite)
        dumps(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def dumps(value: Any) -> bytes:
    """The value as one line of JSON, without the newline."""
    try:
        return orjson.dumps(value)
    except TypeError:  # a big integer or a lone surrogate
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def canonical(value: Any) -> bytes:
    """Bytes that are equal for equal JSON values, whatever the order of keys."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def digest(value: Any) -> str:
    """16 hexadecimal digits that are equal for equal JSON values, whatever the order of keys."""
    return hashlib.sha256(canonical(value)).hexdigest()[:16]
