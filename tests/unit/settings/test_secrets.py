"""Secrets among settings: known by their names or their looks, and not shown."""

from __future__ import annotations

from typing import Any

import pytest

from refinecli.runs.run_cache import flat
from refinecli.settings.secrets import hidden, hidden_in_assignment, names_a_secret

KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize("name", ["api_key", "x-api-key", "Authorization", "accessToken", "cookie"])
def test_a_secret_is_known_by_a_word_of_its_name(name: str) -> None:
    assert names_a_secret(name)
    assert not names_a_secret("max_tokens")


@pytest.mark.parametrize(
    ("key", "value", "shown"),
    [
        (
            "base_url",
            f"http://h/v1?api-version=2&api-key={KEY}",
            "http://h/v1?api-version=2&api-key=[hidden]",
        ),
        ("base_url", "http://h/v1?token=a%2Fb", "http://h/v1?token=[hidden]"),
        ("base_url", "http://h/v1?token=a%2fb+c", "http://h/v1?token=[hidden]"),
        ("base_url", "http://h/v1?api%2Dkey=v1&v=1", "http://h/v1?api%2Dkey=[hidden]&v=1"),
        ("base_url", "http://h/key?v=1", "http://h/key?v=1"),
        ("headers", {"X-Gateway": f"Bearer {KEY}"}, {"X-Gateway": "Bearer [hidden]"}),
        (
            "headers",
            {"X-Version": "2026-01-01", "X-Team": "t1"},
            {"X-Version": "2026-01-01", "X-Team": "t1"},
        ),
        ("extra_body", {"user": "me", "api_key": "x"}, {"user": "me", "api_key": "[hidden]"}),
        ("extra_body", {"a": [{"token": KEY}]}, {"a": [{"token": "[hidden]"}]}),
        ("extra_body", {"top_k": 4}, {"top_k": 4}),
        ("api_key_env", "MY_KEY", "MY_KEY"),
    ],
)
def test_what_is_shown_of_a_setting_is_all_but_its_secret(key: str, value: Any, shown: Any) -> None:
    assert hidden(key, value) == shown


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        (f"policy.extra_body.api_key={KEY}", "policy.extra_body.api_key=[hidden]"),
        ("policy.extra_body.api_key=a,b&c d", "policy.extra_body.api_key=[hidden]"),
        (
            f'grader.extra_body={{a = {{token = "{KEY}", b = 1}}}}',
            'grader.extra_body={"a" = {"token" = "[hidden]", "b" = 1}}',
        ),
        (
            'policy.extra_body={token = ["a", "b"]}',
            'policy.extra_body={"token" = ["[hidden]", "[hidden]"]}',
        ),
        (r'policy.extra_body={key = "a\"b,c"}', 'policy.extra_body={"key" = "[hidden]"}'),
        (f'policy.headers={{X-G = "Bearer {KEY}"}}', 'policy.headers={"X-G" = "Bearer [hidden]"}'),
        (f"policy.headers.X-Gateway=Bearer {KEY}", "policy.headers.X-Gateway=Bearer [hidden]"),
        (
            f'jury.a={{extra_body = {{key = "{KEY}"}}}}',
            'jury.a={"extra_body" = {"key" = "[hidden]"}}',
        ),
        (f"jury.a.extra_body.key={KEY}", "jury.a.extra_body.key=[hidden]"),
        (f"classifier.a.url=http://h/?key={KEY}", "classifier.a.url=http://h/?key=[hidden]"),
        (f"judge.base_url=http://h:8/v1?key={KEY}", "judge.base_url=http://h:8/v1?key=[hidden]"),
        (f"policy.headers.X-Gateway={KEY}", "policy.headers.X-Gateway=[hidden]"),
        ("policy.api_key_env=MY_KEY_2026_01_01", "policy.api_key_env=MY_KEY_2026_01_01"),
        ("policy.api_key_header=x-api-key", "policy.api_key_header=x-api-key"),
        ("policy.max_tokens=64", "policy.max_tokens=64"),
        ("policy.extra_body={top_k = 4}", "policy.extra_body={top_k = 4}"),
        ("policy", "policy"),
    ],
)
def test_a_command_that_continues_shows_no_secret(word: str, shown: str) -> None:
    assert hidden_in_assignment(word) == shown


def test_a_call_cache_knows_a_run_by_the_digests_of_its_secrets() -> None:
    run: dict[str, Any] = {
        "policy": {"extra_body": {"api_key": KEY, "a": [{"token": KEY}], "user": "me"}}
    }
    known = flat(run)
    assert KEY not in str(known)
    assert known["policy.extra_body.user"] == "me"
    run["policy"]["extra_body"]["api_key"] += "0"
    assert flat(run) != known
