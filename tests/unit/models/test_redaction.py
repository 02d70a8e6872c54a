"""A key is hidden however it is spelled, and a short one does not spoil what others say."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from time import process_time
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.errors import CompletionError
from refinecli.models.redaction import HIDDEN, Redaction, redaction_for, without_secrets
from refinecli.models.reply import read_completion
from refinecli.settings.load import load
from refinecli.settings.roles import RoleSettings

KEY = "sk-0123456789/abc+def="
SURE = Redaction(KEY)


def role(*sets: str) -> RoleSettings:
    settings = load({"policy.model": "m"}, ("policy.base_url=http://h/v1", *sets), {})
    return settings.policy


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        quote(KEY, safe=""),
        json.dumps(KEY)[1:-1].replace("/", "\\/"),
        "".join(f"\\u{ord(character):04x}" for character in KEY),
        quote(KEY, safe="").lower(),
        quote(quote(KEY, safe="")),
        "".join(f"%{ord(character):02X}" for character in KEY),
        "".join(f"&#{ord(character)};" for character in KEY),
        "".join(f"&#x{ord(character):X};" for character in KEY),
        KEY.replace("/", "&#x2F;").replace("+", "&plus;").replace("=", "&#61"),
        KEY.replace("/", "&amp;#47;"),
        KEY.upper(),
        KEY.encode().hex(),
        "".join(f"\\\\x{ord(character):02x}" for character in KEY),
        "".join(f"\\\\u{{{ord(character):x}}}" for character in KEY),
    ],
    ids=[
        *("plain", "percent", "slashes", "escapes", "lower", "twice", "all percent"),
        *("numbers of HTML", "hexadecimal", "names of HTML", "HTML in HTML"),
        *("capitals", "bytes in hexadecimal", "escapes of Python", "escapes of Rust"),
    ],
)
def test_a_key_is_hidden_in_every_spelling_of_json(spelled: str) -> None:
    content = b'{"a": "so ' + spelled.encode() + b' it is", "b": [1, null]}'
    assert orjson.loads(SURE.reply(content)) == {"a": "so [key] it is", "b": [1, None]}


@pytest.mark.parametrize("alphabet", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "u", "u:", "Bearer "])
def test_nothing_of_a_keys_base64_stays_that_gives_it_away(
    alphabet: Callable[[bytes], bytes], before: str
) -> None:
    for key in (KEY, "sk-proj-?>?>?>?>~~~~"):
        written = alphabet(f"{before}{key}:more".encode())
        shown = Redaction(key).reply(b'{"a": "Basic ' + written + b'"}').decode()
        assert HIDDEN in shown
        left = shown.replace(HIDDEN, "").removeprefix('{"a":"Basic ').strip('"}')
        assert len(left) < len(written) - len(key)


# A setting of a role that holds a secret, which is not its key. To cover another, add a line.
OTHER_SECRETS: dict[str, tuple[str, ...]] = {
    "a header": ("policy.headers={X-Team = '0123456789abcdef'}",),
    "a header with a scheme": ("policy.headers={X-Gateway = 'Basic 0123456789abcdef'}",),
    "the query": ("policy.base_url=http://h/v1?api_key=0123456789abcdef",),
    "the body": ("policy.extra_body={meta = {api_key = '0123456789abcdef'}}",),
    "a list in the body": ("policy.extra_body={tokens_of = 1, token = ['0123456789abcdef']}",),
}


@pytest.mark.parametrize("sets", OTHER_SECRETS.values(), ids=OTHER_SECRETS)
def test_what_else_of_a_request_looks_like_a_key_is_hidden_too(sets: tuple[str, ...]) -> None:
    hidden = redaction_for(role(*sets), KEY)
    assert hidden.text(f"0123456789abcdef and {KEY}") == "[key] and [key]"
    assert hidden.reply(b'{"a": "0123456789abcdef"}') == b'{"a":"[key]"}'


@pytest.mark.parametrize(
    "sets",
    [
        "policy.headers={HTTP-Referer = 'https://example.org/0123456789'}",
        "policy.headers={X-Title = 'With 20 models', anthropic-version = '2023-06-01-preview'}",
        "policy.base_url=http://h/v1?api-version=2024-10-21-preview",
        "policy.extra_body={prompt_cache_key = 'rubric', note = '0123456789abcdef'}",
    ],
)
def test_what_else_a_request_holds_stays_in_a_providers_words(sets: str) -> None:
    words = "https://example.org/0123456789 20 models 2023-06-01-preview 2024-10-21-preview rubric"
    assert redaction_for(role(sets), "").text(words) == words


def test_a_key_is_hidden_in_what_is_not_json_and_in_names() -> None:
    assert SURE.reply(b"<p>" + KEY.encode() + b"\xff") == b"<p>[key]\xff"
    assert orjson.loads(SURE.reply(orjson.dumps({KEY: 1}))) == {"[key]": 1}


@given(st.binary() | st.text().map(lambda text: json.dumps({"a": text}).encode()))
def test_a_reply_without_the_key_stays_as_it_is(content: bytes) -> None:
    assert SURE.reply(content) == content


def test_a_short_key_stays_in_what_a_model_writes() -> None:
    content = b'{"a": "Unsupported parameter: max_tokens x"}'
    assert Redaction("x").reply(content) == content
    assert Redaction("").reply(content) == content


def test_a_short_key_is_hidden_as_a_word_in_errors_and_logs() -> None:
    error = Redaction("x").error(CompletionError("auth", "key x for max_tokens", "is x right?"))
    assert (error.message, error.hint) == ("key [key] for max_tokens", "is [key] right?")
    assert Redaction("x").logged(b'{"a": "x max"}') == b'{"a": "[key] max"}'
    assert SURE.logged(KEY.encode()) == b"[key]"


ESCAPED = "".join(f"\\u{ord(character):04x}" for character in KEY)


@pytest.mark.parametrize(
    "content",
    [
        f'{{"choices": [{{"message": {{"content": ["{KEY[:9]}", "{KEY[9:]}"]}}}}]}}',
        '{"choices": [{"message": {"content": [{"text": "'
        + KEY[:9]
        + '"}, {"text": "'
        + KEY[9:]
        + '"}]}}]}',
        '{"x": NaN, "choices": [{"message": {"content": "' + ESCAPED + '"}}]}',
        ': wait\n{"choices": [{"message": {"content": "' + ESCAPED + '"}}]}',
        f'{{"choices": [{{"delta": {{"content": "{KEY[:9]}"}}}}]}}\n'
        f'{{"choices": [{{"delta": {{"content": "{KEY[9:]}"}}, "finish_reason": "stop"}}]}}',
        f'data: {{"choices": [{{"delta": {{"content": "{KEY[:9]}"}}}}]}}\n\n'
        f'data: {{"choices": [{{"delta": {{"content": "{KEY[9:]}"}}}}]}}\n\ndata: [DONE]\n\n',
        '{"choices": [{"message": {"content": "{\\"a\\": \\"'
        + ESCAPED.replace("\\", "\\\\")
        + '"}}]}',
    ],
    ids=[
        "in parts",
        "in parts of a list",
        "not quite JSON",
        "comment",
        "split over lines",
        "split over a stream",
        "JSON in JSON",
    ],
)
def test_no_way_of_reading_a_reply_brings_the_key_back(content: str) -> None:
    text = read_completion(SURE.reply(content.encode())).text
    assert "[key]" in text
    assert KEY not in text


@pytest.mark.parametrize("piece", ["\\", "%25", "&amp;", "&#0", "s", "sk-", "%"])
def test_hiding_takes_linear_time_on_any_text(piece: str) -> None:
    text = piece * (300_000 // len(piece))
    began = process_time()
    assert SURE.text(text) == text
    assert process_time() - began < 2


def test_a_key_is_hidden_in_json_that_broke_off() -> None:
    assert SURE.reply(b'{"a": "' + ESCAPED.encode()) == b'{"a": "[key]'


def test_a_body_with_half_a_character_is_logged_without_its_secrets() -> None:
    body = {"messages": [{"role": "user", "content": "\ud83d"}], "token": "short", "n": 10**30}
    data = without_secrets(json.dumps(body).encode(), {"token": "short"})
    assert json.loads(data) == body | {"token": HIDDEN}
