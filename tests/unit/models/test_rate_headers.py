"""What replies' headers say of a provider's limits."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.models.pacing.rate_headers import (
    NO_HINTS,
    Allowance,
    Hints,
    hint_in_words,
    hints,
)


def about(seconds: float) -> Any:
    return pytest.approx(seconds)


NOW = 1_736_950_980.0  # 2025-01-15T14:23:00Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after": " 30 "}, 30),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1),
        ({"retry-after": formatdate(NOW + 90, usegmt=True)}, 90),
        ({"retry-after": formatdate(NOW - 90, usegmt=True)}, 0),
        ({"retry-after": "2025-01-15T14:23:10Z"}, 10),
        ({"retry-after": "20s"}, 20),
    ],
)
def test_how_long_to_wait_is_read_in_all_its_spellings(
    headers: dict[str, str], seconds: float
) -> None:
    assert hints(headers, NOW).after == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [
        ("1s", 1),
        ("6m0s", 360),
        ("20ms", 0.02),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723),
        ("1d", 86_400),
        ("59", 59),
        ("7.66", 7.66),
        (str(int(NOW) + 42), 42),
        (str(int(NOW * 1000) + 42_500), 42.5),
        ("2025-01-15T14:23:15Z", 15),
        ("2025-01-15T15:23:15+01:00", 15),
        (formatdate(NOW + 8, usegmt=True), 8),
    ],
)
def test_a_reset_is_read_in_all_its_spellings(reset: str, seconds: float) -> None:
    headers = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": reset}
    assert hints(headers, NOW).requests == Allowance(3, about(seconds))


def test_openais_headers() -> None:
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "150000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "149984",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-reset-tokens": "6ms",
    }
    read = hints(headers, NOW)
    assert read.requests == Allowance(59, 1, 60)
    assert read.tokens == Allowance(149_984, about(0.006), 150_000)
    assert read.wait is None


def test_anthropics_headers() -> None:
    headers = {
        "anthropic-ratelimit-requests-limit": "4000",
        "anthropic-ratelimit-requests-remaining": "3201",
        "anthropic-ratelimit-requests-reset": "2025-01-15T14:24:00Z",
        "anthropic-ratelimit-tokens-limit": "400000",
        "anthropic-ratelimit-tokens-remaining": "0",
        "anthropic-ratelimit-tokens-reset": "2025-01-15T14:23:15Z",
    }
    read = hints(headers, NOW)
    assert read.requests == Allowance(3201, 60, 4000)
    assert read.tokens == Allowance(0, 15, 400_000)
    assert read.wait == 15


def test_openrouters_headers_and_the_drafts_without_an_x() -> None:
    reset = str(int((NOW + 40) * 1000))
    headers = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    assert hints(headers, NOW) == Hints(requests=Allowance(0, about(40), 20))
    assert hints(headers, NOW).wait == pytest.approx(40)
    headers = {"RateLimit-Limit": "20", "RateLimit-Remaining": "1", "RateLimit-Reset": "40"}
    assert hints(headers, NOW).requests == Allowance(1, 40, 20)


def test_how_long_to_wait_comes_before_what_is_left() -> None:
    used_up = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "60"}
    assert hints({"retry-after": "1", **used_up}, NOW).wait == 1


@pytest.mark.parametrize("value", ["", "-1", "soon", "nan", "inf", "1e5", "٣", "5x", "9" * 400])
@pytest.mark.parametrize("name", ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests"])
def test_what_cannot_be_read_is_not_there(name: str, value: str) -> None:
    assert hints({name: value, "x-ratelimit-remaining-requests": "-1"}, NOW) == NO_HINTS


def test_azure_without_a_count_is_no_hint() -> None:
    headers = {"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}
    assert hints(headers, NOW) == NO_HINTS


def test_other_headers_are_no_hints() -> None:
    assert hints({"content-type": "application/json"}, NOW) is NO_HINTS


NAMES = [
    *("retry-after", "retry-after-ms", "x-ratelimit-remaining", "x-ratelimit-reset"),
    *("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    *("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
]
VALUES = st.text(max_size=20) | st.text("0123456789.:TZ+-msdh, GMTJan", max_size=30)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_no_header_makes_it_raise_or_wait_backwards(headers: dict[str, str]) -> None:
    read = hints(headers, NOW)
    assert read.after is None or read.after >= 0
    for left in (read.requests, read.tokens):
        assert left is None or (left.remaining >= 0 and left.reset >= 0)


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please try again in 250ms.", 0.25),
        ("Please retry after 1m30.5s.", 90.5),
        ("Try again in 2 hours and 3 minutes", 7380),
        ("Your quota resets in 1 day", 86_400),
        ("Wait 20 milliseconds", 0.02),
        ('{"retryDelay": "7.5s"}', 7.5),
        ('{"retry_after": 3}', 3),
        ('{"retry_after_ms": 500}', 0.5),
        ('{"retry_delay": {"seconds": 4}}', 4),
        ("You may send 20 requests in 5 s", None),
        ("", None),
    ],
)
def test_an_error_says_in_words_how_long_to_wait(words: str, seconds: float | None) -> None:
    found = hint_in_words(words.encode())
    assert found == (None if seconds is None else pytest.approx(seconds))
