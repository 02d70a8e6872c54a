"""A pattern from a data file is compiled in a moment, or refused when it is read."""

from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from refinecli.text.patterns import MOST_REPEATED, Pattern, compiled, last_match, occurs

BOMBS = [
    ".{100000000}",
    "a{100001}",
    "(?:a{1000}){1000}",
    "(?:(?:(?:a{100}){100}){100}){100}",
    "(a|b){99999999999999999999}",
    "x" + "(?:" * 50 + "ab" + "){9}" * 50,
    "[a-z{]{1000000}",
    r"\d{5000000}",
    "(?<=a{200000})b",
    "(?:[^]]{400}x){400}",
    "a" * 100_001,
    "a{" + "9" * 5000 + "}",
]


@pytest.mark.parametrize("pattern", BOMBS, ids=lambda pattern: pattern[:40])
def test_a_pattern_that_would_take_long_to_compile_is_refused_at_once(pattern: str) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match=r"repeats too much|characters; 100,000 at most"):
        compiled(pattern)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("a{0,100000000}", "aaa"),
        ("a{1000}", "a" * 1000),
        (r"\{100000000\}", "{100000000}"),
        ("[{]100000000}", "{100000000}"),
        ("a{,5}b", "aab"),
        ("(?:ab){2}[x{]{3}", "abab{x{"),
        (r"[\]{]{2}", "]{"),
        ("[]a]{3}", "]a]"),
        (r"\p{Lu}{2}", "AB"),
    ],
)
def test_a_pattern_that_repeats_within_reason_matches(pattern: str, text: str) -> None:
    assert compiled(pattern).search(text) is not None


@given(st.text("a(){}[]\\,0123|?*+^.", max_size=30))
def test_any_pattern_is_compiled_or_refused(pattern: str) -> None:
    try:
        compiled(pattern)
    except ValueError:
        return


def test_what_may_be_repeated_most_is_compiled() -> None:
    assert compiled(f"a{{{MOST_REPEATED}}}").search("a" * MOST_REPEATED)


@given(
    st.text("a(){}[]\\,0|?*+^.<>/", max_size=12),
    st.sampled_from(["(.*?)", "(.+)", "(.)", "(.*"]),
    st.text("a(){}[]\\,0|?*+^.<>/", max_size=12),
)
def test_a_pattern_is_valid_exactly_if_it_compiles(before: str, group: str, after: str) -> None:
    try:
        compiled(before + group + after)
    except ValueError:
        with pytest.raises(ValidationError):
            TypeAdapter(Pattern).validate_python(before + group + after)
    else:
        assert TypeAdapter(Pattern).validate_python(before + group + after)


def test_a_usual_pattern_that_is_too_long_is_not_valid() -> None:
    with pytest.raises(ValidationError, match="100,000 at most"):
        TypeAdapter(Pattern).validate_python("a" * 100_000 + "(.*?)")


@given(
    st.text("ab<> ", max_size=3),
    st.sampled_from([f"(.{repeat})" for repeat in ("", "*", "+", "?", "*?", "+?", "??")]),
    st.text("ab<> ", max_size=3),
    st.text("ab<>/\n ", max_size=14),
)
def test_a_usual_pattern_finds_in_a_short_text_what_the_regex_library_finds(
    before: str, group: str, after: str, text: str
) -> None:
    pattern = before + group + after
    found = list(compiled(pattern).finditer(text))
    match = last_match(pattern, text)
    assert (match and (match.span(), match.span(1))) == (
        found[-1] and (found[-1].span(), found[-1].span(1)) if found else None
    )
    assert occurs(pattern, text) == bool(found)


def test_a_usual_pattern_takes_no_time_wherever_it_begins_to_match() -> None:
    start = time.process_time()
    assert last_match("a(.*?)b", "a" * 1_500) is None
    with pytest.raises(TimeoutError):
        last_match("a(.*?)b", "a" * 100_000, 0.05)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("length", [64, 700])
def test_no_pattern_of_plain_text_holds_up_a_short_reply(length: int) -> None:
    tail = "a" * (length - len("a(.*)b")) + "b"
    start = time.process_time()
    with suppress(TimeoutError):
        assert last_match(f"a(.*){tail}", "a" * 1_500, 0.05) is None
    assert time.process_time() - start < 0.2
