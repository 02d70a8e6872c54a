"""One rule for URLs, from whatever source, and nothing secret in what is said of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.errors import UsageError
from refinecli.models.http import joined
from refinecli.settings.load import load
from refinecli.settings.urls import checked_url, shown_url

BAD = [
    "host/v1",
    "ftp://host/v1",
    "http://",
    "http://host:port/v1",
    "http://host:99999/v1",
    "http://[::1/v1",
    "http://user:hunter2@host/v1",
    "http://hunter2@host/v1",
    "http://ho st/v1",
    "http://host/v1\nx: y",
]


@pytest.mark.parametrize("url", BAD)
def test_a_bad_url_is_refused_alike_from_every_source_and_never_repeated(url: str) -> None:
    with pytest.raises(ValueError) as wrong:  # noqa: PT011 - each has its own words
        checked_url(url)
    with pytest.raises(UsageError) as by_setting:
        load({}, [f"policy.base_url={json.dumps(url)}"], {})
    with pytest.raises(UsageError) as by_environment:
        load({"policy.model": "m"}, [], {"OPENAI_BASE_URL": url})
    for error in (str(wrong.value), str(by_setting.value), str(by_environment.value)):
        assert "hunter2" not in error
        assert str(wrong.value) in error
    assert "OPENAI_BASE_URL" in str(by_environment.value)


@given(st.text())
def test_any_text_is_a_url_or_a_value_error(text: str) -> None:
    try:
        checked_url(text)
    except ValueError:
        return
    assert text.strip().lower().startswith("http")


def test_blanks_around_a_url_are_not_part_of_it() -> None:
    settings = load({"policy.model": "m"}, [], {"OPENAI_BASE_URL": " http://host/v1\n"})
    assert settings.policy.base_url == "http://host/v1"


def test_what_is_shown_has_no_query() -> None:
    assert shown_url("https://host/v1?key=secret#x") == "https://host/v1"


def test_an_escaped_slash_stays_one() -> None:
    assert joined("http://h/a%2Fb/v1", "/models") == "http://h/a%2Fb/v1/models"


def test_a_weights_file_next_to_a_url_is_the_name_of_a_served_model() -> None:
    at = {"policy.base_url": "http://localhost:8000/v1"}
    policy = load({**at, "policy.model": "x.gguf"}, [], {}).policy
    assert (policy.model, policy.weights) == ("x.gguf", None)
    policy = load({"policy.model": "x.gguf"}, [], {}).policy
    assert (policy.model, policy.weights) == (None, "x.gguf")
