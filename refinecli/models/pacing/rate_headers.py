"""A provider's limits, as the headers of its replies give them; pure.

Every provider has a dialect: `retry-after` in seconds or as an HTTP date, `retry-after-ms`;
`x-ratelimit-remaining-requests: 59` with a reset of `6m0s` (OpenAI, Groq), `59` seconds (Azure) or
an epoch in seconds or milliseconds (gateways, OpenRouter, which do not say requests or tokens);
`anthropic-ratelimit-requests-reset: 2026-01-15T14:24:00Z`. Unreadable values count as absent.
"""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite
from typing import NamedTuple

_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_SPAN = re.compile(r"(?:(?:\d+(?:\.\d+)?)(?:ms|us|µs|ns|[dhms]))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|[dhms])", re.ASCII)
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3}
_MILLISECONDS = 1e11  # as an epoch: the year 5138 in seconds, 1973 in milliseconds
_EPOCH = 1e9  # 2001; as a time to wait it would be thirty years
_HINTED = ("retry-after", "ratelimit")


class Allowance(NamedTuple):
    """The rest of one limit: `remaining` of `limit`, whole again in `reset` seconds."""

    remaining: float
    reset: float
    limit: float | None = None


class Hints(NamedTuple):
    """The seconds to wait `after` a refusal, and the rest of the limits on requests and tokens."""

    after: float | None = None
    requests: Allowance | None = None
    tokens: Allowance | None = None

    @property
    def wait(self) -> float | None:
        """The seconds to wait after a refusal: `after`, or until a used-up limit is back."""
        if self.after is not None:
            return self.after
        used_up = [
            left.reset for left in (self.requests, self.tokens) if left and not left.remaining
        ]
        return max(used_up, default=None)


NO_HINTS = Hints()


def hints(headers: Mapping[str, str], now: float) -> Hints:
    """Read the hints in a reply's headers; `now` is the time of day as an epoch."""
    names = "\n".join(headers).lower()
    if not any(word in names for word in _HINTED):  # as in most replies, and this runs for each
        return NO_HINTS
    found = {
        name.lower(): value.strip()
        for name, value in headers.items()
        if name.lower() == "date" or any(word in name.lower() for word in _HINTED)
    }
    if there := _date(found.get("date")):  # of a clock that may differ from ours
        now = there
    return Hints(
        after=_after(found, now),
        requests=_allowance(found, now, "-requests") or _allowance(found, now, ""),
        tokens=_allowance(found, now, "-tokens"),
    )


def _date(text: str | None) -> float | None:
    try:
        return None if text is None else parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


# A wait in the body of an error: Google's `RetryInfo`, Hugging Face's `estimated_time`, and fields
# and sentences of others. Seconds where no unit is given.
# Compiled where there is such an error.
_FIELD = (
    rb"[\"'](?:retry_?delay|retry_?after(?:_?(?:seconds|ms))?|estimated_time)[\"']\s*:\s*"
    rb"(?:\{\s*[\"']seconds[\"']\s*:\s*)?[\"']?([0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(ms|s)?"
)
_SENTENCE = (
    rb"(?:retry|try again|wait|available again|resets?)[a-z ]{0,30}?\s(?:in|after|for)?\s?"
    rb"((?:[0-9]{1,9}(?:\.[0-9]{1,9})?\s?"
    rb"(?:ms|milliseconds?|d(?:ays?)?|h(?:ours?|rs?)?|m(?:inutes?|ins?)?|s(?:ec(?:ond)?s?)?)"
    rb"(?![a-z])\s?(?:and )?)+)"
)
_AMOUNT = rb"([0-9]+(?:\.[0-9]+)?)\s?(ms|milli|[dhms])"
_UNITS = {b"ms": 1e-3, b"milli": 1e-3, b"s": 1.0, b"m": 60.0, b"h": 3600.0, b"d": 86400.0}


def hint_in_words(content: bytes) -> float | None:
    """Return the seconds to wait that the body of an error names, if it does."""
    if field := re.search(_FIELD, content, re.IGNORECASE):
        milliseconds = field[2] == b"ms" or field[0].lower().count(b"_ms") > 0
        return float(field[1]) * (1e-3 if milliseconds else 1.0)
    if sentence := re.search(_SENTENCE, content, re.IGNORECASE):
        amounts = re.findall(_AMOUNT, sentence[1], re.IGNORECASE)
        return sum(float(number) * _UNITS[unit.lower()] for number, unit in amounts)
    return None


def _after(headers: Mapping[str, str], now: float) -> float | None:
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    return None if value is None else _until(value, now)


def _allowance(headers: Mapping[str, str], now: float, what: str) -> Allowance | None:
    """Read one limit; `what` is "-requests", "-tokens" or, where a provider has only one limit,
    ""."""

    def get(field: str) -> str | None:
        names = (
            f"x-ratelimit-{field}{what}",
            f"anthropic-ratelimit{what}-{field}" if what else f"ratelimit-{field}",
        )
        return next((headers[name] for name in names if name in headers), None)

    remaining, reset = _number(get("remaining")), get("reset")
    seconds = None if reset is None else _until(reset, now)
    if remaining is None or seconds is None:
        return None
    return Allowance(remaining, seconds, _number(get("limit")))


def _number(text: str | None) -> float | None:
    """Read a number that is not negative: some write -1 for unknown."""
    if text is None or not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if isfinite(value) else None


def _until(text: str, now: float) -> float | None:
    """Return the seconds from now, given a number, a span as in `6m0s`, or a point in time in its
    many spellings."""
    value = _number(text)
    if value is not None:
        if value >= _EPOCH:
            value = value / 1000 if value >= _MILLISECONDS else value
            return max(0.0, value - now)
        return value
    if _SPAN.fullmatch(text):
        return sum(float(n) * _SECONDS.get(unit, 0.0) for n, unit in _PART.findall(text))
    try:
        when = datetime.fromisoformat(text) if "T" in text[:11] else parsedate_to_datetime(text)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
