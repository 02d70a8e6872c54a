"""Map the names and codes that gateways give to errors to the HTTP status of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

# The fields in which gateways put an error's code.
CODES = ("code", "status", "status_code", "statusCode", "http_status", "error_code", "errorcode")

# Gateways' names for errors, with the HTTP status of each. To add a name, add a line.
_STATUS_OF_NAME: Mapping[str, int] = MappingProxyType(
    {
        "authentication_error": 401,
        "invalid_api_key": 401,
        "unauthenticated": 401,
        "unauthorized": 401,
        "billing_error": 402,
        "insufficient_quota": 402,
        "payment_required": 402,
        "permission_denied": 403,
        "permission_error": 403,
        "model_not_found": 404,
        "not_found": 404,
        "not_found_error": 404,
        "request_timeout": 408,
        "context_length_exceeded": 400,
        "failed_precondition": 400,
        "invalid_argument": 400,
        "invalid_request_error": 400,
        "rate_limit_error": 429,
        "rate_limit_exceeded": 429,
        "resource_exhausted": 429,
        "throttling": 429,
        "throttlingexception": 429,
        "too_many_requests": 429,
        "api_error": 500,
        "internal": 500,
        "internal_error": 500,
        "internal_server_error": 500,
        "server_error": 500,
        "service_unavailable": 503,
        "unavailable": 503,
        "deadline_exceeded": 504,
        "overloaded_error": 529,
    }
)
# The same by a part of the name, without its punctuation: `Throttling.RateQuota`,
# `…#ExpiredTokenException`. The first that is found counts.
_STATUS_OF_PART: Sequence[tuple[str, int]] = (
    ("throttl", 429),
    ("ratelimit", 429),
    ("toomanyrequests", 429),
    ("currentquota", 402),
    ("insufficient", 402),
    ("arrear", 402),
    ("billing", 402),
    ("expiredtoken", 401),
    ("unrecognizedclient", 401),
    ("invalidsignature", 401),
    ("apikey", 401),
    ("accessdenied", 403),
    ("datainspection", 400),
    ("validation", 400),
    ("badrequest", 400),
    ("notready", 503),
    ("overload", 529),
    ("unavailable", 503),
)
# Zhipu's own codes; the sentences with them are Chinese.
_STATUS_OF_ZHIPU: Mapping[int, int] = MappingProxyType(
    {1000: 401, 1001: 401, 1002: 401, 1003: 401, 1004: 401, 1113: 402, 1211: 404, 1301: 400}
    | {1302: 429, 1303: 429, 1304: 429, 1305: 429}
)
# MiniMax's own codes, in `base_resp`; 0 is success.
_STATUS_OF_MINIMAX: Mapping[int, int] = MappingProxyType(
    {1001: 408, 1002: 429, 1004: 401, 1008: 402, 1026: 400, 1027: 400, 1039: 429, 2013: 400}
    | {2049: 401}
)
UNKNOWN = 500  # an error without a status may be temporary


def _number(code: object) -> int | None:
    if isinstance(code, str) and code.isascii() and code.isdecimal() and len(code) < 10:
        return int(code)
    return int(code) if isinstance(code, int | float) and abs(code) < 1e9 else None


def status_of(error: object) -> int:
    """Return the HTTP status that an error names, as a number or by a word."""
    if not isinstance(error, dict):
        code = _number(error)
        return code if code is not None and 300 <= code < 600 else UNKNOWN
    for name in (*CODES, "type", "error_type", "__type"):
        if status := _status_by(error.get(name)):
            return status
    # A gateway's own error around that of the provider behind it.
    inner = next((error[k] for k in ("error", "detail", "fault") if error.get(k)), None)
    return UNKNOWN if inner is None else status_of(inner)


def status_of_minimax(code: object) -> int | None:
    """Return the HTTP status that one of MiniMax's own codes stands for, if it is known."""
    number = _number(code)
    return None if number is None else _STATUS_OF_MINIMAX.get(number)


def _status_by(code: object) -> int | None:
    if (number := _number(code)) is not None:
        return number if 300 <= number < 600 else _STATUS_OF_ZHIPU.get(number)
    if not isinstance(code, str):
        return None
    if status := _STATUS_OF_NAME.get(code.lower()):
        return status
    bare = re.sub(r"[^a-z]", "", code.lower())
    return next((status for part, status in _STATUS_OF_PART if part in bare), None)
